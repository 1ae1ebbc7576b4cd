"""`crnn_jax.fraction` in jax, for strips whose bars are known: nothing has to be found."""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from crnn_jax.device_drawing.copied import LEFT
from crnn_jax.device_drawing.drawn import Drawn
from crnn_jax.device_drawing.fit import no_higher
from crnn_jax.device_drawing.integers import BITS, ONE, between, place, shifted
from crnn_jax.drawing.level2 import BAR_WIDTH, SMALLER
from crnn_jax.fraction import ABOVE, BELOW, DRAWN, NUMERATOR, OVERLAP, SLASH


class _Number(NamedTuple):
    """A numerator or a denominator, () int32 each but for the last.

    Attributes:
        left: its first column in the strip as it was.
        columns: that it has there.
        top: its first row.
        rows: that it has.
        middle: row around which it will stand.
        begin: first column where it will stand.
        wide: columns that it will have.
        there: () bool, whether there is one.
    """

    left: jax.Array
    columns: jax.Array
    top: jax.Array
    rows: jax.Array
    middle: jax.Array
    begin: jax.Array
    wide: jax.Array
    there: jax.Array


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
    widest = math.ceil(longest / SMALLER[0])
    more = math.ceil((1 + NUMERATOR / BAR_WIDTH) * longest / SMALLER[0]) + SLASH + 2 - (longest - 2 * OVERLAP)
    column = jnp.arange(drawn.image.shape[1] + len(drawn.bars) * more)
    x, numbers, width = _layout(drawn, column)
    x = jnp.where(column < width, x, -1)
    image = jnp.where((x >= 0)[None, :, None], between(drawn.image, x, axis=1), 0)
    room = jnp.pad(image, ((0, 0), (0, widest), (0, 0)))  # or a slice that would reach past the end starts earlier
    for number in numbers:
        room = _enlarged(room, number, drawn.size[1], widest)
    image = shifted(room[:, : len(column)], BITS).astype(jnp.uint8)
    return drawn._replace(image=image, size=jnp.stack([width, drawn.size[1]]), bars=None)


def _no_higher(drawn: Drawn, height: int) -> Drawn:
    """Made smaller if its background isn't of one colour, as it was drawn."""
    there = jnp.any(drawn.image > 0, axis=2)
    copied = jnp.sum(there & (jnp.min(drawn.image, axis=2) < 255)) >= (1 - DRAWN) * jnp.sum(there)
    return no_higher(drawn, height, copied)


def _layout(drawn: Drawn, column: jax.Array) -> tuple[jax.Array, list[_Number], jax.Array]:
    """Where each column comes from, in shares of a column, -1 where all is black; the numbers; and how many columns count.

    ``column`` are the numbers of as many as there is room for, (W',) int32.
    """
    assert drawn.bars is not None
    x, moved, numbers = column * ONE, jnp.zeros((), jnp.int32), []
    for left, right, middle in drawn.bars:
        there, begin = left >= 0, left + OVERLAP + moved
        above, below = jnp.maximum(0, middle + ABOVE[0]), middle + 3
        numerator, denominator = (
            _Number(left, columns, top, rows, middle, begin, jnp.round(columns / SMALLER[0]).astype(jnp.int32), there)
            for columns, top, rows in (
                ((right - left) * NUMERATOR // BAR_WIDTH, above, middle - 1 - above),
                (right - left, below, jnp.minimum(drawn.size[1], middle + BELOW[1]) - below),
            )
        )
        denominator = denominator._replace(begin=begin + numerator.wide + SLASH)
        end = denominator.begin + denominator.wide
        moved = jnp.where(there, end - right + OVERLAP, moved)
        x = jnp.where(there & (column >= end), (column - moved) * ONE, x)
        x = jnp.where(there & (column >= begin) & (column < end), -1, x)
        for number in (numerator, denominator):
            shares = place(column - number.begin, number.columns, jnp.maximum(1, number.wide))
            inside = there & (column >= number.begin) & (column < number.begin + number.wide)
            x = jnp.where(inside, left * ONE + jnp.clip(shares, 0, jnp.maximum(0, number.columns - 1) * ONE), x)
        numbers += [numerator, denominator]
    return x, numbers, drawn.size[0] + moved


def _enlarged(image: jax.Array, number: _Number, height: jax.Array, widest: int) -> jax.Array:
    """A strip in which a number, whose columns are in their places, is as high as it is to be; white above and below it.

    Pictures are int32 here, with `ONE` for each level.
    """
    window = lax.dynamic_slice_in_dim(image, number.begin, widest, axis=1)
    high = jnp.minimum(height, jnp.round(number.rows / SMALLER[1]).astype(jnp.int32))
    row = jnp.arange(len(image))
    mine = row - jnp.clip(number.middle - high // 2, 0, height - high)
    y = jnp.clip(place(mine, number.rows, jnp.maximum(1, high)), 0, jnp.maximum(0, number.rows - 1) * ONE)
    inside = ((mine >= 0) & (mine < high))[:, None, None]
    shown = jnp.where(inside, shifted(between(window, number.top * ONE + y, axis=0), BITS), 255 * ONE)
    shown = jnp.where((row < height)[:, None, None], shown, 0)
    wide = number.there & (jnp.arange(widest) < number.wide)
    return lax.dynamic_update_slice_in_dim(image, jnp.where(wide[None, :, None], shown, window), number.begin, axis=1)
