"""The state of a training run."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import struct

from crnn_jax.errors import UserError
from crnn_jax.models.crnn import CRNN

# A program that runs once: optimised, it took two and a half times as long to compile.
_SOON_COMPILED = {"xla_backend_optimization_level": 0}


@struct.dataclass
class TrainState:
    """All that a step changes.

    Attributes:
        step: () int32, batches seen.
        params: the network's parameters, float32.
        batch_stats: BatchNorm's running statistics, float32.
        opt_state: the optimiser's.
        averages: moving averages of the two, ``params`` and ``batch_stats``, for reading; None: there are none.
    """

    step: jax.Array
    params: Any
    batch_stats: Any
    opt_state: Any
    averages: dict[str, Any] | None = None

    @property
    def weights(self) -> dict[str, Any]:
        """The network to read with, ``params`` and ``batch_stats``."""
        return self.averages or {"params": self.params, "batch_stats": self.batch_stats}

    def with_weights(self, weights: dict[str, Any]) -> TrainState:
        """The same with another network, ``params`` and ``batch_stats``, to go on from and to read with."""
        averages = None if self.averages is None else weights
        return self.replace(**weights, averages=averages)  # type: ignore[attr-defined]


def create_state(
    model: CRNN, tx: optax.GradientTransformation, key: jax.Array, height: int, width: int, *, averaged: bool = False
) -> TrainState:
    """Fresh parameters for pictures of some size, perhaps with their averages.

    Raises:
        UserError: the convolutions leave nothing of the height.
    """

    @partial(jax.jit, compiler_options=_SOON_COMPILED)
    def fresh(key: jax.Array) -> tuple[Any, Any]:
        variables = model.init(key, jnp.zeros((1, height, width, 3), jnp.uint8), jnp.array([width]))
        return variables, tx.init(variables["params"])

    backbone = model.architecture.backbone
    too_low = UserError(f"{backbone} leaves nothing of a height of {height} pixels: use higher pictures or another backbone")
    try:
        variables, opt_state = fresh(key)
    except ZeroDivisionError:  # by an initialiser of jax before 0.12, for the weights of no rows
        raise too_low from None
    if any(leaf.size == 0 for leaf in jax.tree.leaves(variables["params"])):
        raise too_low
    params, batch_stats = variables["params"], variables["batch_stats"]
    averages = {"params": params, "batch_stats": batch_stats} if averaged else None
    return TrainState(jnp.zeros((), jnp.int32), params, batch_stats, opt_state, averages)


def parameter_count(params: Any) -> int:
    """Numbers that training changes."""
    return sum(leaf.size for leaf in jax.tree.leaves(params))
