"""The loss, the search and the alignment against all paths, greedy reading against paths written by hand."""

import itertools
from collections import Counter

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.test_util import check_grads
from sources import Words

from crnn_jax import ctc
from crnn_jax.alphabet import Alphabet
from crnn_jax.grammar import Level1


def collapse(path, blank):
    merged = [k for k, _ in itertools.groupby(path)]
    return tuple(k for k in merged if k != blank)


def probability_of(label, probabilities):
    """Sum over all paths, (T, K + 1) probabilities."""
    columns, classes = probabilities.shape
    return sum(
        np.prod([probabilities[t, k] for t, k in enumerate(path)])
        for path in itertools.product(range(classes), repeat=columns)
        if collapse(path, classes - 1) == tuple(label)
    )


def pad(labels, size, value):
    return jnp.array([[*label, *[value] * (size - len(label))] for label in labels])


@pytest.mark.parametrize("label", [(), (0,), (0, 1), (1, 1), (0, 0, 1)])
@pytest.mark.parametrize("length", [4, 5])
def test_loss_is_the_sum_over_all_alignments(label, length):
    logits = jax.random.normal(jax.random.key(len(label)), (1, 5, 3))
    losses, feasible = jax.jit(ctc.loss)(logits, jnp.array([length]), pad([label], 3, 2), jnp.array([len(label)]))
    expected = probability_of(label, np.asarray(jax.nn.softmax(logits[0, :length]), np.float64))
    assert feasible[0]
    np.testing.assert_allclose(losses[0], -np.log(expected), rtol=1e-5)


def test_label_that_does_not_fit_is_masked_and_told():
    logits = jax.random.normal(jax.random.key(0), (2, 3, 3))
    labels, lengths = jnp.array([[1, 1], [0, 1]]), jnp.array([2, 2])

    def total(logits):
        return jnp.sum(ctc.loss(logits, lengths, labels, jnp.array([2, 2]))[0])

    losses, feasible = jax.jit(ctc.loss)(logits, lengths, labels, jnp.array([2, 2]))
    assert feasible.tolist() == [False, True]  # 1, blank, 1 needs three columns
    assert losses[0] == 0
    assert losses[1] > 0
    gradient = jax.jit(jax.grad(total))(logits)
    assert not np.any(gradient[0])
    assert np.all(np.isfinite(gradient))
    assert not np.any(gradient[1, 2])  # a column past the length


