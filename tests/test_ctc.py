"""The loss against a sum over all paths, greedy reading against paths written by hand."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from crnn_jax import ctc


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
    losses, feasible = ctc.loss(logits, jnp.array([length]), pad([label], 3, 2), jnp.array([len(label)]))
    expected = probability_of(label, np.asarray(jax.nn.softmax(logits[0, :length]), np.float64))
    assert feasible[0]
    np.testing.assert_allclose(losses[0], -np.log(expected), rtol=1e-5)


def test_label_that_does_not_fit_is_masked_and_told():
    logits = jax.random.normal(jax.random.key(0), (2, 3, 3))
    labels, lengths = jnp.array([[1, 1], [0, 1]]), jnp.array([2, 2])

    def total(logits):
        return jnp.sum(ctc.loss(logits, lengths, labels, jnp.array([2, 2]))[0])

    losses, feasible = ctc.loss(logits, lengths, labels, jnp.array([2, 2]))
    assert feasible.tolist() == [False, True]  # 1, blank, 1 needs three columns
    assert losses[0] == 0
    assert losses[1] > 0
    gradient = jax.grad(total)(logits)
    assert not np.any(gradient[0])
    assert np.all(np.isfinite(gradient))
    assert not np.any(gradient[1, 2])  # a column past the length


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
