"""What there is to read: a task's alphabet, grammar, picture size and examples. Nothing here imports jax."""

from __future__ import annotations

import functools
import hashlib
import inspect
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

from crnn_jax.alphabet import Alphabet
from crnn_jax.data import drawn, survey
from crnn_jax.data.augment import AugmentedSource
from crnn_jax.data.contrast import Equalize
from crnn_jax.data.examples import Example, Preparation, Source
from crnn_jax.data.folder import (
    LABEL_FILES,
    FolderSource,
    Labelled,
    Labels,
    Problem,
    Requirements,
    has_labels,
    label_problems,
    labels_of_names,
    parse_labels,
    refuse,
)
from crnn_jax.data.recombine import RecombinedSource
from crnn_jax.drawing import level1 as level1_drawing
from crnn_jax.drawing import level2 as level2_drawing
from crnn_jax.drawing.random import Split
from crnn_jax.errors import UserError
from crnn_jax.grammar import Grammar, Level1, Level2, check_grammar
from crnn_jax.locate import LINES
from crnn_jax.regular import Regular

logger = logging.getLogger("crnn_jax")


@dataclass(frozen=True)
class Task:
    """Something to learn to read.

    Attributes:
        name: as in ``python -m experiments.NAME``.
        alphabet: of its texts.
        preparation: of its pictures.
        max_length: characters of the longest text.
        source: gives the examples of a split, from a seed; those of different splits have nothing in common.
        judge: who drew the pictures of the test split, for reports.
        grammar: of its texts; None: any text will do.
        data: tells these examples from others of the same task, JSON types: a run doesn't go on with other ones.
        exhibit: draws the picture whose columns are plotted at the end of a run; None: the first of the test split.
    """

    name: str
    alphabet: Alphabet
    preparation: Preparation
    max_length: int
    source: Callable[[Split, int], Source]
    judge: str
    grammar: Grammar | None = None
    data: Mapping[str, Any] = field(default_factory=dict)
    exhibit: Callable[[], Example] | None = None

    def __post_init__(self) -> None:
        if self.grammar is not None:
            check_grammar(self.grammar, self.alphabet)

    @property
    def requirements(self) -> Requirements:
        """What a folder's texts must be like to be read with this task's network."""
        return Requirements(self.alphabet, self.max_length, self.grammar)


BadExamples = Literal["refuse", "skip"]
BAD_EXAMPLES: tuple[BadExamples, ...] = get_args(BadExamples)


def from_folder(
    task: Task,
    folder: str | Path,
    bad_examples: BadExamples = "refuse",
    learn_all: bool = False,
    *,
    labels: Labels | None = None,
) -> Task:
    """The same task with the pictures of a folder: one in twenty for the test, one for validation, the rest for training.

    Args:
        task: its alphabet, grammar and preparation stay.
        folder: of pictures and labels.
        bad_examples: what becomes of labels that don't suit the task: ``refuse`` the folder, or ``skip`` and count them.
        learn_all: train on those for the test and for validation too, so that their figures say little.
        labels: of the pictures; None: those that the folder holds.

    Raises:
        UserError: the folder can't be read, holds bad examples, or too few for three splits.
    """
    rows, data = _good_rows(task, folder, bad_examples, labels)
    sources = {split: FolderSource.of(rows, split) for split in ("train", "validation", "test")}
    if not all(map(len, sources.values())):
        raise UserError(
            f"{folder}: {len(rows)} pictures are too few: one in twenty is for the test and one for validation, by their names,"
            " and there must be one of each"
        )
    if learn_all:
        sources["train"] = FolderSource.all_of(rows)
    return _with_pictures(task, sources, folder, data, learn_all)


def _with_pictures(
    task: Task, sources: Mapping[str, Source], folder: str | Path, data: Mapping[str, Any], learn_all: bool
) -> Task:
    """The task with other sources of its splits; all are learned, or only those of the training split."""
    judge = f"{folder}, learned too" if learn_all else f"{folder}, kept out of training"
    data = {**data, "learn_all": True} if learn_all else data
    return replace(task, source=_FolderSplits(sources), judge=judge, data=data, exhibit=None)


def _good_rows(
    task: Task, folder: str | Path, bad_examples: BadExamples, labels: Labels | None = None
) -> tuple[list[Labelled], dict[str, Any]]:
    """The labels of a folder that suit a task, and what tells this data from other."""
    if labels is None:
        labels = parse_labels(folder, values=task.grammar is not None and task.grammar.computes)
    bad = [problem for problem in label_problems(labels, task.requirements) if not problem.harmless]
    rows = _rows_without(labels, bad, bad_examples)
    if bad:
        logger.warning("%d problems in %s; what they are about is left out. The first: %s", len(bad), labels.file, bad[0])
    digest = hashlib.sha256(repr([(row.path.name, row.text) for row in rows]).encode()).hexdigest()[:16]
    data = {
        "folder": str(Path(folder).resolve()),
        "pictures": len(rows),
        "skipped": len(labels.rows) - len(rows),
        "digest": digest,
    }
    return rows, data


