"""Doing a few things ahead of where they are needed."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain, islice
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

_MOST_THREADS = 8


def ahead(function: Callable[[T], R], items: Iterable[T], room: int, threads: int = _MOST_THREADS) -> Iterator[R]:
    """A function's results in the order of the items, computed in threads while earlier ones are used.

    Meant for what opens and decodes pictures: OpenCV and Pillow let other threads run meanwhile.

    Args:
        function: what it raises is raised when it's the item's turn.
        items: taken as they are needed.
        room: results that may wait, at least 1.
        threads: at most; no more than the machine has cores.
    """
    iterator = iter(items)
    first = list(islice(iterator, 2))
    if len(first) < 2:  # nothing to do meanwhile, and a thread would cost time
        yield from map(function, first)
        return
    with ThreadPoolExecutor(min(threads, os.cpu_count() or 1)) as pool:
        waiting: deque[Future[R]] = deque()
        try:
            for item in chain(first, iterator):
                waiting.append(pool.submit(function, item))
                if len(waiting) > room:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:  # the others are of no use when one has failed, or nobody asks for more
            for future in waiting:
                future.cancel()
