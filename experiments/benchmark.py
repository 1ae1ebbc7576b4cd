"""Ours against what else there is, in turns in one run.

    python -m experiments.benchmark --suite=locate

``locate``: finding the lines of level 2 canvases of all sizes, against the source document's OpenCV steps; on ordinary canvases
and on faint ones. OpenCV is held to one thread.
"""

from __future__ import annotations

import json
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
from absl import app, flags

from crnn_jax.box import Box
from crnn_jax.drawing import level2, line
from crnn_jax.drawing.random import Draws
from crnn_jax.grammar import Level2
from crnn_jax.locate import Located, locate, locate_document
from crnn_jax.training.log import progress_bar


@dataclass(frozen=True)
class Row:
    """A figure of ours beside a peer's.

    Attributes:
        suite: that it belongs to.
        name: what was measured.
        ours: our figure.
        peer: the other's.
        ratio: ours over the peer's, for times the peer's over ours: above 1, ours is better.
        unit: of both.
    """

    suite: str
    name: str
    ours: float
    peer: float
    ratio: float
    unit: str


def main(argv: list[str]) -> None:
    """Runs a suite and prints its table."""
    if argv[1:]:
        sys.exit(f"error: what is {argv[1]!r}? options are written --name=value; --help lists them")
    cv2.setNumThreads(1)
    rows = list(_locate(flags.FLAGS.count, flags.FLAGS.seed))
    print(f"{platform.processor() or platform.machine()}, {platform.system()}, OpenCV {cv2.__version__}")
    print(f"{'':44} {'ours':>10} {'peer':>10} {'ratio':>7}  unit")
    for row in rows:
        print(f"{row.name:44} {row.ours:10.3f} {row.peer:10.3f} {row.ratio:7.2f}  {row.unit}")
    if flags.FLAGS.out:
        Path(flags.FLAGS.out).write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n", encoding="utf-8")


def _locate(count: int, seed: int) -> Iterator[Row]:
    for name, style in (("ordinary", level2.COMPETITION), ("faint", level2.FAINT)):
        ours, theirs = _Finder(locate), _Finder(locate_document)
        with progress_bar(count, unit="image", description=name, leave=False) as bar:
            for index in range(count):
                canvas = _canvas(style, seed, index)
                for finder in (ours, theirs):
                    finder.find(canvas)
                bar.update()
        for what in ("right number of lines", "all ink, of these"):
            a, b = (100 * finder.share(what) for finder in (ours, theirs))
            yield Row("locate", f"{name} canvases: {what}", a, b, a / max(b, 1e-9), "%")
        a, b = (1000 * statistics.median(finder.seconds) for finder in (ours, theirs))
        yield Row("locate", f"{name} canvases: time of one, median", a, b, b / a, "ms")
        a, b = (1000 * sum(finder.seconds) / count for finder in (ours, theirs))
        yield Row("locate", f"{name} canvases: time of one, mean", a, b, b / a, "ms")


def _canvas(style: level2.Style, seed: int, index: int) -> level2.Canvas:
    draws = Draws(seed, "generate", index)
    text, ink = Level2().sample(draws), line.choose_ink(draws, darkest=style.darkest)
    while not ink.visible:
        ink = line.choose_ink(draws, darkest=style.darkest)
    return level2.draw(text, ink, style, draws)


class _Finder:
    """Counts how well a way of locating does."""

    def __init__(self, locate: Callable[..., Located]) -> None:
        self._locate = locate
        self.seconds: list[float] = []
        self._counts = {"right number of lines": 0, "all ink, of these": 0}

    def find(self, canvas: level2.Canvas) -> None:
        began = time.perf_counter()
        boxes = self._locate(canvas.image).boxes
        self.seconds.append(time.perf_counter() - began)
        if len(boxes) == len(canvas.boxes):
            self._counts["right number of lines"] += 1
            self._counts["all ink, of these"] += all(map(Box.holds, boxes, canvas.boxes))

    def share(self, what: str) -> float:
        of = len(self.seconds) if what == "right number of lines" else self._counts["right number of lines"]
        return self._counts[what] / max(1, of)


def _define_flags() -> None:
    """Not on import: other experiments have flags of the same names."""
    flags.DEFINE_enum("suite", "locate", ["locate"], "what to measure")
    flags.DEFINE_integer("count", 2000, "pictures", lower_bound=1)
    flags.DEFINE_integer("seed", 0, "of the pictures", lower_bound=0)
    flags.DEFINE_string("out", None, "file for the rows, JSON")


if __name__ == "__main__":
    _define_flags()
    app.run(main)
