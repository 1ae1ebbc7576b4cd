"""Recurrent layers that read columns in both directions and take lengths."""

from __future__ import annotations

from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from crnn_jax.models.config import Initialization

Merge = Literal["sum", "concat"]


class BidirectionalGRU(nn.Module):
    """A gated recurrent unit run from left to right and from right to left over columns.

    One step is that of `flax.linen.GRUCell` (Cho et al., "Learning phrase representations using RNN encoder-decoder",
    2014, with the reset gate applied after the product, as in cuDNN)::

        r = sigmoid(W_ir x + b_ir + W_hr h)
        z = sigmoid(W_iz x + b_iz + W_hz h)
        n = tanh(W_in x + b_in + r * (W_hn h + b_hn))
        h' = (1 - z) * n + z * h

    The products with x don't depend on the step before: one matrix product a direction computes them for all columns,
    and the scan holds only the product with h.

    Attributes:
        features: size of the state of each direction, H.
        merge: ``sum`` adds the two directions, ``concat`` puts them side by side. Both are aligned in time (Keras's
            ``go_backwards`` leaves the second one reversed).
        initialization: of the kernels that the input is multiplied with; those of the state are orthogonal.
    """

    features: int
    merge: Merge = "concat"
    initialization: Initialization = "lecun_normal"

    @nn.compact
    def __call__(self, columns: jax.Array, lengths: jax.Array) -> jax.Array:
        """Reads the first ``lengths`` columns of each example.

        Args:
            columns: (B, T, D) float.
            lengths: (B,) int; columns from there on neither change the state nor give an output.

        Returns:
            (B, T, H) for ``sum``, (B, T, 2 H) for ``concat``; zero in columns past the length.
        """
        batch, time, depth = columns.shape
        size = self.features
        dtype = columns.dtype
        input_kernel = self.param(
            "input_kernel", _per_gate(getattr(nn.initializers, self.initialization)()), (2, depth, 3 * size)
        )
        input_bias = self.param("input_bias", nn.initializers.zeros, (2, 3 * size))
        recurrent_kernel = self.param("recurrent_kernel", _per_gate(nn.initializers.orthogonal()), (2, size, 3 * size))
        recurrent_bias = self.param("recurrent_bias", nn.initializers.zeros, (2, size))

        inside = jnp.arange(time)[:, None] < lengths[None, :]  # (T, B)

        def run(direction: int, reverse: bool) -> jax.Array:
            kernel = recurrent_kernel[direction].astype(dtype)
            bias = recurrent_bias[direction].astype(dtype)[None]
            projected = columns.swapaxes(0, 1) @ input_kernel[direction].astype(dtype)
            projected = projected + input_bias[direction].astype(dtype)[None, None]

            def step(state: jax.Array, inputs: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
                x, valid = inputs
                from_state = state @ kernel
                gates = jax.nn.sigmoid(x[:, : 2 * size] + from_state[:, : 2 * size])
                reset, update = jnp.split(gates, 2, axis=-1)
                new = jnp.tanh(x[:, 2 * size :] + reset * (from_state[:, 2 * size :] + bias))
                new_state = (1 - update) * new + update * state
                valid = valid[:, None]
                return jnp.where(valid, new_state, state), jnp.where(valid, new_state, 0)

            start = jnp.zeros((batch, size), dtype)
            _, states = jax.lax.scan(step, start, (projected, inside), reverse=reverse)
            return states.swapaxes(0, 1)

        forward, backward = run(0, reverse=False), run(1, reverse=True)
        return forward + backward if self.merge == "sum" else jnp.concatenate([forward, backward], axis=-1)


def _per_gate(initializer: nn.initializers.Initializer) -> nn.initializers.Initializer:
    """Initialises each direction and each of the three gates on its own, as separate layers would be."""

    def init(key: jax.Array, shape: tuple[int, ...], dtype: jnp.dtype = jnp.float32) -> jax.Array:
        directions, depth, gates = shape
        keys = jax.random.split(key, directions * 3)
        parts = [initializer(k, (depth, gates // 3), dtype) for k in keys]
        return jnp.stack([jnp.concatenate(parts[3 * d : 3 * d + 3], axis=1) for d in range(directions)])

    return init