def _rows_without(labels: Labels, bad: Sequence[Problem], bad_examples: BadExamples) -> list[Labelled]:
    """The labels that no problem is about, if any may be left out."""
    left_out = {problem.label for problem in bad}
    rows = [row for row in labels.rows if row not in left_out]
    if bad_examples == "refuse" or not rows:
        refuse(bad, labels, " (bad_examples=skip leaves them out)")
    return rows


def recombined(
    task: Task,
    folder: str | Path,
    train: int,
    validation: int,
    bad_examples: BadExamples = "refuse",
    *,
    learn_all: bool = False,
) -> Task:
    """The same task with the lines of a folder's first pictures put together anew (`crnn_jax.data.recombine`).

    Args:
        task: level 2.
        folder: that ``crnn-jax locate`` made of labelled pictures.
        train: how many pictures, of the first, give their lines.
        validation: how many of the next are validated on, as they are; the rest is the test, or these where nothing is left.
        bad_examples: as of `from_folder`.
        learn_all: all pictures give their lines.

    Raises:
        UserError: as of `from_folder`, or lines of a picture are missing.
    """
    rows, data = _good_rows(task, folder, bad_examples)
    if len(rows) < train + validation:
        raise UserError(
            f"{folder}: {len(rows)} pictures are fewer than {train} for training and {validation} for validation: name other"
            " numbers"
        )
    kept = rows[train : train + validation]
    sources: dict[str, Source] = {
        "train": RecombinedSource.of(rows if learn_all else rows[:train], 0),
        "validation": FolderSource.all_of(kept),
        "test": FolderSource.all_of(rows[train + validation :] or kept),
    }
    data |= {"recombined": [train, validation]}
    task = _with_pictures(task, sources, folder, data, learn_all)
    chosen_by = ", which the weights are chosen by" if sources["test"] == sources["validation"] else ""
    return replace(task, judge=f"{task.judge}{chosen_by}")


@dataclass(frozen=True)
class _FolderSplits:
    sources: Mapping[str, Source]
    augment: float = 0.0
    height: int | None = None

    def __call__(self, split: Split, seed: int) -> Source:
        source = self.sources[split]
        if split == "train" and self.augment:
            return AugmentedSource(source, seed, self.augment, self.height)
        return replace(source, seed=seed) if isinstance(source, RecombinedSource) else source


def captcha(emphasis: float = 0.0, older: float = 0.0, *, equalize: Equalize = "never") -> Task:
    """Four characters of 0-9A-Z at 170x80 that look like those of the ``captcha`` package.

    We draw the pictures for training and validation, reproducibly; the package itself, unmodified, draws those of the
    test split, with chance of its own: only their texts depend on the seed.

    Args:
        emphasis: share of the characters in training that are 0 or O, besides those that chance brings: they are the
            hardest to tell apart. Other splits have every character equally often.
        older: share of the pictures in training that are drawn as version 0.6 of the package did, which warped characters
            further.
        equalize: which pictures' levels to spread, see `crnn_jax.data.contrast.equalize`. A picture's text, dots and arc have
            one colour, so ``stretch_grey``, which drops it, loses nothing.

    Raises:
        UserError: a share is none.
    """
    from importlib.metadata import version

    shares = _shares(emphasis=emphasis, older=older)
    return Task(
        name="captcha",
        alphabet=drawn.CAPTCHA_ALPHABET,
        preparation=Preparation(drawn.CAPTCHA_HEIGHT, drawn.CAPTCHA_WIDTH, equalize),
        max_length=drawn.CAPTCHA_LENGTH,
        source=functools.partial(drawn.captcha_source, **shares),
        data=shares,
        judge=f"the unmodified captcha package {version('captcha')}",
        exhibit=lambda: drawn.package_captcha("0O0O"),
    )


LEVEL1_STYLES = {
    "competition": level1_drawing.COMPETITION,
    "author": level1_drawing.AUTHOR,
    "faint": level1_drawing.FAINT,
    "unseen": level1_drawing.UNSEEN,
}


