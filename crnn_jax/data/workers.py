"""Processes that make batches, each started fresh and without jax."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from types import TracebackType

import numpy as np

from crnn_jax.data.examples import Batch, BatchMaker
from crnn_jax.data.processes import serve_parent
from crnn_jax.drawing.random import Split
from crnn_jax.errors import UserError


class BatchWorkers:
    """Makes batches in some processes, or in the caller's own thread where there are none; a context manager.

    The processes are spawned: a fork of a process that runs jax can deadlock. They hold no state, so that a batch
    doesn't depend on how many there are.

    Args:
        makers: turn example numbers into batches, one for each split.
        count: of processes; 0 for none.
        patience: seconds that a batch may take, until a process counts as hanging.
    """

    def __init__(self, makers: Mapping[Split, BatchMaker], count: int, *, patience: float = 600.0) -> None:
        self._makers, self._patience = dict(makers), patience
        self._pool: ProcessPoolExecutor | None = None
        if count:
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(count, context, initializer=_start, initargs=(self._makers,))
            # Ctrl-C reaches the whole process group; the main process saves and then ends its workers. Those that these calls
            # start inherit the mask, until they ignore the signal.
            before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
            for _ in range(count):
                self._pool.submit(os.getpid)
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def __call__(self, split: Split, indices: np.ndarray, first_position: int = 0) -> Batch:
        """The batch of some example numbers of a split; may be called from several threads.

        Raises:
            UserError: of the maker, or a worker process died or hangs.
        """
        if self._pool is None:
            return self._makers[split](indices, first_position)
        try:
            return self._pool.submit(_work, split, indices, first_position).result(self._patience)
        except BrokenProcessPool:
            raise UserError(
                "a data worker process died: out of memory? or, in a script of your own, no `if __name__ == '__main__':`"
                " around what it runs? (workers=0 draws in the main process)"
            ) from None
        except TimeoutError:
            for process in list((self._pool._processes or {}).values()):  # those that hang would be waited for at the end
                process.kill()
            raise UserError(
                f"a data worker has not made its batch for {self._patience:.0f} s (examples {indices[0]} to {indices[-1]}):"
                " does the folder of pictures answer? (workers=0 reads in the main process)"
            ) from None

    def __enter__(self) -> BatchWorkers:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)


# A worker process has one task for all its life: it is handed over once, not with each batch.
_makers_in_worker: dict[Split, BatchMaker] = {}


def _start(makers: Mapping[Split, BatchMaker]) -> None:
    serve_parent()
    _makers_in_worker.update(makers)


def _work(split: Split, indices: np.ndarray, first_position: int) -> Batch:
    return _makers_in_worker[split](indices, first_position)
