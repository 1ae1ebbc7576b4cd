"""Convolutions, on CPUs in the form that is fastest there."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from crnn_jax.models import winograd
from crnn_jax.models.config import Initialization

_CACHED = 2_000_000  # numbers of a picture's input or output that a CPU's cache holds: with twice as many, steps are slower
# Channels of input and output from which on a training step is faster by Winograd's form, and multiplications of a direct
# convolution below which that isn't worth the time that it takes to compile.
_WINOGRAD_CHANNELS, _WINOGRAD_WORK = 32, 2**28


def convolution(features: int, padding: str, initialization: Initialization, dtype: jnp.dtype, size: int = 3) -> nn.Conv:
    """A square convolution without bias: the BatchNorm that follows would take it away again."""
    init = getattr(nn.initializers, initialization)()
    return nn.Conv(
        features,
        (size, size),
        padding=padding,
        kernel_init=init,
        use_bias=False,
        dtype=dtype,
        conv_general_dilated=convolve_on_cpu if jax.default_backend() == "cpu" else None,
    )


def convolve_on_cpu(x: jax.Array, kernel: jax.Array, strides: Any, padding: str, **options: Any) -> jax.Array:
    """`jax.lax.conv_general_dilated`, a few pictures at a time, so that what passes between memory and processor is less.

    Where gradients are asked for, 3x3 kernels with many channels are convolved by `winograd`, which differs by rounding.

    Args:
        x: (B, H, W, C); where B is a symbol, for export, it is taken whole.
        kernel: (h, w, C, C').
        strides: of `jax.lax.conv_general_dilated`; 1 each.
        padding: ``VALID`` or ``SAME``.
        **options: of `jax.lax.conv_general_dilated`; they say how the axes are ordered, and nothing else.

    Returns:
        (B, H', W', C').
    """
    if not all(isinstance(size, int) for size in x.shape):
        return jax.lax.conv_general_dilated(x, kernel, strides, padding, **options)
    parts = _parts(x.shape[0], x.size // x.shape[3] * max(kernel.shape[2:]))
    if x.dtype == jnp.float32 and _by_winograd(x.size // x.shape[3], kernel.shape):
        return _convolve(x, kernel, padding, parts)
    return _directly(x, kernel, padding, parts)


def _directly(x: jax.Array, kernel: jax.Array, padding: str, parts: int) -> jax.Array:
    def convolve(x: jax.Array) -> jax.Array:
        return jax.lax.conv_general_dilated(x, kernel, (1, 1), padding, dimension_numbers=("NHWC", "HWIO", "NHWC"))

    return convolve(x) if parts == 1 else jnp.concatenate([convolve(y) for y in jnp.split(x, parts)])


@partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _convolve(x: jax.Array, kernel: jax.Array, padding: str, parts: int) -> jax.Array:
    """Without gradients, as in reading, Winograd's form gains little, and would have to be compiled for each width."""
    return _directly(x, kernel, padding, parts)


def _forward(x: jax.Array, kernel: jax.Array, padding: str, parts: int) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return winograd.convolve(x, kernel, int(padding == "SAME"), parts), (x, kernel)


def _backward(padding: str, parts: int, saved: tuple[jax.Array, jax.Array], g: jax.Array) -> tuple[jax.Array, jax.Array]:
    x, kernel = saved
    zeros = int(padding == "SAME")
    turned = kernel[::-1, ::-1].swapaxes(2, 3)
    return winograd.convolve(g, turned, 2 - zeros, parts), winograd.kernel_gradient(x, g, zeros, parts)


_convolve.defvjp(_forward, _backward)


def _by_winograd(pixels: int, kernel: tuple[int, ...]) -> bool:
    enough = min(kernel[2:]) >= _WINOGRAD_CHANNELS and pixels * math.prod(kernel) >= _WINOGRAD_WORK
    return kernel[:2] == (3, 3) and enough


def _parts(batch: int, numbers: int) -> int:
    """The fewest equal parts that fit into the cache; single pictures where none do."""
    fitting = (parts for parts in range(1, batch) if batch % parts == 0 and numbers <= parts * _CACHED)
    return next(fitting, max(1, batch))
