"""Convolutions whose kernel gradient is fast on a CPU."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

# What one tile of the gradient touches at most: measured best of half to four MiB, over the shapes of all our networks.
_TILE_BYTES = 2 << 20


def conv_general_dilated(x: jax.Array, kernel: jax.Array, strides: Any, padding: str, **_: Any) -> jax.Array:
    """`convolve` in the form that `flax.linen.Conv` takes one; neither strides nor dilations, which nothing here uses."""
    if any(stride != 1 for stride in strides):
        raise ValueError(f"convolve moves by one pixel, not {strides}")
    return convolve(x, kernel, padding)


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def convolve(x: jax.Array, kernel: jax.Array, padding: str) -> jax.Array:
    """`lax.conv_general_dilated` with stride 1.

    The values and the gradient of x are XLA's, which run near the speed of its matrix product. Its gradient of the kernel is
    itself a convolution with a window as large as the picture, which XLA's CPU backend runs at a few percent of that speed
    where pictures are wide; on a CPU it is computed as matrix products instead, one for each offset of the kernel, of tiles
    that stay in cache.

    Args:
        x: (B, H, W, C).
        kernel: (h, w, C, O).
        padding: ``SAME`` or ``VALID``.

    Returns:
        (B, H, W, O), less h - 1 rows and w - 1 columns if ``VALID``.
    """
    return _by_xla(x, kernel, padding)


def _by_xla(x: jax.Array, kernel: jax.Array, padding: str) -> jax.Array:
    return lax.conv_general_dilated(x, kernel, (1, 1), padding, dimension_numbers=("NHWC", "HWIO", "NHWC"))


def _forward(x: jax.Array, kernel: jax.Array, padding: str) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return convolve(x, kernel, padding), (x, kernel)


def _backward(padding: str, residuals: tuple[jax.Array, jax.Array], gradient: jax.Array) -> tuple[jax.Array, jax.Array]:
    x, kernel = residuals
    _, pull_back = jax.vjp(partial(_by_xla, padding=padding), x, kernel)
    height, width = kernel.shape[:2]
    of_kernel = lax.platform_dependent(
        x,
        gradient,
        cpu=lambda x, g: kernel_gradient(x, g, (height, width), padding).astype(kernel.dtype),
        default=lambda x, g: pull_back(g)[1],
    )
    return pull_back(gradient)[0], of_kernel


convolve.defvjp(_forward, _backward)


def kernel_gradient(x: jax.Array, gradient: jax.Array, size: tuple[int, int], padding: str) -> jax.Array:
    """The gradient of a convolution's kernel as a sum of matrix products over tiles.

    Args:
        x: (B, H, W, C), what was convolved.
        gradient: (B, H', W', O), of the result.
        size: rows and columns of the kernel.
        padding: ``SAME`` or ``VALID``.

    Returns:
        (h, w, C, O) float32.
    """
    height, width = size
    if padding == "SAME":
        x = jnp.pad(x, ((0, 0), *(((n - 1) // 2, n // 2) for n in size), (0, 0)))
    batch, rows, columns, outputs = gradient.shape
    channels = x.shape[3]
    pictures, tile = tiling(batch, rows, columns * (channels + outputs) * x.dtype.itemsize)

    def add(total: jax.Array, index: jax.Array) -> tuple[jax.Array, None]:
        first, top = (index // (rows // tile)) * pictures, index % (rows // tile) * tile
        x_tile = lax.dynamic_slice(x, (first, top, 0, 0), (pictures, tile + height - 1, *x.shape[2:]))
        g_tile = lax.dynamic_slice(gradient, (first, top, 0, 0), (pictures, tile, columns, outputs))
        products = [
            lax.dot_general(
                x_tile[:, i : i + tile, j : j + columns].reshape(-1, channels),
                g_tile.reshape(-1, outputs),
                (((0,), (0,)), ((), ())),
                preferred_element_type=jnp.float32,
            )
            for i in range(height)
            for j in range(width)
        ]
        return total + jnp.stack(products), None

    zeros = jnp.zeros((height * width, channels, outputs), jnp.float32)
    total, _ = lax.scan(add, zeros, jnp.arange(batch // pictures * (rows // tile)))
    return total.reshape(height, width, channels, outputs)


def tiling(batch: int, rows: int, row_bytes: int) -> tuple[int, int]:
    """How many pictures, or how many rows of one picture, make a tile. Both divide their whole, so that all tiles are equal.

    Returns:
        Pictures and rows of a tile.
    """
    fitting = max(1, _TILE_BYTES // row_bytes)
    if fitting >= rows:
        return _divisor(batch, fitting // rows), rows
    return 1, _divisor(rows, fitting)


def _divisor(whole: int, most: int) -> int:
    """The largest divisor that is at most ``most``."""
    return max(n for n in range(1, min(whole, most) + 1) if whole % n == 0)
