"""What a run tells: ``metrics.jsonl``, TensorBoard where it is installed, and a progress bar."""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tqdm import tqdm

from crnn_jax.errors import UserError, in_one_line
from crnn_jax.files import write_whole

logger = logging.getLogger("crnn_jax")


class TqdmHandler(logging.Handler):
    """Writes log lines above a progress bar instead of through it."""

    def emit(self, record: logging.LogRecord) -> None:
        """Writes a line."""
        tqdm.write(self.format(record), file=sys.stderr)


def log_to_stderr() -> None:
    """Shows this library's log lines, each with the time."""
    handler = TqdmHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    logger.handlers[:] = [handler]
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logging.getLogger("absl").setLevel(logging.WARNING)  # orbax tells every file that it writes,
    logging.getLogger("jax").setLevel(logging.WARNING)  # jax tells which kinds of devices there are not,
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # and leaves failures that it reports in futures too


class MetricsFile:
    """One JSON object a line, one line a validation.

    Args:
        path: of the file.
        after: lines of later steps are dropped: a run that goes on from there will write them again.

    Raises:
        UserError: the file can't be read, or holds something else.
    """

    def __init__(self, path: Path, after: int) -> None:
        self._path = path
        kept = "".join(json.dumps(row) + "\n" for row in read_metrics(path) if row["step"] <= after)
        if not path.exists() or path.read_text(encoding="utf-8") != kept:
            write_whole(path, kept)

    def write(self, row: dict[str, Any]) -> None:
        """Appends a line."""
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")


def write_json(path: Path, value: Any) -> None:
    """Writes a JSON file that is either whole or as it was before."""
    write_whole(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """What is done inside reads a file of a run, and takes it for what runs write.

    Raises:
        UserError: it can't be read, or holds something else.
    """
    try:
        yield
    except UserError:
        raise
    except OSError as error:
        raise UserError(f"{path}: can't be read ({error.strerror or in_one_line(error)})") from None
    except (LookupError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise UserError(f"{path}: isn't of a run ({in_one_line(error)})") from None


def read_json(path: Path) -> dict[str, Any]:
    """An object that a run wrote.

    Raises:
        UserError: the file can't be read, or holds something else.
    """
    with reading(path):
        value = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(value, dict):
        raise UserError(f"{path}: isn't of a run")
    return value


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The lines of a metrics file, each with its ``step``; one that a crash cut short is left out.

    Raises:
        UserError: the file can't be read, or holds something else.
    """
    if not path.exists():
        return []
    rows = []
    with reading(path):
        for line in path.read_text(encoding="utf-8").splitlines():
            with suppress(json.JSONDecodeError):
                rows.append(json.loads(line))
    if not all(isinstance(row, dict) and isinstance(row.get("step"), int) for row in rows):
        raise UserError(f"{path}: isn't of a run")
    return rows


class TensorBoard:
    """Scalars for TensorBoard; does nothing without a directory, or where the ``tensorboard`` package isn't installed."""

    def __init__(self, directory: Path | None) -> None:
        self._writer = None
        if directory is None:
            return
        with suppress(ImportError):
            from tensorboard.summary.writer.event_file_writer import EventFileWriter

            self._writer = EventFileWriter(str(directory))

    def write(self, step: int, values: dict[str, Any]) -> None:
        """Writes the numbers among some values."""
        if self._writer is None:
            return
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        scalars = [
            Summary.Value(tag=name, simple_value=float(value))
            for name, value in values.items()
            if isinstance(value, (int, float))
        ]
        self._writer.add_event(Event(wall_time=time.time(), step=step, summary=Summary(value=scalars)))

    def close(self) -> None:
        """Writes what is still waiting."""
        if self._writer is not None:
            self._writer.close()


def progress_bar(
    total: int, done: int = 0, *, unit: str = "step", description: str = "", leave: bool = True, shown: bool = True
) -> tqdm:
    """A bar on stderr; where that isn't a terminal, a line now and then.

    Args:
        total: of units.
        done: units that an earlier run did.
        unit: what is counted.
        description: stands at the left.
        leave: keep the bar when it is full; one that doesn't stay isn't shown at all where stderr isn't a terminal.
        shown: False: never.
    """
    return tqdm(
        total=total,
        initial=done,
        unit=unit,
        desc=description,
        leave=leave,
        disable=not shown or (False if leave else None),
        mininterval=0.2 if sys.stderr.isatty() else 30.0,
        dynamic_ncols=True,
        file=sys.stderr,
    )


def duration(seconds: float) -> str:
    """A duration for people: ``45 s``, ``12 min``, ``3.5 h``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
