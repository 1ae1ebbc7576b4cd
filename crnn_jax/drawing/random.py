"""Random draws that depend on nothing but (seed, split, index)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, Protocol, TypeVar, get_args

import numpy as np

Split = Literal["train", "validation", "test", "generate"]
SPLITS: tuple[Split, ...] = get_args(Split)
_SPLIT_ROOM = 8  # keys a seed: more splits than there are now, so that a new one would change no picture

T = TypeVar("T")


class RandomNumbers(Protocol):
    """What drawing asks of its source of chance; `Draws` is one."""

    def uniform(self, low: float = 0.0, high: float = 1.0) -> float:
        """A number in [low, high)."""
        ...

    def below(self, n: int) -> int:
        """An integer in [0, n)."""
        ...

    def many(self, count: int) -> np.ndarray:
        """(count,) float64 in [0, 1)."""
        ...


class Draws:
    """An endless stream of random numbers for one example.

    The Philox generator is keyed, not seeded: the key is ``(seed and split, index)``, so that two examples never share a
    stream, whatever the order or the process in which they are drawn (Salmon et al., "Parallel random numbers: as
    easy as 1, 2, 3", SC 2011).

    Args:
        seed: any non-negative integer below 2**60.
        split: training, validation, test and what users generate never share a stream.
        index: number of the example, from 0.
    """

    _BLOCK = 256

    def __init__(self, seed: int, split: Split, index: int) -> None:
        key = np.array([seed * _SPLIT_ROOM + SPLITS.index(split), index], dtype=np.uint64)
        self._generator = np.random.Generator(np.random.Philox(key=key))
        self._numbers = self._one_by_one()

    def _one_by_one(self) -> Iterator[float]:
        # Python's own floats, taken from a block: the generator is slow at one number a call.
        while True:
            yield from self._generator.random(self._BLOCK).tolist()

    def uniform(self, low: float = 0.0, high: float = 1.0) -> float:
        """A float in [low, high)."""
        return low + next(self._numbers) * (high - low)

    def below(self, n: int) -> int:
        """An integer in [0, n)."""
        return int(next(self._numbers) * n)

    def many(self, count: int) -> np.ndarray:
        """(count,) float64 in [0, 1)."""
        return self._generator.random(count)

    def choice(self, items: Sequence[T]) -> T:
        """One of the items, each equally likely."""
        return items[self.below(len(items))]
