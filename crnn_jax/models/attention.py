"""The attention head: a decoder that looks at the columns again for each character, its columns for CTC, and its loss."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from crnn_jax.models.config import Initialization
from crnn_jax.models.recurrent import gru_step, per_gate

_NEVER = -1e9  # an energy whose share is 0, and finite, so that a picture without columns gives no NaN
IMPOSSIBLE = -30.0  # a logit beside 0


class Attention(nn.Module):
    """Looks for the characters of a text one after another (Bahdanau, Cho and Bengio, "Neural machine translation by jointly
    learning to align and translate", 2015, appendix A.1.2).

    Step i attends to the columns h_j by the state s before it, and takes what it saw into the state::

        e_j = v . tanh(W s_i-1 + U h_j)
        c_i = sum_j softmax(e)_j h_j
        s_i = GRU(s_i-1, c_i)

    Unlike there, the character that was read is not fed back: texts here are random, so that one character tells nothing of the
    next, and a grammar is the search's business. Training then is reading, and all steps are one scan.

    Attributes:
        positions: steps, L: characters of the longest text.
        features: size of the state and of the layer that is compared, H.
        initialization: of all kernels but that of the state within the GRU, which is orthogonal.
    """

    positions: int
    features: int
    initialization: Initialization = "lecun_normal"

    @nn.compact
    def __call__(self, columns: jax.Array, lengths: jax.Array) -> jax.Array:
        """Looks L times; how much each step attended to each column, (B, L, T) float32, is sown into ``intermediates``.

        Args:
            columns: (B, T, D) float.
            lengths: (B,) int; columns from there on are not seen.

        Returns:
            (B, L, H + D), of each step its state and what it saw.

        Raises:
            ValueError: there are no positions.
        """
        if self.positions < 1:
            raise ValueError("an attention head needs to know the characters of the longest text: Architecture.positions")
        batch, time, depth = columns.shape
        size, dtype = self.features, columns.dtype
        init, zeros = getattr(nn.initializers, self.initialization)(), nn.initializers.zeros

        def param(name: str, initializer: nn.initializers.Initializer, *shape: int) -> jax.Array:
            return self.param(name, initializer, shape).astype(dtype)

        query_kernel = param("query_kernel", init, size, size)
        query_bias = param("query_bias", zeros, 1, size)
        energy = param("energy", nn.initializers.normal(size**-0.5), size)
        # The first axis is that of the directions, as in `Bidirectional`; there is one.
        input_kernel = param("input_kernel", per_gate(init, 3), 1, depth, 3 * size)[0]
        input_bias = param("input_bias", zeros, 1, 3 * size)
        recurrent_kernel = param("recurrent_kernel", per_gate(nn.initializers.orthogonal(), 3), 1, size, 3 * size)[0]
        recurrent_bias = param("recurrent_bias", zeros, 1, size)
        keys = columns @ param("key_kernel", init, depth, size)
        inside = jnp.arange(time)[None] < lengths[:, None]

        def step(state: jax.Array, _: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
            query = state @ query_kernel + query_bias
            energies = (jnp.tanh(query[:, None] + keys) @ energy).astype(jnp.float32)
            weights = jax.nn.softmax(jnp.where(inside, energies, _NEVER)) * inside
            context = jnp.einsum("bt,btd->bd", weights.astype(dtype), columns)
            state = gru_step(state, context @ input_kernel + input_bias, state @ recurrent_kernel, recurrent_bias)
            return state, (jnp.concatenate([state, context], axis=-1), weights)

        _, (outputs, weights) = jax.lax.scan(step, jnp.zeros((batch, size), dtype), jnp.arange(self.positions))
        self.sow("intermediates", "weights", weights.swapaxes(0, 1))
        return outputs.swapaxes(0, 1)


def positions_in_a_row(logits: jax.Array, there: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Columns for CTC: the positions, and between two of them a column that is certain to be a blank.

    The best path then reads one position after another, repeats too, and so do search and alignment.

    Args:
        logits: (B, L, K + 1).
        there: (B,) bool, whether there was anything to attend to.

    Returns:
        Logits (B, 2 L - 1, K + 1), and how many of these columns there are, (B,) int32: all or none.
    """
    batch, positions, classes = logits.shape
    certain = jnp.where(jnp.arange(classes) == classes - 1, 0.0, IMPOSSIBLE)
    blanks = jnp.zeros_like(logits) + certain[None, None]
    row = jnp.stack([logits, blanks], axis=2).reshape(batch, 2 * positions, classes)[:, :-1]
    return row, jnp.where(there, 2 * positions - 1, 0)


def loss(
    logits: jax.Array, lengths: jax.Array, labels: jax.Array, label_lengths: jax.Array, positions: int, separator: int
) -> tuple[jax.Array, jax.Array]:
    """Cross-entropy of each position: position i reads character i of its line, those past the end read nothing.

    CTC's loss would do, but lets a text stand in any of the positions, so that none of them knows what it is to read: in 180
    steps on the bars of ``tests/sources.py`` this loss came to read all of them, and CTC's three in four.

    Args:
        logits: (B, T, K + 1), each position followed by a column that is a blank, or, after a line's last, a separator.
        lengths: (B,) int, columns of each example.
        labels: (B, M) int, padded on the right with any id.
        label_lengths: (B,) int.
        positions: L, of a line.
        separator: id that stands between lines which are read apart; the blank where they are not.

    Returns:
        The loss, (B,) float32, 0 for a label that has more characters than positions or more lines, and which labels fit, (B,)
        bool; as of `crnn_jax.ctc.loss`.
    """
    batch, columns, classes = logits.shape
    number = jnp.broadcast_to(jnp.arange(labels.shape[1])[None], labels.shape)
    inside = number < label_lengths[:, None]
    apart = lengths[:, None] > 2 * positions - 1  # else all lines are in one, where a separator is a character like others
    ending = (labels == separator) & inside & apart
    line = jnp.cumsum(ending, axis=1) - ending
    first = jax.lax.cummax(jnp.pad(jnp.where(ending, number + 1, 0)[:, :-1], ((0, 0), (1, 0))), axis=1)
    places = 2 * positions * line + jnp.where(ending, 2 * positions - 1, 2 * (number - first))
    fits = (places < lengths[:, None]) & (ending | (number - first < positions))
    feasible = jnp.all(fits | ~inside, axis=1)
    rows = jnp.arange(batch)[:, None]
    targets = jnp.full((batch, columns), classes - 1).at[rows, jnp.where(inside, places, columns)].set(labels, mode="drop")
    losses = optax.softmax_cross_entropy_with_integer_labels(logits.astype(jnp.float32), targets)
    read = jnp.arange(columns)[None] < lengths[:, None]
    return jnp.where(feasible, jnp.sum(losses * read, axis=1), 0.0), feasible
