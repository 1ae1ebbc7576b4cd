"""The convolution against XLA's own."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from crnn_jax.models import convolution
from crnn_jax.models.convolution import conv_general_dilated, convolve, kernel_gradient, tiling

SHAPES = [  # batch, height, width, channels, outputs, kernel
    (1, 1, 1, 1, 1, (1, 1)),
    (2, 3, 3, 1, 2, (3, 3)),
    (3, 5, 9, 4, 2, (3, 3)),
    (2, 7, 6, 3, 5, (1, 1)),
    (4, 6, 5, 2, 3, (5, 2)),
    (2, 9, 8, 8, 4, (2, 4)),
]


def reference(x, kernel, padding):
    return jax.lax.conv_general_dilated(x, kernel, (1, 1), padding, dimension_numbers=("NHWC", "HWIO", "NHWC"))


def arrays(shape, padding, dtype=jnp.float32):
    batch, height, width, channels, outputs, size = shape
    x = jax.random.normal(jax.random.key(0), (batch, height, width, channels))
    kernel = jax.random.normal(jax.random.key(1), (*size, channels, outputs))
    result = jax.eval_shape(lambda: reference(x, kernel, padding)).shape
    return x.astype(dtype), kernel.astype(dtype), jax.random.normal(jax.random.key(2), result).astype(dtype)


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@pytest.mark.parametrize("shape", SHAPES)
def test_values_and_gradients_are_those_of_xla(shape, padding):
    if padding == "VALID" and (shape[1] < shape[5][0] or shape[2] < shape[5][1]):
        pytest.skip("no pixel is left")
    x, kernel, gradient = arrays(shape, padding)
    ours, pull_back = jax.vjp(lambda x, kernel: convolve(x, kernel, padding), x, kernel)
    theirs, their_pull_back = jax.vjp(lambda x, kernel: reference(x, kernel, padding), x, kernel)
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)
    for a, b in zip(pull_back(gradient), their_pull_back(gradient), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("tile_bytes", [1, 700, 2000, 1 << 30])
def test_the_tiles_do_not_change_the_kernels_gradient(tile_bytes, monkeypatch):
    monkeypatch.setattr(convolution, "_TILE_BYTES", tile_bytes)
    x, kernel, gradient = arrays((4, 6, 5, 2, 3, (3, 3)), "SAME")
    expected = jax.vjp(lambda kernel: reference(x, kernel, "SAME"), kernel)[1](gradient)[0]
    np.testing.assert_allclose(kernel_gradient(x, gradient, (3, 3), "SAME"), expected, rtol=1e-4, atol=1e-4)


def test_of_bfloat16_the_gradient_is_summed_in_float32():
    x, kernel, gradient = arrays((8, 16, 16, 2, 2, (3, 3)), "SAME", jnp.bfloat16)
    exact = jax.vjp(lambda k: reference(x.astype(jnp.float32), k, "SAME"), kernel.astype(jnp.float32))[1](
        gradient.astype(jnp.float32)
    )[0]
    summed = kernel_gradient(x, gradient, (3, 3), "SAME")
    assert summed.dtype == jnp.float32
    np.testing.assert_allclose(summed, exact, rtol=1e-4, atol=1e-3)
    assert jax.grad(lambda k: convolve(x, k, "SAME").astype(jnp.float32).sum())(kernel).dtype == jnp.bfloat16


@pytest.mark.parametrize(("batch", "rows", "row_bytes"), [(1, 1, 1), (64, 15, 17280), (32, 81, 896 * 256), (7, 13, 1 << 30)])
def test_tiles_are_equal_and_small(batch, rows, row_bytes):
    pictures, tile = tiling(batch, rows, row_bytes)
    assert batch % pictures == 0
    assert rows % tile == 0
    assert pictures == 1 or tile == rows
    assert pictures * tile == 1 or pictures * tile * row_bytes <= convolution._TILE_BYTES


def test_a_stride_is_refused():
    with pytest.raises(ValueError, match="one pixel"):
        conv_general_dilated(jnp.zeros((1, 4, 4, 1)), jnp.zeros((3, 3, 1, 1)), (2, 2), "SAME")
