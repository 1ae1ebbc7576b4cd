"""Our scanned layer against flax's own cell."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from networks import fresh

from crnn_jax.models.recurrent import BidirectionalGRU, BidirectionalLSTM, gru_scan, gru_step

B, T, D, H = 3, 6, 5, 4


def flax_params(params, direction):
    """The parameters of one direction as `flax.linen.GRUCell` names them."""
    gates = {}
    for i, gate in enumerate("rzn"):
        part = slice(i * H, (i + 1) * H)
        gates[f"i{gate}"] = {
            "kernel": params["input_kernel"][direction][:, part],
            "bias": params["input_bias"][direction][part],
        }
        gates[f"h{gate}"] = {"kernel": params["recurrent_kernel"][direction][:, part]}
    gates["hn"]["bias"] = params["recurrent_bias"][direction]
    return {"cell": gates}


def flax_lstm_params(params, direction):
    """The parameters of one direction as `flax.linen.LSTMCell` names them."""
    gates = {}
    for i, gate in enumerate("ifgo"):
        part = slice(i * H, (i + 1) * H)
        # Ours come in the order input, forget, new, output; flax adds its bias on the side of the state.
        gates[f"i{gate}"] = {"kernel": params["input_kernel"][direction][:, part]}
        gates[f"h{gate}"] = {
            "kernel": params["recurrent_kernel"][direction][:, part],
            "bias": params["input_bias"][direction][part],
        }
    return {"cell": gates}


@pytest.fixture
def columns():
    return jax.random.normal(jax.random.key(1), (B, T, D))


@pytest.mark.parametrize("merge", ["sum", "concat"])
@pytest.mark.parametrize("ours_and_flax_s", [(BidirectionalGRU, nn.GRUCell), (BidirectionalLSTM, nn.LSTMCell)])
def test_equals_flax_s_cell_run_both_ways(columns, merge, ours_and_flax_s):
    module, flax_s = ours_and_flax_s
    named = flax_params if module is BidirectionalGRU else flax_lstm_params
    layer = module(H, merge=merge)
    lengths = jnp.array([6, 4, 1])
    variables = fresh(layer, columns, lengths)
    ours = jax.jit(layer.apply)(variables, columns, lengths)

    run = jax.jit(nn.RNN(flax_s(H)).apply)
    for b, length in enumerate(lengths.tolist()):
        x = columns[b : b + 1, :length]
        forward = run({"params": named(variables["params"], 0)}, x)[0]
        backward = run({"params": named(variables["params"], 1)}, x[:, ::-1])[0, ::-1]
        expected = forward + backward if merge == "sum" else jnp.concatenate([forward, backward], axis=-1)
        np.testing.assert_allclose(ours[b, :length], expected, atol=1e-6)
        assert not np.any(ours[b, length:])


def test_gradient_equals_flax_s(columns):
    layer = BidirectionalGRU(H, merge="concat")
    lengths = jnp.full(B, T)
    variables = fresh(layer, columns, lengths)
    cell = nn.RNN(nn.GRUCell(H))

    def ours(params, x):
        return jnp.sum(jnp.sin(layer.apply({"params": params}, x, lengths)))

    def theirs(params, x):
        forward = cell.apply({"params": flax_params(params, 0)}, x)
        backward = cell.apply({"params": flax_params(params, 1)}, x[:, ::-1])
        return jnp.sum(jnp.sin(forward)) + jnp.sum(jnp.sin(backward))

    mine, expected = (jax.jit(jax.grad(f, argnums=(0, 1)))(variables["params"], columns) for f in (ours, theirs))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-5), mine, expected)


def test_gradient_of_strips_of_several_lengths_is_that_of_the_steps(columns):
    rng = np.random.default_rng(0)
    projected = jnp.asarray(rng.standard_normal((T, 2, B, 3 * H)), jnp.float32)
    inside = jnp.arange(T)[:, None, None, None] < jnp.array([T, 3, 0, T - 1][:B])[None, None, :, None]
    inside = jnp.concatenate([inside, inside[::-1]], axis=1)
    kernel, bias = jnp.asarray(rng.standard_normal((2, H, 3 * H)), jnp.float32), jnp.asarray(rng.standard_normal((2, 1, H)))
    weights = jnp.asarray(rng.standard_normal((T, 2, B, H)), jnp.float32)

    def stepwise(projected, kernel, bias):
        state, states = jnp.zeros((2, B, H)), []
        for t in range(T):
            state = jnp.where(inside[t], gru_step(state, projected[t], state @ kernel, bias), state)
            states.append(state)
        return jnp.sum(weights * jnp.stack(states))

    def scanned(projected, kernel, bias):
        return jnp.sum(weights * gru_scan(projected, inside, kernel, bias))

    mine, expected = (jax.jit(jax.value_and_grad(f, argnums=(0, 1, 2)))(projected, kernel, bias) for f in (scanned, stepwise))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=5e-5), mine, expected)


@pytest.mark.parametrize("layer", [BidirectionalGRU(H), BidirectionalLSTM(H)])
def test_what_lies_past_the_length_is_never_seen(columns, layer):
    lengths = jnp.array([6, 4, 0])
    variables = fresh(layer, columns, lengths)
    changed = columns.at[1, 4:].set(99.0).at[2].set(-99.0)
    np.testing.assert_array_equal(layer.apply(variables, columns, lengths), layer.apply(variables, changed, lengths))


def test_each_gate_is_initialised_as_a_layer_of_its_own(columns):
    params = jax.jit(BidirectionalGRU(H).init)(jax.random.key(0), columns, jnp.full(B, T))["params"]
    for direction in range(2):
        for gate in range(3):
            square = params["recurrent_kernel"][direction][:, gate * H : (gate + 1) * H]
            np.testing.assert_allclose(square @ square.T, np.eye(H), atol=1e-5)