@pytest.mark.parametrize("label", [(), (0, 1), (1, 1)])
def test_gradient_is_that_of_finite_differences(label):
    logits, ids = jax.random.normal(jax.random.key(7), (1, 5, 3)), pad([label], 3, 2)

    def loss(logits):
        return ctc.loss(logits, jnp.array([4]), ids, jnp.array([len(label)]))[0][0]

    check_grads(loss, (logits,), order=1, modes=["rev"], eps=1e-2, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize(("columns", "places", "classes"), [(17, 4, 37), (60, 20, 10), (12, 9, 2), (20, 1, 1001), (9, 0, 4)])
def test_loss_and_gradient_are_those_of_optax(columns, places, classes):
    rng = np.random.default_rng(columns)
    logits = jnp.asarray(rng.normal(size=(8, columns, classes)) * 5, jnp.float32)
    lengths, label_lengths = jnp.asarray(rng.integers(0, columns + 1, 8)), jnp.asarray(rng.integers(0, places + 1, 8))
    labels, weights = jnp.asarray(rng.integers(0, max(classes - 1, 1), (8, places))), jnp.asarray(rng.random(8), jnp.float32)

    def theirs(logits):
        paddings = jnp.arange(columns)[None] >= lengths[:, None], jnp.arange(places)[None] >= label_lengths[:, None]
        columns_out, places_out = (padding.astype(jnp.float32) for padding in paddings)
        losses = optax.ctc_loss(logits, columns_out, labels, places_out, blank_id=classes - 1)
        fits = ctc.frames_needed(labels, label_lengths) <= lengths
        return jnp.sum(weights * jnp.where(fits, losses, 0.0))

    def ours(logits):
        return jnp.sum(weights * ctc.loss(logits, lengths, labels, label_lengths)[0])

    (expected, slope), (value, gradient) = (jax.jit(jax.value_and_grad(f))(logits) for f in (theirs, ours))
    assert expected > 0
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    np.testing.assert_allclose(gradient, slope, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(jax.jit(ours)(logits), value, rtol=1e-6)  # without a gradient one direction is walked


def test_what_stands_past_a_label_makes_no_difference():
    logits, lengths = jax.random.normal(jax.random.key(2), (1, 9, 5)), jnp.array([8])
    both = [
        jax.value_and_grad(lambda x, labels=labels: ctc.loss(x, lengths, labels, jnp.array([2]))[0][0])(logits)
        for labels in (jnp.array([[1, 3, 3, 0]]), jnp.array([[1, 3, 4, -1]]), jnp.array([[1, 3]]))
    ]
    for loss, gradient in both[1:]:
        np.testing.assert_allclose(loss, both[0][0], rtol=1e-6)
        np.testing.assert_allclose(gradient, both[0][1], atol=1e-6)


def test_logits_that_are_minus_infinity_give_numbers():
    logits = jax.random.normal(jax.random.key(4), (1, 7, 5)).at[0, 2, 1].set(-jnp.inf).at[:, :, 3].set(-jnp.inf)
    labels, lengths = jnp.array([[1, 0, 3]]), jnp.array([7])

    def loss(logits):
        return ctc.loss(logits, lengths, labels, jnp.array([2]))[0][0]  # the third character stands past the label

    value, gradient = jax.value_and_grad(loss)(logits)
    np.testing.assert_allclose(value, loss(jnp.maximum(logits, -1e5)), rtol=1e-6)
    assert np.all(np.isfinite(gradient))


def test_frames_needed_counts_repeats_inside_the_label_only():
    labels = jnp.array([[3, 3, 3, 5], [1, 2, 2, 2], [4, 4, 4, 4]])
    assert ctc.frames_needed(labels, jnp.array([4, 2, 0])).tolist() == [6, 2, 0]


def logits_of(paths, classes, confidence=0.9):
    """Logits whose best path is given; other classes share what is left."""
    best = jax.nn.one_hot(jnp.array(paths), classes)
    return jnp.log(best * confidence + (1 - best) * (1 - confidence) / (classes - 1))


def test_greedy_merges_repeats_and_says_where_it_read():
    read = ctc.greedy(logits_of([[2, 0, 0, 2, 0, 1, 1, 2], [1, 1, 1, 1, 1, 1, 1, 1], [2, 2, 2, 2, 2, 2, 2, 2]], 3))
    assert read.counts.tolist() == [3, 1, 0]
    assert read.ids[0, :3].tolist() == [0, 0, 1]
    assert read.starts[0, :3].tolist() == [1, 4, 5]
    assert read.ends[0, :3].tolist() == [3, 5, 7]
    assert (read.starts[1, 0], read.ends[1, 0]) == (0, 8)
    assert set(np.ravel(read.ids[:, 3:])) == {2}
    np.testing.assert_allclose(read.character_confidences[0, :3], 0.9, rtol=1e-6)


def test_greedy_stops_at_the_length():
    read = ctc.greedy(logits_of([[0, 2, 1, 0]], 3), jnp.array([2]))
    assert read.ids[0].tolist() == [0, 2, 2, 2]
    assert read.counts.tolist() == [1]


def test_confidence_is_the_probability_of_the_text():
    logits = jax.random.normal(jax.random.key(3), (1, 4, 3)) * 2
    read = ctc.greedy(logits)
    label = read.ids[0, : int(read.counts[0])].tolist()
    expected = probability_of(label, np.asarray(jax.nn.softmax(logits[0]), np.float64))
    np.testing.assert_allclose(read.confidences[0], expected, rtol=1e-5)


def test_character_confidence_is_the_largest_of_its_columns():
    probabilities = jnp.array([[[0.6, 0.1, 0.3], [0.8, 0.1, 0.1], [0.1, 0.2, 0.7], [0.2, 0.7, 0.1]]])
    read = ctc.greedy(jnp.log(probabilities))
    np.testing.assert_allclose(read.character_confidences[0, :2], [0.8, 0.7], rtol=1e-5)


class AB(Words):
    """Some words of two letters."""

    alphabet = Alphabet("ab")

    def __init__(self, *words):
        self.words = words


def texts_by_probability(logits):
    """Every text of T columns with its probability, summed over all paths."""
    probabilities = np.asarray(jax.nn.softmax(logits), np.float64)
    columns, classes = probabilities.shape
    found = Counter()
    for path in itertools.product(range(classes), repeat=columns):
        found[collapse(path, classes - 1)] += np.prod(probabilities[range(columns), path])
    return found


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("words", [None, ("ab", "b"), ("aab", "abb", "bb"), ("aaa",), ("", "aa", "a"), ("abab", "bbb")])
def test_wide_beam_finds_all_texts_with_their_exact_probability(words, seed):
    logits = 2 * jax.random.normal(jax.random.key(seed), (5, 3))
    grammar = None if words is None else AB(*words)
    expected = {
        ids: p
        for ids, p in texts_by_probability(logits).items()
        if grammar is None or grammar.contains(grammar.alphabet.decode(ids))
    }
    (found,) = ctc.beam(logits[None], grammar=grammar, width=1000)
    assert {hypothesis.ids for hypothesis in found} == set(expected)
    for hypothesis in found:
        np.testing.assert_allclose(hypothesis.log_probability, np.log(expected[hypothesis.ids]), rtol=1e-5, atol=1e-6)
    assert [h.log_probability for h in found] == sorted((h.log_probability for h in found), reverse=True)


def test_beam_takes_the_lengths():
    logits = jax.random.normal(jax.random.key(0), (2, 5, 3))
    both = ctc.beam(logits, jnp.array([5, 3]), width=100)
    assert both[0] == ctc.beam(logits[:1], width=100)[0]
    assert both[1] == ctc.beam(logits[1:, :3], width=100)[0]


@pytest.mark.parametrize("width", [1, 2, 16])
def test_narrow_beam_ends_in_a_sentence_whatever_the_network_says(width):
    grammar = Level1()
    for columns in (5, 6, 9):
        logits = 5 * jax.random.normal(jax.random.key(columns), (8, columns, grammar.alphabet.size))
        for found in ctc.beam(logits, grammar=grammar, width=width):
            assert 1 <= len(found) <= width
            assert all(grammar.contains(grammar.alphabet.decode(h.ids)) for h in found)


def test_beam_uses_each_column_where_a_word_needs_them_all():
    logits = jnp.zeros((1, 5, 3))
    (found,) = ctc.beam(logits, grammar=AB("aaa"), width=1)
    assert found[0].ids == (0, 0, 0)
    np.testing.assert_allclose(found[0].log_probability, 5 * np.log(1 / 3), rtol=1e-6)  # a, blank, a, blank, a
    assert ctc.beam(logits[:, :4], grammar=AB("aaa")) == [[]]


def test_beam_finds_what_greedy_misses():
    # Two columns: the best path is two blanks (0.36), and the text a has 0.64.
    logits = jnp.log(jnp.array([[[0.4, 1e-9, 0.6], [0.4, 1e-9, 0.6]]]))
    assert ctc.greedy(logits).counts.tolist() == [0]
    assert ctc.beam(logits)[0][0].ids == (0,)


def test_beam_checks_the_alphabet():
    with pytest.raises(ValueError, match="logits of 3 characters, and 2"):
        ctc.beam(jnp.zeros((1, 5, 4)), grammar=AB("ab"))


@pytest.mark.parametrize("ids", [(), (0,), (0, 1), (1, 1), (0, 0, 1)])
def test_alignment_is_the_best_path_and_knows_the_probability(ids):
    logits = 2 * jax.random.normal(jax.random.key(len(ids)), (6, 3))
    probabilities = np.asarray(jax.nn.softmax(logits), np.float64)
    paths = [path for path in itertools.product(range(3), repeat=6) if collapse(path, 2) == ids]
    best = max(paths, key=lambda path: np.prod(probabilities[range(6), path]))
    aligned = ctc.align(logits, ids)
    spans = [(k, len(list(run))) for k, run in itertools.groupby(best)]
    starts = np.cumsum([0, *[length for _, length in spans]])
    expected = [(starts[i], starts[i + 1]) for i, (k, _) in enumerate(spans) if k != 2]
    assert list(zip(aligned.starts, aligned.ends, strict=True)) == expected
    for i, start, end, confidence in zip(ids, aligned.starts, aligned.ends, aligned.confidences, strict=True):
        np.testing.assert_allclose(confidence, probabilities[start:end, i].max(), rtol=1e-5)
    np.testing.assert_allclose(np.exp(aligned.log_probability), probability_of(ids, probabilities), rtol=1e-5)


def test_alignment_of_greedy_is_greedys_own():
    logits = logits_of([[2, 0, 0, 2, 0, 1, 1, 2]], 3)
    read, aligned = ctc.greedy(logits), ctc.align(logits[0], [0, 0, 1])
    assert aligned.starts.tolist() == read.starts[0, :3].tolist()
    assert aligned.ends.tolist() == read.ends[0, :3].tolist()
    np.testing.assert_allclose(np.exp(aligned.log_probability), read.confidences[0], rtol=1e-5)


def test_alignment_of_a_text_that_does_not_fit():
    with pytest.raises(ValueError, match="3 characters can't be aligned to 4 columns"):
        ctc.align(jnp.zeros((4, 3)), (0, 0, 0))
