"""Rectangles of pixels."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Box(NamedTuple):
    """A rectangle of pixels: from (x0, y0) to (x1, y1), the last ones excluded."""

    x0: int
    y0: int
    x1: int
    y1: int

    def grown(self, margin: int, height: int, width: int) -> Box:
        """With a margin on each side, inside a picture."""
        return Box(
            max(0, self.x0 - margin), max(0, self.y0 - margin), min(width, self.x1 + margin), min(height, self.y1 + margin)
        )

    def holds(self, other: Box) -> bool:
        """Whether another one lies inside."""
        return self.x0 <= other.x0 and self.y0 <= other.y0 and self.x1 >= other.x1 and self.y1 >= other.y1

    def cut(self, image: np.ndarray) -> np.ndarray:
        """What it shows of a picture."""
        return image[self.y0 : self.y1, self.x0 : self.x1]
