"""Rectangles of pixels, and pictures that know what they were made of. Runs in data workers: no jax here."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np


class Box(NamedTuple):
    """A rectangle of pixels: from (x0, y0) to (x1, y1), the last ones excluded."""

    x0: int
    y0: int
    x1: int
    y1: int

    @staticmethod
    def of(image: np.ndarray) -> Box:
        """All of a picture."""
        return Box(0, 0, image.shape[1], image.shape[0])

    def grown(self, margin: int, height: int, width: int) -> Box:
        """With a margin on each side, inside a picture."""
        return Box(
            max(0, self.x0 - margin), max(0, self.y0 - margin), min(width, self.x1 + margin), min(height, self.y1 + margin)
        )

    def moved(self, x: int, y: int) -> Box:
        """To the right and down."""
        return Box(self.x0 + x, self.y0 + y, self.x1 + x, self.y1 + y)

    def holds(self, other: Box) -> bool:
        """Whether another one lies inside."""
        return self.x0 <= other.x0 and self.y0 <= other.y0 and self.x1 >= other.x1 and self.y1 >= other.y1

    def common(self, other: Box) -> Box:
        """What it shares with another one; without pixels where that is nothing."""
        x0, y0 = max(self.x0, other.x0), max(self.y0, other.y0)
        return Box(x0, y0, max(x0, min(self.x1, other.x1)), max(y0, min(self.y1, other.y1)))

    @property
    def area(self) -> int:
        """Its pixels."""
        return (self.x1 - self.x0) * (self.y1 - self.y0)

    def cut(self, image: np.ndarray) -> np.ndarray:
        """What it shows of a picture."""
        return image[self.y0 : self.y1, self.x0 : self.x1]


class Part(NamedTuple):
    """A rectangle of a picture, and what it shows, perhaps stretched, of the one that this picture was made of."""

    place: Box
    shows: Box

    def shown(self, box: Box) -> Box:
        """What a box inside the place shows, in whole pixels."""
        if self.place == self.shows:
            return box
        x0, x1 = _stretched((box.x0, box.x1), (self.place.x0, self.place.x1), (self.shows.x0, self.shows.x1))
        y0, y1 = _stretched((box.y0, box.y1), (self.place.y0, self.place.y1), (self.shows.y0, self.shows.y1))
        return Box(x0, y0, x1, y1)


def _stretched(span: tuple[int, int], old: tuple[int, int], new: tuple[int, int]) -> tuple[int, int]:
    """A span inside an old one, as it is where that is stretched to a new one, made larger to whole pixels."""
    size, (start, end) = old[1] - old[0], (((edge - old[0]) * (new[1] - new[0])) for edge in span)
    return new[0] + start // size, new[0] - -end // size


class Traced(NamedTuple):
    """A picture, and how it was made of another one.

    Attributes:
        image: (H, W, 3) uint8.
        steps: that led to it, each by the parts of the picture that it made.
    """

    image: np.ndarray
    steps: tuple[tuple[Part, ...], ...] = ()

    def then(self, make: Callable[[np.ndarray], Traced]) -> Traced:
        """With what is made of it in more steps."""
        made = make(self.image)
        return Traced(made.image, self.steps + made.steps)

    def source(self, box: Box) -> Box | None:
        """What a box shows of the picture that all began with; None: nothing of it.

        Where a box touches several parts, that counts which fills it, or is filled by it, most.
        """
        for parts in reversed(self.steps):
            part = parts[0]
            if len(parts) > 1:
                part = max(parts, key=lambda part: part.place.common(box).area / max(1, min(part.place.area, box.area)))
            inside = part.place.common(box)
            if not inside.area:
                return None
            box = part.shown(inside)
        return box


def resized(image: np.ndarray, before: np.ndarray) -> Traced:
    """A picture that shows all of another one, stretched."""
    return Traced(image, ((Part(Box.of(image), Box.of(before)),),))
