import jax
import jax.numpy as jnp
import numpy as np
import pytest

from crnn_jax.models import winograd


@pytest.mark.parametrize(
    ("batch", "height", "width", "inputs", "outputs", "padding", "parts"),
    [
        (4, 9, 13, 5, 7, 1, 2),
        (4, 9, 13, 5, 7, 0, 1),
        (6, 12, 16, 33, 40, 1, 3),
        (2, 3, 3, 4, 1, 0, 1),  # one number of output
        (2, 1, 1, 1, 4, 1, 2),
        (1, 6, 4, 3, 3, 2, 1),  # what the gradient of an unpadded convolution is
    ],
)
def test_it_gives_what_a_direct_convolution_gives(batch, height, width, inputs, outputs, padding, parts):
    def direct(x, kernel):
        sides = [(padding, padding)] * 2
        return jax.lax.conv_general_dilated(x, kernel, (1, 1), sides, dimension_numbers=("NHWC", "HWIO", "NHWC"))

    x = jax.random.normal(jax.random.key(0), (batch, height, width, inputs))
    kernel = jax.random.normal(jax.random.key(1), (3, 3, inputs, outputs))
    y, gradients = jax.vjp(direct, x, kernel)
    g = jax.random.normal(jax.random.key(2), y.shape)
    of_kernel = gradients(g)[1]
    ours = winograd.convolve(x, kernel, padding, parts)
    assert ours.shape == y.shape
    np.testing.assert_allclose(ours, y, rtol=0, atol=2e-6 * jnp.abs(y).max())
    ours = winograd.kernel_gradient(x, g, padding, parts)
    np.testing.assert_allclose(ours, of_kernel, rtol=0, atol=1e-5 * jnp.abs(of_kernel).max())
