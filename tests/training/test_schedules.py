import jax
import numpy as np
import pytest

from crnn_jax import Config, UserError
from crnn_jax.models.crnn import CRNN
from crnn_jax.training.schedules import make_optimizer, make_schedule, without_memory
from crnn_jax.training.state import create_state


def test_step_is_the_document_s():
    schedule = make_schedule(Config(epochs=40, steps_per_epoch=400, learning_rate=1e-3, lr_schedule="step", lr_stages=2))
    assert schedule(0) == schedule(20 * 400 - 1) == pytest.approx(1e-3)
    assert schedule(20 * 400) == schedule(40 * 400 - 1) == pytest.approx(1e-4)


def test_step_with_three_stages():
    schedule = make_schedule(Config(epochs=150, steps_per_epoch=10, learning_rate=1e-3, lr_schedule="step", lr_stages=3))
    assert [float(schedule(step)) for step in (499, 500, 999, 1000)] == pytest.approx([1e-3, 1e-4, 1e-4, 1e-5])


def test_alternate_falls_to_a_tenth_and_a_hundredth_in_turn_twice():
    config = Config(epochs=100, steps_per_epoch=10, learning_rate=1e-3, lr_schedule="alternate")
    schedule = make_schedule(config)
    rates = [float(schedule(step)) for step in (0, 199, 200, 400, 600, 800, 999)]
    assert rates == pytest.approx([1e-3, 1e-3, 1e-4, 1e-5, 1e-4, 1e-5, 1e-5])
    assert config.restarts == {200, 400, 600, 800}
    assert not Config(epochs=100, lr_schedule="step").restarts


def updates_without_gradients(config):
    """An optimiser's first updates of parameters none of which is zero."""
    tx = make_optimizer(config)
    state = create_state(CRNN(config.architecture, 11), tx, jax.random.key(0), 16, 64)
    params = jax.tree.map(lambda p: np.asarray(p) + 0.5, state.params)
    return jax.jit(tx.update)(jax.tree.map(np.zeros_like, params), state.opt_state, params)[0]


def test_l2_pulls_on_everything_but_recurrent_layers():
    config = Config(
        l2=0.01, lr_schedule="constant", learning_rate=1.0, clip_norm=None, hidden=16, head="attention", positions=2
    )
    updates = updates_without_gradients(config)
    for name, layer in updates.items():
        pulled = [bool(np.any(update)) for update in jax.tree.leaves(layer)]
        assert not any(pulled) if name.startswith(("Bidirectional", "Attention")) else all(pulled), name


@pytest.mark.parametrize("optimizer", ["adam", "muon"])
def test_weight_decay_takes_from_kernels_alone(optimizer):
    config = Config(optimizer=optimizer, weight_decay=0.1, lr_schedule="constant", learning_rate=1.0, clip_norm=None, hidden=16)
    updates = updates_without_gradients(config)
    for path, update in jax.tree_util.tree_leaves_with_path(updates):
        decayed = path[-1].key.endswith("kernel") and not (optimizer == "muon" and path[0].key == "classifier")
        assert bool(np.any(update)) == decayed, path


@pytest.mark.parametrize("optimizer", ["adam", "muon"])
def test_without_memory_steps_are_as_large_as_a_fresh_optimiser_s(optimizer):
    config = Config(optimizer=optimizer, lr_schedule="step", lr_stages=2, epochs=2, steps_per_epoch=2, learning_rate=1.0)
    tx = make_optimizer(config)
    params = {"classifier": {"kernel": np.ones((3, 4), np.float32)}, "columns": {"kernel": np.ones((4, 4), np.float32)}}
    gradients = jax.tree.map(lambda p: np.random.default_rng(0).normal(size=p.shape).astype(np.float32), params)
    update = jax.jit(tx.update)
    fresh, state = update(gradients, tx.init(params), params)
    for _ in range(4):
        _, state = update(gradients, state, params)
    again, _ = update(gradients, without_memory(jax.tree.map(np.asarray, state)), params)
    for a, b in zip(jax.tree.leaves(again), jax.tree.leaves(fresh), strict=True):
        np.testing.assert_allclose(a, 0.1 * b, rtol=1e-4)  # the schedule's second stage


def test_onecycle_rises_for_a_fifth_and_falls():
    schedule = make_schedule(Config(epochs=10, steps_per_epoch=10, learning_rate=3e-3, lr_schedule="onecycle"))
    rates = [float(schedule(step)) for step in range(100)]
    assert max(rates) == pytest.approx(3e-3) == rates[20]
    assert rates[:21] == sorted(rates[:21])
    assert rates[20:] == sorted(rates[20:], reverse=True)
    assert rates[-1] < 1e-5


def test_constant():
    schedule = make_schedule(Config(learning_rate=2e-3, lr_schedule="constant"))
    assert float(schedule(0)) == float(schedule(10**6)) == pytest.approx(2e-3)


@pytest.mark.parametrize(
    "fields",
    [
        {"epochs": 0},
        {"batch_size": 0},
        {"learning_rate": 0.0},
        {"learning_rate": float("nan")},
        {"learning_rate": float("inf")},
        {"weight_decay": float("nan")},
        {"lr_schedule": "cosine"},
        {"dtype": "float16"},
        {"batch_norm": "none"},
        {"seed": -1},
        {"workers": -1},
        {"l2": -0.1},
        {"backbone": "vgg"},
    ],
)
def test_bad_configurations_name_the_field(fields):
    with pytest.raises(UserError, match=next(iter(fields))):
        Config(**fields)


@pytest.mark.parametrize(
    ("fields", "rates"),
    [
        ({"epochs": 1, "lr_schedule": "step"}, [1.0]),
        ({"epochs": 2, "lr_schedule": "step", "lr_stages": 3}, [1.0, 0.1]),
        ({"epochs": 1, "lr_schedule": "alternate"}, [1.0]),
        ({"epochs": 4, "lr_schedule": "alternate"}, [1.0, 0.1, 0.01, 0.1]),
    ],
)
def test_fewer_epochs_than_stages_take_the_first_stages_rates(fields, rates):
    config = Config(steps_per_epoch=2, learning_rate=1.0, **fields)
    schedule = make_schedule(config)
    assert [float(schedule(step)) for step in range(config.total_steps)] == pytest.approx(np.repeat(rates, 2))
