"""How a picture of any size becomes one that a network takes: `crnn_jax.data.examples.Preparation` in jax."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp

from crnn_jax.data.examples import STEP, Preparation
from crnn_jax.device_drawing.drawn import Drawn
from crnn_jax.device_drawing.integers import divided, weighted

_ROUNDING = 1.5  # times that rounding makes a side smaller still: one of 1.5 pixels may become 1


def fit(drawn: Drawn, preparation: Preparation) -> Drawn:
    """Made smaller, in its proportions, until it is neither too high nor too wide; black around it."""
    wide, high = drawn.size
    too_wide = preparation.width * high < preparation.height * wide
    before, limit = jnp.where(too_wide, wide, high), jnp.where(too_wide, preparation.width, preparation.height)
    size = scaled(drawn.size, jnp.minimum(limit, before), before)
    rows, columns, _ = drawn.image.shape
    most = max(rows / preparation.height, columns / preparation.width)
    image = averaged(drawn.image, drawn.size, size, preparation.height, preparation.width, _ROUNDING * most)
    width = jnp.minimum(preparation.width, -(-size[0] // STEP) * STEP)
    return drawn._replace(image=image, size=jnp.stack([width, jnp.array(preparation.height)]))


def no_higher(drawn: Drawn, height: int, which: jax.Array) -> Drawn:
    """Made smaller, in its proportions and in as much room, if () bool says so and it is higher than ``height``."""
    before = drawn.size[1]
    after = jnp.where(which, jnp.minimum(height, before), before)
    size = scaled(drawn.size, after, before)
    rows, columns, _ = drawn.image.shape
    image = averaged(drawn.image, drawn.size, size, rows, columns, _ROUNDING * max(1, rows / height))
    bars = None if drawn.bars is None else jnp.where(drawn.bars < 0, -1, divided(drawn.bars * after, before))
    return drawn._replace(image=image, size=size, bars=bars)


def scaled(size: jax.Array, after: jax.Array, before: jax.Array) -> jax.Array:
    """Width and height, (2,) int32, where ``before`` pixels become ``after``; at least one each."""
    return jnp.maximum(1, divided(size * after, before))


def averaged(image: jax.Array, before: jax.Array, after: jax.Array, rows: int, columns: int, most: float) -> jax.Array:
    """A picture made smaller, each pixel the mean of what it covers, as by OpenCV's ``INTER_AREA``.

    Args:
        image: (H, W, 3), integers of 0 to 255.
        before: (2,) int32, width and height of what counts of it; their product is less than 2**23.
        after: (2,) int32, width and height that this becomes.
        rows: of the result.
        columns: likewise.
        most: times that a side becomes smaller at most.

    Returns:
        (rows, columns, 3) uint8, zeros to the right of what counts and below.
    """
    total = image
    for axis, room in ((1, columns), (0, rows)):
        # If a pixel of the result covers `old` units of an axis, one of the picture covers `new`, and all are whole numbers.
        old, new = before[1 - axis], after[1 - axis]
        begin = jnp.arange(room)[None] * old
        end = jnp.minimum(begin + old, old * new)
        pixels = begin // new + jnp.arange(math.ceil(most) + 1)[:, None]
        weights = jnp.maximum(0, jnp.minimum(end, (pixels + 1) * new) - jnp.maximum(begin, pixels * new))
        total = weighted(total, pixels, weights, axis)
    return divided(total, before[0] * before[1]).astype(jnp.uint8)
