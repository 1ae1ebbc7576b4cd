"""Convolutions over columns: what a column learns of its neighbours without a step for each of them."""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from crnn_jax.models.backbones import Normalization
from crnn_jax.models.config import Initialization


class TemporalConvolutions(nn.Module):
    """Residual convolutions of three columns each, which lie further and further apart.

    After Bai, Kolter and Koltun, "An empirical evaluation of generic convolutional and recurrent networks for sequence
    modeling", 2018, section 3; here columns see to both sides.

    Attributes:
        features: of a column, C.
        initialization: of the kernels.
        normalization: arguments of `Normalization`.
        dilations: how far apart the columns are, layer by layer: a column sees as far as their sum.
    """

    features: int
    initialization: Initialization
    normalization: dict[str, Any]
    dilations: tuple[int, ...] = (1, 2, 4)

    @nn.compact
    def __call__(self, columns: jax.Array, lengths: jax.Array) -> jax.Array:
        """Lets the first ``lengths`` columns of each example see each other.

        Args:
            columns: (B, T, C) float.
            lengths: (B,) int; columns from there on are neither seen nor see anything.

        Returns:
            (B, T, C), zero in columns past the length.
        """
        init = getattr(nn.initializers, self.initialization)()
        inside = (jnp.arange(columns.shape[1])[None] < lengths[:, None])[..., None]
        zero = jnp.zeros((), columns.dtype)  # of this type in other formats too
        x = jnp.where(inside, columns, zero)
        for dilation in self.dilations:
            # A dilated convolution, as one matrix product.
            seen = jnp.concatenate([_shifted(x, dilation), x, _shifted(x, -dilation)], axis=-1)
            y = nn.Dense(self.features, kernel_init=init, use_bias=False, dtype=x.dtype)(seen)
            x = jnp.where(inside, x + Normalization(**self.normalization)(y), zero)
        return x


def _shifted(x: jax.Array, columns: int) -> jax.Array:
    """(B, T, C), moved to the right, or to the left where ``columns`` is negative, with zeros behind it."""
    time = x.shape[1]
    padded = jnp.pad(x, ((0, 0), (max(columns, 0), max(-columns, 0)), (0, 0)))
    return jax.lax.slice_in_dim(padded, max(-columns, 0), max(-columns, 0) + time, axis=1)
