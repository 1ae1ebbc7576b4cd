"""A run's directory: what lies where, and whether a run may go on in it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path
from typing import Any

from crnn_jax.data.examples import Preparation
from crnn_jax.errors import UserError
from crnn_jax.files import writing
from crnn_jax.tasks import Task
from crnn_jax.training.config import Config
from crnn_jax.training.log import logger, read_json, write_json

# What may change when a run goes on: it changes neither the network nor the order of its examples.
_CHANGEABLE = frozenset(
    {
        "epochs",
        "learning_rate",
        "lr_schedule",
        "lr_stages",
        "clip_norm",
        "on_nan",
        "profile_steps",
        "workers",
        "validation_examples",
        "eval_examples",
    }
)

_OWN = frozenset({"config.workers", "data.folder"})  # what each process of a run may have for itself


@dataclass(frozen=True)
class RunDirectory:
    """Paths in a run's directory."""

    path: Path

    @property
    def config(self) -> Path:
        """Task and configuration, JSON."""
        return self.path / "config.json"

    @property
    def metrics(self) -> Path:
        """One JSON object a validation."""
        return self.path / "metrics.jsonl"

    @property
    def checkpoints(self) -> Path:
        """Of orbax."""
        return self.path / "checkpoints"

    @property
    def status(self) -> Path:
        """How far the run is, JSON, written every few seconds."""
        return self.path / "status.json"

    @property
    def profile(self) -> Path:
        """What `jax.profiler` recorded."""
        return self.path / "profile"

    @property
    def hosts(self) -> Path:
        """Signs of life of several processes."""
        return self.path / "hosts"

    @property
    def plots(self) -> Path:
        """PNG files."""
        return self.path / "plots"

    @property
    def result(self) -> Path:
        """Figures of the finished run, JSON."""
        return self.path / "result.json"

    @property
    def started(self) -> bool:
        """Whether a run was started here."""
        return self.config.exists()

    @property
    def _saved(self) -> bool:
        """Whether there is, or was, a checkpoint."""
        return self.checkpoints.is_dir() and any(path.name[0].isdigit() for path in self.checkpoints.iterdir())

    def check(self, wanted: dict[str, Any], *, resume: bool) -> None:
        """Checks that a run in this directory, if there is one, is the same one.

        Args:
            wanted: see `describe_run`.
            resume: whether there may be one.

        Raises:
            UserError: it is a run of another task or network, or any where ``resume`` is False.
        """
        if not self._saved:  # a start that was refused, or ended before its first checkpoint, keeps nobody out
            return
        if not self.started:
            raise UserError(f"{self.path} holds checkpoints but no config.json: choose another --workdir")
        if not resume:
            raise UserError(f"{self.path} holds a run already: choose another --workdir, or go on with --resume=auto")
        self._check_same(wanted)

    @contextmanager
    def claim(self, wanted: dict[str, Any]) -> Iterator[None]:
        """Makes the directory for a run, see `describe_run`, and keeps others out of it.

        Raises:
            UserError: it can't be written, or another process trains in it.
        """
        import fcntl  # which Windows hasn't; reading needs nothing of it

        with writing(self.path):
            self.plots.mkdir(parents=True, exist_ok=True)
            lock = (self.path / "lock").open("w")
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the system takes it back when this process ends
            except BlockingIOError:
                raise UserError(
                    f"{self.path}: another process trains there; wait for it, or choose another --workdir"
                ) from None
            except OSError as error:
                logger.warning("%s can't be locked (%s): start no second run there", self.path, error.strerror)
            shutil.rmtree(self.hosts, ignore_errors=True)  # an earlier run's
            with writing(self.config):
                write_json(self.config, wanted)
            yield

    def _check_same(self, wanted: dict[str, Any]) -> None:
        new = _flatten(wanted)
        # What a run's data doesn't tell of, because there was no such thing then, it had none of.
        nothing = {key: value for key, value in new.items() if key.startswith("data.") and not value}
        before = {"chooser_weights": new["chooser_weights"]}  # which wasn't written down at first
        old = _DEFAULTS | nothing | before | _flatten(read_json(self.config))
        changed = _changed(old, new)
        fixed = [key for key in changed if key not in _OWN and key.removeprefix("config.") not in _CHANGEABLE]
        if fixed:
            what = ", ".join(f"{key} is {old.get(key)!r}, not {new.get(key)!r}" for key in fixed[:3])
            raise UserError(f"{self.path} holds another run ({what}): choose another --workdir")
        for key in changed:
            logger.info("%s was %r and is %r from here on", key.removeprefix("config."), old.get(key), new.get(key))


def differences(wanted: dict[str, Any], gather: Callable[[Any], list[Any]]) -> list[str]:
    """What sets the processes of a run apart that should be the same in all: names of options and parts of the task.

    Args:
        wanted: by this process, see `describe_run`.
        gather: the values of all processes, see `crnn_jax.training.hosts.gather`.
    """
    first, *others = map(_flatten, gather(wanted))
    return sorted({key for other in others for key in _changed(first, other)} - _OWN)


def _changed(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    return sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key))


def describe_run(task: Task, config: Config, chooser_weights: str | None = None) -> dict[str, Any]:
    """All that a run depends on, as JSON types.

    Args:
        task: what is learned.
        config: how.
        chooser_weights: digest of those of another network that chooses among candidates.
    """
    return {**describe(task), "config": asdict(config), "chooser_weights": chooser_weights}


def describe(task: Task) -> dict[str, Any]:
    """What reading needs to know of a task, as JSON types."""
    return {
        "task": task.name,
        "alphabet": task.alphabet.characters,
        "grammar": task.grammar.name if task.grammar else None,
        "data": dict(task.data),
        "preparation": asdict(task.preparation),
    }


def _defaults(kind: type[Any]) -> dict[str, Any]:
    return {option.name: option.default for option in fields(kind) if option.default is not MISSING}


def _flatten(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        flat |= _flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": _listed(value)}
    return flat


def _listed(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value  # as in JSON


# A run that was started before there was an option had its default.
_DEFAULTS = _flatten({"preparation": _defaults(Preparation), "config": _defaults(Config)})
