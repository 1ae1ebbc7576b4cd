"""Learning rates over a run."""

from __future__ import annotations

import optax

from crnn_jax.training.config import Config

_DECAY = 0.1  # of ``step``, from stage to stage
_WARM_UP = 0.2  # share of ``onecycle`` in which the rate rises
_START, _END = 25.0, 1e4  # ``onecycle`` starts at the top divided by the first and ends at that divided by the second
_EPSILON = 1e-7  # Adam's, as in Keras


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
    """Adam (Kingma and Ba 2014) with the run's schedule, its gradients clipped by their global norm."""
    adam = optax.adam(make_schedule(config), eps=_EPSILON)
    clip = optax.identity() if config.clip_norm is None else optax.clip_by_global_norm(config.clip_norm)
    return optax.chain(clip, adam)
