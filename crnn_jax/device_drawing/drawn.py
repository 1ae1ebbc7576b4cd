"""What is drawn on a device."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax


class Drawn(NamedTuple):
    """A picture and its text.

    Attributes:
        image: (H, W, 3) uint8.
        ids: (L,) int32, of its text, padded with the blank.
        length: () int32, of the text.
        background: (3,) int32, its colour.
        size: (2,) int32, width and height of what counts of the picture; the rest, to the right and below, is black.
        bars: (F, 3) int32, left end, right end and middle row of the fractions' bars, from left to right, -1 after the last;
            None: pictures have none.
    """

    image: jax.Array
    ids: jax.Array
    length: jax.Array
    background: jax.Array
    size: jax.Array
    bars: jax.Array | None = None


Draw = Callable[[jax.Array], Drawn]  # of a random key
