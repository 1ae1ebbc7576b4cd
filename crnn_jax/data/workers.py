"""Processes that make batches, each started fresh and without jax."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait
from types import TracebackType

import numpy as np

from crnn_jax.data.examples import Batch, BatchMaker
from crnn_jax.errors import UserError


class BatchWorkers:
    """Makes batches in some processes, or in the caller's own thread where there are none; a context manager.

    The processes are spawned: a fork of a process that runs jax can deadlock. They hold no state, so that a batch
    doesn't depend on how many there are.

    Args:
        make: turns example numbers into a batch.
        count: of processes; 0 for none.
    """

    def __init__(self, make: BatchMaker, count: int) -> None:
        self._make = make
        self._pool: ProcessPoolExecutor | None = None
        if count:
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(count, context, initializer=_start, initargs=(make,))

    def __call__(self, indices: np.ndarray, first_position: int = 0) -> Batch:
        """The batch of some example numbers; may be called from several threads.

        Raises:
            UserError: of the maker, or a worker process died.
        """
        if self._pool is None:
            return self._make(indices, first_position)
        try:
            return self._pool.submit(_work, indices, first_position).result()
        except BrokenProcessPool:
            raise UserError(
                "a data worker process died: out of memory? or, in a script of your own, no `if __name__ == '__main__':`"
                " around what it runs? (workers=0 draws in the main process)"
            ) from None

    def __enter__(self) -> BatchWorkers:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)


# A worker process has one task for all its life: it is handed over once, not with each batch.
_make_in_worker: list[BatchMaker] = []


def _start(make: BatchMaker) -> None:
    _make_in_worker.append(make)
    # Ctrl-C reaches the whole process group; the main process saves and then ends its workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A parent that is killed can't end its workers, and they would wait for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _work(indices: np.ndarray, first_position: int) -> Batch:
    return _make_in_worker[0](indices, first_position)
