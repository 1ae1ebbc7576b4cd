import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from optax.contrib import MuonDimensionNumbers
from optax.contrib import muon as optax_muon

from crnn_jax import Config
from crnn_jax.models.crnn import CRNN
from crnn_jax.training.muon import muon, orthogonalize, shared_out
from crnn_jax.training.schedules import make_optimizer
from crnn_jax.training.state import create_state

CONFIG = Config(
    optimizer="muon", learning_rate=0.1, lr_schedule="constant", clip_norm=None, hidden=16, head="attention", positions=2
)
AXIS = "devices"


@pytest.fixture(scope="module")
def params():
    return create_state(CRNN(CONFIG.architecture, 21), optax.identity(), jax.random.key(0), 16, 64).params


def random_like(tree, seed=0):
    def draw():
        return jax.tree.map(lambda p: jax.random.normal(jax.random.fold_in(jax.random.key(seed), p.size), p.shape), tree)

    return jax.jit(draw)()


def first_step(tx, gradients, params):
    """The optimiser's first updates; jitted, or each operation of it would be compiled alone."""
    return jax.jit(lambda gradients, params: tx.update(gradients, tx.init(params), params)[0])(gradients, params)


def spread(matrix):
    values = np.linalg.svd(matrix, compute_uv=False)
    return values.max() / values.min()


def test_steps_of_hidden_kernels_are_orthogonal_and_others_adam_s(params):
    tx = make_optimizer(CONFIG)
    gradients = random_like(params)
    updates = first_step(tx, gradients, params)
    recurrent = updates["BidirectionalGRU_0"]["recurrent_kernel"]
    head = [updates["Attention_0"]["query_kernel"], *updates["Attention_0"]["recurrent_kernel"]]
    hidden = [updates["columns"]["kernel"], *recurrent, *head, updates["Light_0"]["Conv_0"]["kernel"].reshape(-1, 48)]
    assert all(spread(matrix) < 2.5 for matrix in hidden)  # five Newton-Schulz steps give values of 0.7 to 1.2
    assert spread(gradients["classifier"]["kernel"]) > 2.5
    # Adam's first step is the sign of the gradient, times a constant.
    sizes = np.abs(updates["classifier"]["kernel"])
    np.testing.assert_allclose(sizes, sizes[0, 0], rtol=1e-3)


@pytest.mark.parametrize("shape", [(48, 16), (16, 48), (24, 24)])
@pytest.mark.parametrize("smallest", [1.0, 1e-2, 1e-6])
def test_orthogonalize_is_newton_and_schulz_s(shape, smallest):
    left, values, right = np.linalg.svd(np.random.default_rng(0).normal(size=shape), full_matrices=False)
    values = np.geomspace(1, smallest, len(values))
    expected = values / np.linalg.norm(values)
    for _ in range(5):
        expected = 3.4445 * expected - 4.7750 * expected**3 + 2.0315 * expected**5
    matrix = jnp.asarray((left * values) @ right, jnp.float32)
    np.testing.assert_allclose(orthogonalize(matrix), (left * expected) @ right, atol=2e-3)


def test_of_nothing_is_nothing():
    np.testing.assert_array_equal(orthogonalize(jnp.zeros((4, 6))), 0)


def test_first_step_is_optax_s(params):
    def matrix(path, leaf):
        if path[0].key == "classifier" or leaf.ndim < 2 or "bias" in path[-1].key:
            return None
        return {2: MuonDimensionNumbers(0, 1), 3: MuonDimensionNumbers(1, 2), 4: MuonDimensionNumbers((0, 1, 2), 3)}[leaf.ndim]

    theirs = optax_muon(
        0.1,
        weight_decay=0.1,
        consistent_rms=0.2,
        muon_weight_dimension_numbers=lambda p: jax.tree_util.tree_map_with_path(matrix, p),
    )
    ours = muon(optax.constant_schedule(0.1), 0.1)
    gradients = random_like(params)
    expected, actual = (first_step(tx, gradients, params) for tx in (theirs, ours))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-4), actual, expected)


@pytest.mark.parametrize("devices", [2, 3])
def test_devices_that_share_the_work_take_the_same_step(params, devices):
    alone = muon(optax.constant_schedule(0.1), 0.1)
    shared = muon(optax.constant_schedule(0.1), 0.1, AXIS, devices)
    gradients = random_like(params)
    step = jax.pmap(
        lambda device, g, p: shared.update(g, shared.init(p), p)[0],
        AXIS,
        in_axes=(0, None, None),
        devices=jax.local_devices()[:devices],
    )
    expected = first_step(alone, gradients, params)
    for device, update in enumerate(jax.tree.leaves(step(np.arange(devices), gradients, params))):
        np.testing.assert_allclose(update[device % devices], jax.tree.leaves(expected)[device], atol=1e-4)


def test_work_is_shared_evenly_and_completely():
    shares = shared_out([5, 1, 1, 1, 1, 1, 9], 3)
    assert sorted(job for share in shares for job in share) == list(range(7))
    assert {6} in shares
    assert shared_out([1], 3) == [frozenset({0}), frozenset(), frozenset()]
