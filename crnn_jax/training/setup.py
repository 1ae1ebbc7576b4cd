"""What a run needs before its first step: devices, the checks that all fits together, and its programs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from crnn_jax.device_drawing import make_draw
from crnn_jax.errors import UserError
from crnn_jax.grammar import AMPLE
from crnn_jax.loading import load
from crnn_jax.models.crnn import CRNN, output_columns
from crnn_jax.recognizer import Recognizer
from crnn_jax.tasks import Task
from crnn_jax.training import hosts, steps
from crnn_jax.training.config import Config
from crnn_jax.training.rundir import RunDirectory, describe_run, differences
from crnn_jax.training.schedules import make_optimizer
from crnn_jax.training.state import TrainState, create_state
from crnn_jax.weights import digest


def default_devices(batch_size: int) -> list[jax.Device]:
    """All of all processes, or of a single one's CPU as many as divide the batch."""
    devices = jax.devices()
    if devices[0].platform == "cpu" and hosts.count() == 1:  # virtual ones: none is left idle if some are not used
        devices = devices[: max(n for n in range(1, len(devices) + 1) if batch_size % n == 0)]
    return devices


def name_devices(devices: Sequence[jax.Device]) -> str:
    """For people: how many of which kind."""
    processes = f" in {hosts.count()} processes" if hosts.count() > 1 else ""
    return f"{len(devices)} x {devices[0].device_kind}{processes}"


def check(
    task: Task, config: Config, directory: RunDirectory, devices: Sequence[jax.Device], *, resume: bool
) -> tuple[dict[str, Any], Recognizer | None]:
    """All that a run depends on, see `describe_run`, and another network that chooses among candidates, if one does.

    Raises:
        UserError: the run can't begin or go on so; in all processes.
    """
    # All check before one writes: its files would be another's reason to refuse.
    with hosts.all_or_none():
        _check_fit(task, config, devices)
        chooser = _load_chooser(task, config)
        wanted = describe_run(task, config, digest(chooser.variables) if chooser else None)
        directory.check(wanted, resume=resume)
    if apart := differences(wanted, hosts.gather):
        raise UserError(f"the processes of this run were not started alike: they differ in {', '.join(apart)}")
    return wanted, chooser


def _check_fit(task: Task, config: Config, devices: Sequence[jax.Device]) -> None:
    if config.batch_size % len(devices):
        raise UserError(f"batch_size {config.batch_size} can't be spread evenly over {len(devices)} devices")
    of_hosts = Counter(device.process_index for device in devices)
    if len(set(of_hosts.values())) > 1 or len(of_hosts) != hosts.count():
        raise UserError(f"each of the {hosts.count()} processes must have as many devices as the others, not {dict(of_hosts)}")
    if config.drawing == "device":
        make_draw(task)  # or says why not
    if config.head == "attention" and config.positions < task.max_length:
        raise UserError(f"{task.max_length} characters need as many positions, not {config.positions}")
    columns, width = output_columns(config.architecture, task.preparation.width), task.preparation.width
    needed = task.max_length if config.head == "ctc" else 1  # all positions attend to the same
    if columns < needed:
        raise UserError(
            f"too few columns: texts of {task.max_length} characters need {needed}, and {config.backbone} gives {columns} for a"
            f" width of {width} pixels: use wider pictures or another backbone"
        )


def scarce_columns(task: Task, config: Config) -> str | None:
    """What to tell of a run whose columns are enough, but so few that CTC may learn slowly; None: nothing."""
    columns = task.preparation.lines * output_columns(config.architecture, task.preparation.width)
    if config.head != "ctc" or columns >= AMPLE * task.max_length:
        return None
    return (
        f"{columns} columns for texts of up to {task.max_length} characters: with fewer than {AMPLE:g} for each CTC learns more"
        " slowly; wider pictures or another backbone have more"
    )


def _load_chooser(task: Task, config: Config) -> Recognizer | None:
    """The network that chooses among candidates, if it isn't the one in training."""
    if config.chooser is None:
        return None
    try:
        chooser = load(config.chooser, grammar=task.grammar)
    except UserError as error:
        raise UserError(f"no network to choose: {error}") from None
    if (chooser.alphabet, chooser.preparation) != (task.alphabet, task.preparation):
        raise UserError(f"{config.chooser} can't choose: it was trained on other characters, or on pictures prepared otherwise")
    room, width = chooser.architecture, task.preparation.width
    if output_columns(room, width) < output_columns(config.architecture, width) or 0 < room.positions < task.max_length:
        raise UserError(f"{config.chooser} can't choose: it has too few columns or positions for texts that are to be learned")
    return chooser


def build(
    task: Task, config: Config, devices: Sequence[jax.Device], chooser: Recognizer | None
) -> tuple[steps.TrainStep, steps.EvalStep, jax.Array, TrainState]:
    """The steps of training and evaluation, the random key of the former, and a fresh state.

    Raises:
        UserError: the pictures are too low for the network.
    """
    synchronised = config.batch_norm == "global"
    model = CRNN.of(
        config.architecture,
        task.alphabet,
        task.preparation,
        dtype=jnp.dtype(config.dtype),
        axis_name=steps.AXIS if synchronised else None,
    )
    tx = make_optimizer(config, steps.AXIS, len(devices))
    train_step = steps.make_train_step(
        model,
        tx,
        devices,
        average_statistics=not synchronised,
        draw=make_draw(task) if config.drawing == "device" else None,
        choose=_choose(model, chooser, config.candidates, devices),
        skip_nan=config.on_nan == "skip",
        ema=config.ema,
    )
    init_key, key = jax.random.split(jax.random.key(config.seed))
    state = create_state(model, tx, init_key, task.preparation.height, task.preparation.width, averaged=config.ema > 0)
    return train_step, steps.make_eval_step(model, devices), key, state


def _choose(model: CRNN, chooser: Recognizer | None, candidates: int, devices: Sequence[jax.Device]) -> steps.Choose | None:
    """The step that chooses, by the network in training or another; None: there is nothing to choose from."""
    if candidates == 1:
        return None
    if chooser is None:
        return steps.make_choose_step(model, candidates, devices)
    other = CRNN.of(chooser.architecture, chooser.alphabet, chooser.preparation, dtype=model.dtype)
    return steps.make_choose_step(other, candidates, devices, chooser.variables)
