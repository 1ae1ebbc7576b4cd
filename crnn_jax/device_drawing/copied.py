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

LEFT = 1.75  # the most that is left of an enlargement: only a strip lower than any that was seen could keep more
_CUBIC = -0.75  # OpenCV's parameter of Keys' kernel (1981)
_BLOCK, _MCU = 8, 16  # pixels that JPEG transforms together, and that share their colours' blocks
# Luminance and chroma of JFIF. OpenCV takes the first channel for blue.
_YCC = np.array([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]], np.float32)[:, ::-1]
_COSINES = cv2.dct(np.eye(_BLOCK, dtype=np.float32), flags=cv2.DCT_ROWS)


class Copy(NamedTuple):
    """What someone took from a page.

    Attributes:
        picture: (H, `room` of W, 3) int32.
        size: (2,) int32, width and height of what counts of it.
        background: (3,) int32, the colour that it has now.
        times: () float32, how much larger it became.
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
        highest: () float32, how much larger it may become so that it still fits into H.
        chance: (4,) float32 of [0, 1), the same for all parts of the whole.
    """
    rows, columns, _ = picture.shape
    scale = 1 + chance[0] * (LARGEST - 1)
    tables = jnp.asarray(_tables())[(chance[1] * (101 - QUALITY)).astype(jnp.int32)]
    left = 1 + chance[2] * (jnp.clip(jnp.minimum(scale, highest), 1.0, LEFT) - 1)
    large = jnp.maximum(1, jnp.round(size * scale)).astype(jnp.int32)
    after = jnp.maximum(1, (size * left).astype(jnp.int32))
    image = picture.astype(jnp.float32)
    for axis, length in ((0, rows), (1, columns)):
        most = -(-int(length * LARGEST) // _MCU) * _MCU
        image = _enlarged(image, size[1 - axis], scale, large[1 - axis], most, axis, chance[3] >= 0.5)
    image = _compressed(jnp.clip(jnp.round(image), 0, 255), tables)
    for axis, length in ((0, rows), (1, room(columns))):
        image = averaged(image, large[1 - axis], after[1 - axis], length, axis)
    flat = _compressed(jnp.broadcast_to(background.astype(jnp.float32), (_MCU, _MCU, 3)), tables)
    return Copy(jnp.round(image).astype(jnp.int32), after, flat[0, 0].astype(jnp.int32), left)


def room(columns: int) -> int:
    """Columns that hold what is left of so many."""
    return int(columns * LEFT)


@functools.cache
def _tables() -> np.ndarray:
    """What luminance and chroma are divided by in each quality from `QUALITY` to 100, (71, 2, 8, 8) float32."""
    tables = []
    for quality in range(QUALITY, 101):
        file = io.BytesIO()
        Image.new("RGB", (1, 1)).save(file, "JPEG", quality=quality)
        tables.append(list(Image.open(file).quantization.values()))  # type: ignore[attr-defined]
    return np.array(tables, np.float32).reshape(-1, 2, _BLOCK, _BLOCK)


def _enlarged(
    image: jax.Array, before: jax.Array, scale: jax.Array, after: jax.Array, room: int, axis: int, cubic: jax.Array
) -> jax.Array:
    """``before`` pixels of an axis enlarged to ``after``, linearly or by cubics; the last one repeated up to ``room``."""
    place = (jnp.minimum(jnp.arange(room), after - 1) + 0.5) / scale - 0.5
    first = jnp.floor(place)
    total = jnp.zeros(())
    for tap in range(-1, 3):
        distance = jnp.abs(place - first - tap)
        weight = jnp.where(cubic, _keys(distance), jnp.maximum(0, 1 - distance))
        pixel = jnp.clip(first + tap, 0, before - 1).astype(jnp.int32)
        total += jnp.expand_dims(weight, (1 - axis, 2)) * jnp.take(image, pixel, axis=axis)
    return total


def _keys(d: jax.Array) -> jax.Array:
    a = _CUBIC
    near = ((a + 2) * d - (a + 3)) * d * d + 1
    return jnp.where(d < 1, near, jnp.where(d < 2, ((a * d - 5 * a) * d + 8 * a) * d - 4 * a, 0))


def _compressed(image: jax.Array, tables: jax.Array) -> jax.Array:
    """What JPEG makes of a picture, (H, W, 3) float32 of multiples of 16, each chroma half as high and wide."""
    luminance, *chroma = jnp.moveaxis(_rounded(image @ _YCC.T), -1, 0)
    rows, columns = luminance.shape
    seen = [_quantized(luminance - 128, tables[0]) + 128]
    for channel in chroma:
        half = _rounded(channel.reshape(rows // 2, 2, columns // 2, 2).mean(axis=(1, 3)))
        seen.append(jax.image.resize(_quantized(half, tables[1]), (rows, columns), "linear"))
    return jnp.clip(_rounded(jnp.stack(seen, axis=-1) @ np.linalg.inv(_YCC).T), 0, 255)


def _quantized(channel: jax.Array, table: jax.Array) -> jax.Array:
    rows, columns = channel.shape
    blocks = channel.reshape(rows // _BLOCK, _BLOCK, columns // _BLOCK, _BLOCK)
    coefficients = jnp.einsum("yixj,ik,jl->ykxl", blocks, _COSINES, _COSINES)
    steps = jnp.abs(coefficients) / table[None, :, None]
    # Halves are frequent here, on flat backgrounds, and libjpeg doesn't round them to even numbers.
    coefficients = jnp.sign(coefficients) * _rounded(steps) * table[None, :, None]
    return _rounded(jnp.einsum("ykxl,ik,jl->yixj", coefficients, _COSINES, _COSINES)).reshape(rows, columns)


def _rounded(x: jax.Array) -> jax.Array:
    return jnp.floor(x + 0.5)
