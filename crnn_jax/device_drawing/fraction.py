"""`crnn_jax.fraction` in jax, for a strip whose bar is known: nothing has to be found."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax

from crnn_jax.device_drawing.drawn import Drawn
from crnn_jax.drawing.level2 import BAR_WIDTH, SMALLER
from crnn_jax.fraction import ABOVE, BELOW, NUMERATOR, OVERLAP, SLASH


def in_a_row(drawn: Drawn) -> Drawn:
    """The fraction written as numerator, a black gap, and denominator, both enlarged.

    Args:
        drawn: with a bar, its contrast stretched, black where nothing is.
    """
    assert drawn.bar is not None
    x, y = drawn.bar[0], drawn.bar[1]
    width, height = drawn.size[0], drawn.size[1]
    rows = jnp.arange(drawn.image.shape[0])[:, None, None]
    slash = jnp.zeros((len(rows), SLASH, 3), jnp.float32)
    above = _enlarged(drawn.image, x, NUMERATOR, jnp.maximum(0, y + ABOVE[0]), y - 1, y, height)
    below = _enlarged(drawn.image, x, BAR_WIDTH, y + 3, jnp.minimum(height, y + BELOW[1]), y, height)
    numbers = jnp.where(rows < height, jnp.concatenate([above, slash, below], axis=1), 0)
    more = numbers.shape[1] - (BAR_WIDTH - 2 * OVERLAP)
    columns = jnp.arange(drawn.image.shape[1] + more)
    moved = drawn.image[:, jnp.where(columns < x + OVERLAP, columns, jnp.maximum(0, columns - more))]
    image = lax.dynamic_update_slice(moved, jnp.round(numbers).astype(jnp.uint8), (0, x + OVERLAP, 0))
    return drawn._replace(image=image, size=jnp.stack([width + more, height]), bar=None)


def _enlarged(
    image: jax.Array, x: jax.Array, columns: int, top: jax.Array, bottom: jax.Array, middle: jax.Array, height: jax.Array
) -> jax.Array:
    """A part of a strip, as large as its other characters, around the row that it had, (H, W, 3) float32; white elsewhere."""
    part = lax.dynamic_slice_in_dim(image, x, columns, axis=1).astype(jnp.float32)
    wide = round(columns / SMALLER[0])
    left, right, share = _between(jnp.arange(wide), jnp.array(columns), wide)
    part = part[:, left] * (1 - share)[None, :, None] + part[:, right] * share[None, :, None]
    high = jnp.minimum(height, jnp.round((bottom - top) / SMALLER[1]).astype(jnp.int32))
    row = jnp.arange(len(image)) - jnp.clip(middle - high // 2, 0, height - high)
    upper, lower, share = _between(row, bottom - top, high)
    part = part[top + upper] * (1 - share)[:, None, None] + part[top + lower] * share[:, None, None]
    return jnp.where(((row >= 0) & (row < high))[:, None, None], part, 255.0)


def _between(places: jax.Array, before: jax.Array, after: jax.Array | int) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Between which pixels of ``before`` pixels those of ``after`` lie, and how far from the first to the second."""
    place = jnp.clip((places + 0.5) * before / after - 0.5, 0, before - 1)
    first = place.astype(jnp.int32)
    return first, jnp.minimum(first + 1, before - 1), place - first
