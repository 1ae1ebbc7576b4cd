"""How far a run is, told from the files that it writes."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from crnn_jax.errors import UserError
from crnn_jax.training.heartbeat import signs_of_life
from crnn_jax.training.log import duration, read_json, read_metrics, reading, write_json
from crnn_jax.training.rundir import RunDirectory

_INTERVAL = 10.0  # seconds between two notes


class StatusFile:
    """Notes now and then how far a run is.

    Args:
        path: of the JSON file.
        total: steps of the run.
        batch_size: pictures of a step.
    """

    def __init__(self, path: Path, total: int, batch_size: int) -> None:
        self._path, self._total, self._batch_size = path, total, batch_size
        self._written = 0.0

    def note(self, step: int, loss: float, images_per_second: float) -> None:
        """Writes a note, if the last one isn't new."""
        now = time.time()
        if now - self._written < _INTERVAL:
            return
        self._written = now
        left = (self._total - step) * self._batch_size / images_per_second if images_per_second else None
        note = {"step": step, "steps": self._total, "loss": loss, "images_per_second": images_per_second, "seconds_left": left}
        with suppress(OSError):  # a run doesn't end for a note
            write_json(self._path, note | {"time": now})


def describe_run(path: Path) -> dict[str, str]:
    """What people want to know of a run, by name.

    Raises:
        UserError: there is no run in this directory, or a file of it can't be read, or holds something else.
    """
    directory, description = opened_run(path)
    with reading(directory.config):
        config = description["config"]
        told = {"task": str(description["task"]), "network": f"{config['backbone']}, {config['rnn']}"}
    finished = directory.result.exists()
    if directory.status.exists() and not finished:
        with reading(directory.status):
            told |= _progress(read_json(directory.status))
    if rows := read_metrics(directory.metrics):
        with reading(directory.metrics):
            row = rows[-1]
            told["validated"] = f"step {row['step']}: loss {row['val_loss']:.4f}, exact match {row['exact_match']:.2%}"
    if finished:
        with reading(directory.result):
            result = read_json(directory.result)
            told["finished"] = f"exact match {result['exact_match']:.2%} of {result['examples']} pictures by {result['judge']}"
    saved = [path for path in directory.checkpoints.glob("[0-9]*") if path.name.isdigit()]
    if saved:
        newest = max(saved, key=lambda path: int(path.name))
        told["last checkpoint"] = f"step {int(newest.name) // 2}, {_ago(newest.stat().st_mtime)}"
    with reading(directory.hosts):
        signs = signs_of_life(directory.hosts)
        told["processes"] = ", ".join(f"{number} on {sign['host']}" for number, sign in signs.items()) or "1"
    return told


def _progress(note: dict[str, Any]) -> dict[str, str]:
    left = "" if note["seconds_left"] is None else f", {duration(note['seconds_left'])} of training to go"
    return {
        "step": f"{note['step']} of {note['steps']}{left}",
        "loss": f"{note['loss']:.4f}, of the epoch so far",
        "images/s": f"{note['images_per_second']:.1f}",
        "last sign of life": _ago(note["time"]),
    }


def _ago(moment: float) -> str:
    return f"{duration(max(0.0, time.time() - moment))} ago"


def opened_run(path: Path) -> tuple[RunDirectory, dict[str, Any]]:
    """The directory of a run that has begun, and its ``config.json``.

    Raises:
        UserError: there is none, or the file is of something else.
    """
    directory = RunDirectory(path)
    if not directory.started:
        raise UserError(f"{path}: holds no run")
    description = read_json(directory.config)
    if not isinstance(description.get("config"), dict) or "task" not in description:
        raise UserError(f"{directory.config}: isn't of a run")
    return directory, description
