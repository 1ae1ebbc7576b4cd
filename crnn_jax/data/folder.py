"""Folders of pictures with their texts: reading them, what can be wrong with them, and their examples."""

from __future__ import annotations

import csv
import os
import re
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from crnn_jax.alphabet import Alphabet
from crnn_jax.arithmetic import ExpressionError, decimal, evaluate
from crnn_jax.data.examples import Example
from crnn_jax.data.images import SUFFIXES, UnreadableImage, open_image, read_image, size_of
from crnn_jax.drawing.random import Split
from crnn_jax.errors import UserError
from crnn_jax.grammar import Grammar, is_value

_COUNTER = re.compile(r"_\d+$")
_GROUND_TRUTH = ".gt.txt"
LABEL_FILES = ("labels.txt", "labels.tsv", "labels.csv", f"*{_GROUND_TRUTH}")  # in a folder the first that is there counts
_SHARES = 20  # of which one is for validation and one for the test


class Labelled(NamedTuple):
    """A picture file and its text.

    Attributes:
        path: of the picture.
        text: that is in it.
        value: what the text comes to, where the label says so.
        place: file and line of the label.
    """

    path: Path
    text: str
    value: str | None
    place: str


class Problem(NamedTuple):
    """Something wrong with a folder.

    Attributes:
        place: a file, perhaps with a line.
        what: is wrong.
        label: that it is about.
        harmless: it is only said, and training goes on with what there is.
    """

    place: str
    what: str
    label: Labelled | None = None
    harmless: bool = False

    def __str__(self) -> str:
        return f"{self.place}: {self.what}"


class Labels(NamedTuple):
    """The labels of a folder, and the problems of their file."""

    file: Path
    rows: list[Labelled]
    problems: list[Problem]


@dataclass(frozen=True)
class Requirements:
    """What the texts of a task must be like.

    Attributes:
        alphabet: their characters.
        max_length: characters of the longest.
        grammar: of the texts; None: any will do.
    """

    alphabet: Alphabet
    max_length: int
    grammar: Grammar | None = None


def has_labels(folder: str | Path) -> bool:
    """Whether a folder holds a file of labels, or files of one each."""
    return bool(_label_files(Path(folder)))


def parse_labels(folder: str | Path, *, values: bool = True) -> Labels:
    """Reads the labels of a folder, whatever else is wrong there.

    They stand in ``labels.txt`` (UTF-8; line i, from 0, is about ``i.png``), in ``labels.tsv`` or ``labels.csv`` with the
    columns ``file`` and ``text``, and perhaps ``value``, in a ``labels.tsv`` that names no columns (a picture's path, a tab,
    its text), or in a file ``NAME.gt.txt`` for each picture ``NAME.png``, ``NAME.bin.png`` and the like.

    Args:
        folder: of pictures.
        values: in ``labels.txt`` the text ends at the first space, and its value follows, if there is one; otherwise all of
            the line is the text.

    Raises:
        UserError: the folder or the file is missing or can't be read, or the file is empty.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"{folder}: there is no such folder")
    if not (files := _label_files(folder)):
        raise UserError(f"{folder}: holds no {', '.join(LABEL_FILES[:-1])} or {LABEL_FILES[-1]}")
    file, *others = files
    problems = [Problem(str(path), f"is left aside: labels are those of {file.name}", harmless=True) for path in others]
    rows = list(_parse_each(folder, problems) if file.name.endswith(_GROUND_TRUTH) else _parse_file(file, problems, values))
    if not rows and all(problem.harmless for problem in problems):
        raise UserError(f"{file}: is empty")
    return Labels(file, rows, problems)


def labels_of_names(folder: str | Path) -> Labels:
    """Takes names of pictures for their texts: ``X7K2.png``, or ``X7K2_15.png`` where a text comes more than once.

    Raises:
        UserError: the folder is missing, or holds no pictures.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"{folder}: there is no such folder")
    rows: list[Labelled] = []
    problems: list[Problem] = []
    for path in find_images([str(folder)]):
        text = _COUNTER.sub("", path.stem)
        if not text:
            problems.append(Problem(str(path), "has a number for a name, and no text"))
        elif not _is_unicode(text):
            problems.append(Problem(ascii(str(path)), "has a name that is not UTF-8"))
        else:
            rows.append(Labelled(path, text, None, str(path)))
    return Labels(folder / "names of the pictures", rows, problems)


def label_problems(labels: Labels, requirements: Requirements | None = None) -> Iterator[Problem]:
    """What can be seen without opening the pictures.

    Args:
        labels: of a folder.
        requirements: of a task; without them, arithmetic that doesn't come to the value beside it is only told.
    """
    yield from labels.problems
    names = Counter(row.path for row in labels.rows)
    for row in labels.rows:
        if names[row.path] > 1:
            yield Problem(row.place, f"{row.path.name} has {names[row.path]} labels", row)
        if not row.path.is_file():
            yield Problem(row.place, f"there is no picture {row.path.name}", row)
        what = _text_problem(row, requirements)
        if what:
            yield Problem(row.place, what, row)
        elif requirements is None and (what := _value_problem(row, lambda text: decimal(evaluate(text)))):
            yield Problem(row.place, what, row, harmless=True)  # a value may mean something else
    surplus = [
        p for p in sorted(labels.file.parent.iterdir(), key=_by_number) if p.suffix.lower() in SUFFIXES and p not in names
    ]
    yield from (Problem(str(path), "has no label", harmless=True) for path in surplus)


