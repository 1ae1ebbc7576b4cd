"""`crnn_jax.fraction` in jax, for strips whose bars are known: nothing has to be found."""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from crnn_jax.device_drawing.copied import LEFT
from crnn_jax.device_drawing.drawn import Drawn
from crnn_jax.device_drawing.fit import resized
from crnn_jax.drawing.level2 import BAR_WIDTH, SMALLER
from crnn_jax.fraction import ABOVE, BELOW, DRAWN, NUMERATOR, OVERLAP, SLASH


class _Source(NamedTuple):
    """Where the columns of a strip come from, (1, W') each.

    Attributes:
        x: float32, column of the strip as it was; -1 where all is black.
        top: int32, first row of what is enlarged.
        rows: int32, how many these are; 0 where a column stays as it was.
        middle: int32, row around which they stand.
    """

    x: jax.Array
    top: jax.Array
    rows: jax.Array
    middle: jax.Array


def in_a_row(drawn: Drawn, height: int | None = None) -> Drawn:
    """The fractions written as numerator, a black gap, and denominator, both enlarged.

    Args:
        drawn: with bars, its contrast stretched, black where nothing is.
        height: that one that isn't as it was drawn is made smaller to, if it is higher; None: all are as they were drawn.
    """
    longest = BAR_WIDTH
    if height is not None:
        drawn, longest = _no_higher(drawn, height), round(BAR_WIDTH * LEFT)
    assert drawn.bars is not None
    more = math.ceil((1 + NUMERATOR / BAR_WIDTH) / SMALLER[0] * longest) + SLASH + 2 - (longest - 2 * OVERLAP)
    source, width = _sources(drawn, drawn.image.shape[1] + len(drawn.bars) * more)
    image = _between(drawn.image.astype(jnp.float32), source.x, axis=1)
    high = drawn.size[1]

    # Rows, likewise, of the columns that are enlarged.
    row = jnp.arange(len(image))[:, None]
    enlarged = jnp.minimum(high, jnp.round(source.rows / SMALLER[1]).astype(jnp.int32))
    place = row - jnp.clip(source.middle - enlarged // 2, 0, high - enlarged)
    y = jnp.clip((place + 0.5) * source.rows / jnp.maximum(1, enlarged) - 0.5, 0, jnp.maximum(0, source.rows - 1)) + source.top
    image = _between(image, jnp.where(source.rows > 0, y, row), axis=0)
    image = jnp.where(((source.rows > 0) & ((place < 0) | (place >= enlarged)))[..., None], 255.0, image)
    image = jnp.where(((row < high) & (source.x >= 0))[..., None], image, 0)
    return drawn._replace(image=jnp.round(image).astype(jnp.uint8), size=jnp.stack([width, high]), bars=None)


def _no_higher(drawn: Drawn, height: int) -> Drawn:
    """Made smaller if its background isn't of one colour, as it was drawn."""
    assert drawn.bars is not None
    there = jnp.any(drawn.image > 0, axis=2)
    copied = jnp.sum(there & (jnp.min(drawn.image, axis=2) < 255)) >= (1 - DRAWN) * jnp.sum(there)
    factor = jnp.where(copied, jnp.minimum(1.0, height / drawn.size[1]), 1.0)
    size = jnp.maximum(1, jnp.round(drawn.size * factor)).astype(jnp.int32)
    bars = jnp.where(drawn.bars < 0, -1, jnp.round(drawn.bars * factor).astype(jnp.int32))
    return drawn._replace(image=resized(drawn, size, *drawn.image.shape[:2]), size=size, bars=bars)


def _sources(drawn: Drawn, room: int) -> tuple[_Source, jax.Array]:
    """Where each of ``room`` columns comes from, and how many count."""
    assert drawn.bars is not None
    column, nothing = jnp.arange(room)[None], jnp.zeros((1, room), jnp.int32)
    source, moved = _Source(column.astype(jnp.float32), nothing, nothing, nothing), jnp.zeros((), jnp.int32)
    for left, right, middle in drawn.bars:
        there, begin = left >= 0, left + OVERLAP + moved
        above, below = jnp.maximum(0, middle + ABOVE[0]), middle + 3
        numerator, denominator = (right - left) * NUMERATOR // BAR_WIDTH, right - left
        parts = (  # of the bar's columns, and the rows above and below; between them there is nothing
            (numerator, above, middle - 1 - above),
            None,
            (denominator, below, jnp.minimum(drawn.size[1], middle + BELOW[1]) - below),
        )
        for part in parts:
            wide, new = jnp.array(SLASH), _Source(jnp.full(column.shape, -1.0), nothing, nothing, nothing)
            if part is not None:
                columns, top, rows = part
                wide = jnp.round(columns / SMALLER[0]).astype(jnp.int32)
                place = (column - begin + 0.5) * columns / jnp.maximum(1, wide) - 0.5
                new = _Source(left + jnp.clip(place, 0, jnp.maximum(0, columns - 1)), top, rows, middle)
            inside = there & (column >= begin) & (column < begin + wide)
            source = _Source(*(jnp.where(inside, a, b) for a, b in zip(new, source, strict=True)))
            begin += wide
        moved = jnp.where(there, begin - right + OVERLAP, moved)
        after = there & (column >= begin)
        source = source._replace(x=jnp.where(after, column - moved, source.x))
    width = drawn.size[0] + moved
    return source._replace(x=jnp.where(column < width, source.x, -1)), width


def _between(image: jax.Array, place: jax.Array, axis: int) -> jax.Array:
    """The pixels of a picture, (H, W, 3) float32, at some places between those of an axis, (H', W') or 1 in place of either."""
    place = jnp.clip(place, 0, image.shape[axis] - 1)[..., None]
    first = place.astype(jnp.int32)
    after = jnp.minimum(first + 1, image.shape[axis] - 1)
    share = place - first
    a, b = (jnp.take_along_axis(image, index, axis=axis) for index in (first, after))
    return a * (1 - share) + b * share
