"""What the commands share: arguments, the model, and where lines go."""

from __future__ import annotations

import argparse
import functools
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crnn_jax import weights
from crnn_jax.data.folder import LABEL_FILES, has_labels, picture_sizes
from crnn_jax.data.images import read_image
from crnn_jax.drawing.level2 import BLOCK_WIDTH, LINE_HEIGHTS
from crnn_jax.errors import UserError
from crnn_jax.files import writing
from crnn_jax.grammar import imported
from crnn_jax.host import keep_compilations, keep_freed_memory, prepare_gpu
from crnn_jax.locate import LINES, STRIP_HEIGHT
from crnn_jax.tasks import TASKS
from crnn_jax.training.config import DTYPES, Dtype

if TYPE_CHECKING:
    from crnn_jax.recognizer import Reader, Recognizer

_WEIGHT = re.compile(r"\d*\.?\d+")
Commands = argparse._SubParsersAction  # argparse has no public name for it


def add_model(parser: argparse.ArgumentParser) -> None:
    """Adds ``--model``."""
    parser.add_argument(
        "--model",
        metavar="MODEL",
        help="a run's directory, a file that export wrote, or the name of one that comes with the package"
        f" ({', '.join(weights.names())}); without it, what suits the size of the pictures; several with commas between them"
        " read together, each with a weight of 1, or NAME:WEIGHT",
    )


def add_dtype(parser: argparse.ArgumentParser) -> None:
    """Adds ``--dtype``."""
    parser.add_argument(
        "--dtype", choices=DTYPES, default="float32", help="of the network's activations; bfloat16 is meant for GPUs"
    )


def add_grammar(parser: argparse.ArgumentParser) -> None:
    """Adds ``--grammar``."""
    parser.add_argument(
        "--grammar",
        metavar="PACKAGE.MODULE:CLASS",
        help="what texts may be: a class of your own, derived from crnn_jax.Grammar; without it, the model's",
    )


def add_names(parser: argparse.ArgumentParser) -> None:
    """Adds ``--names``."""
    parser.add_argument("--names", action="store_true", help="the names of the pictures are their texts")


def need_labels(folder: Path, names: bool) -> None:
    """Checks that a folder says its texts in a file, unless ``--names`` says that they are elsewhere.

    Raises:
        UserError: it doesn't.
    """
    if not names and folder.is_dir() and not has_labels(folder):
        files = f"{', '.join(LABEL_FILES[:-1])} or {LABEL_FILES[-1]}"
        raise UserError(f"{folder}: holds no {files}; with --names the names of the pictures are their texts")


def add_decode(parser: argparse.ArgumentParser) -> None:
    """Adds ``--decode``."""
    parser.add_argument(
        "--decode",
        choices=("auto", "once", "greedy", "beam"),
        default="auto",
        help="greedy: the best character of each column; beam: a search that obeys the task's grammar; once: the search only"
        " where the greedy reading breaks the grammar; auto: likewise, and a second look where in doubt",
    )


def load(name: str | None, paths: Sequence[Path], grammar: str | None, dtype: Dtype) -> Reader[Any]:
    """The model that ``--model`` names, or that suits the size of some pictures, with the grammar that ``--grammar`` names.

    Raises:
        UserError: it can't be read, or no model or more than one would suit the pictures.
    """
    names = _told_from_sizes(paths, all_suit=True) if name is None else [name]
    if len(names) > 1:
        raise UserError(f"these pictures are for several models ({' and '.join(names)}): --model names one")
    return load_all(names, grammar, dtype)[names[0]]


def load_one(name: str, grammar: str | None, dtype: Dtype = "float32") -> Recognizer:
    """A single network, with the grammar that ``--grammar`` names.

    Raises:
        UserError: it can't be read.
    """
    (reader,) = load_all([name], grammar, dtype).values()
    if len(reader.members) > 1:
        raise UserError(f"{name}: takes one network, not several")
    return reader.members[0]


def load_each(name: str | None, paths: Sequence[Path], grammar: str | None, dtype: Dtype) -> dict[str, Reader[Any]]:
    """The model that ``--model`` names, or those that suit the sizes of some pictures, by name; as `load`.

    None where no picture can be opened, which whoever reads them will say of each.

    Raises:
        UserError: one can't be read, or none would suit any picture.
    """
    return load_all(_told_from_sizes(paths, all_suit=False) if name is None else [name], grammar, dtype)


