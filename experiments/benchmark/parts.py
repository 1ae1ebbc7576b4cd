"""What a training step of `light` spends its time on: each part alone, forward and back, against the whole step.

The figure of ours is a part's, the peer's the whole step's, in turns in one run; the ratio is the part's share. Convolutions
are timed a second time without the gradients of their kernels. What the shares leave of the whole is all else: the dense layer
before the recurrent ones, and what the parts gain or lose by being compiled together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from crnn_jax import ctc
from crnn_jax.models.backbones import Light
from crnn_jax.models.crnn import CRNN, output_columns
from crnn_jax.models.recurrent import BidirectionalGRU
from crnn_jax.training.config import Config
from crnn_jax.training.schedules import make_optimizer
from experiments.benchmark.growth import ALPHABET, BATCH, WIDTH, case_of
from experiments.benchmark.report import Row, in_turns, row
from experiments.benchmark.step import Case, Step, network, random_batch

PARTS = (
    "convolutions",
    "the same but kernels' gradients",
    "recurrent layers",
    "classifier",
    "CTC",
    "best characters",
    "optimiser",
)
_ROUNDS = 15
_PARAMETERS, _INPUTS, _BOTH = slice(0, 1), slice(1, 2), slice(0, 2)  # whose gradients are asked for
_CASES = ((BATCH, 1), (BATCH, 32), (BATCH, 256), (WIDTH, 128), (WIDTH, 2048), (ALPHABET, 36), (ALPHABET, 10_000))


def rows(count: int | None, seed: int) -> Iterator[Row]:
    """Milliseconds of each part and of the whole step, at both ends of the curves of the suite `growth`."""
    for name, x in _CASES:
        case = case_of(name, x)
        step = Step(case, jax.local_devices()[:1]).on(random_batch(case, seed))
        for part, work in parts(case, seed).items():
            a, b = in_turns(work, step, count or _ROUNDS)
            yield row("parts", f"{name} {x}: {part}", 1000 * a, 1000 * b, "ms")


def parts(case: Case, seed: int) -> dict[str, Callable[[], object]]:
    """The parts of a step, by name, each on random values of the shapes that it has in the step."""
    a, model, batch = case.config.architecture, network(case), random_batch(case, seed)
    images = jnp.asarray(batch["images"][..., : model.channels], jnp.float32)
    widths = jnp.asarray(batch["widths"]) if model.masked else None
    shape = len(images), output_columns(a, case.width)
    sizes = (a.hidden, 2 * a.hidden, model.classes)
    features, both, logits = (_random(jax.ShapeDtypeStruct((*shape, size), jnp.float32)) for size in sizes)
    lengths, label_lengths = jnp.full(shape[0], shape[1]), jnp.asarray(batch["label_lengths"])
    normalization = {"train": True, "momentum": a.momentum, "epsilon": a.epsilon, "axis_name": None}
    convolutions = Light(a.initialization, normalization)
    works = (
        _layers(convolutions, images, widths, gradients=_PARAMETERS),
        _layers(convolutions, images, widths, gradients=_INPUTS),
        _layers(_Recurrent(a.hidden), features, lengths),
        _layers(nn.Dense(model.classes), both),
        _timed(jax.grad(lambda x: ctc.loss(x, lengths, jnp.asarray(batch["labels"]), label_lengths)[0].sum()), logits),
        _timed(lambda x: jnp.argmax(x, axis=-1), logits),
        _optimizer(model, case.config, images),
    )
    return dict(zip(PARTS, works, strict=True))


class _Recurrent(nn.Module):
    """Both recurrent layers of a network."""

    hidden: int

    @nn.compact
    def __call__(self, columns: jax.Array, lengths: jax.Array) -> jax.Array:
        """(B, T, D) to (B, T, 2 H)."""
        return BidirectionalGRU(self.hidden, merge="concat")(
            BidirectionalGRU(self.hidden, merge="sum")(columns, lengths), lengths
        )


def _layers(module: nn.Module, inputs: jax.Array, *others: Any, gradients: slice = _BOTH) -> Callable[[], object]:
    """What layers give, and gradients of what is random after them."""
    variables = dict(_random(jax.eval_shape(module.init, jax.random.key(0), inputs, *others)))
    params = variables.pop("params")

    def forward(params: Any, inputs: jax.Array) -> jax.Array:
        outputs, _ = module.apply({"params": params, **variables}, inputs, *others, mutable=["batch_stats"])
        return outputs

    def both_ways(params: Any, inputs: jax.Array, after: jax.Array) -> object:
        outputs, back = jax.vjp(forward, params, inputs)
        return outputs, back(after)[gradients]  # others are not computed

    return _timed(both_ways, params, inputs, _random(jax.eval_shape(forward, params, inputs)))


def _optimizer(model: CRNN, config: Config, images: jax.Array) -> Callable[[], object]:
    tx = make_optimizer(config)
    params = _random(jax.eval_shape(model.init, jax.random.key(0), images[:1], jnp.array([images.shape[2]]))["params"])

    def update(gradients: Any, opt_state: Any, params: Any) -> object:
        updates, opt_state = tx.update(gradients, opt_state, params)
        return optax.apply_updates(params, updates), opt_state

    return _timed(update, params, jax.jit(tx.init)(params), params)


def _timed(function: Callable[..., object], *arguments: Any) -> Callable[[], object]:
    """Something compiled, that returns when it is done."""
    compiled = jax.jit(function)
    return lambda: jax.block_until_ready(compiled(*arguments))


def _random(shapes: Any) -> Any:
    """Numbers of these shapes: what they are changes no time."""
    rng = np.random.default_rng(0)
    return jax.tree.map(lambda x: jnp.asarray(0.1 * rng.standard_normal(x.shape), jnp.float32), shapes)
