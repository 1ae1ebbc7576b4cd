"""Writing the fractions of a level 2 strip in a row: what is small above and below a bar becomes as large as the rest.

Four of five mistakes of a network that reads strips as they are were digits below a bar, which are half as high as others. Runs
in data workers: no jax here.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate
from typing import NamedTuple

import cv2
import numpy as np

from crnn_jax.box import Box, Part, Traced, resized
from crnn_jax.data.contrast import brightest
from crnn_jax.drawing.level2 import BAR_WIDTH, SMALLER

# All is smoothed: a bar's outer rows have 10/13 of its strength, and those beside them 3/13, which is this share.
# Beside an arc, which is one row high, it is 3/7.
_BESIDE = 0.3
_INEXACT = 3, 0.03  # levels, and share of the outer row's, that the one beside it may be off
_OUTER = 0.55  # of the middle's strength, at least: in an enlarged picture half of it may have what is beside a bar's edge
_RUN = 40  # columns of a bar that nothing interrupts, at least
_DARK = 50  # levels of a bar's rows from the background, at least
# Columns of a bar whose upper edge, lower edge or middle is seen, and that are empty beside its numerator, all added up: 366
# where nothing covers it, at most 156 without edges, as of an arc, or of a bar in an enlarged picture. And so many that nothing
# else matters.
_LEAST_ALIKE, _UNMISTAKABLE = 170, 275
_LEAST_SEEN = 130  # of these without what is empty, where the strip has another fraction: an arc above digits comes to 105
_NEAR = 12  # columns around such a place in which the bar may begin
DRAWN = 0.5  # share of pixels of the very background, above which a strip is as it was drawn
_COPIED, _THICKNESS = (90, 150), 3  # columns of a bar in one that isn't, and its rows, at least
_FREE = -10, -4  # rows above its middle
_CROWDED = 0.1, 0.25  # share of its columns with ink in these rows that one bar is below, and that others then are too
_HIDDEN = 9  # columns of a bar that a dot or an arc may hide
_ARC = 3  # rows of an arc that are ink, at most
_INK = 70  # levels from the background that are ink
ABOVE, BELOW = (-37, -3), (6, 29)  # rows from the bar's middle in which its numbers stand
NUMERATOR = 48  # columns
_INDENT = 4  # columns of a bar before its denominator
_LEAST_INK = 40  # pixels of a numerator or denominator
OVERLAP = 6  # columns at either end of a bar that stay with the neighbours, whose edges reach there
SLASH = 6  # black columns between numerator and denominator


class Bar(NamedTuple):
    """Where a fraction's bar lies, in pixels: columns x0 to x1 without the last, middle row y."""

    x0: int
    x1: int
    y: int


def in_a_row(strip: np.ndarray, height: int) -> Traced:
    """A strip whose fractions are written as numerator, a black gap, and denominator, both enlarged.

    Args:
        strip: (h, w, 3) uint8, the contrast stretched: white background, ink about 170 levels from it; black where nothing is.
        height: that one that isn't as it was drawn is made smaller to, if it is higher, so that its bars have a known length.

    Returns:
        (h', w', 3) uint8, whose parts are the numbers and what is beside them; a strip without fractions is as it was.
    """
    if not _is_drawn(_darkness(strip), strip) and len(strip) > height:
        size = max(1, round(strip.shape[1] * height / len(strip))), height
        smaller = cv2.resize(strip, size, interpolation=cv2.INTER_AREA).astype(np.uint8)
        return resized(smaller, strip).then(_written)
    return _written(strip)


def _written(strip: np.ndarray) -> Traced:
    """A strip of the size at which bars are found, its fractions in a row."""
    pieces: list[tuple[np.ndarray, Box]] = []  # and what each shows
    whole = Box.of(strip)
    rest = whole
    for bar in bars(strip):
        before = rest._replace(x1=bar.x0 + OVERLAP)
        pieces += [(before.cut(strip), before), *_numbers(strip, bar)]
        rest = whole._replace(x0=bar.x1 - OVERLAP)
    if not pieces:
        return Traced(strip)
    pieces.append((rest.cut(strip), rest))
    lefts = accumulate((piece.shape[1] for piece, _ in pieces), initial=0)
    parts = (Part(Box.of(piece).moved(x, 0), shows) for x, (piece, shows) in zip(lefts, pieces, strict=False))
    return Traced(np.concatenate([piece for piece, _ in pieces], axis=1), (tuple(parts),))


def bars(strip: np.ndarray) -> list[Bar]:
    """The bars of a strip's fractions, from left to right."""
    darkness = _darkness(strip)
    found = [*(_drawn_bars(darkness, strip) if _is_drawn(darkness, strip) else _copied_bars(darkness))]
    crowded = [_crowded(darkness, bar) for bar in found]
    # An arc may run along a row of digits as a bar does, but above it stands what they are made of.
    if min(crowded, default=0.0) < _CROWDED[0]:
        found = [bar for bar, share in zip(found, crowded, strict=True) if share < _CROWDED[1]]
    return sorted(found)


