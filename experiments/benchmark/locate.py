"""Finding the lines of level 2 canvases, against the source document's steps."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator

import cv2

from crnn_jax.box import Box
from crnn_jax.drawing import level2, line
from crnn_jax.drawing.random import Draws
from crnn_jax.grammar import Level2
from crnn_jax.locate import Located, locate, locate_document
from crnn_jax.training.log import progress_bar
from experiments.benchmark.report import Row, row

_CANVASES = 2000
_WARM_UP = 5


def rows(count: int | None, seed: int) -> Iterator[Row]:
    """What is found, and how fast, on ``count`` canvases of either kind."""
    cv2.setNumThreads(1)
    count = count or _CANVASES
    for name, style in (("ordinary", level2.COMPETITION), ("faint", level2.FAINT)):
        for index in range(count, count + _WARM_UP):
            canvas = _canvas(style, seed, index)
            for way in (locate, locate_document):
                way(canvas.image)
        ours, theirs = _Finder(locate), _Finder(locate_document)
        with progress_bar(count, unit="image", description=name, leave=False) as bar:
            for index in range(count):
                canvas = _canvas(style, seed, index)
                for finder in (ours, theirs):
                    finder.find(canvas)
                bar.update()
        for what in ("right number of lines", "all ink, of these"):
            a, b = (100 * finder.share(what) for finder in (ours, theirs))
            yield row("locate", f"{name} canvases: {what}", a, b, "%")
        a, b = (1000 * statistics.median(finder.seconds) for finder in (ours, theirs))
        yield row("locate", f"{name} canvases: time of one, median", a, b, "ms", "less")
        a, b = (1000 * sum(finder.seconds) / count for finder in (ours, theirs))
        yield row("locate", f"{name} canvases: time of one, mean", a, b, "ms", "less")


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
