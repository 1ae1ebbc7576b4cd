"""Connectionist temporal classification: loss, what can be aligned at all, greedy reading, search, alignment.

Graves, Fernández, Gomez and Schmidhuber, "Connectionist temporal classification: labelling unsegmented sequence data with
recurrent neural networks", ICML 2006. Throughout, logits are (B, T, K + 1) and the blank is the last id, K.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from crnn_jax.grammar import Grammar

_NEVER = -np.inf  # log of 0
_IMPOSSIBLE = -1e30  # the same, where differences of two must stay numbers


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

    It has gradients, but no forward-mode derivatives (`jax.custom_vjp`).

    Args:
        logits: (B, T, K + 1), any float type; computed in float32.
        lengths: (B,) int, columns of each example.
        labels: (B, L) int, padded on the right with any id.
        label_lengths: (B,) int.

    Returns:
        The loss, (B,) float32, 0 for a label that is longer than its columns allow, and which labels fit, (B,) bool.
    """
    feasible = frames_needed(labels, label_lengths) <= lengths
    losses = _loss(logits.astype(jnp.float32), lengths, labels, label_lengths)
    return jnp.where(feasible, losses, 0.0), feasible


@jax.custom_vjp
def _loss(logits: jax.Array, lengths: jax.Array, labels: jax.Array, label_lengths: jax.Array) -> jax.Array:
    """Negative log probability of each label, (B,) float32; of those that don't fit, a huge number."""
    graph = _graph(jax.nn.log_softmax(logits), lengths, labels, label_lengths)
    return -_log_probability(graph, _walk(graph)[-1])


class _Graph(NamedTuple):
    """The states that the alignments of a label pass through, S = 2 L + 1: blanks before, between and after its characters.

    Attributes:
        emissions: (T, B, S) float32, log probability of each state's id in each column.
        inside: (T, B, 1) bool, which columns count.
        first: (B, S) bool, the state that stands for the beginning.
        last: (B, S) bool, those that an alignment may end in.
        skips: (B, S) bool, to which states the blank before them may be skipped.
    """

    emissions: jax.Array
    inside: jax.Array
    first: jax.Array
    last: jax.Array
    skips: jax.Array

    def reversed(self) -> _Graph:
        """The same alignments, read from the end to the beginning."""
        end = self.last & ~jnp.pad(self.last[:, 1:], ((0, 0), (0, 1)))  # the last one of all
        skips = jnp.pad(self.skips, ((0, 0), (0, 2)))[:, 2:]
        flipped = (jnp.flip(x, -1) for x in (end, self.first, skips))
        return _Graph(jnp.flip(self.emissions, (0, -1)), jnp.flip(self.inside, 0), *flipped)


def _graph(log_probabilities: jax.Array, lengths: jax.Array, labels: jax.Array, label_lengths: jax.Array) -> _Graph:
    batch, columns, classes = log_probabilities.shape
    states = jnp.full((batch, 2 * labels.shape[1] + 1), classes - 1).at[:, 1::2].set(labels)
    emissions = jnp.take_along_axis(log_probabilities, states[:, None], axis=2, mode="clip").transpose(1, 0, 2)
    emissions = jnp.maximum(emissions, _IMPOSSIBLE)  # of logits that are -inf
    inside = jnp.arange(columns)[:, None, None] < lengths[None, :, None]
    number = jnp.arange(states.shape[1])[None]
    end = 2 * label_lengths[:, None]
    last = (number == end) | (number == end - 1)
    skips = states != jnp.pad(states, ((0, 0), (2, 0)))[:, :-2]  # blanks are all the same
    return _Graph(emissions, inside, jnp.broadcast_to(number == 0, states.shape), last, skips)