def _free(darkness: np.ndarray, rows: np.ndarray, between: tuple[int, int]) -> np.ndarray:
    """Where no ink stands between two distances from some rows, above them, (R, w) bool; but for arcs."""
    dark = cv2.threshold(darkness, _INK, 1, cv2.THRESH_BINARY)[1]
    high = cv2.morphologyEx(dark, cv2.MORPH_OPEN, np.ones((_ARC + 1, 1), np.uint8))
    ink = np.pad(high > 0, ((-between[0], 0), (0, 0)))
    return ~np.logical_or.reduce([ink[rows - between[0] + above] for above in range(*between)])


def _crowded(darkness: np.ndarray, bar: Bar) -> float:
    """Share of the columns that have ink right above a bar."""
    above: np.ndarray = darkness[max(0, bar.y + _FREE[0]) : max(0, bar.y + _FREE[1]), bar.x0 : bar.x1]
    return float(np.mean(above.max(axis=0, initial=0) > _INK))


def _darkness(strip: np.ndarray) -> np.ndarray:
    """Levels from white of the channel that is furthest, (h, w) uint8; 0 where a strip is black."""
    red, green, blue = cv2.split(strip)
    darkness = cv2.bitwise_not(cv2.min(cv2.min(red, green), blue))
    return cv2.min(darkness, cv2.threshold(brightest(strip), 0, 255, cv2.THRESH_BINARY)[1])


def _is_drawn(darkness: np.ndarray, strip: np.ndarray) -> bool:
    """Whether a strip's pixels are as they were drawn, most of them of the very background."""
    return cv2.countNonZero(darkness) < (1 - DRAWN) * cv2.countNonZero(brightest(strip))


def _drawn_bars(darkness: np.ndarray, strip: np.ndarray) -> Iterator[Bar]:
    """Those whose pixels are as they were drawn."""
    dark = cv2.threshold(darkness, _DARK - 1, 1, cv2.THRESH_BINARY)[1]
    # Two rows of three: an arc may be bright, and cover one of a bar's.
    middle = (cv2.boxFilter(dark, -1, (1, 3), normalize=False, borderType=cv2.BORDER_CONSTANT) >= 2).astype(np.uint8)
    rows = np.flatnonzero(cv2.morphologyEx(middle, cv2.MORPH_OPEN, np.ones((1, _RUN), np.uint8)).any(axis=1))
    seen = _in_a_bar(_edges(strip, rows) + (middle[rows] & _free(darkness, rows, _FREE)))
    likeness = seen + _in_a_bar(_free(darkness, rows, (ABOVE[0], _FREE[1])), NUMERATOR, BAR_WIDTH - OVERLAP)
    found = False
    while likeness.size:
        row, place = divmod(int(np.argmax(likeness)), likeness.shape[1])
        alike = likeness[row, place]
        if alike < _LEAST_ALIKE:
            break
        # Where it begins, to a column, is told by the bar itself.
        first = max(0, place - _NEAR)
        x = first + int(np.argmax(np.where(likeness[row] > 0, seen[row], 0)[first : place + _NEAR]))
        y, equal = int(rows[row]), seen[row, x : x + BAR_WIDTH] == seen[row, x]
        x = _begun(darkness, x, x + int(np.argmin(np.append(equal, False))) - 1, y)
        likeness[:, max(0, min(x, place) - BAR_WIDTH + OVERLAP) : max(x, place) + BAR_WIDTH - OVERLAP] = 0
        bar = Bar(x, x + BAR_WIDTH, y)
        seen_enough = seen[row, x] >= _LEAST_SEEN or not found
        # A strip that was cut right at a bar holds one of its two numbers at most.
        within = 1 < y < len(darkness) - BELOW[0]
        if within and seen_enough and (alike >= _UNMISTAKABLE or _has_numbers(darkness, bar)):
            found = True
            yield bar


def _begun(darkness: np.ndarray, first: int, last: int, y: int) -> int:
    """Where a bar begins that may begin anywhere from the first to the last column: a minus before it makes it longer, and has
    nothing below it.
    """
    below: np.ndarray = darkness[y + BELOW[0] : y + BELOW[1], first : first + BAR_WIDTH]
    number = first + int(np.argmax(below.max(axis=0, initial=0) > _INK))
    return min(last, max(first, number - _INDENT))


def _in_a_bar(columns: np.ndarray, first: int = 0, last: int = BAR_WIDTH) -> np.ndarray:
    """What some columns of a bar that begins at each add up to, (R, w) uint8 or bool to (R, w - BAR_WIDTH + 1) int."""
    counts: np.ndarray = np.cumsum(np.pad(columns, ((0, 0), (1, 0))), axis=1, dtype=np.int32)
    places = max(0, counts.shape[1] - BAR_WIDTH)
    return counts[:, last : last + places] - counts[:, first : first + places]


