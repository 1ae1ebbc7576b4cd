"""What a run measures of itself while it trains."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class EpochSums:
    """Sums of the metrics of an epoch's steps so far; see `steps.make_train_step`."""

    steps: int = 0
    loss: float = 0.0
    examples: float = 0.0
    infeasible: float = 0.0
    characters: float = 0.0
    skipped: float = 0.0

    def add(self, metrics: dict[str, float]) -> EpochSums:
        """With those of one more step."""
        more = metrics | {"steps": 1}
        return EpochSums(**{name: total + more[name] for name, total in asdict(self).items()})

    @property
    def mean_loss(self) -> float:
        """Of the examples that count."""
        return self.loss / max(1.0, self.examples)


@dataclass(frozen=True)
class Health:
    """For how many steps, the last ones in a row, something has been wrong.

    Attributes:
        blank: nothing but blanks was read.
        skipped: the loss was no number.
    """

    blank: int = 0
    skipped: int = 0

    def after(self, metrics: dict[str, float]) -> Health:
        """With one more step; see `steps.make_train_step`."""
        return Health(0 if metrics["characters"] else self.blank + 1, self.skipped + 1 if metrics["skipped"] else 0)


@dataclass
class Clock:
    """Time spent on training steps; a step after a pause is left out, because it may compile.

    Attributes:
        seconds: spent, those of an earlier part of the run too.
        images: trained on meanwhile.
        waited: seconds of these in which it waited for batches; devices may have worked meanwhile.
    """

    seconds: float = 0.0
    images: int = 0
    waited: float = 0.0
    _mark: float | None = None
    _waiting: float = 0.0

    def pause(self) -> None:
        """Leaves out the time until the next step ends."""
        self._mark = None

    def lap(self, images: int) -> None:
        """Counts a step."""
        now = time.perf_counter()
        if self._mark is not None:
            self.seconds += now - self._mark
            self.images += images
            self.waited += self._waiting
        self._mark, self._waiting = now, 0.0

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """What happens inside is waiting for a batch."""
        began = time.perf_counter()
        yield
        self._waiting = time.perf_counter() - began

    @property
    def share_waited(self) -> float:
        """Of the time spent."""
        return self.waited / self.seconds if self.seconds else 0.0

    @property
    def rate(self) -> float:
        """Images a second."""
        return self.images / self.seconds if self.seconds else 0.0
