"""Convolutions over columns, against flax's own."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from networks import fresh

from crnn_jax.models.temporal import TemporalConvolutions

B, T, C = 2, 20, 5
NORMALIZATION = {"train": False, "momentum": 0.9, "epsilon": 1e-3, "axis_name": None}
LAYER = TemporalConvolutions(C, "he_uniform", NORMALIZATION)


@pytest.fixture(scope="module")
def columns():
    return jax.random.normal(jax.random.key(1), (B, T, C))


@pytest.fixture(scope="module")
def variables(columns):
    return fresh(LAYER, columns, jnp.full(B, T))


def test_equals_flax_s_dilated_convolutions(columns, variables):
    expected = columns
    for i, dilation in enumerate(LAYER.dilations):
        kernel = variables["params"][f"Dense_{i}"]["kernel"].reshape(3, C, C)
        convolution = nn.Conv(C, (3,), kernel_dilation=dilation, use_bias=False)
        y = np.asarray(convolution.apply({"params": {"kernel": kernel}}, expected))
        norm = variables["params"][f"Normalization_{i}"]["norm"]
        y = y / np.sqrt(1 + NORMALIZATION["epsilon"])  # fresh statistics: mean 0, variance 1
        expected = expected + nn.relu(y * norm["scale"] + norm["bias"])
    ours = LAYER.apply(variables, columns, jnp.full(B, T))
    np.testing.assert_allclose(ours, expected, atol=1e-5)


def test_columns_past_the_length_are_not_there(columns, variables):
    lengths = jnp.array([12, T])
    ours = LAYER.apply(variables, columns.at[0, 12:].set(99.0), lengths)
    alone = LAYER.apply(variables, columns[:1, :12], jnp.array([12]))
    np.testing.assert_allclose(ours[0, :12], alone[0], atol=1e-6)
    assert not np.any(ours[0, 12:])


def test_a_column_sees_as_far_as_the_dilations_reach(columns, variables):
    one = columns[:1]
    change = LAYER.apply(variables, one.at[0, 10].add(1.0), jnp.array([T])) - LAYER.apply(variables, one, jnp.array([T]))
    seen = np.flatnonzero(np.abs(change[0]).sum(axis=1))
    assert (seen.min(), seen.max()) == (10 - sum(LAYER.dilations), 10 + sum(LAYER.dilations))