def level1(
    variant: str = "competition",
    *,
    equalize: Equalize = "stretch_grey",
    faint: float = 0.0,
    emphasis: float = 0.0,
    hard: float = 0.0,
) -> Task:
    """Arithmetic such as ``(3-7)+5`` at 180x60.

    Args:
        variant: ``competition``: one face a picture, 15 dots; ``author``: a face for each character and 30 dots, which is what
            the source document's author drew for training; ``faint``: texts that can hardly be told from the background;
            ``unseen``: the faces of level 2, to judge how well others than those of training are read.
        equalize: which pictures' levels to spread, see `crnn_jax.data.contrast.equalize`.
        faint: share of the training pictures that are drawn like ``faint``, besides those that come by chance.
        emphasis: share of the training pictures in the faces that are misread most often, besides those that come by chance.
        hard: share of the characters in training that are 1, 7, ``+`` or ``*``, besides those that come by chance: they are
            misread most often.

    Raises:
        UserError: there is no such variant, or a share is none.
    """
    _check_variant("level1", variant, LEVEL1_STYLES)
    grammar = Level1()
    shares = _shares(faint=faint, emphasis=emphasis, hard=hard)
    return Task(
        name="level1",
        alphabet=grammar.alphabet,
        preparation=Preparation(level1_drawing.HEIGHT, level1_drawing.WIDTH, equalize=equalize),
        max_length=grammar.MAX_LENGTH,
        source=functools.partial(drawn.Level1Source, style=LEVEL1_STYLES[variant], **shares),
        judge=_judge("our own drawing", variant),
        grammar=grammar,
        data={"variant": variant, **shares},
    )


LEVEL2_STYLES = {
    "competition": level2_drawing.COMPETITION,
    "varied": level2_drawing.VARIED,
    "faint": level2_drawing.FAINT,
    "unseen": level2_drawing.UNSEEN,
}
_LEVEL2_HEIGHT = 81
_LEVEL2_WIDTHS = (448, 672, 800, 896, 960, 1152)
_LEVEL2_ROW_WIDTHS = (640, 896, 960, 1056)  # a few of those with more fractions, in training, are made smaller
_LEVEL2_LINE_WIDTHS = (448, 512, 576, 640, 704)


# How level 2 is read: all lines in one strip, their fractions as they are drawn or written in a row, or each line alone.
LEVEL2_STRIPS = Preparation(_LEVEL2_HEIGHT, _LEVEL2_WIDTHS[-1], equalize="stretch", widths=_LEVEL2_WIDTHS, locate=True)
LEVEL2_ROWS = replace(LEVEL2_STRIPS, width=_LEVEL2_ROW_WIDTHS[-1], widths=_LEVEL2_ROW_WIDTHS, in_a_row=True)
LEVEL2_LINES = Preparation(
    max(LINES) * _LEVEL2_HEIGHT,
    _LEVEL2_LINE_WIDTHS[-1],
    equalize="stretch",
    widths=_LEVEL2_LINE_WIDTHS,
    locate=True,
    lines=max(LINES),
)


def level2(
    variant: str = "competition",
    *,
    variety: float = 0.0,
    faint: float = 0.0,
    copied: float = 0.0,
    fractions: float = 0.0,
    in_a_row: bool = False,
) -> Task:
    """Two or three lines of formulas such as ``流=42072;圳=86;(圳-(97510*45921))*流/35864`` on a canvas of up to 4000x1000.

    Args:
        variant: ``competition``: Song faces; ``varied``: many faces and weights; ``faint``: texts that can hardly be told
            from the background; ``unseen``: digits, operators and brackets in faces of level 1, to judge how well others than
            those of training are read.
        variety: share of the training pictures that are drawn like ``varied``.
        faint: share of the training pictures that are drawn like ``faint``, besides those that come by chance.
        copied: share of the training pictures that look as if taken from a page: enlarged, and compressed.
        fractions: share of the numbers in training that stand below a bar, besides the one that does in each text: small digits
            are misread most often.
        in_a_row: read fractions with their small digits enlarged, in a row; see `crnn_jax.fraction`.

    Raises:
        UserError: there is no such variant, or a share is none.
    """
    _check_variant("level2", variant, LEVEL2_STYLES)
    grammar = Level2()
    shares = _shares(variety=variety, faint=faint, copied=copied, fractions=fractions)
    return Task(
        name="level2",
        alphabet=grammar.alphabet,
        preparation=LEVEL2_ROWS if in_a_row else LEVEL2_STRIPS,
        max_length=grammar.MAX_LENGTH,
        source=functools.partial(drawn.Level2Source, style=LEVEL2_STYLES[variant], **shares),
        judge=_judge("our own drawing, whole canvases", variant),
        grammar=grammar,
        data={"variant": variant, **shares},
    )


def _shares(**shares: float) -> dict[str, Any]:
    for name, share in shares.items():
        if not 0 <= share <= 1:
            raise UserError(f"{name}={share} must be a share, from 0 to 1")
    return shares