def picture_problems(labels: Labels, after_each: Callable[[], object] = lambda: None) -> Iterator[Problem]:
    """Pictures that are there but can't be read.

    Args:
        labels: of a folder.
        after_each: called after each picture.
    """
    for row in labels.rows:
        if row.path.is_file():
            try:
                read_image(row.path)
            except UnreadableImage as error:
                yield Problem(row.place, str(error), row)
        after_each()


def picture_sizes(paths: Iterable[Path]) -> Iterator[tuple[int, int]]:
    """Width and height of the pictures that can be opened, without decoding them."""
    for path in paths:
        with suppress(Exception), open_image(path) as image:  # Pillow's decoders raise many kinds
            yield size_of(image)


def read_labels(folder: str | Path, *, names: bool = False, values: bool = True) -> list[Labelled]:
    """The pictures of a folder and their texts; see `parse_labels`, or with ``names`` `labels_of_names`.

    Raises:
        UserError: the folder or the file is missing, empty or malformed, or names a picture that isn't there.
    """
    labels = labels_of_names(folder) if names else parse_labels(folder, values=values)
    refuse([p for p in label_problems(labels) if not p.harmless], labels)
    return labels.rows


def refuse(problems: Sequence[Problem], labels: Labels, advice: str = "") -> None:
    """Raises a UserError that names the first problem and counts the others, if there are any."""
    if problems:
        check = f"`crnn-jax check {labels.file.parent}`, with the same --task, --alphabet and --pattern,"
        more = f"; and {len(problems) - 1} more, which {check} lists" if problems[1:] else ""
        raise UserError(f"{problems[0]}{more}{advice}")


@dataclass(frozen=True)
class FolderSource:
    """The examples of one split of a folder.

    A picture's split hangs on its file's name alone, so that it stays where it is when others come or go.
    """

    rows: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, labels: Iterable[Labelled], split: Split) -> FolderSource:
        """Of some labels, those of a split."""
        return cls.all_of(row for row in labels if split_of(row.path.name) == split)

    @classmethod
    def all_of(cls, labels: Iterable[Labelled]) -> FolderSource:
        """Of some labels, all."""
        return cls(tuple((str(row.path), row.text) for row in labels))

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Example:
        path, text = self.rows[index]
        return Example(read_image(path), text)


def split_of(name: str) -> Literal["train", "validation", "test"]:
    """The split that a file of some name belongs to: one in twenty is for the test, one in twenty for validation."""
    share = zlib.crc32(os.fsencode(name)) % _SHARES
    return "test" if share == 0 else "validation" if share == 1 else "train"


