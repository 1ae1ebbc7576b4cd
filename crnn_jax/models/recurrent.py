"""Recurrent layers that read columns in both directions and take lengths."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar, Literal, NamedTuple

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
    def start(self, shape: tuple[int, ...], dtype: jnp.dtype) -> State:
        """The state before the first column, of arrays (..., H); the first of them is the output."""

    @abstractmethod
    def step(self, state: State, x: jax.Array, from_state: jax.Array, bias: jax.Array) -> State:
        """One column.

        Args:
            state: before it.
            x: (..., GATES H), the projected input with its bias.
            from_state: (..., GATES H), the product of the output with the recurrent kernel.
            bias: (..., RECURRENT_BIASES H).
        """

    def scan(self, projected: jax.Array, inside: jax.Array, kernel: jax.Array, bias: jax.Array) -> jax.Array:
        """The outputs after each column, (T, 2, B, H).

        Args:
            projected: (T, 2, B, GATES H), as of `step`, in the order in which each direction reads.
            inside: (T, 2, B, 1) bool, which of them count; the others don't change the state.
            kernel: (2, H, GATES H), recurrent.
            bias: (2, 1, RECURRENT_BIASES H).
        """

        def step(state: State, inputs: tuple[jax.Array, jax.Array]) -> tuple[State, jax.Array]:
            x, valid = inputs
            new = self.step(state, x, state[0] @ kernel, bias)
            kept = tuple(jnp.where(valid, after, before) for after, before in zip(new, state, strict=True))
            return kept, kept[0]

        return jax.lax.scan(step, self.start((*projected.shape[1:3], self.features), projected.dtype), (projected, inside))[1]

    @nn.compact
    def __call__(self, columns: jax.Array, lengths: jax.Array) -> jax.Array:
        """Reads the first ``lengths`` columns of each example.

        Args:
            columns: (B, T, D) float.
            lengths: (B,) int; columns from there on neither change the state nor give an output.

        Returns:
            (B, T, H) for ``sum``, (B, T, 2 H) for ``concat``; zero in columns past the length.
        """
        _, time, depth = columns.shape
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

        # Both directions in one scan; the second is turned round rather than scanned in reverse, which converters to other
        # formats don't know.
        in_time = columns.swapaxes(0, 1)
        forward, backward = (in_time @ input_kernel[i] + input_bias[i][None, None] for i in (0, 1))
        inside = (jnp.arange(time)[:, None] < lengths[None, :])[..., None]  # (T, B, 1)
        both = jnp.stack([inside, inside[::-1]], axis=1)
        projected = jnp.stack([forward, backward[::-1]], axis=1)
        outputs = self.scan(projected, both, recurrent_kernel, recurrent_bias[:, None])
        outputs = jnp.where(both, outputs, jnp.zeros((), dtype)).swapaxes(0, 2)  # (B, 2, T, H)
        forward, backward = outputs[:, 0], outputs[:, 1, ::-1]
        return forward + backward if self.merge == "sum" else jnp.concatenate([forward, backward], axis=-1)


class BidirectionalGRU(Bidirectional):
    """A gated recurrent unit in both directions; see `gru_gates`."""

    GATES = 3
    RECURRENT_BIASES = 1

    def start(self, shape: tuple[int, ...], dtype: jnp.dtype) -> State:
        """See `Bidirectional`."""
        return (jnp.zeros(shape, dtype),)

    def step(self, state: State, x: jax.Array, from_state: jax.Array, bias: jax.Array) -> State:
        """See `Bidirectional`."""
        return (gru_step(state[0], x, from_state, bias),)

    def scan(self, projected: jax.Array, inside: jax.Array, kernel: jax.Array, bias: jax.Array) -> jax.Array:
        """See `Bidirectional`."""
        return gru_scan(projected, inside, kernel, bias)


class BidirectionalLSTM(Bidirectional):
    """A long short-term memory in both directions.

    One step is that of `flax.linen.LSTMCell` (Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000)::

        i, f, o = sigmoid(W_i x + b_i + W_h h), each with its own
        g = tanh(W_ig x + b_ig + W_hg h)
        c' = f * c + i * g
        h' = o * tanh(c')
    """

    GATES = 4

    def start(self, shape: tuple[int, ...], dtype: jnp.dtype) -> State:
        """See `Bidirectional`."""
        zeros = jnp.zeros(shape, dtype)
        return zeros, zeros

    def step(self, state: State, x: jax.Array, from_state: jax.Array, bias: jax.Array) -> State:
        """See `Bidirectional`."""
        into, forget, new, out = jnp.split(x + from_state, 4, axis=-1)
        cell = jax.nn.sigmoid(forget) * state[1] + jax.nn.sigmoid(into) * jnp.tanh(new)
        return jax.nn.sigmoid(out) * jnp.tanh(cell), cell


class Gates(NamedTuple):
    """What a gated recurrent unit computes in a step, (..., H) each.

    Attributes:
        reset: r.
        update: z.
        new: n.
        from_state: W_hn h + b_hn.
    """

    reset: jax.Array
    update: jax.Array
    new: jax.Array
    from_state: jax.Array


def gru_gates(x: jax.Array, from_state: jax.Array, bias: jax.Array) -> Gates:
    """The gates of `flax.linen.GRUCell`.

    After Cho et al., "Learning phrase representations using RNN encoder-decoder", 2014, with the reset gate applied after the
    product, as in cuDNN::

        r = sigmoid(W_ir x + b_ir + W_hr h)
        z = sigmoid(W_iz x + b_iz + W_hz h)
        n = tanh(W_in x + b_in + r * (W_hn h + b_hn))
        h' = (1 - z) * n + z * h

    Args:
        x: (..., 3 H), the projected input with its bias, of r, z and n.
        from_state: (..., 3 H), the product of h with the recurrent kernel, likewise.
        bias: b_hn, (..., H).
    """
    size = x.shape[-1] // 3
    gates = jax.nn.sigmoid(x[..., : 2 * size] + from_state[..., : 2 * size])
    reset, update = jnp.split(gates, 2, axis=-1)
    last = from_state[..., 2 * size :] + bias
    return Gates(reset, update, jnp.tanh(x[..., 2 * size :] + reset * last), last)


def gru_step(state: jax.Array, x: jax.Array, from_state: jax.Array, bias: jax.Array) -> jax.Array:
    """One step of a gated recurrent unit: h', (..., H), from h and what `gru_gates` takes."""
    return _next_state(state, gru_gates(x, from_state, bias))


