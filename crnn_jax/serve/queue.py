"""Requests that come one by one, read a batch at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
BATCH_SIZE = 32  # items at a time, where nobody asks for another number
_Waiting = tuple[Item, asyncio.Future[Result]]


class BatchQueue(Generic[Item, Result]):
    """Hands what waits to a function that takes many at once, in a thread of its own.

    While a batch is being worked on the next one gathers: under load batches are full, and a lone request hardly waits.

    Args:
        work: from items to as many results.
        batch_size: the most items at a time.
    """

    def __init__(self, work: Callable[[list[Item]], list[Result]], *, batch_size: int = BATCH_SIZE) -> None:
        self._work, self._batch_size = work, batch_size
        self._waiting: asyncio.Queue[_Waiting[Item, Result]] = asyncio.Queue()
        self._thread = ThreadPoolExecutor(1, "reader")

    @property
    def waiting(self) -> int:
        """How many items wait."""
        return self._waiting.qsize()

    async def __call__(self, item: Item) -> Result:
        """Waits for an item's result. How many may wait is for the caller to bound."""
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.put_nowait((item, future))
        return await future

    async def run(self) -> None:
        """Works until it is cancelled."""
        while True:
            await self._work_off(await self._waiting.get())

    async def _work_off(self, first: _Waiting[Item, Result]) -> None:
        """Works on an item and those that wait behind it; a function of its own, so that none of them outlives it."""
        batch = [first]
        while len(batch) < self._batch_size and not self._waiting.empty():
            batch.append(self._waiting.get_nowait())
        items, futures = zip(*batch, strict=True)
        try:
            results = await asyncio.get_running_loop().run_in_executor(self._thread, self._work, list(items))
        except Exception as error:  # whatever it is, those who wait must learn of it
            outcomes: list[Result | Exception] = [error] * len(futures)
        else:
            outcomes = list(results)
        for future, outcome in zip(futures, outcomes, strict=True):
            if future.cancelled():  # its client has gone
                continue
            if isinstance(outcome, Exception):
                future.set_exception(outcome)
            else:
                future.set_result(outcome)

    def close(self) -> None:
        """Ends the thread."""
        self._thread.shutdown(cancel_futures=True)
