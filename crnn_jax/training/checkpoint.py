"""Checkpoints: all that training needs to go on, and all that reading needs."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from itertools import chain, count
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint.checkpoint_managers import (
    AnyPreservationPolicy,
    BestN,
    LatestN,
    PreservationContext,
    PreservationPolicy,
)

from crnn_jax.errors import UserError, in_one_line
from crnn_jax.training.log import logger
from crnn_jax.training.state import TrainState

FORMAT = 1
_ITEMS = ("weights", "optimizer", "progress", "description")


@dataclass(frozen=True)
class Progress:
    """Where a run stands besides its state.

    Attributes:
        data: state of the data iterator.
        sums: of the steps of the epoch so far.
        seconds: of training so far, without compilation, validation and saving.
        images: trained on in these seconds.
        unreadable: what is wrong with pictures that could not be read so far.
        waited: seconds in which it waited for batches.
    """

    data: dict[str, Any]
    sums: dict[str, Any]
    seconds: float
    images: int
    unreadable: list[str] = field(default_factory=list)
    waited: float = 0.0


class DamagedCheckpoint(UserError):
    """A checkpoint that can't be read, or isn't of this network."""


class Checkpoints:
    """The checkpoints of a run: the two newest and the best (by ``val_loss``) are kept.

    A step can be saved twice, before and after its validation, and the second must not write over the first. So checkpoints
    are numbered: step s has the numbers 2 s and, once it is validated, 2 s + 1.

    Args:
        directory: of the checkpoints.
        writable: False for reading only, which changes nothing on disk.
        keep_all: keep those of all validations, not the best alone.

    Raises:
        UserError: the directory can't be written.
    """

    def __init__(self, directory: Path, *, writable: bool = True, keep_all: bool = False) -> None:
        self._directory = directory.resolve()
        if writable and jax.process_index() == 0:
            for unfinished in self._directory.glob("*.orbax-checkpoint-tmp*"):  # what a kill left of a save
                shutil.rmtree(unfinished, ignore_errors=True)
        best = BestN(get_metric_fn=_loss, reverse=True, n=1, keep_checkpoints_without_metrics=False)
        policy = AnyPreservationPolicy([LatestN(2), _Validated() if keep_all else best])
        try:
            with _quiet_absl():
                options = ocp.CheckpointManagerOptions(
                    create=writable,
                    read_only=not writable,
                    preservation_policy=policy,
                    best_fn=_loss,
                    best_mode="min",
                    enable_async_checkpointing=False,
                )
                self._manager = ocp.CheckpointManager(directory.resolve(), options=options, item_names=_ITEMS)
        except OSError as error:
            raise UserError(f"{directory}: can't be used for checkpoints ({error.strerror or error})") from None

    @property
    def newest(self) -> int | None:
        """Number of the newest checkpoint."""
        return self._manager.latest_step()

    @property
    def best(self) -> int | None:
        """Number of the one with the least ``val_loss``; of the newest where none was validated."""
        best = self._manager.best_step()
        return self.newest if best is None else best

    def validated(self, step: int) -> int:
        """Number of the checkpoint of a step after its validation.

        Raises:
            UserError: there is none.
        """
        steps = [self.step(number) for number in self._manager.all_steps() if number % 2]
        if step not in steps:
            there = f"there are those of steps {', '.join(map(str, sorted(steps)))}" if steps else "there is none yet"
            raise UserError(f"no validated checkpoint of step {step} was kept; {there}")
        return 2 * step + 1

    @staticmethod
    def step(number: int) -> int:
        """The step that a checkpoint was saved at."""
        return number // 2

    def save(
        self, step: int, state: TrainState, progress: Progress, description: dict[str, Any], metrics: dict[str, float] | None
    ) -> None:
        """Saves a state in host memory.

        Args:
            step: its number.
            state: with numpy arrays.
            progress: of the run.
            description: all that reading needs to know besides the weights; JSON types.
            metrics: of the validation, if there was one at this step.

        Raises:
            UserError: the disk is full or not writable; what was saved before is still there.
        """
        number = 2 * step + (metrics is not None)
        if number in self._manager.all_steps():
            return
        items = ocp.args.Composite(
            weights=ocp.args.StandardSave(state.weights),
            optimizer=ocp.args.StandardSave(_besides_weights(state)),
            progress=ocp.args.JsonSave(asdict(progress)),
            description=ocp.args.JsonSave({"format": FORMAT, **description, "metrics": metrics or {}}),
        )
        try:
            with _quiet_absl():
                self._manager.save(number, args=items, metrics=metrics, force=True)
        except (OSError, ValueError) as error:
            if isinstance(error, ValueError) and not _is_storage_error(error):
                raise
            raise UserError(
                f"the checkpoint of step {step} could not be saved (disk full or not writable?): {in_one_line(error)}"
            ) from None

    def restore_newest(self, like: TrainState) -> tuple[int, TrainState, Progress] | None:
        """The newest checkpoint that isn't damaged: its number, and what `restore` gives; None where there is none.

        Raises:
            UserError: all are damaged, or of another network, or one is of a newer version of this library.
        """
        damage = []
        for number in sorted(self._manager.all_steps(), reverse=True):
            try:
                self.describe(number)
                restored = self.restore(number, like)
            except DamagedCheckpoint as error:
                damage.append(str(error))
                logger.warning("%s: going on from the one before", error)
            else:
                if damage:  # or the same number could not be saved again
                    self._put_aside_after(number)
                return number, *restored
        if damage:
            raise UserError(f"no checkpoint can be restored: {damage[0]}")
        return None

    def _put_aside_after(self, number: int) -> None:
        """Renames newer checkpoints to ``N.damaged``, ``N.damaged-2``: perhaps they could only not be read just now."""
        if jax.process_index() == 0:
            for path in self._directory.iterdir():
                if path.name.isdigit() and int(path.name) > number:
                    path.rename(_free(path.with_name(f"{path.name}.damaged")))
        self.reload()

    def reload(self) -> None:
        """Looks again for what is there."""
        self._manager.reload()

    def restore(self, number: int, like: TrainState) -> tuple[TrainState, Progress]:
        """The state and progress of a checkpoint, as numpy arrays in the structure of another state.

        Raises:
            DamagedCheckpoint: it is, or of another network.
        """
        target = jax.tree.map(np.asarray, like)
        items = self._read(
            number,
            weights=ocp.args.StandardRestore(target.weights),
            optimizer=ocp.args.StandardRestore(_besides_weights(target)),
            progress=ocp.args.JsonRestore(),
        )
        weights, optimizer = items["weights"], items["optimizer"]
        averages = None if like.averages is None else weights
        return TrainState(**{**weights, **optimizer}, averages=averages), Progress(**items["progress"])

    def describe(self, number: int) -> dict[str, Any]:
        """The description in a checkpoint.

        Raises:
            DamagedCheckpoint: it is.
            UserError: it is of a newer version of this library.
        """
        description = self._read(number, description=ocp.args.JsonRestore())["description"]
        if description.get("format") != FORMAT:
            raise UserError(f"checkpoint {number} has format {description.get('format')}, this version reads format {FORMAT}")
        return description

    def weights(self, number: int) -> dict[str, Any]:
        """The network's variables in a checkpoint, numpy arrays under ``params`` and ``batch_stats``.

        Raises:
            DamagedCheckpoint: it is.
        """
        return jax.tree.map(np.asarray, self._read(number, weights=ocp.args.StandardRestore())["weights"])

    def _read(self, number: int, **items: ocp.args.CheckpointArgs) -> Any:
        try:
            return self._manager.restore(number, args=ocp.args.Composite(**items))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DamagedCheckpoint(f"checkpoint {number} can't be read: {in_one_line(error)}") from None

    def close(self) -> None:
        """Ends the manager's threads."""
        self._manager.close()