def load_all(names: Sequence[str], place: str | None, dtype: Dtype) -> dict[str, Reader[Any]]:
    """The models of some names, each as ``--model`` may name it, with the grammar that ``--grammar`` names.

    Raises:
        UserError: one can't be read.
    """
    from crnn_jax.ensemble import load_together

    keep_freed_memory()
    prepare_gpu()
    keep_compilations()
    grammar = None if place is None else imported(place)
    return {name: load_together(networks(name), grammar, dtype) for name in names}


def networks(model: str) -> dict[str, float]:
    """Those that ``--model`` names, with commas between them, and the weight of each, ``NAME:WEIGHT``, or 1.

    Raises:
        UserError: a name is missing, or one is there twice.
    """
    if Path(model).exists():
        return {model: 1.0}
    parts = [_weighted(part.strip()) for part in model.split(",")]
    if not all(name for name, _ in parts):
        raise UserError(f"--model={model}: a name is missing beside a comma")
    weights = dict(parts)
    if len(weights) < len(parts):
        raise UserError(f"--model={model}: names a network twice")
    return weights


def _weighted(part: str) -> tuple[str, float]:
    name, _, weight = part.rpartition(":")
    return (name, float(weight)) if name and _WEIGHT.fullmatch(weight) else (part, 1.0)


def _told_from_sizes(paths: Sequence[Path], *, all_suit: bool) -> list[str]:
    first: dict[str | None, tuple[Path, tuple[int, int]]] = {}
    for path in paths:
        for size in picture_sizes([path]):
            first.setdefault(suits(*size), (path, size))
    fitting = [name for name in first if name is not None]
    if not first and not all_suit:
        return []
    if not fitting or (all_suit and None in first):
        reason = "none can be opened"
        if None in first:
            path, (width, height) = first[None]
            reason = f"{path} is {width}x{height}"
        elif not first:
            read_image(paths[0])  # says why it can't be opened
        raise UserError(f"which model suits these pictures can't be told from their size ({reason}): --model names one")
    told = {task: weights.BEST[task] for task in fitting}
    print(f"the pictures look like {' and '.join(f'{task} (--model={name})' for task, name in told.items())}", file=sys.stderr)
    return list(told.values())


@functools.cache
def _sizes() -> dict[tuple[int, int], str]:
    """The tasks whose pictures have one size, by it."""
    preparations = {name: TASKS[name]().preparation for name in ("captcha", "level1")}
    return {(preparation.width, preparation.height): name for name, preparation in preparations.items()}


def suits(width: int, height: int) -> str | None:
    """Which of our tasks pictures of a size are of; None: none."""
    if (width, height) in _sizes():
        return _sizes()[width, height]
    strip = height <= STRIP_HEIGHT and width > 3 * height  # many a captcha is twice as wide as high
    canvas = height >= min(LINES) * LINE_HEIGHTS[0] and width >= BLOCK_WIDTH  # whole, or what someone cut out of one
    return "level2" if strip or canvas else None


def model_for(width: int, height: int) -> str | None:
    """What reads pictures of a size, as ``--model`` would name it (`weights.BEST`); None: none of ours."""
    task = suits(width, height)
    return None if task is None else weights.BEST[task]


@contextmanager
def output(path: Path | None) -> Iterator[Callable[[str], None]]:
    """What writes lines, one a call, to a file or to stdout.

    Raises:
        UserError: the file can't be written.
    """
    if path is None:
        yield print
        return
    with writing(path):
        file = path.open("w", encoding="utf-8", errors="backslashreplace")  # names of files need not be text

    def write(line: str) -> None:
        with writing(path):
            print(line, file=file, flush=True)

    try:
        yield write
    finally:
        with writing(path):  # what could not be written before is tried again
            file.close()


def positive(text: str) -> int:
    """An argument that is an integer above 0."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


def port(text: str) -> int:
    """An argument that is the number of a TCP port; 0: any that is free."""
    value = int(text)
    if not 0 <= value < 2**16:
        raise argparse.ArgumentTypeError("must be from 0 to 65535")
    return value


def seed(text: str) -> int:
    """An argument that is a seed."""
    value = int(text)
    if not 0 <= value < 2**32:
        raise argparse.ArgumentTypeError("must be from 0 to 2**32 - 1")
    return value
