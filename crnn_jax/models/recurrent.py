"""Recurrent layers that read columns in both directions and take lengths."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from crnn_jax.models.config import Initialization

Merge = Literal["sum", "concat"]
State = tuple[jax.Array, ...]


class Bidirectional(nn.Module):
    """Recurrent cells run from left to right and from right to left over columns.

    The products of a cell with its input don't depend on the step before: one matrix product a direction computes them for all
    columns, and the scan holds only the product with the state.

    Attributes:
        features: size of the state of each direction, H.
        merge: ``sum`` adds the two directions, ``concat`` puts them side by side. Both are aligned in time (Keras's
            ``go_backwards`` leaves the second one reversed).
        initialization: of the kernels that the input is multiplied with; those of the state are orthogonal.
    """

    features: int
    merge: Merge = "concat"
    initialization: Initialization = "lecun_normal"

    GATES: ClassVar[int]
    RECURRENT_BIASES: ClassVar[int] = 0  # vectors of H, added to what the state is multiplied with

    @abstractmethod
    def start(self, batch: int, dtype: jnp.dtype) -> State:
        """The state before the first column, of arrays (B, H); the first of them is the output."""

    @abstractmethod
    def step(self, state: State, x: jax.Array, from_state: jax.Array, bias: jax.Array) -> State:
        """One column.

        Args:
            state: before it.
            x: (B, GATES H), the projected input with its bias.
            from_state: (B, GATES H), the product of the output with the recurrent kernel.
            bias: (1, RECURRENT_BIASES H).
        """

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
        dtype, width = columns.dtype, self.GATES * self.features
        inputs = per_gate(getattr(nn.initializers, self.initialization)(), self.GATES)
        recurrent = per_gate(nn.initializers.orthogonal(), self.GATES)
        input_kernel = self.param("input_kernel", inputs, (2, depth, width)).astype(dtype)
        input_bias = self.param("input_bias", nn.initializers.zeros, (2, width)).astype(dtype)
        recurrent_kernel = self.param("recurrent_kernel", recurrent, (2, self.features, width)).astype(dtype)
        biases = (2, self.RECURRENT_BIASES * self.features)
        recurrent_bias = jnp.zeros(biases, dtype)
        if self.RECURRENT_BIASES:
            recurrent_bias = self.param("recurrent_bias", nn.initializers.zeros, biases).astype(dtype)
        inside = jnp.arange(time)[:, None] < lengths[None, :]  # (T, B)

        def run(direction: int, reverse: bool) -> jax.Array:
            projected = columns.swapaxes(0, 1) @ input_kernel[direction] + input_bias[direction][None, None]

            def step(state: State, inputs: tuple[jax.Array, jax.Array]) -> tuple[State, jax.Array]:
                x, valid = inputs[0], inputs[1][:, None]
                new = self.step(state, x, state[0] @ recurrent_kernel[direction], recurrent_bias[direction][None])
                kept = tuple(jnp.where(valid, after, before) for after, before in zip(new, state, strict=True))
                return kept, jnp.where(valid, new[0], jnp.zeros_like(new[0]))

            # Turned round rather than scanned in reverse, which converters to other formats don't know.
            turn = slice(None, None, -1 if reverse else 1)
            _, outputs = jax.lax.scan(step, self.start(batch, dtype), (projected[turn], inside[turn]))
            return outputs[turn].swapaxes(0, 1)

        forward, backward = run(0, reverse=False), run(1, reverse=True)
        return forward + backward if self.merge == "sum" else jnp.concatenate([forward, backward], axis=-1)


class BidirectionalGRU(Bidirectional):
    """A gated recurrent unit in both directions; see `gru_step`."""

    GATES = 3
    RECURRENT_BIASES = 1

    def start(self, batch: int, dtype: jnp.dtype) -> State:
        """See `Bidirectional`."""
        return (jnp.zeros((batch, self.features), dtype),)

    def step(self, state: State, x: jax.Array, from_state: jax.Array, bias: jax.Array) -> State:
        """See `Bidirectional`."""
        return (gru_step(state[0], x, from_state, bias),)


class BidirectionalLSTM(Bidirectional):
    """A long short-term memory in both directions.

    One step is that of `flax.linen.LSTMCell` (Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000)::

        i, f, o = sigmoid(W_i x + b_i + W_h h), each with its own
        g = tanh(W_ig x + b_ig + W_hg h)
        c' = f * c + i * g
        h' = o * tanh(c')
    """

    GATES = 4

    def start(self, batch: int, dtype: jnp.dtype) -> State:
        """See `Bidirectional`."""
        zeros = jnp.zeros((batch, self.features), dtype)
        return zeros, zeros

    def step(self, state: State, x: jax.Array, from_state: jax.Array, bias: jax.Array) -> State:
        """See `Bidirectional`."""
        into, forget, new, out = jnp.split(x + from_state, 4, axis=-1)
        cell = jax.nn.sigmoid(forget) * state[1] + jax.nn.sigmoid(into) * jnp.tanh(new)
        return jax.nn.sigmoid(out) * jnp.tanh(cell), cell


def gru_step(state: jax.Array, x: jax.Array, from_state: jax.Array, bias: jax.Array) -> jax.Array:
    """One step of a gated recurrent unit, that of `flax.linen.GRUCell`.

    After Cho et al., "Learning phrase representations using RNN encoder-decoder", 2014, with the reset gate applied after the
    product, as in cuDNN::

        r = sigmoid(W_ir x + b_ir + W_hr h)
        z = sigmoid(W_iz x + b_iz + W_hz h)
        n = tanh(W_in x + b_in + r * (W_hn h + b_hn))
        h' = (1 - z) * n + z * h

    Args:
        state: h, (B, H).
        x: (B, 3 H), the projected input with its bias, of r, z and n.
        from_state: (B, 3 H), the product of h with the recurrent kernel, likewise.
        bias: b_hn, (1, H).
    """
    size = state.shape[-1]
    gates = jax.nn.sigmoid(x[:, : 2 * size] + from_state[:, : 2 * size])
    reset, update = jnp.split(gates, 2, axis=-1)
    new = jnp.tanh(x[:, 2 * size :] + reset * (from_state[:, 2 * size :] + bias))
    return (1 - update) * new + update * state


def per_gate(initializer: nn.initializers.Initializer, gates: int) -> nn.initializers.Initializer:
    """Initialises each direction and each gate on its own, as separate layers would be."""

    def init(key: jax.Array, shape: tuple[int, ...], dtype: jnp.dtype = jnp.float32) -> jax.Array:
        directions, depth, width = shape
        keys = jax.random.split(key, directions * gates)
        parts = [initializer(k, (depth, width // gates), dtype) for k in keys]
        return jnp.stack([jnp.concatenate(parts[gates * d : gates * (d + 1)], axis=1) for d in range(directions)])

    return init
