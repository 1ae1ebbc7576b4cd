"""Arithmetic in whole numbers, (...) int32.

Programs for other numbers of pictures, and so for other numbers of devices, round floats differently: they contract other
multiplications and additions into one, or add in another order. Somewhere such a difference decides about a pixel.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax

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
    """The pixels of a picture, (H, W, 3), at some `place`, (N,), of an axis, interpolated linearly; `ONE` for each level."""
    first, share = places >> BITS, places % ONE
    return weighted(image, jnp.stack([first, first + 1]), jnp.stack([ONE - share, share]), axis)


def over_channels(combine: Callable[[jax.Array, jax.Array], jax.Array], image: jax.Array) -> jax.Array:
    """The channels of each pixel of a picture, (H, W, 3), combined one after the other, (H, W).

    ``jnp.max`` over this axis gave the second channel alone in these programs, on an H100 with jaxlib 0.11.2.
    """
    return functools.reduce(combine, (image[..., channel] for channel in range(image.shape[-1])))


def weighted(image: jax.Array, pixels: jax.Array, weights: jax.Array, axis: int) -> jax.Array:
    """Sums of pixels of an axis of a picture, (H, W, 3).

    Args:
        image: integers.
        pixels: (T, N), the numbers of as many as each of the N sums has; those past the ends are the outermost ones.
        weights: (T, N), theirs.
        axis: 0 or 1.
    """
    pixels, weights = lax.optimization_barrier((pixels, weights))  # computed once: XLA would do it again for each pixel
    parts = (
        jnp.expand_dims(weight, (1 - axis, 2)) * jnp.take(image, pixel, axis=axis, mode="clip")
        for pixel, weight in zip(pixels, weights, strict=True)
    )
    return sum(parts, jnp.zeros((), jnp.int32))
