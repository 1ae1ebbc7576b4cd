"""``crnn-jax read`` and ``vote``."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from crnn_jax.ahead import ahead
from crnn_jax.cli.arguments import (
    Commands,
    add_decode,
    add_dtype,
    add_grammar,
    add_model,
    load_each,
    model_for,
    output,
    positive,
)
from crnn_jax.data.examples import BATCH_SIZE, Fitted
from crnn_jax.data.folder import find_images, picture_sizes
from crnn_jax.data.images import UnreadableImage, read_image
from crnn_jax.errors import UserError
from crnn_jax.training.log import progress_bar
from crnn_jax.vote import NO_VALUE, vote_files

if TYPE_CHECKING:
    from crnn_jax.decoding import Decode
    from crnn_jax.grammar import Grammar
    from crnn_jax.recognizer import Reader, Reading

P = TypeVar("P")

_NAMED = 10  # pictures that are named before the others are counted


class FileReading(NamedTuple):
    """What was read from a file.

    Attributes:
        path: of the file.
        reading: or why there is none.
        squeezed: what became of a picture that was too wide.
        grammar: that the text should be of.
    """

    path: Path
    reading: Reading | UnreadableImage
    squeezed: Fitted | None = None
    grammar: Grammar | None = None


def add(commands: Commands) -> None:
    """Adds the commands."""
    read = commands.add_parser("read", help="read pictures: one line a picture")
    read.set_defaults(run=_read)
    read.add_argument("paths", nargs="+", metavar="PATH", help="files, folders or globs")
    add_model(read)
    add_decode(read)
    add_dtype(read)
    add_grammar(read)
    read.add_argument("--format", choices=("text", "json", "tsv"), default="text", help="of the lines")
    read.add_argument("--alternatives", type=positive, default=0, metavar="N", help="other texts to tell, with --format json")
    read.add_argument("--out", type=Path, help="write the lines to a file")
    read.add_argument("--timing", action="store_true", help="say on stderr how many pictures were read a second")

    vote = commands.add_parser("vote", help="let several files of readings vote, line by line")
    vote.set_defaults(run=_vote)
    vote.add_argument("results", nargs="+", type=Path, metavar="RESULT", help="written by read --out, in any format")
    vote.add_argument("--out", type=Path, help="write the lines to a file: text, a space, value")


def _read(arguments: argparse.Namespace) -> int:
    from crnn_jax.recognizer import NOTHING_READ

    if arguments.alternatives and arguments.format != "json":
        raise UserError("--alternatives have no place in these lines: ask for --format json")
    paths = find_images(arguments.paths)
    models = load_each(arguments.model, paths, arguments.grammar, arguments.dtype)
    failed = without_value = 0
    squeezed: list[FileReading] = []
    if arguments.timing:  # compile first
        for model in models.values():
            model.warm_up(len(paths))
    began = time.perf_counter()
    with output(arguments.out) as write, progress_bar(len(paths), unit="image", description="read", leave=False) as bar:
        for file in _read_each(models, arguments.model, paths, arguments.decode, arguments.alternatives):
            path, reading, grammar = file.path, file.reading, file.grammar
            bar.update()
            if file.squeezed:
                squeezed.append(file)
            if isinstance(reading, UnreadableImage):
                failed += 1
                print(f"error: {reading}", file=sys.stderr)
                write(_line(path, NOTHING_READ, arguments.format))  # line i stays that of picture i
            else:
                if not reading.valid:
                    print(f"note: {path}: {_why_not_valid(reading, grammar)}", file=sys.stderr)
                without_value += grammar is not None and grammar.computes and reading.value is None
                write(_line(path, reading, arguments.format))
    say_squeezed(squeezed)
    if without_value:
        print(f"note: {without_value} of {len(paths) - failed} readings have no value", file=sys.stderr)
    if arguments.timing:
        seconds = time.perf_counter() - began
        print(f"{len(paths)} pictures in {seconds:.2f} s: {len(paths) / seconds:.0f} images/s", file=sys.stderr)
    return 1 if failed else 0


def _why_not_valid(reading: Reading, grammar: Grammar | None) -> str:
    if reading.text and grammar is not None and not grammar.contains(reading.text):
        return f"what was read, {reading.text!r}, is no text of the grammar {grammar.name}"
    return "there may be no text: what was read is empty or quite unlikely"


def _read_each(
    models: Mapping[str, Reader[Any]], chosen: str | None, paths: Sequence[Path], decode: Decode, alternatives: int
) -> Iterator[FileReading]:
    """`read_files` with the chosen model, or that which suits each picture."""
    if chosen is not None:
        yield from read_files(models[chosen], paths, decode, alternatives)
        return
    sizes = [next(picture_sizes([path]), None) for path in paths]
    suiting = [model_for(*size) if size else None for size in sizes]
    suited = list(zip(paths, suiting, strict=True))
    readings = {
        name: read_files(model, [path for path, which in suited if which == name], decode, alternatives)
        for name, model in models.items()
    }
    for path, size, name in zip(paths, sizes, suiting, strict=True):
        if name is not None:
            yield next(readings[name])
        elif size is not None:
            reason = f"is {size[0]}x{size[1]}, which suits none of our models: --model names one"
            yield FileReading(path, UnreadableImage(f"{path}: {reason}"))
        else:
            yield FileReading(path, _why_not_opened(path))


def _why_not_opened(path: Path) -> UnreadableImage:
    try:
        read_image(path)
    except UnreadableImage as error:
        return error
    return UnreadableImage(f"{path}: could not be opened just now")


def say_squeezed(files: Sequence[FileReading]) -> None:
    """Says on stderr which pictures the network saw clearly lower than others; of many, the first, and how many more."""
    for file in files[:_NAMED]:
        print(f"note: {file.path}: {file.squeezed}", file=sys.stderr)
    if more := len(files[_NAMED:]):
        print(f"note: {more} more pictures are too wide", file=sys.stderr)


def read_files(model: Reader[P], paths: Sequence[Path], decode: Decode, alternatives: int = 0) -> Iterator[FileReading]:
    """Readings in the order of the paths; a picture that can't be read gives its error and the rest is read."""
    errors: dict[int, UnreadableImage] = {}
    good: list[tuple[int, Fitted | None]] = []

    def prepare(path: Path) -> P | UnreadableImage:
        try:
            return model.prepare(path)
        except UnreadableImage as error:
            return error

    def pictures() -> Iterator[P]:
        prepared = ahead(prepare, paths, BATCH_SIZE)
        for i in range(len(paths)):
            picture = next(prepared)
            if isinstance(picture, UnreadableImage):
                errors[i] = picture
            else:
                good.append((i, model.squeezed(picture)))
                yield picture

    done = 0
    for count, reading in enumerate(model.read_prepared(pictures(), decode=decode, alternatives=alternatives)):
        i, squeezed = good[count]
        for j in range(done, i):
            yield FileReading(paths[j], errors[j])
        yield FileReading(paths[i], reading, squeezed, model.grammar)
        done = i + 1
    for j in range(done, len(paths)):
        yield FileReading(paths[j], errors[j])


def _line(path: Path, reading: Reading, form: str) -> str:
    if form == "json":
        fields = {name: value for name, value in asdict(reading).items() if name != "alternatives" or value}
        return json.dumps({"path": str(path), **fields}, ensure_ascii=False)
    value = reading.value if reading.value is not None else NO_VALUE
    if form == "tsv":
        return "\t".join((escaped(path), reading.text, value, f"{reading.confidence:.6f}"))
    return reading.text if reading.value is None else f"{reading.text} {value}"


def escaped(path: Path) -> str:
    """A path in one field of a line."""
    return str(path).replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r")


def _vote(arguments: argparse.Namespace) -> int:
    chosen = vote_files(arguments.results)
    with output(arguments.out) as write:
        for ballot in chosen:
            write(ballot.text if ballot.value is None else f"{ballot.text} {ballot.value}")
    return 0
