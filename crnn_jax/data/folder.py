"""Folders of pictures with their texts."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from crnn_jax.data.images import SUFFIXES
from crnn_jax.errors import UserError


class Labelled(NamedTuple):
    """A picture file and its text."""

    path: Path
    text: str


def read_labels(folder: str | Path) -> list[Labelled]:
    """The pictures of a folder and their texts.

    These stand in ``labels.txt`` (UTF-8; line i, from 0, is about ``i.png``: the text, then perhaps a space and a value), or
    in ``labels.tsv`` or ``labels.csv`` with the columns ``file`` and ``text``.

    Raises:
        UserError: the folder or the file is missing, empty or malformed, or names a picture that isn't there.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"{folder}: there is no such folder")
    for name, read in (("labels.txt", _read_txt), ("labels.tsv", _read_table), ("labels.csv", _read_table)):
        if (folder / name).is_file():
            labels = read(folder / name)
            break
    else:
        raise UserError(f"{folder}: holds no labels.txt, labels.tsv or labels.csv")
    if not labels:
        raise UserError(f"{folder / name}: is empty")
    missing = [label.path for label in labels if not label.path.is_file()]
    if missing:
        raise UserError(f"{folder / name}: {len(missing)} of {len(labels)} pictures are missing, the first is {missing[0]}")
    return labels


def find_images(patterns: Iterable[str]) -> list[Path]:
    """The picture files of some paths, folders and globs: in the order given, those of a folder by number, then by name.

    Raises:
        UserError: a folder or glob holds no picture.
    """
    found: list[Path] = []
    for pattern in patterns:
        path = Path(pattern)
        if path.is_dir():
            inside = sorted((p for p in path.iterdir() if p.suffix.lower() in SUFFIXES), key=_by_number)
            if not inside:
                raise UserError(f"{pattern}: holds no pictures ({', '.join(sorted(SUFFIXES))})")
            found += inside
        elif not path.exists() and any(c in pattern for c in "*?["):
            base = Path(path.anchor)
            inside = sorted(base.glob(str(path.relative_to(base))), key=_by_number)
            if not inside:
                raise UserError(f"{pattern}: matches no file")
            found += inside
        else:
            found.append(path)  # one that is missing is reported when it is read, and the rest is read
    return found


def _by_number(path: Path) -> tuple[bool, int, str]:
    return (False, int(path.stem), path.name) if path.stem.isdecimal() else (True, 0, path.name)


def _read_txt(path: Path) -> list[Labelled]:
    lines = _text_of(path).splitlines()
    for number, line in enumerate(lines, 1):
        if not line.strip():
            raise UserError(f"{path}, line {number}: is empty")
    return [Labelled(path.parent / f"{i}.png", line.split()[0]) for i, line in enumerate(lines)]


def _read_table(path: Path) -> list[Labelled]:
    lines = _text_of(path).splitlines()
    # In TSV a quote is a character like any other.
    rows = csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE) if path.suffix == ".tsv" else csv.DictReader(lines)
    columns = rows.fieldnames or []
    if "file" not in columns or "text" not in columns:
        raise UserError(f"{path}, line 1: must name the columns file and text, not {', '.join(columns) or 'nothing'}")
    labels = []
    for row in rows:
        if not row["file"] or not row["text"]:
            raise UserError(f"{path}, line {rows.line_num}: lacks a file or a text")
        labels.append(Labelled(path.parent / row["file"], row["text"]))
    return labels


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: is not UTF-8 (byte {error.start})") from None
    except OSError as error:
        raise UserError(f"{path}: can't be read ({error.strerror})") from None
