"""What is worth knowing of a folder of pictures before anything is trained on it."""

from __future__ import annotations

import math
import os
import re
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from crnn_jax.data.examples import Preparation
from crnn_jax.data.folder import Labelled, Problem, picture_sizes
from crnn_jax.grammar import SPARE, columns

FEW = 10  # labels with a character, below which it is rare
HEIGHTS = (32, 48, 64, 80, 96)  # pixels
_NEARLY_ALL = 0.95  # share of the texts that should have columns to spare
_NARROWEST, _WIDTH_STEP = 32, 32  # pixels
_NUMBER_BESIDE = re.compile(r"\S -?[\d.]+$")
PIXELS_OF_A_COLUMN = 8  # of `light` and the other networks with three poolings


Sizes = Mapping[Path, tuple[int, int]]  # widths and heights of pictures, in pixels


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


def texts_with_more(rows: Sequence[Labelled], file: Path) -> Iterator[Problem]:
    """What all texts of a ``labels.txt`` seem to have besides what is in their pictures: a value, or a picture's name."""
    if file.name == "labels.txt" and rows:
        if all(_NUMBER_BESIDE.search(row.text) for row in rows):
            what = "all texts end in a space and a number, which would be learned: where it is a value and no part of the text"
            mend = "check with --task, and train as level1 or level2, or with a --grammar that computes"
            yield Problem(str(file), f"{what}, {mend}", harmless=True)
        if all(os.path.isfile(file.parent / row.text.split()[0]) for row in rows):  # Path.is_file refuses long names
            what = "all texts begin with a picture's name, which would be learned: line i, from 0, is the text of i.png alone"
            yield Problem(str(file), f"{what}; for other names there is labels.tsv: a name, a tab, a text", harmless=True)


def narrow_pictures(rows: Sequence[Labelled], sizes: Sizes, preparation: Preparation) -> Iterator[Problem]:
    """Texts that need more columns than a network has for their picture, once that is prepared."""
    for row in rows:
        if row.path in sizes:
            width, height = sizes[row.path]
            wanted = int(width * preparation.height / height)
            room = min(wanted, preparation.width) // PIXELS_OF_A_COLUMN
            if (needed := columns(row.text)) > room:
                cause, mend = f"height of {preparation.height}", "take a larger one"
                if wanted > preparation.width:
                    cause, mend = f"width of at most {preparation.width}", "cut it into parts"
                what = f"{row.text!r} needs {needed} columns, and a {cause} pixels leaves {room}"
                yield Problem(row.place, f"{what}: {mend}, or training leaves it out", row, harmless=True)


def squeezed_pictures(rows: Sequence[Labelled], sizes: Sizes, preparation: Preparation) -> Iterator[Problem]:
    """Pictures that become clearly lower than others because they are too wide."""
    for row in rows:
        if row.path in sizes:
            width, height = sizes[row.path]
            if (fitted := preparation.fitted(height, width)).squeezed:
                becomes = f"it becomes {fitted.height} pixels high instead of {fitted.full}"
                what = f"{row.path.name} is far wider than most: {becomes}; cut it into parts, or add more that are as wide"
                yield Problem(row.place, what, row, harmless=True)


def suiting_height(rows: Sequence[Labelled], sizes: Sizes) -> int:
    """The least of `HEIGHTS` at which nearly all texts have columns to spare; the largest where none does."""
    needed = np.array([PIXELS_OF_A_COLUMN * columns(row.text) * SPARE for row in rows if row.path in sizes])
    proportions = np.array([sizes[row.path][0] / sizes[row.path][1] for row in rows if row.path in sizes])
    enough = (height for height in HEIGHTS if np.mean(proportions * height >= needed) >= _NEARLY_ALL)
    return next(enough, HEIGHTS[-1])


def suiting_preparation(sizes: Sizes, height: int, colour: bool = False) -> Preparation:
    """How pictures are brought to a height, in pixels, with a few widths that as many of them need each.

    A batch is as wide as its widest picture. One odd picture doesn't set the width: it is made lower.
    """
    proportions = sorted(width / rows for width, rows in sizes.values())
    quartile, half, most, nearly_all = (
        proportions[round(share * (len(proportions) - 1))] * height for share in (0.25, 0.5, 0.75, 0.95)
    )
    needed = (quartile, half, most, nearly_all, min(proportions[-1] * height, 2 * nearly_all))
    widths = tuple(sorted({max(_NARROWEST, -(-math.ceil(width) // _WIDTH_STEP) * _WIDTH_STEP) for width in needed}))
    return Preparation(height, widths[-1], equalize="never" if colour else "grey", widths=widths, enlarge=True)


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
