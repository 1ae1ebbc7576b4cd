"""The state of a training run."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import struct

from crnn_jax.models.crnn import CRNN


@struct.dataclass
class TrainState:
    """All that a step changes.

    Attributes:
        step: () int32, batches seen.
        params: the network's parameters, float32.
        batch_stats: BatchNorm's running statistics, float32.
        opt_state: the optimiser's.
    """

    step: jax.Array
    params: Any
    batch_stats: Any
    opt_state: Any


def create_state(model: CRNN, tx: optax.GradientTransformation, key: jax.Array, height: int, width: int) -> TrainState:
    """Fresh parameters for pictures of some size."""
    images = jnp.zeros((1, height, width, 3), jnp.uint8)
    variables = jax.jit(model.init)(key, images, jnp.array([width]))
    params = variables["params"]
    return TrainState(jnp.zeros((), jnp.int32), params, variables["batch_stats"], tx.init(params))


def parameter_count(params: Any) -> int:
    """Numbers that training changes."""
    return sum(leaf.size for leaf in jax.tree.leaves(params))
