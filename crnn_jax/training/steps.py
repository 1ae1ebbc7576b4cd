"""The steps of training and evaluation, on all devices at once: the one module that uses `jax.pmap`."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
import optax

from crnn_jax import ctc
from crnn_jax.data.examples import Batch
from crnn_jax.device_drawing.drawn import Draw, draw_all
from crnn_jax.models import attention
from crnn_jax.models.crnn import CRNN, Columns
from crnn_jax.training.state import TrainState

AXIS = "devices"
_DRAWING = 2**32 - 1  # folded into a run's key for its pictures; steps, for dropout, are below

TrainStep = Callable[[TrainState, dict[str, Any], jax.Array], tuple[TrainState, dict[str, jax.Array]]]
Choose = Callable[[TrainState, dict[str, Any]], dict[str, Any]]


class Read(NamedTuple):
    """What a network makes of a batch.

    Attributes:
        logits: (D, B, T, K + 1).
        lengths: (D, B) int, columns of each example.
        greedy: the best paths.
        losses: (D, B).
        feasible: (D, B) bool, labels that fit their columns; the losses of others are 0.
    """

    logits: jax.Array
    lengths: jax.Array
    greedy: ctc.Greedy
    losses: jax.Array
    feasible: jax.Array


EvalStep = Callable[[TrainState, dict[str, Any]], Read]


def make_train_step(
    model: CRNN,
    tx: optax.GradientTransformation,
    devices: Sequence[jax.Device],
    *,
    average_statistics: bool = False,
    draw: Draw | None = None,
    choose: Choose | None = None,
    skip_nan: bool = False,
    ema: float = 0.0,
) -> TrainStep:
    """A step of gradient descent, the batch spread over the devices.

    The step takes a replicated state, a batch from `shard` and a random key, the same in every step; it gives the new state
    and sums over the whole batch, () float32 on each device: ``loss``, ``examples`` (those that count), ``infeasible``
    (labels that don't fit their columns), ``characters`` (examples in which anything but blanks is read), ``stop`` and
    ``save`` (devices whose ``requests`` in the batch, (2,) float32, say so) and, no sums, ``gradient_norm`` and ``skipped``.

    Args:
        model: its ``axis_name`` is `AXIS` or None.
        tx: the optimiser.
        devices: the batch's places.
        average_statistics: average BatchNorm's running statistics over the devices after the step, for a model whose
            devices each use their own in the step.
        draw: makes the pictures, each device those of its part, from the ``numbers`` of the batch; None: they are in the batch.
        choose: takes the examples to learn from those of the batch, see `make_choose_step`; None: all.
        skip_nan: a step whose loss or gradients are no numbers changes nothing, and counts as ``skipped``.
        ema: share of the state's averages that a step keeps, if it has any; less in the first steps, as 1 / 10, 2 / 11, ...
    """

    def step(state: TrainState, batch: dict[str, jax.Array], key: jax.Array) -> tuple[TrainState, dict[str, jax.Array]]:
        keys = jax.vmap(jax.random.fold_in, (None, 0))(jax.random.fold_in(key, state.step), batch["positions"])

        def total_loss(params: Any) -> tuple[jax.Array, Any]:
            (logits, lengths), updates = model.apply(
                {"params": params, "batch_stats": state.batch_stats},
                batch["images"],
                batch["widths"],
                train=True,
                dropout_keys=keys,
                mutable=["batch_stats"],
            )
            losses, feasible = _losses(model, logits, lengths, batch)
            sums = {
                "loss": jnp.sum(losses * batch["weights"]),
                "examples": jnp.sum(batch["weights"] * feasible),
                "infeasible": jnp.sum(batch["weights"] * ~feasible) + jnp.sum(batch.get("infeasible", 0.0)),
                "characters": jnp.sum(jnp.any(jnp.argmax(logits, axis=-1) != logits.shape[-1] - 1, axis=1) * batch["weights"]),
            }
            return sums["loss"], (sums, updates["batch_stats"])

        gradients, (sums, batch_stats) = jax.grad(total_loss, has_aux=True)(state.params)
        stop, save = batch["requests"]
        gradients, sums = jax.lax.psum((gradients, sums | {"stop": stop, "save": save}), AXIS)
        gradients = jax.tree.map(lambda g: g / jnp.maximum(sums["examples"], 1), gradients)
        if average_statistics:
            batch_stats = jax.lax.pmean(batch_stats, AXIS)
        updates, opt_state = tx.update(gradients, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        sums["gradient_norm"] = optax.tree.norm(gradients)
        averages = state.averages
        if averages is not None:
            change = 1 - jnp.minimum(ema, (1 + state.step) / (10 + state.step))
            averages = optax.incremental_update({"params": params, "batch_stats": batch_stats}, averages, change)
        after = TrainState(state.step + 1, params, batch_stats, opt_state, averages)
        sums["skipped"] = jnp.zeros(())
        if skip_nan:
            good = jnp.isfinite(sums["loss"]) & jnp.isfinite(sums["gradient_norm"])
            after = jax.tree.map(lambda a, b: jnp.where(good, a, b), after, state).replace(step=after.step)
            sums = {name: jnp.where(good | (name in ("stop", "save")), value, 0) for name, value in sums.items()}
            sums["skipped"] = 1.0 - good
        return after, sums

    train_step = jax.pmap(step, AXIS, in_axes=(0, 0, None), donate_argnums=(0,), devices=devices)
    # Drawing and choosing are programs of their own: they compile by themselves, and what follows is the very program of
    # batches from the host.
    draw_step = draw and jax.pmap(functools.partial(_draw_batch, draw), AXIS, in_axes=(0, None), devices=devices)

    def whole_step(state: TrainState, batch: dict[str, Any], key: jax.Array) -> tuple[TrainState, dict[str, jax.Array]]:
        batch = draw_step(batch, key) if draw_step else batch
        return train_step(state, choose(state, batch) if choose else batch, key)

    return whole_step


def make_choose_step(
    model: CRNN, candidates: int, devices: Sequence[jax.Device], weights: dict[str, Any] | None = None
) -> Choose:
    """A step that takes of so many neighbours in a batch the one with the largest loss, the hardest to read.

    Training on what a network finds hard: Loshchilov and Hutter, "Online batch selection for faster training of neural
    networks", 2015; that a small network may choose for a large one: Coleman et al., "Selection via proxy", 2020. Neighbours
    compete, not all of a batch, so that the choice doesn't depend on the devices.

    Args:
        model: of the network that chooses.
        candidates: N; the batch holds N times as many examples as are learned.
        devices: D, the batch's places.
        weights: ``params`` and ``batch_stats`` of that network; None: those of the state in training, or their averages where
            there are some.

    Returns:
        From a replicated state and a batch of `shard` or of drawing, (D, N B / D, ...), to one of the same arrays,
        (D, B / D, ...), and ``infeasible``, (D, B / D) float32: how many of those that were not chosen have labels that don't
        fit their columns.
    """

    def choose(weights: dict[str, Any], batch: dict[str, jax.Array]) -> dict[str, jax.Array]:
        requests = batch.pop("requests")
        groups = jax.tree.map(lambda x: x.reshape(-1, candidates, *x.shape[1:]), batch)

        def judge(batch: dict[str, jax.Array]) -> tuple[jax.Array, jax.Array]:
            logits, lengths = cast(Columns, model.apply(weights, batch["images"], batch["widths"]))
            losses, feasible = _losses(model, logits, lengths, batch)
            there = batch["weights"] > 0
            return jnp.where(there, losses, -1.0), there & ~feasible  # any example rather than an empty place

        # One after another: at once they would need N times the memory of a step.
        losses, infeasible = jax.lax.map(judge, jax.tree.map(lambda x: jnp.swapaxes(x, 0, 1), groups))
        hardest, places = jnp.argmax(losses, axis=0), jnp.arange(losses.shape[1])
        chosen = jax.tree.map(lambda x: x[places, hardest], groups)
        others = jnp.sum(infeasible, axis=0) - infeasible[hardest, places]
        return chosen | {
            "positions": chosen["positions"] // candidates,
            "infeasible": others.astype(jnp.float32),
            "requests": requests,
        }

    choose_step = jax.pmap(choose, AXIS, devices=devices)
    chooser = None if weights is None else replicate(weights, devices)
    return lambda state, batch: choose_step(state.weights if chooser is None else chooser, batch)


def _losses(model: CRNN, logits: jax.Array, lengths: jax.Array, batch: Mapping[str, jax.Array]) -> tuple[jax.Array, jax.Array]:
    """The loss of each example, (B,) float32, and which labels fit, (B,) bool."""
    labels, label_lengths = batch["labels"], batch["label_lengths"]
    if model.architecture.head == "ctc":
        return ctc.loss(logits, lengths, labels, label_lengths)
    separator = model.separator if model.lines > 1 else model.classes - 1
    return attention.loss(logits, lengths, labels, label_lengths, model.architecture.positions, separator)


def _draw_batch(draw: Draw, batch: dict[str, jax.Array], key: jax.Array) -> dict[str, jax.Array]:
    """A batch whose ``numbers`` of examples, (B,) int32, have become those arrays of `crnn_jax.data.examples.Batch`."""
    numbers = batch.pop("numbers")
    drawn = draw_all(draw, jax.vmap(jax.random.fold_in, (None, 0))(jax.random.fold_in(key, _DRAWING), numbers))
    return batch | {
        "images": drawn.image,
        "widths": drawn.size[:, 0],
        "labels": drawn.ids,
        "label_lengths": drawn.length,
        "weights": jnp.ones(len(numbers), jnp.float32),
    }


def make_eval_step(model: CRNN, devices: Sequence[jax.Device]) -> EvalStep:
    """A step that reads a batch, from a replicated state and a batch of `shard`."""

    def step(state: TrainState, batch: dict[str, jax.Array]) -> Read:
        logits, lengths = cast(Columns, model.apply(state.weights, batch["images"], batch["widths"]))
        return Read(logits, lengths, ctc.greedy(logits, lengths), *_losses(model, logits, lengths, batch))

    return jax.pmap(step, AXIS, devices=devices)


_ON_DEVICES = frozenset({"images", "widths", "labels", "label_lengths", "weights", "positions", "numbers"})


def shard(
    batch: Batch | Mapping[str, np.ndarray], devices: int, *, stop: bool = False, save: bool = False
) -> dict[str, np.ndarray]:
    """Splits those (B, ...) arrays of this process's part of a batch that the steps use into (D, B / D, ...).

    Args:
        batch: see `crnn_jax.data.examples.Batch` and `crnn_jax.data.pipeline.example_numbers`.
        devices: D, of this process.
        stop: ask all processes to stop after this step: they learn of it from its metrics.
        save: likewise, to save.

    Returns:
        The arrays, and ``requests``, (D, 2) float32.
    """
    arrays = {name: value for name, value in batch.items() if name in _ON_DEVICES and isinstance(value, np.ndarray)}
    parts = {name: array.reshape(devices, -1, *array.shape[1:]) for name, array in arrays.items()}
    return parts | {"requests": np.tile(np.array([stop, save], np.float32), (devices, 1))}


def replicate(tree: Any, devices: Sequence[jax.Device]) -> Any:
    """The same arrays for each device, (D, ...), laid out as the steps lay out theirs, so that nothing compiles twice."""
    copy = jax.pmap(lambda device, x: x, AXIS, in_axes=(0, None), devices=devices)  # pmap wants an argument to map over
    here = sum(device.process_index == jax.process_index() for device in devices)
    return copy(np.arange(here), jax.tree.map(np.asarray, tree))


def unreplicate(tree: Any) -> Any:
    """The first device's copy of replicated arrays, in host memory."""
    # Indexing with [0] would launch a computation over all devices; the first shard is there already.
    return jax.tree.map(lambda x: np.asarray(x.addressable_shards[0].data).reshape(x.shape[1:]), tree)


def gather(tree: Any) -> Any:
    """(D, B / D, ...) arrays as (B, ...) in host memory, this process's part."""

    def whole(x: jax.Array | np.ndarray) -> np.ndarray:
        parts = [np.asarray(shard.data) for shard in x.addressable_shards] if isinstance(x, jax.Array) else [x]
        return np.concatenate([part.reshape(-1, *x.shape[2:]) for part in parts])

    return jax.tree.map(whole, tree)