def _walk(graph: _Graph) -> jax.Array:
    """Log probability of all ways to each state, its own column included, (T, B, S): Graves et al., equations 6 to 8.

    Columns that don't count leave it as it was, at the beginning too.
    """

    # Two states that nothing is in stand before the others, so that those that come before a state are slices.
    front = ((0, 0), (2, 0))
    over = jnp.where(graph.skips, 0.0, _IMPOSSIBLE)

    def step(before: jax.Array, column: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        emissions, inside = column
        same, one, two = before[:, 2:], before[:, 1:-1], before[:, :-2] + over
        most = jnp.maximum(jnp.maximum(same, one), two)
        ways = most + jnp.log(jnp.exp(same - most) + jnp.exp(one - most) + jnp.exp(two - most))
        after = jnp.where(inside, ways + emissions, same)
        return jnp.pad(after, front, constant_values=_IMPOSSIBLE), after

    start = jnp.pad(jnp.where(graph.first, 0.0, _IMPOSSIBLE), front, constant_values=_IMPOSSIBLE)
    return jax.lax.scan(step, start, (graph.emissions, graph.inside))[1]


def _log_probability(graph: _Graph, at_the_end: jax.Array) -> jax.Array:
    return jax.nn.logsumexp(jnp.where(graph.last, at_the_end, _IMPOSSIBLE), axis=1)


def _loss_forward(
    logits: jax.Array, lengths: jax.Array, labels: jax.Array, label_lengths: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """The loss, and its gradient in the logits, (B, T, K + 1): Graves et al., equations 14 to 16.

    Both directions are walked in one scan, so that there are T steps one after another, not 2 T, which is what a GPU waits for.
    """
    log_probabilities = jax.nn.log_softmax(logits)
    graph = _graph(log_probabilities, lengths, labels, label_lengths)
    both = jax.tree.map(lambda *x: jnp.concatenate(x, axis=x[0].ndim - 2), graph, graph.reversed())
    ahead, back = jnp.split(_walk(both), 2, axis=1)
    total = _log_probability(graph, ahead[-1])
    # The probability that an alignment is in a state; its own column is in both ways, to it and from it.
    share = jax.nn.softmax(ahead + jnp.flip(back, (0, 2)) - graph.emissions)
    blank = logits.shape[2] - 1
    # A product with one-hot labels, not a scatter, whose order of additions is left open on a GPU.
    ids = jax.nn.one_hot(labels, logits.shape[2], dtype=share.dtype)
    of_characters = jnp.einsum("tbl,blk->btk", share[:, :, 1::2], ids, precision=jax.lax.Precision.HIGHEST)
    expected = of_characters.at[:, :, blank].add(jnp.sum(share[:, :, ::2], axis=2).T)
    gradient = jnp.where(graph.inside.transpose(1, 0, 2), jnp.exp(log_probabilities) - expected, 0.0)
    return -total, gradient


def _loss_backward(gradient: jax.Array, cotangent: jax.Array) -> tuple[jax.Array, None, None, None]:
    return cotangent[:, None, None] * gradient, None, None, None


_loss.defvjp(_loss_forward, _loss_backward)


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


class Hypothesis(NamedTuple):
    """A text that a search found.

    Attributes:
        ids: of its characters.
        log_probability: of the text, over those of its alignments that the search followed: all of them if it was wide enough.
    """

    ids: tuple[int, ...]
    log_probability: float


def log_probabilities(logits: jax.Array | np.ndarray) -> np.ndarray:
    """Log of the softmax over the last axis, float64, on the host."""
    values = np.asarray(logits, np.float64)
    return values - np.logaddexp.reduce(values, axis=-1, keepdims=True)


def beam(
    logits: jax.Array | np.ndarray,
    lengths: jax.Array | np.ndarray | None = None,
    *,
    grammar: Grammar | None = None,
    width: int = 16,
) -> list[list[Hypothesis]]:
    """Prefix beam search (Graves, "Sequence transduction with recurrent neural networks", 2012, algorithm 1; for CTC
    Hannun et al., "First-pass large vocabulary continuous speech recognition using bi-directional recurrent DNNs", 2014), held
    to a grammar. Runs on the host.

    With a grammar, only prefixes of its texts that can still end in the columns that are left are followed, so that every
    text that is found is one of the grammar's, and one is found whenever the columns are enough for its shortest.

    Args:
        logits: (B, T, K + 1); with a grammar, K is the size of its alphabet.
        lengths: (B,) int, columns of each example; None: all T.
        grammar: what may be read; None: anything.
        width: prefixes that are kept from one column to the next.

    Returns:
        For each example at most ``width`` texts, the most probable first; none where no text of the grammar fits the columns.
    """
    columns = log_probabilities(logits)
    ends = [columns.shape[1]] * len(columns) if lengths is None else np.asarray(lengths).tolist()
    rules = _Rules(grammar, columns.shape[2] - 1)
    return [_prefix_search(example[:end], rules, width) for example, end in zip(columns, ends, strict=True)]


class _Rules:
    """What a search may follow. What a grammar answers is kept, because a search asks the same things often."""

    def __init__(self, grammar: Grammar | None, characters: int) -> None:
        if grammar is not None and characters != len(grammar.alphabet.characters):
            raise ValueError(
                f"logits of {characters} characters, and {len(grammar.alphabet.characters)} in the grammar's alphabet"
            )
        self._grammar = grammar
        self._anything: list[tuple[int, Any]] = [(i, None) for i in range(characters)]
        self._successors: dict[Any, list[tuple[int, Any]]] = {}
        self._needed: dict[tuple[Any, int | None], int] = {}
        self.start = grammar.start if grammar else None

    def successors(self, state: Any) -> list[tuple[int, Any]]:
        """The characters that may follow, and the states after them."""
        if self._grammar is None:
            return self._anything
        if state not in self._successors:
            states = ((i, self._grammar.advance(state, c)) for i, c in enumerate(self._grammar.alphabet.characters))
            self._successors[state] = [(i, after) for i, after in states if after is not None]
        return self._successors[state]

    def columns_needed(self, state: Any, last: int | None) -> int:
        """Columns to an end: a character each, a blank between two of the same.

        ``last`` is the character of the last column, None for a blank.
        """
        if self._grammar is None:
            return 0
        if (state, last) not in self._needed:
            ids = self._grammar.alphabet.encode(self._grammar.completion(state)).tolist()
            self._needed[state, last] = len(ids) + sum(a == b for a, b in zip([last, *ids], ids, strict=False))
        return self._needed[state, last]


def _prefix_search(columns: np.ndarray, rules: _Rules, width: int) -> list[Hypothesis]:
    """Searches (T, K + 1) log probabilities. Alignments of a prefix are counted apart by whether they end in a blank."""
    blank = columns.shape[1] - 1
    if rules.columns_needed(rules.start, None) > len(columns):
        return []
    kept: dict[tuple[int, ...], _Prefix] = {(): _Prefix(rules.start, 0.0, _NEVER)}
    for t, column in enumerate(columns.tolist()):
        left = len(columns) - t - 1
        found: dict[tuple[int, ...], _Prefix] = {}
        for ids, (state, in_blank, in_character) in kept.items():
            total = np.logaddexp(in_blank, in_character)
            last = ids[-1] if ids else None
            if rules.columns_needed(state, None) <= left:
                _add(found, ids, state, total + column[blank], _NEVER)
            if last is not None and rules.columns_needed(state, last) <= left:
                _add(found, ids, state, _NEVER, in_character + column[last])
            for i, after in rules.successors(state):
                before = in_blank if i == last else total
                if before > _NEVER and rules.columns_needed(after, i) <= left:
                    _add(found, (*ids, i), after, _NEVER, before + column[i])
        best = sorted(found.items(), key=lambda item: -item[1].total)[:width]
        kept = dict(best)
    return [Hypothesis(ids, float(prefix.total)) for ids, prefix in kept.items() if prefix.total > _NEVER]


class _Prefix(NamedTuple):
    """Where a grammar stands after a prefix, and the log probabilities of the alignments that end in a blank or not."""

    state: Any
    in_blank: float
    in_character: float

    @property
    def total(self) -> float:
        return float(np.logaddexp(self.in_blank, self.in_character))


def _add(found: dict[tuple[int, ...], _Prefix], ids: tuple[int, ...], state: Any, in_blank: float, in_character: float) -> None:
    if (there := found.get(ids)) is not None:
        in_blank = float(np.logaddexp(there.in_blank, in_blank))
        in_character = float(np.logaddexp(there.in_character, in_character))
    found[ids] = _Prefix(state, in_blank, in_character)


class Alignment(NamedTuple):
    """Where the characters of a text stand.

    Attributes:
        starts: (L,) int, first column of each character.
        ends: (L,) int, the column after its last.
        confidences: (L,) float, its largest probability in these columns.
        log_probability: of the text, all alignments together.
    """

    starts: np.ndarray
    ends: np.ndarray
    confidences: np.ndarray
    log_probability: float


def align(logits: jax.Array | np.ndarray, ids: Iterable[int]) -> Alignment:
    """The most probable alignment of a text to the columns of one example (Viterbi over the states of Graves et al., section
    4.1), and the text's probability. Runs on the host.

    Args:
        logits: (T, K + 1), the columns that count.
        ids: of the text's characters, L.

    Raises:
        ValueError: the text takes more columns, or there is none.
    """
    columns = log_probabilities(logits)
    if not len(columns):
        raise ValueError("there are no columns to align to")
    text = np.asarray(list(ids), int)
    blank = columns.shape[1] - 1
    # Blanks around and between the characters; a blank may be skipped between two that differ.
    states = np.full(2 * len(text) + 1, blank)
    states[1::2] = text
    skips = np.zeros(len(states), bool)
    skips[3::2] = text[1:] != text[:-1]

    sums = np.full(len(states), _NEVER)
    sums[:2] = columns[0, states[:2]]
    best, came_from = sums.copy(), np.zeros((len(columns), len(states)), int)
    for t in range(1, len(columns)):
        steps = np.stack([_shifted(best, 0), _shifted(best, 1), np.where(skips, _shifted(best, 2), _NEVER)])
        came_from[t] = steps.argmax(axis=0)
        best = steps.max(axis=0) + columns[t, states]
        from_two = np.where(skips, _shifted(sums, 2), _NEVER)
        sums = np.logaddexp(np.logaddexp(sums, _shifted(sums, 1)), from_two) + columns[t, states]
    total = np.logaddexp(sums[-1], sums[-2]) if len(text) else sums[-1]
    if total == _NEVER:
        raise ValueError(f"{len(text)} characters can't be aligned to {len(columns)} columns")

    state = len(states) - 1 if not len(text) or best[-1] >= best[-2] else len(states) - 2
    path = np.empty(len(columns), int)
    for t in reversed(range(len(columns))):
        path[t] = state
        state -= came_from[t, state]
    places = [np.flatnonzero(path == 2 * i + 1) for i in range(len(text))]
    return Alignment(
        np.array([place[0] for place in places], int),
        np.array([place[-1] + 1 for place in places], int),
        np.array([np.exp(columns[place, i].max()) for place, i in zip(places, text, strict=True)]),
        float(min(total, 0.0)),
    )


def _shifted(values: np.ndarray, places: int) -> np.ndarray:
    """Log probabilities moved to later states."""
    return np.pad(values, (places, 0), constant_values=_NEVER)[: len(values)]
