"""`crnn_jax.data.augment.copied` in jax: a picture enlarged, compressed as JPEG does, and made smaller again."""

from __future__ import annotations

import functools
import io
from typing import NamedTuple

import cv2
import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from crnn_jax.data.augment import LARGEST, QUALITY
from crnn_jax.device_drawing.fit import averaged
from crnn_jax.device_drawing.integers import BITS, ONE, divided, place, shifted, weighted

LEFT = 1.75  # the most that is left of an enlargement: only a strip lower than any that was seen could keep more
UNIT = 1 << 16  # of what says how many times larger: a whole number of these
_CUBIC = -0.75  # OpenCV's parameter of Keys' kernel (1981)
_BLOCK, _MCU = 8, 16  # pixels that JPEG transforms together, and that share their colours' blocks
# What follows are whole numbers as in libjpeg, whose "islow" is what OpenCV uses: bits of the colours' weights, of the cosines,
# and of what is kept between the rows' transform and the columns'.
_COLOUR_BITS, _COSINE_BITS, _KEPT_BITS = 16, 13, 2
# Luminance and chroma of JFIF, of levels from -128 to 127, and back. OpenCV takes the first channel for blue.
_TO_YCC, _TO_RGB = (
    np.rint(np.array(rows) * 2**_COLOUR_BITS).astype(np.int32)
    for rows in (
        [[0.114, 0.587, 0.299], [0.5, -0.33126, -0.16874], [-0.08131, -0.41869, 0.5]],
        [[1, 1.772, 0], [1, -0.34414, -0.71414], [1, 0, 1.402]],
    )
)
_COSINES = np.rint(cv2.dct(np.eye(_BLOCK), flags=cv2.DCT_ROWS) * 8**0.5 * 2**_COSINE_BITS).astype(np.int32)


class Copy(NamedTuple):
    """What someone took from a page.

    Attributes:
        picture: (H, `room` of W, 3) int32.
        size: (2,) int32, width and height of what counts of it.
        background: (3,) int32, the colour that it has now.
        times: () int32, how much larger it became, in 65536ths.
    """

    picture: jax.Array
    size: jax.Array
    background: jax.Array
    times: jax.Array


