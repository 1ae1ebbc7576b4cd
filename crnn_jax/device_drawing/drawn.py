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
        bar: (2,) int32, left end and middle row of a fraction's bar; None: there is none.
    """

    image: jax.Array
    ids: jax.Array
    length: jax.Array
    background: jax.Array
    size: jax.Array
    bar: jax.Array | None = None


Draw = Callable[[jax.Array], Drawn]  # of a random key