def _free(path: Path) -> Path:
    """The path, or one beside it, where nothing lies."""
    others = (path.with_name(f"{path.name}-{number}") for number in count(2))
    return next(free for free in chain([path], others) if not free.exists())


def _besides_weights(state: TrainState) -> dict[str, Any]:
    """What training needs besides the weights for reading; where those are averages, the network itself too."""
    network = {} if state.averages is None else {"params": state.params, "batch_stats": state.batch_stats}
    return {"step": state.step, "opt_state": state.opt_state, **network}


@contextmanager
def _quiet_absl() -> Iterator[None]:
    """Orbax warns of a directory that is only read, and of a checkpoint without metrics: we ask it for both."""
    absl_logger = logging.getLogger("absl")
    level = absl_logger.level
    absl_logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        absl_logger.setLevel(level)


class _Validated(PreservationPolicy):
    """Keeps the checkpoints that were validated."""

    def should_preserve(self, checkpoints: Sequence[Any], *, context: PreservationContext) -> Sequence[bool]:
        return [info.metrics is not None for info in checkpoints]


def _loss(metrics: dict[str, float]) -> float:
    return metrics["val_loss"]


def _is_storage_error(error: ValueError) -> bool:
    # tensorstore reports a failed write as a ValueError that quotes the system's message.
    text = str(error)
    return any(word in text for word in ("No space left", "RESOURCE_EXHAUSTED", "PERMISSION_DENIED", "Permission denied"))