def copied(picture: jax.Array, size: jax.Array, background: jax.Array, highest: jax.Array, chance: jax.Array) -> Copy:
    """A part of a picture that someone took from a page.

    Args:
        picture: (H, W, 3) int32.
        size: (2,) int32, width and height of what counts of it.
        background: (3,) int32, its colour.
        highest: () int32, how much larger it may become so that it still fits into H, in 65536ths.
        chance: (4,) float32 of [0, 1), the same for all parts of the whole.
    """
    rows, columns, _ = picture.shape
    scale = UNIT + (chance[0] * int((LARGEST - 1) * UNIT)).astype(jnp.int32)
    tables = jnp.asarray(_tables())[(chance[1] * (101 - QUALITY)).astype(jnp.int32)]
    most = jnp.clip(jnp.minimum(scale, highest), UNIT, int(LEFT * UNIT))
    left = UNIT + (chance[2] * (most - UNIT)).astype(jnp.int32)
    large = jnp.maximum(1, divided(size * scale, UNIT))
    after = jnp.maximum(1, size * left // UNIT)
    image = _compressed(_enlarged(picture, size, scale, large, chance[3] >= 0.5), large, tables)
    image = averaged(image, large, after, rows, room(columns), LARGEST)
    flat = jnp.broadcast_to(background, (_MCU, _MCU, 3))
    return Copy(
        image.astype(jnp.int32), after, _compressed(flat, jnp.array([_MCU, _MCU]), tables)[0, 0].astype(jnp.int32), left
    )


def room(columns: int) -> int:
    """Columns that hold what is left of so many."""
    return int(columns * LEFT)


@functools.cache
def _tables() -> np.ndarray:
    """What luminance and chroma are divided by in each quality from `QUALITY` to 100, (71, 2, 8, 8) int32."""
    tables = []
    for quality in range(QUALITY, 101):
        file = io.BytesIO()
        Image.new("RGB", (1, 1)).save(file, "JPEG", quality=quality)
        tables.append(list(Image.open(file).quantization.values()))  # type: ignore[attr-defined]
    return np.array(tables, np.int32).reshape(-1, 2, _BLOCK, _BLOCK)


@functools.cache
def _weights() -> np.ndarray:
    """What the four pixels around a place count, linearly and by cubics, (2, 4, 2048) int32 of 2048ths."""
    a, d = _CUBIC, np.abs(np.arange(ONE) / ONE - np.arange(-1, 3)[:, None])
    near, far = ((a + 2) * d - (a + 3)) * d * d + 1, ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
    return np.rint(ONE * np.stack([np.maximum(0, 1 - d), np.where(d < 1, near, far)])).astype(np.int32)


def _enlarged(picture: jax.Array, size: jax.Array, scale: jax.Array, large: jax.Array, cubic: jax.Array) -> jax.Array:
    """A picture made ``large``, linearly or by cubics, as by OpenCV, its last pixels repeated up to multiples of 16; uint8."""
    image, weights = picture, jnp.asarray(_weights())[cubic.astype(jnp.int32)]
    for axis in (0, 1):
        most = -(-int(picture.shape[axis] * LARGEST) // _MCU) * _MCU
        places = place(jnp.minimum(jnp.arange(most), large[1 - axis] - 1), UNIT, scale)
        pixels = jnp.clip((places >> BITS)[None] + jnp.arange(-1, 3)[:, None], 0, size[1 - axis] - 1)
        image = weighted(image, pixels, weights[:, places % ONE], axis)
    # No sum reaches 2**31: what cubics count, signs left out, is at most 1.375.
    return jnp.clip(shifted(image, 2 * BITS), 0, 255).astype(jnp.uint8)


def _compressed(image: jax.Array, size: jax.Array, tables: jax.Array) -> jax.Array:
    """What JPEG makes of a picture.

    Args:
        image: (H, W, 3), integers of 0 to 255; H and W are multiples of 16.
        size: (2,) int32, width and height of what counts of it; beyond this its last pixels are repeated.
        tables: (2, 8, 8) int32, see `_tables`.

    Returns:
        (H, W, 3) uint8. Each chroma is half as high and as wide in between.
    """
    rows, columns, _ = image.shape
    half = 1 << _COLOUR_BITS - 1
    luminance, *chroma = _mixed(image.astype(jnp.int32) - 128, _TO_YCC, half - np.array([0, 1, 1]))
    seen, last = [_quantized(luminance, tables[0])], (size - 1) // 2
    up = jnp.arange(columns)[None] % 2  # libjpeg rounds up and down in turns
    for channel in chroma:
        total = channel.reshape(rows // 2, 2, columns // 2, 2).sum(axis=(1, 3))
        smaller = _quantized((total + 1 + up[:, : columns // 2]) >> 2, tables[1])
        seen.append((_doubled(_doubled(smaller, last[1], 0), last[0], 1) + 8 - up) >> 4)
    levels = jnp.stack(_mixed(jnp.stack(seen, axis=-1), _TO_RGB, half + np.zeros(3, int)), axis=-1)
    return (jnp.clip(levels, -128, 127) + 128).astype(jnp.uint8)


def _mixed(image: jax.Array, matrix: np.ndarray, rounding: np.ndarray) -> list[jax.Array]:
    """Three sums of a picture's channels, (H, W) int32 each."""
    sums = (
        sum((int(w) * image[..., i] for i, w in enumerate(row)), jnp.array(int(r)))
        for row, r in zip(matrix, rounding, strict=True)
    )
    return [total >> _COLOUR_BITS for total in sums]


def _quantized(channel: jax.Array, table: jax.Array) -> jax.Array:
    """What quantisation leaves of a channel, (H, W) int32 of -128 to 127."""
    coefficients = channel
    for axis, bits in ((1, _COSINE_BITS - _KEPT_BITS), (0, _COSINE_BITS + _KEPT_BITS)):
        coefficients = _transformed(coefficients, _COSINES, axis, bits)  # both together are 8 times as large as they should be
    table = jnp.tile(table, (channel.shape[0] // _BLOCK, channel.shape[1] // _BLOCK))
    coefficients = jnp.sign(coefficients) * divided(jnp.abs(coefficients), 8 * table) * table
    for axis, bits in ((0, _COSINE_BITS - _KEPT_BITS), (1, _COSINE_BITS + _KEPT_BITS + 3)):
        coefficients = _transformed(coefficients, _COSINES.T, axis, bits)
    return jnp.clip(coefficients, -128, 127)


def _transformed(channel: jax.Array, matrix: np.ndarray, axis: int, bits: int) -> jax.Array:
    """Each eight pixels of an axis, times a matrix and divided by ``2**bits``."""
    split = (*channel.shape[:axis], -1, _BLOCK, *channel.shape[axis + 1 :])
    blocks = channel.reshape(split)
    products = jnp.einsum("yix,ik->ykx" if axis == 0 else "yxi,ik->yxk", blocks, matrix)
    return shifted(products, bits).reshape(channel.shape)


def _doubled(channel: jax.Array, last: jax.Array, axis: int) -> jax.Array:
    """Twice as many pixels of an axis, four times as large: of the nearest one three, and one of that on the other side."""
    pixel = jnp.arange(2 * channel.shape[axis])
    beside = jnp.clip((pixel - 1) // 2 + pixel % 2, 0, last)
    return 3 * jnp.take(channel, pixel // 2, axis=axis) + jnp.take(channel, beside, axis=axis, mode="clip")