def _judge(drawing: str, variant: str) -> str:
    """Who draws the test pictures; figures on those of different variants can't be compared."""
    return drawing if variant == "competition" else f"{drawing}, variant {variant}"


def _check_variant(task: str, variant: str, styles: Mapping[str, Any]) -> None:
    if variant not in styles:
        raise UserError(f"there is no variant {variant!r} of {task}; there are: {', '.join(styles)}")


def folder(
    path: str | Path,
    alphabet: Alphabet | str | None = None,
    *,
    height: int | None = None,
    colour: bool = False,
    augment: float = 0.5,
    pattern: str | None = None,
    grammar: Grammar | None = None,
    bad_examples: BadExamples = "refuse",
    learn_all: bool = False,
) -> Task:
    """The pictures of a folder, of any size, with their texts: ``labels.txt``, ``labels.tsv`` or ``labels.csv``, a file
    ``NAME.gt.txt`` for each, or the names.

    Pictures keep their proportions and come in batches of a few widths. One in twenty is kept for the test and one for
    validation, by its name.

    Args:
        path: of the folder. A line of ``labels.txt`` is a text, spaces included; where a ``grammar`` computes values, it is a
            text without spaces, a space and the value.
        alphabet: of the texts; None: that of the grammar, or the characters that they have.
        height: that all pictures are brought to, in pixels; None: enough for the texts to have columns to spare.
        colour: whether it tells something.
        augment: how far the pictures for training are changed, see `crnn_jax.data.augment.AugmentedSource`; 0: not at all.
        pattern: a regular expression for the texts, which readings then obey.
        grammar: for the same, a grammar of your own.
        bad_examples: see `from_folder`.
        learn_all: see `from_folder`.

    Raises:
        UserError: the folder can't be read, holds bad examples, or too few for three splits; the expression can't be used;
            there is a grammar besides; or a number is out of range.
    """
    path = Path(path)
    if (height is not None and height < 1) or not 0 <= augment < math.inf:
        raise UserError(f"height={height} must be at least 1, augment={augment} at least 0")
    if pattern is not None and grammar is not None:
        raise UserError("give a pattern or a grammar, not both")
    computes = grammar is not None and grammar.computes
    labels = parse_labels(path, values=computes) if has_labels(path) else labels_of_names(path)
    if not has_labels(path):
        logger.info("%s: there is no %s: names are taken for texts", path, ", ".join(LABEL_FILES))
    rows = _rows_without(labels, [problem for problem in label_problems(labels) if not problem.harmless], bad_examples)
    for problem in survey.texts_with_more(rows, labels.file):
        logger.warning("%s", problem)
    texts = [row.text for row in rows]
    alphabet = Alphabet(alphabet) if isinstance(alphabet, str) else alphabet
    if alphabet is None:
        alphabet = grammar.alphabet if grammar is not None else Alphabet.of(texts)
    if pattern is not None:
        grammar = Regular(pattern, alphabet)
    sizes = survey.sizes_of(rows)
    if not sizes:
        raise UserError(f"{path}: no picture can be read")
    height = height or survey.suiting_height(rows, sizes)
    logger.info("pictures are brought to a height of %d pixels", height)
    preparation = survey.suiting_preparation(sizes, height, colour)
    if squeezed := list(survey.squeezed_pictures(rows, sizes, preparation)):
        logger.warning("%s%s", squeezed[0], f"; and {len(squeezed) - 1} more pictures" if squeezed[1:] else "")
    task = Task(
        name="folder",
        alphabet=alphabet,
        preparation=preparation,
        max_length=max(map(len, texts), default=1),
        source=_FolderSplits({}),
        judge="",
        grammar=grammar,
    )
    task = from_folder(task, path, bad_examples, learn_all, labels=labels)
    assert isinstance(task.source, _FolderSplits)
    source = replace(task.source, augment=augment, height=_SPARE_HEIGHT * height)
    return replace(task, source=source, data={**task.data, "augment": augment})


_SPARE_HEIGHT = 2  # times the network's, up to which pictures are changed at their own size


TASKS: dict[str, Callable[..., Task]] = {"captcha": captcha, "level1": level1, "level2": level2}


def by_name(name: str, variant: str | None = None) -> Task:
    """A task that we draw, perhaps a variant of it.

    Raises:
        UserError: there is none of that name.
    """
    if name not in TASKS:
        raise UserError(f"there is no task {name!r}; there are: {', '.join(TASKS)}")
    if variant is None:
        return TASKS[name]()
    if "variant" not in inspect.signature(TASKS[name]).parameters:
        raise UserError(f"{name} has no variants")
    return TASKS[name](variant)
