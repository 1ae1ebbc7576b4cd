"""Learning rates over a run."""

from __future__ import annotations

from typing import Any

import jax
import optax
from optax.contrib import MuonDimensionNumbers, muon

from crnn_jax.training.config import Config

_WARM_UP = 0.2  # share of ``onecycle`` in which the rate rises
_START, _END = 25.0, 1e4  # ``onecycle`` starts at the top divided by the first and ends at that divided by the second
_EPSILON = 1e-7  # Adam's, as in Keras
_MUON_RMS = 0.2  # of an update, for a learning rate of 1


def make_schedule(config: Config) -> optax.Schedule:
    """The learning rate as a function of the step."""
    match config.lr_schedule:
        case "constant":
            return optax.constant_schedule(config.learning_rate)
        case "step" | "alternate":
            rates = [optax.constant_schedule(config.learning_rate * share) for _, share in config.stages]
            return optax.join_schedules(rates, [step for step, _ in config.stages[1:]])
        case "onecycle":
            return optax.cosine_onecycle_schedule(max(2, config.total_steps), config.learning_rate, _WARM_UP, _START, _END)


def make_optimizer(config: Config) -> optax.GradientTransformation:
    """The run's optimiser with its schedule; gradients are clipped by their global norm first.

    ``adam``: Kingma and Ba 2014. ``muon``: Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024, its
    updates scaled to the size of Adam's (Liu et al., "Muon is scalable for LLM training", 2025, section 2.2) so that one rate
    suits both; vectors and the classifier are left to Adam.
    """
    schedule = make_schedule(config)
    if config.optimizer == "adam":
        optimizer = optax.adam(schedule, eps=_EPSILON)
    else:
        optimizer = muon(
            schedule,
            consistent_rms=_MUON_RMS,
            weight_decay=config.weight_decay,
            muon_weight_dimension_numbers=_matrices,
        )
    clip = optax.identity() if config.clip_norm is None else optax.clip_by_global_norm(config.clip_norm)
    # The gradient of the squares; before Adam, as in Keras, and not beside it as in AdamW.
    penalty = optax.add_decayed_weights(2 * config.l2, _penalised) if config.l2 else optax.identity()
    return optax.chain(clip, penalty, optimizer)


def _penalised(params: Any) -> Any:
    """Everything but recurrent layers, the attention head among them."""
    return jax.tree_util.tree_map_with_path(lambda path, _: not path[0].key.startswith(("Bidirectional", "Attention")), params)


def _matrices(params: Any) -> Any:
    """How each kernel of a network is a matrix: convolutions from all that they see to channels, recurrent ones a direction."""

    def matrix(path: tuple[Any, ...], kernel: jax.Array) -> MuonDimensionNumbers | None:
        if kernel.ndim == 4:
            return MuonDimensionNumbers((0, 1, 2), 3)
        if kernel.ndim == 3:
            return MuonDimensionNumbers(1, 2)
        hidden = kernel.ndim == 2 and path[-1].key.endswith("kernel") and path[0].key != "classifier"
        return MuonDimensionNumbers(0, 1) if hidden else None

    return jax.tree_util.tree_map_with_path(matrix, params)