def _copied_bars(darkness: np.ndarray) -> Iterator[Bar]:
    """Those of a picture that was compressed or changed in size: long runs of ink."""
    dark = cv2.threshold(darkness, _INK, 255, cv2.THRESH_BINARY)[1]
    runs = cv2.morphologyEx(dark, cv2.MORPH_OPEN, np.ones((_THICKNESS, _COPIED[0]), np.uint8))
    count, _, statistics, _ = cv2.connectedComponentsWithStats(runs)
    for x, y, width, height, _ in statistics[1:count].tolist():
        middle = y + height // 2
        # Above a bar is nothing for a while, other than above what it touches.
        above: np.ndarray = dark[max(0, middle + _FREE[0]) : max(0, middle + _FREE[1]), x : x + width]
        free = np.array(above.max(axis=0, keepdims=True, initial=0) == 0, np.uint8)
        closed = cv2.morphologyEx(free, cv2.MORPH_CLOSE, np.ones((1, _HIDDEN), np.uint8))
        first, last = _longest(closed.ravel())
        bar = Bar(x + first, x + last, middle)
        if _COPIED[0] <= last - first <= _COPIED[1] and _has_numbers(darkness, bar):
            yield bar


def _longest(marks: np.ndarray) -> tuple[int, int]:
    """Where the longest run of marks begins, and ends."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], marks, [0]]).astype(np.int8)))
    return max(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True), key=lambda run: run[1] - run[0], default=(0, 0))


def _has_numbers(darkness: np.ndarray, bar: Bar) -> bool:
    parts = (darkness[max(0, bar.y + first) : max(0, bar.y + last), bar.x0 : bar.x1] for first, last in (ABOVE, BELOW))
    return all(np.count_nonzero(part > _INK) >= _LEAST_INK for part in parts)


def _edges(strip: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """How many edges are seen, upper and lower, of a bar that has some rows for its middle, (R, w) uint8."""
    distances = cv2.copyTo(cv2.bitwise_not(strip), brightest(strip))
    padded = cv2.copyMakeBorder(distances, 2, 2, 0, 0, cv2.BORDER_CONSTANT)
    # The levels of a faint text, whose contrast was stretched, are exact to half of the least of them.
    faintest = int(np.min(distances - np.uint8(1))) + 1  # but for 0, which becomes the largest
    least = max(_INEXACT[0], (1 + _BESIDE) / 2 * faintest)

    above, upper, middle, lower, below = (padded[rows + 2 + i].astype(np.float32) for i in range(-2, 3))
    strength = np.maximum(_DARK, _OUTER * middle.max(axis=2))

    def edge(outer: np.ndarray, beside: np.ndarray) -> np.ndarray:
        exact = np.abs(beside - _BESIDE * outer) <= least + _INEXACT[1] * outer
        return exact.all(axis=2) & (outer.max(axis=2) >= strength)

    # An arc along the middle row takes its place, and changes the outer rows alike, but not those beside them: of 13 shares
    # these have 3 of the bar's strength, the outer rows 7 of it and 3 of the arc's, the middle 6 and 7.
    expected = np.minimum(255, 7 / 3 * upper - 31 / 9 * above)
    alike = (np.abs(upper - lower) <= least) & (np.abs(above - below) <= least) & (above <= 3 / 7 * upper + least)
    seen = np.where(middle.max(axis=2, keepdims=True) > 0, middle, 255)  # black looks like what lies outside
    crossed = (alike & (np.abs(seen - expected) <= 5 * least)).all(axis=2) & (above.max(axis=2) >= _BESIDE * _DARK)
    return np.where(crossed, 2, edge(upper, above).astype(np.uint8) + edge(lower, below))


def _numbers(strip: np.ndarray, bar: Bar) -> Iterator[tuple[np.ndarray, Box]]:
    """The enlarged numerator, a gap for the bar, and the enlarged denominator, as high as the strip; and what each shows."""
    above = Box(bar.x0, max(0, bar.y + ABOVE[0]), bar.x0 + (bar.x1 - bar.x0) * NUMERATOR // BAR_WIDTH, bar.y - 1)
    below = Box(bar.x0, bar.y + 3, bar.x1, min(len(strip), bar.y + BELOW[1]))
    yield _enlarged(above.cut(strip), strip, bar.y), above
    yield np.zeros((len(strip), SLASH, 3), np.uint8), Box(bar.x0, above.y1, bar.x1, below.y0)
    yield _enlarged(below.cut(strip), strip, bar.y), below


def _enlarged(part: np.ndarray, strip: np.ndarray, middle: int) -> np.ndarray:
    height, width = min(len(strip), round(part.shape[0] / SMALLER[1])), round(part.shape[1] / SMALLER[0])
    room = np.full((len(strip), width, 3), 255, np.uint8)
    y = max(0, min(middle - height // 2, len(strip) - height))
    room[y : y + height] = cv2.resize(part, (width, height), interpolation=cv2.INTER_LINEAR)
    return room
