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
from crnn_jax.device_drawing.integers import BITS, ONE, between, over_channels, place, shifted
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
    more = math.ceil((1 + NUMERATOR / BAR_WIDTH) * longest / SMALLER[0]) + SLASH + 2 - (longest - 2 * OVERLAP)
    rows, columns, _ = drawn.image.shape
    row, column = jnp.arange(rows), jnp.arange(columns + len(drawn.bars) * more)
    x, shown, numbers, width = _layout(drawn, column)
    x = jnp.where(column < width, x, -1)
    y = jnp.stack([*(_rows(number, drawn.size[1], row) for number in numbers), row * ONE])[shown].T
    x, y = lax.optimization_barrier((x, y))  # computed once, not for each pixel and channel
    image = between(drawn.image, x, axis=1)
    above, below = (image.at[(y >> BITS) + i, column[None]].get(mode="clip") for i in (0, 1))
    share = (y % ONE)[..., None]
    image = shifted(above * (ONE - share) + below * share, 2 * BITS)
    image = jnp.where((y >= 0)[..., None], image, 255)
    there = (x >= 0)[None] & (row < drawn.size[1])[:, None]
    image = jnp.where(there[..., None], image, 0).astype(jnp.uint8)
    return drawn._replace(image=image, size=jnp.stack([width, drawn.size[1]]), bars=None)


def _no_higher(drawn: Drawn, height: int) -> Drawn:
    """Made smaller if its background isn't of one colour, as it was drawn."""
    there = over_channels(jnp.logical_or, drawn.image > 0)
    copied = jnp.sum(there & (over_channels(jnp.minimum, drawn.image) < 255)) >= (1 - DRAWN) * jnp.sum(there)
    return no_higher(drawn, height, copied)


def _layout(drawn: Drawn, column: jax.Array) -> tuple[jax.Array, jax.Array, list[_Number], jax.Array]:
    """Where the columns, (W',) int32, as many as there is room for, come from, and what they show.

    Returns:
        (W',) int32, their places in the strip as it was, in shares of a pixel (`crnn_jax.device_drawing.integers.place`), -1
        where all is black; (W',) int32, which number each shows, as many as there are if none; the numbers; and how many
        columns count, () int32.
    """
    assert drawn.bars is not None
    x, shown, moved = column * ONE, jnp.full(column.shape, 2 * len(drawn.bars)), jnp.zeros((), jnp.int32)
    numbers: list[_Number] = []
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
            shown = jnp.where(inside, len(numbers), shown)
            numbers.append(number)
    return x, shown, numbers, drawn.size[0] + moved


def _rows(number: _Number, height: jax.Array, row: jax.Array) -> jax.Array:
    """Where the rows, (H,) int32, of an enlarged number come from, in shares of a pixel, -1 where all is white."""
    high = jnp.minimum(height, jnp.round(number.rows / SMALLER[1]).astype(jnp.int32))
    row = row - jnp.clip(number.middle - high // 2, 0, height - high)
    shares = jnp.clip(place(row, number.rows, jnp.maximum(1, high)), 0, jnp.maximum(0, number.rows - 1) * ONE)
    return jnp.where((row >= 0) & (row < high), number.top * ONE + shares, -1)
