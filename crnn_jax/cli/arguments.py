"""What the commands share: arguments, the model, and where lines go."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from crnn_jax.errors import UserError
from crnn_jax.host import keep_freed_memory

if TYPE_CHECKING:
    from crnn_jax.recognizer import Recognizer

Commands = argparse._SubParsersAction  # argparse has no public name for it


def add_model(parser: argparse.ArgumentParser) -> None:
    """Adds ``--model``."""
    parser.add_argument("--model", required=True, metavar="DIR", help="directory of a run")


def add_decode(parser: argparse.ArgumentParser) -> None:
    """Adds ``--decode``."""
    parser.add_argument(
        "--decode",
        choices=("auto", "greedy", "beam"),
        default="auto",
        help="greedy: the best character of each column; beam: a search that obeys the task's grammar; auto: the search only"
        " where the greedy reading breaks the grammar",
    )


def load(name: str) -> Recognizer:
    """The model that ``--model`` names."""
    from crnn_jax.recognizer import load

    keep_freed_memory()
    return load(name)


@contextmanager
def output(path: Path | None) -> Iterator[TextIO]:
    """Where lines go: a file, or stdout."""
    if path is None:
        yield sys.stdout
        return
    try:
        with path.open("w", encoding="utf-8") as file:
            yield file
    except OSError as error:
        raise UserError(f"{path}: can't be written ({error.strerror})") from None


def positive(text: str) -> int:
    """An argument that is an integer above 0."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


def seed(text: str) -> int:
    """An argument that is a seed."""
    value = int(text)
    if not 0 <= value < 2**32:
        raise argparse.ArgumentTypeError("must be from 0 to 2**32 - 1")
    return value
