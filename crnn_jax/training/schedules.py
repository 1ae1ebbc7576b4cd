"""Learning rates over a run."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import optax

from crnn_jax.training.config import Config
from crnn_jax.training.muon import is_kernel, muon

_WARM_UP = 0.2  # share of ``onecycle`` in which the rate rises
_START, _END = 25.0, 1e4  # ``onecycle`` starts at the top divided by the first and ends at that divided by the second
_EPSILON = 1e-7  # Adam's, as in Keras


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


def make_optimizer(config: Config, axis_name: str | None = None, devices: int = 1) -> optax.GradientTransformation:
    """The run's optimiser with its schedule; gradients are clipped by their global norm first.

    ``adam``: Kingma and Ba 2014, with weight decay Loshchilov and Hutter 2019. ``muon``: `crnn_jax.training.muon`.

    Args:
        config: of the run.
        axis_name: pmap axis of the devices that may share its work; None: it is used outside of pmap.
        devices: how many there are.
    """
    schedule = make_schedule(config)
    if config.optimizer == "muon":
        optimizer = muon(schedule, config.weight_decay, axis_name, devices)
    elif config.weight_decay:
        optimizer = optax.adamw(schedule, eps=_EPSILON, weight_decay=config.weight_decay, mask=_kernels)
    else:
        optimizer = optax.adam(schedule, eps=_EPSILON)
    clip = optax.identity() if config.clip_norm is None else optax.clip_by_global_norm(config.clip_norm)
    # The gradient of the squares; before Adam, as in Keras, and not beside it as in AdamW.
    penalty = optax.add_decayed_weights(2 * config.l2, _penalised) if config.l2 else optax.identity()
    return optax.chain(clip, penalty, optimizer)


def without_memory(opt_state: Any) -> Any:
    """An optimiser's state, in host memory, in which no gradients were seen; its schedule stands where it stood.

    Adam's count goes too: by it, moments are made larger that have seen few gradients.
    """

    def forget(part: Any) -> Any:
        adam = isinstance(part, optax.ScaleByAdamState)
        return jax.tree.map(lambda x: np.zeros_like(x) if adam or np.issubdtype(x.dtype, np.floating) else x, part)

    return jax.tree.map(forget, opt_state, is_leaf=lambda part: isinstance(part, optax.ScaleByAdamState))


def _kernels(params: Any) -> Any:
    return jax.tree_util.tree_map_with_path(lambda path, _: is_kernel(path), params)


def _penalised(params: Any) -> Any:
    """Everything but recurrent layers, the attention head among them."""
    return jax.tree_util.tree_map_with_path(lambda path, _: not path[0].key.startswith(("Bidirectional", "Attention")), params)