def find_images(patterns: Iterable[str]) -> list[Path]:
    """The picture files of some paths, folders and globs: in the order given, those of a folder or glob by folder, number and
    name.

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
            try:
                inside = sorted(base.glob(str(path.relative_to(base))), key=lambda p: (p.parent, _by_number(p)))
            except ValueError as error:  # ** within a name
                raise UserError(f"{pattern}: can't be understood ({error})") from None
            if not inside:
                raise UserError(f"{pattern}: matches no file")
            found += inside
        else:
            found.append(path)  # one that is missing is reported when it is read, and the rest is read
    return found


def _by_number(path: Path) -> tuple[bool, int, str]:
    return (False, int(path.stem), path.name) if path.stem.isdecimal() else (True, 0, path.name)


def _label_files(folder: Path) -> list[Path]:
    """Those of `LABEL_FILES` that a folder holds; a pattern stands for all files of it."""
    return [folder / name for name in LABEL_FILES if any(path.is_file() for path in folder.glob(name))]


def _parse_each(folder: Path, problems: list[Problem]) -> Iterator[Labelled]:
    """Labels in a file each, as of Calamari, kraken, tesstrain and OCRopus."""
    pictures: dict[str, list[Path]] = defaultdict(list)
    for path in sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES):
        for name in {path.stem, Path(path.stem).stem}:
            pictures[name].append(path)
    for file in sorted(folder.glob(f"*{_GROUND_TRUTH}")):
        if not _is_unicode(file.name):
            problems.append(Problem(ascii(str(file)), "has a name that is not UTF-8"))
            continue
        try:
            text = _text_of(file)[0].strip()
        except UserError as error:
            problems.append(Problem(str(file), str(error).removeprefix(f"{file}: ")))
            continue
        name = file.name.removesuffix(_GROUND_TRUTH)
        about = [path for path in pictures[name] if path.stem == name] or pictures[name] or [folder / f"{name}.png"]
        if text and "\n" not in text and len(about) == 1:
            yield Labelled(about[0], text, None, str(file))
        else:
            several = f"may be about {' or '.join(path.name for path in about)}: leave one of them there"
            what = several if len(about) > 1 else "has more than one line" if text else "is empty"
            problems.append(Problem(str(file), what))


def _parse_file(file: Path, problems: list[Problem], values: bool) -> Iterator[Labelled]:
    text, told = _text_of(file)
    problems += told
    lines = text.rstrip("\n").split("\n") if text.strip() else []
    return _parse_txt(file, lines, problems, values) if file.suffix == ".txt" else _parse_table(file, lines, problems)


def _parse_txt(path: Path, lines: list[str], problems: list[Problem], values: bool) -> Iterator[Labelled]:
    for i, line in enumerate(lines):
        text, _, value = line.strip().partition(" ") if values else (line.strip(), "", "")
        place = f"{path}, line {i + 1}"
        if text:
            yield Labelled(path.parent / f"{i}.png", text, value.strip() or None, place)
        else:
            problems.append(Problem(place, "is empty"))


def _parse_table(path: Path, lines: list[str], problems: list[Problem]) -> Iterator[Labelled]:
    # In TSV a quote is a character like any other.
    ended, names = (f"{line}\n" for line in lines), None
    if path.suffix == ".tsv" and lines and _is_pair(lines[0]):
        names = ("file", "text")
        what = "names no columns: each line is taken for a picture's path, a tab and its text"
        problems.append(Problem(f"{path}, line 1", what, harmless=True))
    form: dict[str, Any] = {"delimiter": "\t", "quoting": csv.QUOTE_NONE} if path.suffix == ".tsv" else {}
    rows = csv.DictReader(ended, names, **form)
    try:
        columns = rows.fieldnames or []
        if lines and ("file" not in columns or "text" not in columns):
            what = f"must name the columns file and text, not {', '.join(columns) or 'nothing'}"
            if len(columns) == 1 and ";" in columns[0]:
                what += ": with commas between them, not semicolons"
            elif path.suffix == ".tsv":
                what += "; without names, each line must be a picture's path, a tab and its text"
            problems.append(Problem(f"{path}, line 1", what))
            return
        for row in rows:
            place = f"{path}, line {rows.line_num}"
            if None in row:  # where csv puts what is too much
                problems.append(Problem(place, "has more columns than the first line"))
            elif any("\n" in (cell or "") for cell in row.values()):
                problems.append(Problem(place, "has a line end within a cell: a quote too many?"))
            elif row["file"] and row["text"]:
                yield Labelled(path.parent / row["file"], row["text"], (row.get("value") or "").strip() or None, place)
            else:
                problems.append(Problem(place, "lacks a file or a text"))
    except csv.Error as error:
        problems.append(Problem(f"{path}, line {rows.line_num}", f"can't be read as a table ({error}): a quote too many?"))


def _is_pair(line: str) -> bool:
    """Whether it is a picture's path, a tab and a text: no names of columns look so."""
    cells = line.split("\t")
    return len(cells) == 2 and Path(cells[0]).suffix.lower() in SUFFIXES


def _is_unicode(text: str) -> bool:
    """Whether it can be written down; names of files can hold any bytes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _text_problem(row: Labelled, requirements: Requirements | None) -> str | None:
    """What is wrong with a text, if anything."""
    grammar = requirements.grammar if requirements else None
    if requirements:
        unknown = sorted(set(row.text) - set(requirements.alphabet.characters))
        if unknown:
            characters = ", ".join(f"{c!r} (U+{ord(c):04X})" for c in unknown)
            return f"{row.text!r} has characters that are not in the alphabet: {characters}"
        if len(row.text) > requirements.max_length:
            return f"{row.text!r} is longer than {requirements.max_length} characters"
        if grammar and not grammar.contains(row.text):
            return f"{row.text!r} is not a text of {grammar.name}"
    return _value_problem(row, grammar.value) if grammar else None


def _value_problem(row: Labelled, compute: Callable[[str], str | None]) -> str | None:
    if row.value is None:
        return None
    try:
        value = compute(row.text)
    except ExpressionError:
        return None
    return None if value is None or is_value(row.value, value) else f"{row.text!r} comes to {value}, not {row.value}"


def _text_of(path: Path) -> tuple[str, list[Problem]]:
    """A file's text with plain line ends, and what was done for that."""
    try:
        text = path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: is not UTF-8 (byte {error.start})") from None
    except OSError as error:
        raise UserError(f"{path}: can't be read ({error.strerror})") from None
    problems = []
    if text.startswith("\ufeff"):
        problems.append(Problem(f"{path}, line 1", "starts with a byte order mark, which is skipped", harmless=True))
    if "\r\n" in text:
        line = text[: text.index("\r\n")].count("\n") + 1
        problems.append(Problem(f"{path}, line {line}", "lines end in CR LF, which is read as LF", harmless=True))
    return text.removeprefix("\ufeff").replace("\r\n", "\n"), problems
