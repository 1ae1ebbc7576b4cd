"""What is drawn on a device."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
from jax import lax


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


def draw_all(draw: Draw, keys: jax.Array) -> Drawn:
    """A picture for each of (B,) keys, all arrays with an axis of B before theirs.

    On CPUs one is drawn after the other: what it needs stays in the cache, and what chance doesn't ask for isn't computed.
    """
    # By default GPUs keep ten bits of what they multiply: too few to tell pixels apart.
    with jax.default_matmul_precision("highest"):
        return lax.map(draw, keys) if jax.default_backend() == "cpu" else jax.vmap(draw)(keys)
