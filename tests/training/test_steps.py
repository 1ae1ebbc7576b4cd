"""What a step computes must not depend on the devices that compute it."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from sources import bars_task

from crnn_jax import Architecture, Config, ctc
from crnn_jax.data.examples import PADDING, BatchMaker
from crnn_jax.models.crnn import CRNN
from crnn_jax.training import steps
from crnn_jax.training.schedules import make_optimizer
from crnn_jax.training.state import create_state

TASK = bars_task()
BATCH = 8
DOCUMENT = Architecture(backbone="light", hidden=16, dropout=0.3)


def batches(count, empty=()):
    maker = BatchMaker(TASK.source("train", 0), TASK.preparation, TASK.alphabet, TASK.max_length)
    for i in range(count):
        indices = np.arange(i * BATCH, (i + 1) * BATCH)
        indices[list(empty)] = PADDING
        yield maker(indices)


def run(device_count, count=4, batch_norm="global", empty=(), architecture=DOCUMENT):
    devices = jax.devices()[:device_count]
    model = CRNN(architecture, TASK.alphabet.size, axis_name=steps.AXIS if batch_norm == "global" else None)
    tx = make_optimizer(Config(learning_rate=1e-3, lr_schedule="constant"))
    state = create_state(model, tx, jax.random.key(0), TASK.preparation.height, TASK.preparation.width)
    state = steps.replicate(state, devices)
    step = steps.make_train_step(model, tx, devices, average_statistics=batch_norm == "tower")
    metrics = []
    for batch in batches(count, empty):
        state, sums = step(state, steps.shard(batch, device_count), jax.random.key(1))
        metrics.append(steps.unreplicate(sums))
    return state, metrics


@pytest.fixture(scope="module")
def alone():
    return run(1)


@pytest.mark.parametrize("device_count", [pytest.param(2, marks=pytest.mark.slow), 4])
def test_same_global_batch_gives_the_same_parameters_on_any_number_of_devices(alone, device_count):
    state, metrics = run(device_count)
    expected = steps.unreplicate(alone[0])
    for name in ("params", "batch_stats", "opt_state"):
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-3, atol=2e-6),
            getattr(steps.unreplicate(state), name),
            getattr(expected, name),
        )
    for a, b in zip(metrics, alone[1], strict=True):
        np.testing.assert_allclose(a["loss"], b["loss"], rtol=1e-4)
        assert a["examples"] == b["examples"] == BATCH
    # All devices hold the same numbers.
    for leaf in jax.tree.leaves(state):
        assert np.all(np.asarray(leaf) == np.asarray(leaf)[:1])


@pytest.mark.slow
def test_the_attention_head_is_trained_alike_on_any_number_of_devices():
    architecture = Architecture(backbone="light", rnn="none", hidden=16, dropout=0.3, head="attention", positions=3)
    (_, alone), (_, together) = (run(count, count=2, architecture=architecture) for count in (1, 2))
    for a, b in zip(alone, together, strict=True):
        assert a["examples"] == b["examples"] == BATCH
        for name in ("loss", "gradient_norm"):
            np.testing.assert_allclose(a[name], b[name], rtol=1e-3)


def test_towers_normalise_on_their_own(alone):
    state, _ = run(2, batch_norm="tower")
    first, tower = (jax.tree.leaves(steps.unreplicate(s).params)[0] for s in (alone[0], state))
    assert np.abs(first - tower).max() > 1e-5
    stats = jax.tree.leaves(state.batch_stats)
    assert all(np.all(np.asarray(leaf)[0] == np.asarray(leaf)[1]) for leaf in stats)


def test_step_is_plain_gradient_descent():
    """Against jax.grad of the mean loss, with an optimiser that shows the gradient as it is."""
    plain = CRNN(Architecture(backbone="light", rnn="none", hidden=16), TASK.alphabet.size)
    model = plain.clone(axis_name=steps.AXIS)
    tx = optax.sgd(1.0)
    start = create_state(model, tx, jax.random.key(0), TASK.preparation.height, TASK.preparation.width)
    batch = next(batches(1))
    step = steps.make_train_step(model, tx, jax.devices()[:2])
    state, _ = step(steps.replicate(start, jax.devices()[:2]), steps.shard(batch, 2), jax.random.key(1))

    @jax.jit
    def mean_loss(params):
        variables = {"params": params, "batch_stats": start.batch_stats}
        (logits, lengths), _ = plain.apply(variables, batch["images"], batch["widths"], train=True, mutable=["batch_stats"])
        return jnp.mean(ctc.loss(logits, lengths, batch["labels"], batch["label_lengths"])[0])

    expected = jax.tree.map(lambda p, g: p - g, start.params, jax.grad(mean_loss)(start.params))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-4), steps.unreplicate(state).params, expected)


def test_averages_follow_the_network_slowly():
    devices = jax.devices()[:1]
    model = CRNN(Architecture(backbone="light", rnn="none", hidden=16), TASK.alphabet.size)
    tx = optax.sgd(1.0)
    start = create_state(model, tx, jax.random.key(0), TASK.preparation.height, TASK.preparation.width, averaged=True)
    step = steps.make_train_step(model, tx, devices, ema=0.15)
    state, expected = steps.replicate(start, devices), start.weights
    for batch, kept in zip(batches(2), (0.1, 0.15), strict=True):  # 1 / 10 in the first step, and 2 / 11 would be more
        state, _ = step(state, steps.shard(batch, 1), jax.random.key(1))
        now = steps.unreplicate(state)
        network = {"params": now.params, "batch_stats": now.batch_stats}
        expected = jax.tree.map(lambda old, new, kept=kept: kept * old + (1 - kept) * new, expected, network)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), now.weights, expected)
    other = jax.tree.map(np.zeros_like, network)
    assert now.with_weights(other).weights is other
    assert not now.with_weights(other).params["classifier"]["bias"].any()


@pytest.mark.parametrize("given", [False, True], ids=["by itself", "by another network"])
def test_of_each_few_neighbours_the_hardest_is_learned(given):
    model = CRNN(Architecture(backbone="light", rnn="none", hidden=16), TASK.alphabet.size)
    tx = optax.sgd(1.0)
    start, other = (
        create_state(model, tx, jax.random.key(key), TASK.preparation.height, TASK.preparation.width) for key in (0, 1)
    )
    batch = next(batches(1, empty=(2, 6, 7)))
    logits, lengths = jax.jit(model.apply)((other if given else start).weights, batch["images"], batch["widths"])
    losses = np.asarray(jax.jit(ctc.loss)(logits, lengths, batch["labels"], batch["label_lengths"])[0])
    # The last two are empty: it doesn't matter which is taken.
    picks = [0 if losses[0] > losses[1] else 1, 3, 4 if losses[4] > losses[5] else 5, 6]
    for count in (1, 2, 4):
        devices = jax.devices()[:count]
        choose = steps.make_choose_step(model, 2, devices, other.weights if given else None)
        chosen = steps.gather(choose(steps.replicate(start, devices), steps.shard(batch, count, stop=True)))
        for name in ("images", "widths", "labels", "label_lengths", "weights"):
            np.testing.assert_array_equal(chosen[name], batch[name][picks])
        assert chosen["positions"].tolist() == [0, 1, 2, 3]
        assert not chosen["infeasible"].any()
        assert chosen["requests"].reshape(count, 2).tolist() == [[1, 0]] * count


def test_labels_that_do_not_fit_count_where_others_are_chosen_too():
    model = CRNN(Architecture(backbone="light", rnn="none", hidden=16), TASK.alphabet.size, axis_name=steps.AXIS)
    tx = optax.sgd(1.0)
    devices = jax.devices()[:2]
    state = steps.replicate(
        create_state(model, tx, jax.random.key(0), TASK.preparation.height, TASK.preparation.width), devices
    )
    batch = next(batches(1))
    batch["widths"][[0, 2, 3]] = 0  # no column is left
    step = steps.make_train_step(model, tx, devices, choose=steps.make_choose_step(model, 2, devices))
    sums = steps.unreplicate(step(state, steps.shard(batch, 2), jax.random.key(1))[1])
    assert (sums["infeasible"], sums["examples"]) == (3, 3)


def test_empty_places_do_not_count():
    _, metrics = run(2, count=1, empty=(0, 5, 6))
    assert metrics[0]["examples"] == BATCH - 3


def test_dropout_changes_with_the_step_and_with_nothing_else():
    devices = jax.devices()[:1]
    model = CRNN(DOCUMENT, TASK.alphabet.size, axis_name=steps.AXIS)
    tx = optax.sgd(0.0)
    step = steps.make_train_step(model, tx, devices)
    start = create_state(model, tx, jax.random.key(0), TASK.preparation.height, TASK.preparation.width)
    batch = steps.shard(next(batches(1)), 1)

    def loss(number):
        state = steps.replicate(start.replace(step=jnp.int32(number)), devices)
        return float(steps.unreplicate(step(state, batch, jax.random.key(1))[1])["loss"])

    assert loss(0) == loss(0)
    assert len({loss(number) for number in range(3)}) == 3


def test_unreplicate_and_gather_undo_replicate_and_shard():
    devices = jax.devices()[:2]
    tree = {"a": np.arange(6.0).reshape(2, 3), "b": np.float32(2)}
    back = steps.unreplicate(steps.replicate(tree, devices))
    jax.tree.map(np.testing.assert_array_equal, back, tree)
    batch = next(batches(1))
    np.testing.assert_array_equal(steps.gather(steps.shard(batch, 2))["labels"], batch["labels"])
