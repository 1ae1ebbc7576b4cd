"""Learning rates over a run."""

from __future__ import annotations

from typing import Any

import jax
import optax
from optax.contrib import MuonDimensionNumbers, muon

from crnn_jax.training.config import Config

_DECAY = 0.1  # of ``step``, from stage to stage
_WARM_UP = 0.2  # share of ``onecycle`` in which the rate rises
_START, _END = 25.0, 1e4  # ``onecycle`` starts at the top divided by the first and ends at that divided by the second
_EPSILON = 1e-7  # Adam's, as in Keras
_MUON_RMS = 0.2  # of an update, for a learning rate of 1


def make_schedule(config: Config) -> optax.Schedule:
    """The learning rate as a function of the step."""
    match config.lr_schedule:
        case "constant":
            return optax.constant_schedule(config.learning_rate)
        case "step":
            stage = config.epochs / config.lr_stages
            boundaries = {round(stage * i) * config.steps_per_epoch: _DECAY for i in range(1, config.lr_stages)}
            return optax.piecewise_constant_schedule(config.learning_rate, boundaries)
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
        optimizer = muon(schedule, consistent_rms=_MUON_RMS, muon_weight_dimension_numbers=_matrices)
    clip = optax.identity() if config.clip_norm is None else optax.clip_by_global_norm(config.clip_norm)
    return optax.chain(clip, optimizer)


def _matrices(params: Any) -> Any:
    """How each kernel of a network is a matrix: convolutions from all that they see to channels, recurrent ones a direction."""

    def matrix(path: tuple[Any, ...], kernel: jax.Array) -> MuonDimensionNumbers | None:
        if kernel.ndim == 4:
            return MuonDimensionNumbers((0, 1, 2), 3)
        if kernel.ndim == 3:
            return MuonDimensionNumbers(1, 2)
        hidden = kernel.ndim == 2 and path[-1].key == "kernel" and path[0].key != "classifier"
        return MuonDimensionNumbers(0, 1) if hidden else None

    return jax.tree_util.tree_map_with_path(matrix, params)
