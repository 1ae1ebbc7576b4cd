"""Connectionist temporal classification: loss, what can be aligned at all, and greedy reading.

Graves, Fernández, Gomez and Schmidhuber, "Connectionist temporal classification: labelling unsegmented sequence data with
recurrent neural networks", ICML 2006. Throughout, logits are (B, T, K + 1) and the blank is the last id, K.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax


def frames_needed(labels: jax.Array, label_lengths: jax.Array) -> jax.Array:
    """Fewest columns that a label can be aligned to: one a character, and a blank between equal neighbours.

    Args:
        labels: (B, L) int, padded on the right.
        label_lengths: (B,) int.

    Returns:
        (B,) int32.
    """
    inside = jnp.arange(1, labels.shape[1])[None] < label_lengths[:, None]
    repeats = jnp.sum((labels[:, 1:] == labels[:, :-1]) & inside, axis=1)
    return (label_lengths + repeats).astype(jnp.int32)


def loss(logits: jax.Array, lengths: jax.Array, labels: jax.Array, label_lengths: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Negative log probability of each label, summed over its alignments (Graves et al., section 4.1).

    Args:
        logits: (B, T, K + 1), any float type; computed in float32.
        lengths: (B,) int, columns of each example.
        labels: (B, L) int, padded on the right with any id.
        label_lengths: (B,) int.

    Returns:
        The loss, (B,) float32, 0 for a label that is longer than its columns allow, and which labels fit, (B,) bool.
    """
    columns, places = logits.shape[1], labels.shape[1]
    feasible = frames_needed(labels, label_lengths) <= lengths
    column_padding = jnp.arange(columns)[None] >= lengths[:, None]
    label_padding = jnp.arange(places)[None] >= label_lengths[:, None]
    losses = optax.ctc_loss(
        logits.astype(jnp.float32),
        column_padding.astype(jnp.float32),
        labels,
        label_padding.astype(jnp.float32),
        blank_id=logits.shape[2] - 1,
    )
    # An infeasible label costs about 1e5 in optax and would drown the batch: masked, for the caller to count.
    return jnp.where(feasible, losses, 0.0), feasible


class Greedy(NamedTuple):
    """What the best path reads. Characters stand at the left of (B, T) arrays, ``counts`` of them in each row.

    Attributes:
        ids: (B, T) int32, the blank from ``counts`` on.
        counts: (B,) int32, characters read.
        starts: (B, T) int32, first column of each character.
        ends: (B, T) int32, the column after its last.
        character_confidences: (B, T) float32, the character's largest probability in its columns.
        confidences: (B,) float32, probability of the whole text, all its alignments together.
    """

    ids: jax.Array
    counts: jax.Array
    starts: jax.Array
    ends: jax.Array
    character_confidences: jax.Array
    confidences: jax.Array


@jax.jit
def greedy(logits: jax.Array, lengths: jax.Array | None = None) -> Greedy:
    """Best path decoding (Graves et al., section 3.2): the best id of each column, repeats merged, blanks removed.

    Args:
        logits: (B, T, K + 1).
        lengths: (B,) int, columns of each example; None: all T.
    """
    batch, columns, classes = logits.shape
    blank = classes - 1
    if lengths is None:
        lengths = jnp.full((batch,), columns, jnp.int32)
    probabilities = jax.nn.softmax(logits.astype(jnp.float32))
    inside = jnp.arange(columns)[None] < lengths[:, None]
    best = jnp.where(inside, jnp.argmax(logits, axis=-1), blank).astype(jnp.int32)
    before = jnp.pad(best[:, :-1], ((0, 0), (1, 0)), constant_values=blank)
    after = jnp.pad(best[:, 1:], ((0, 0), (0, 1)), constant_values=blank)
    starting = (best != blank) & (best != before)
    ending = (best != blank) & (best != after)
    # Number of each column's character, and T for the columns of none: they fall off the end.
    number = jnp.where(best != blank, jnp.cumsum(starting, axis=1) - 1, columns)
    rows = jnp.arange(batch)[:, None]
    column = jnp.broadcast_to(jnp.arange(columns, dtype=jnp.int32), best.shape)
    probability = jnp.take_along_axis(probabilities, best[..., None], axis=-1)[..., 0]

    ids = jnp.full((batch, columns), blank, jnp.int32).at[rows, number].set(best, mode="drop")
    counts = jnp.sum(starting, axis=1, dtype=jnp.int32)
    zeros = jnp.zeros((batch, columns), jnp.int32)
    starts = zeros.at[rows, jnp.where(starting, number, columns)].set(column, mode="drop")
    ends = zeros.at[rows, jnp.where(ending, number, columns)].set(column + 1, mode="drop")
    confidences = jnp.zeros((batch, columns), jnp.float32).at[rows, number].max(probability, mode="drop")
    losses, _ = loss(logits, lengths, ids, counts)
    return Greedy(ids, counts, starts, ends, confidences, jnp.minimum(jnp.exp(-losses), 1.0))
