"""What is worth knowing of a folder of pictures before anything is trained on it."""

from __future__ import annotations

import re
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from crnn_jax.data.folder import Labelled, Problem, picture_sizes
from crnn_jax.grammar import SPARE, columns

FEW = 10  # labels with a character, below which it is rare
HEIGHTS = (32, 48, 64, 80, 96)  # pixels
_NEARLY_ALL = 0.95  # share of the texts that should have columns to spare
_NUMBER_BESIDE = re.compile(r"\S -?[\d.]+$")
PIXELS_OF_A_COLUMN = 8  # of `light` and the other networks with three poolings


def sizes_of(rows: Sequence[Labelled]) -> dict[Path, tuple[int, int]]:
    """Width and height of each picture that can be opened."""
    sizes = {}
    for row in rows:
        for size in picture_sizes([row.path]):
            sizes[row.path] = size
    return sizes


def rare_characters(rows: Sequence[Labelled], file: Path) -> Iterator[Problem]:
    """Characters that hardly any text has: a network can't learn them from a few pictures."""
    counts = Counter(character for row in rows for character in set(row.text))
    rare = sorted(character for character, count in counts.items() if count < FEW)
    if rare:
        listed = ", ".join(f"{character!r} ({counts[character]})" for character in rare[:20])
        more = f" and {len(rare) - 20} others" if len(rare) > 20 else ""
        yield Problem(str(file), f"fewer than {FEW} labels have these characters: {listed}{more}", harmless=True)


def numbers_beside(rows: Sequence[Labelled], file: Path) -> Iterator[Problem]:
    """Texts that all end in a number of their own: perhaps a task's values."""
    if file.suffix == ".txt" and rows and all(_NUMBER_BESIDE.search(row.text) for row in rows):
        what = "all texts end in a space and a number; where it is a value and no part of the text, say --task"
        yield Problem(str(file), what, harmless=True)


def names_before(rows: Sequence[Labelled], file: Path) -> Iterator[Problem]:
    """Texts that all begin with a picture's name."""
    names = {path.name for path in file.parent.iterdir()} if file.suffix == ".txt" else set()
    if rows and all(row.text.partition(" ")[0] in names for row in rows):
        what = "all texts begin with a picture's name, which would be learned: line i, from 0, is the text of i.png alone"
        yield Problem(str(file), f"{what}; for other names there is labels.tsv", harmless=True)


def narrow_pictures(rows: Sequence[Labelled], sizes: Mapping[Path, tuple[int, int]], height: int) -> Iterator[Problem]:
    """Texts that need more columns than a network has for their picture, once that is brought to some height."""
    for row in rows:
        if row.path in sizes:
            width, rows_of_it = sizes[row.path]
            room = int(width * height / rows_of_it) // PIXELS_OF_A_COLUMN
            if (needed := columns(row.text)) > room:
                what = f"{row.text!r} needs {needed} columns, and a height of {height} pixels leaves {room}"
                what += ": take a larger one, or training leaves it out"
                yield Problem(row.place, what, row, harmless=True)


def suiting_height(rows: Sequence[Labelled], sizes: Mapping[Path, tuple[int, int]]) -> int:
    """The least of `HEIGHTS` at which nearly all texts have columns to spare; the largest where none does."""
    needed = np.array([PIXELS_OF_A_COLUMN * columns(row.text) * SPARE for row in rows if row.path in sizes])
    proportions = np.array([sizes[row.path][0] / sizes[row.path][1] for row in rows if row.path in sizes])
    enough = (height for height in HEIGHTS if np.mean(proportions * height >= needed) >= _NEARLY_ALL)
    return next(enough, HEIGHTS[-1])


def repeated_pictures(rows: Sequence[Labelled]) -> Iterator[Problem]:
    """Pictures that are the same, byte for byte: with different texts one of them is wrong."""
    same: dict[tuple[int, int], list[Labelled]] = defaultdict(list)
    for row in rows:
        with suppress(OSError):  # which was told before
            data = row.path.read_bytes()
            same[len(data), zlib.crc32(data)].append(row)
    for first, *others in same.values():
        for other in others:
            if other.path != first.path:
                differ = other.text != first.text
                texts = f", but {other.text!r} is not {first.text!r}" if differ else ""
                yield Problem(other.place, f"is the same picture as {first.path.name}{texts}", other, harmless=not differ)
