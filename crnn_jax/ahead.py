"""Doing a few things ahead of where they are needed."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

_MOST_THREADS = 8


def ahead(function: Callable[[T], R], items: Iterable[T], room: int, threads: int = _MOST_THREADS) -> Iterator[R]:
    """A function's results in the order of the items, computed in threads while earlier ones are used.

    Meant for what opens and decodes pictures: OpenCV and Pillow let other threads run meanwhile.

    Args:
        function: what it raises is raised when it's the item's turn, as is what is raised instead of an item.
        items: taken as they are needed.
        room: results that may wait.
        threads: at most; no more than the machine has cores.
    """
    with ThreadPoolExecutor(min(threads, os.cpu_count() or 1)) as pool:

        def begun() -> Iterator[Future[R]]:
            try:
                for item in items:
                    yield pool.submit(function, item)
            except Exception as error:  # of the items: those before come first
                yield _failed(error)

        waiting: deque[Future[R]] = deque()
        try:
            for future in begun():
                waiting.append(future)
                if len(waiting) > room:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:  # the others are of no use when one has failed, or nobody asks for more
            for future in waiting:
                future.cancel()


def _failed(error: Exception) -> Future[R]:
    future: Future[R] = Future()
    future.set_exception(error)
    return future
