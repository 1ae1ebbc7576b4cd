"""Arithmetic in whole numbers, (...) int32.

Programs for other numbers of pictures, and so for other numbers of devices, round floats differently: they contract other
multiplications and additions into one, or add in another order. Somewhere such a difference decides about a pixel.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

BITS = 11  # of a share of a pixel, as in OpenCV
ONE = 1 << BITS


def divided(a: jax.Array, b: jax.Array | int) -> jax.Array:
    """``a / b``, rounded, halves up, for positive ``b``."""
    return (a + b // 2) // b


def shifted(a: jax.Array, bits: int) -> jax.Array:
    """``a / 2**bits``, rounded, halves up."""
    return (a + (1 << bits - 1)) >> bits


def place(pixel: jax.Array, before: jax.Array | int, after: jax.Array | int) -> jax.Array:
    """Where the middle of one of ``after`` pixels lies between the middles of the ``before`` pixels that they are made from.

    In shares of a pixel, of which it has `ONE`; `after` is less than 2**19, and ``(2 * pixel + 1) * before`` than 2**31.
    """
    doubled = (2 * pixel + 1) * before - after
    first, rest = doubled // (2 * after), doubled % (2 * after)
    return first * ONE + divided(rest * ONE, 2 * after)


def between(image: jax.Array, places: jax.Array, axis: int) -> jax.Array:
    """The pixels of a picture, (H, W, 3), at some `place`, (N,), of an axis, interpolated linearly and times `ONE`."""
    places = jnp.clip(places, 0, (image.shape[axis] - 1) * ONE)
    share = jnp.expand_dims(places % ONE, (1 - axis, 2))
    a, b = (jnp.take(image, (places >> BITS) + i, axis=axis, mode="clip").astype(jnp.int32) for i in (0, 1))
    return a * (ONE - share) + b * share