def _next_state(state: jax.Array, gates: Gates) -> jax.Array:
    return (1 - gates.update) * gates.new + gates.update * state


@jax.custom_vjp
def gru_scan(projected: jax.Array, inside: jax.Array, kernel: jax.Array, bias: jax.Array) -> jax.Array:
    """The states of gated recurrent units after each column, from zero; see `Bidirectional.scan`.

    Its gradient is written by hand: what doesn't depend on the gradient of the next column is computed for all columns at once,
    so that the scan back holds little more than its product with the recurrent kernel. On a CPU that takes half of the time.
    """

    def step(state: jax.Array, inputs: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        x, valid = inputs
        after = jnp.where(valid, gru_step(state, x, state @ kernel, bias), state)
        return after, after

    return jax.lax.scan(step, _zero_state(projected), (projected, inside))[1]


def _zero_state(projected: jax.Array) -> jax.Array:
    return jnp.zeros_like(projected[0, ..., : projected.shape[-1] // 3])


def _gru_scan_forward(projected: jax.Array, inside: jax.Array, kernel: jax.Array, bias: jax.Array) -> tuple[jax.Array, Any]:
    def step(state: jax.Array, inputs: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, tuple[jax.Array, Gates]]:
        x, valid = inputs
        gates = gru_gates(x, state @ kernel, bias)
        after = jnp.where(valid, _next_state(state, gates), state)
        return after, (after, gates)

    states, gates = jax.lax.scan(step, _zero_state(projected), (projected, inside))[1]
    return states, (states, gates, inside, kernel)


def _gru_scan_backward(kept: Any, gradient: jax.Array) -> tuple[jax.Array, None, jax.Array, jax.Array]:
    states, (reset, update, new, from_state), inside, kernel = kept
    before = jnp.concatenate([jnp.zeros_like(states[:1]), states[:-1]])
    # How the state depends on what is inside the gates' functions, and these, of n, on the product with the state.
    of_new = jnp.where(inside, (1 - update) * (1 - new**2), 0)
    of_update = jnp.where(inside, (before - new) * update * (1 - update), 0)
    of_reset = of_new * from_state * reset * (1 - reset)
    of_product = jnp.concatenate([of_reset, of_update, of_new * reset], axis=-1)
    passed_on = jnp.where(inside, update, 1)

    def step(later: jax.Array, inputs: tuple[jax.Array, jax.Array, jax.Array]) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
        own, factor, share = inputs
        total = later + own
        product = jnp.concatenate([total] * 3, axis=-1) * factor
        return total * share + product @ kernel.swapaxes(1, 2), (total, product)

    _, (total, product) = jax.lax.scan(step, jnp.zeros_like(states[0]), (gradient, of_product, passed_on), reverse=True)
    size = states.shape[-1]
    projected = jnp.concatenate([product[..., : 2 * size], total * of_new], axis=-1)
    of_kernel = jnp.einsum("tdbh,tdbw->dhw", before, product)
    of_bias = jnp.sum(product[..., 2 * size :], axis=(0, 2))[:, None]
    return projected, None, of_kernel, of_bias


gru_scan.defvjp(_gru_scan_forward, _gru_scan_backward)


def per_gate(initializer: nn.initializers.Initializer, gates: int) -> nn.initializers.Initializer:
    """Initialises each direction and each gate on its own, as separate layers would be."""

    def init(key: jax.Array, shape: tuple[int, ...], dtype: jnp.dtype = jnp.float32) -> jax.Array:
        directions, depth, width = shape
        keys = jax.random.split(key, directions * gates)
        parts = [initializer(k, (depth, width // gates), dtype) for k in keys]
        return jnp.stack([jnp.concatenate(parts[gates * d : gates * (d + 1)], axis=1) for d in range(directions)])

    return init
