"""Pictures of a run: curves, readings, confusions, and the columns' probabilities over a picture."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib import font_manager
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from crnn_jax.alphabet import Alphabet
from crnn_jax.drawing.fonts import font_path
from crnn_jax.files import writing
from crnn_jax.metrics import Confusion

if TYPE_CHECKING:
    from crnn_jax.training.evaluation import Judged

# Matplotlib's own font has no Chinese characters; the next one of a list serves where the first lacks a character.
_CHINESE = font_path("NotoSansCJKsc-Regular.otf")
font_manager.fontManager.addfont(_CHINESE)
_SANS, _MONOSPACE = (
    [name, font_manager.FontProperties(fname=_CHINESE).get_name()] for name in ("DejaVu Sans", "DejaVu Sans Mono")
)
_WIDE = 5.0  # times as wide as high
_MOST_CONFUSIONS, _MOST_CHARACTERS = 20, 100  # that are shown
_MOST_POINTS = 5000  # of a scatter plot; the distributions are of all rows
_RIGHT, _WRONG, _TRUTH = "#1a7f37", "#c62828", "#1f4e9c"


def curves(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Loss, exact match and learning rate over the epochs.

    Args:
        rows: of ``metrics.jsonl``.
        path: of the PNG file.
    """
    figure = _figure(12, 3.6)
    loss, match, rate = figure.subplots(1, 3)
    epochs = [row["epoch"] for row in rows]
    loss.plot(epochs, [row["loss"] for row in rows], "o-", ms=3, label="training")
    loss.plot(epochs, [row["val_loss"] for row in rows], "o-", ms=3, label="validation")
    loss.set(title="loss", xlabel="epoch", yscale="log")
    loss.legend()
    match.plot(epochs, [100 * row["exact_match"] for row in rows], "o-", ms=3, color=_RIGHT)
    match.set(title="exact match on validation pictures, %", xlabel="epoch", ylim=(0, 101))
    rate.plot(epochs, [row["learning_rate"] for row in rows], "o-", ms=3, color="grey")
    rate.set(title="learning rate at the end of the epoch", xlabel="epoch", yscale="log")
    for axes in (loss, match, rate):
        axes.grid(alpha=0.3)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    _save(figure, path)


def compared(runs: Mapping[str, Sequence[dict[str, Any]]], path: Path) -> None:
    """Validation loss and share of wrong readings of several runs over their steps.

    Args:
        runs: rows of ``metrics.jsonl``, by the runs' names.
        path: of the PNG file.
    """
    figure = _figure(12, 4.5)
    loss, wrong = figure.subplots(1, 2)
    for name, rows in runs.items():
        steps = [row["step"] for row in rows]
        loss.plot(steps, [row["val_loss"] for row in rows], "o-", ms=3, label=name)
        # A logarithmic axis has no place for none at all: that is drawn as half a reading.
        wrong.plot(steps, [100 * max(1 - row["exact_match"], 0.5 / row["examples"]) for row in rows], "o-", ms=3, label=name)
    loss.set(title="validation loss", xlabel="step", yscale="log")
    wrong.set(title="validation pictures read wrong, %", xlabel="step", yscale="log")
    for axes in (loss, wrong):
        axes.grid(alpha=0.3, which="both")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    for text in wrong.legend().get_texts():
        text.set_parse_math(False)  # names of runs may hold dollars
    _save(figure, path)


def readings(samples: Sequence[Judged], path: Path) -> None:
    """A sheet of pictures, each with its reading, green or red, the confidence, and the truth where that differs."""
    aspect = max((sample.image.shape[1] / sample.image.shape[0] for sample in samples), default=1)
    columns = 4 if aspect < _WIDE else 2
    rows = max(1, -(-len(samples) // columns))
    width = 12 / columns
    figure = _figure(12, max(0.3 + width / max(aspect, 2.0), 1.0) * rows)
    for axes, sample in zip(
        figure.subplots(rows, columns, squeeze=False).flat, [*samples, *[None] * rows * columns], strict=False
    ):
        axes.axis("off")
        if sample is None:
            continue
        right = sample.reading == sample.text
        title = f"{sample.reading or '(nothing)'}  {100 * sample.confidence:.0f}%"
        axes.imshow(sample.image)
        axes.set_title(
            title if right else f"{title}{', is ' if aspect < _WIDE else chr(10) + 'is '}{sample.text}",
            color=_RIGHT if right else _WRONG,
            fontsize=11,
            family=_SANS,
            parse_math=False,
        )
    _save(figure, path)


def confusions(counts: Counter[Confusion], path: Path) -> None:
    """The most frequent mistakes, as bars."""
    pairs = counts.most_common(_MOST_CONFUSIONS)
    figure = _figure(7, 1.2 + 0.28 * max(3, len(pairs)))
    axes = figure.subplots()
    names = [_confusion_name(*pair) for pair, _ in pairs]
    axes.barh(range(len(pairs)), [count for _, count in pairs], color=_WRONG)
    axes.set_yticks(range(len(pairs)), names, family=_MONOSPACE, parse_math=False)
    axes.invert_yaxis()
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(title="characters read wrong" if pairs else "no character was read wrong", xlabel="times")
    _save(figure, path)


def columns(
    image: np.ndarray, probabilities: np.ndarray, spans: Sequence[tuple[float, float]], alphabet: Alphabet, path: Path
) -> None:
    """The probabilities of a picture's columns, below the pixels that each of them reads.

    Args:
        image: (H, W, 3) uint8, see `crnn_jax.recognizer.Columns`.
        probabilities: (T, K + 1).
        spans: first and last pixel of each column, T pairs; none: nothing is plotted.
        alphabet: of the K characters.
        path: of the PNG file.
    """
    if not spans:  # the picture is too narrow for a column
        return
    shown = np.flatnonzero(probabilities.max(axis=0) > 0.05)
    figure = _figure(9 if image.shape[1] < _WIDE * image.shape[0] else 18, 4.2 + 0.25 * len(shown))
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1 + 0.25 * len(shown)])
    top.imshow(image, aspect="auto")
    top.set_yticks([])
    edges = [spans[0][0], *(last for _, last in spans)]
    bottom.pcolormesh(
        edges, np.arange(len(shown) + 1), probabilities[:, shown].T, cmap="Blues", vmin=0, vmax=1, edgecolors="#eee"
    )
    names = ["blank" if i == alphabet.blank else alphabet.characters[i] for i in shown]
    bottom.set_yticks(np.arange(len(shown)) + 0.5, names, family=_MONOSPACE, parse_math=False)
    bottom.set_xlabel("pixels")
    bottom.invert_yaxis()
    best = probabilities.argmax(axis=1)
    for (first, last), i in zip(spans, best, strict=True):
        if i != alphabet.blank:
            top.axvspan(first, last, color=_TRUTH, alpha=0.12)
            top.text(
                (first + last) / 2,
                0,
                alphabet.characters[i],
                ha="center",
                va="bottom",
                color=_TRUTH,
                family=_SANS,
                parse_math=False,
            )
    _save(figure, path)


def scatter_matrix(rows: np.ndarray, names: Sequence[str], path: Path) -> None:
    """Each of some quantities over each other one, and their own distribution on the diagonal.

    Args:
        rows: (N, Q) numbers.
        names: of the Q quantities.
        path: of the PNG file.
    """
    figure = _figure(2 * len(names), 1.2 * len(names))
    grid = figure.subplots(len(names), len(names), squeeze=False)
    points = rows[:: -(-len(rows) // _MOST_POINTS)]
    for i, row in enumerate(grid):
        for j, axes in enumerate(row):
            if i == j:
                axes.hist(rows[:, i], bins=40, color=_TRUTH)
                axes.set_yticks([])
            else:
                axes.plot(points[:, j], points[:, i], ".", ms=2, alpha=0.2, color=_TRUTH)
            if i == len(names) - 1:
                axes.set_xlabel(names[j])
            if j == 0:
                axes.set_ylabel(names[i])
            axes.tick_params(labelsize=6)
    _save(figure, path)


def sizes(lengths: Sequence[int], widths: Sequence[int], heights: Sequence[int], path: Path) -> None:
    """Histograms of the lengths of texts and of the sizes of pictures.

    Args:
        lengths: characters of each text.
        widths: pixels of each picture.
        heights: likewise.
        path: of the PNG.
    """
    figure = _figure(10, 3.2)
    kinds = (("characters", lengths), ("width in pixels", widths), ("height in pixels", heights))
    for place, (name, values) in enumerate(kinds, 1):
        axes = figure.add_subplot(1, 3, place)
        low, high = min(values), max(values)
        axes.hist(values, bins=np.linspace(low - 0.5, high + 0.5, min(40, high - low + 1) + 1).tolist())
        axes.set_xlabel(name)
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    figure.axes[0].set_ylabel("pictures")
    _save(figure, path)


def characters(counts: Mapping[str, int], texts: int, path: Path) -> None:
    """How often each character comes in a text, the most frequent first.

    Args:
        counts: of each character.
        texts: that they were counted in.
        path: of the PNG.
    """
    shown = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:_MOST_CHARACTERS]
    figure = _figure(min(20.0, 2 + 0.25 * len(shown)), 3.2)
    axes = figure.add_subplot()
    axes.bar(range(len(shown)), [count / texts for _, count in shown])
    names = [character if character.strip() else repr(character) for character, _ in shown]
    axes.set_xticks(range(len(shown)), names, fontfamily=_SANS)
    axes.set_ylabel("times in a text")
    if len(counts) > len(shown):
        axes.set_xlabel(f"the {len(shown)} most frequent of {len(counts)} characters")
    _save(figure, path)


def _confusion_name(true: str, read: str) -> str:
    if not read:
        return f"{true} left out"
    return f"{true} as {read}" if true else f"{read} made up"


def _figure(width: float, height: float) -> Figure:
    """A figure that belongs to no window and to no global state."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _save(figure: Figure, path: Path) -> None:
    with writing(path), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # a character of none of our fonts is a box
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=110)
