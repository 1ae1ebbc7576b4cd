"""Finding the lines of a level 2 picture, cutting them out and joining them to one strip.

`locate` is our own way, `locate_document` the source document's. Runs in data workers: no jax here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import NamedTuple

import cv2
import numpy as np

from crnn_jax.box import Box, Part, Traced
from crnn_jax.data.images import UnreadableImage
from crnn_jax.drawing.level2 import LINE_HEIGHTS

LINES = (2, 3)  # how many a picture may have
GAP = 2  # pixels between joined lines
STRIP_HEIGHT = 110  # a picture up to this height is a strip already: whole ones are higher, and lines of them lower


class Located(NamedTuple):
    """Lines of a picture.

    Attributes:
        boxes: from top to bottom.
        stages: pictures of how they were found, by name; of any size, (H, W) or (H, W, 3) uint8.
    """

    boxes: tuple[Box, ...]
    stages: dict[str, np.ndarray]


Locate = Callable[[np.ndarray], Located]  # a way to find lines, of a picture (H, W, 3) uint8 RGB


class NoFormula(UnreadableImage):
    """A picture that doesn't hold two or three lines."""


def find_strip(image: np.ndarray) -> Traced:
    """The lines of a whole picture, joined; a picture that is a strip already comes back as it is.

    Args:
        image: (H, W, 3) uint8 RGB.

    Returns:
        (h, w, 3) uint8 RGB, whose parts are the lines.

    Raises:
        NoFormula: there are not two or three lines, or a strip of one colour.
    """
    if is_strip(image):
        if not _apart(image, image[0, 0], 0).any():
            raise NoFormula("no text was found: all of it has one colour")
        return Traced(image)
    boxes = locate(image).boxes
    strip = join(lines(image, boxes))
    lefts = accumulate((box.x1 - box.x0 + GAP for box in boxes), initial=0)
    return Traced(strip, (tuple(Part(box.moved(x - box.x0, -box.y0), box) for x, box in zip(lefts, boxes, strict=False)),))


def is_strip(image: np.ndarray) -> bool:
    """Whether a picture, (H, W, 3), has the shape of a strip, in which no lines are sought."""
    return image.shape[0] <= STRIP_HEIGHT and image.shape[1] > 2 * image.shape[0]


def lines(image: np.ndarray, boxes: Sequence[Box]) -> list[np.ndarray]:
    """What the boxes of a formula show.

    Raises:
        NoFormula: they are not two or three.
    """
    if len(boxes) not in LINES:
        found = {0: "no line of text was found", 1: "one line of text was found"}
        raise NoFormula(f"{found.get(len(boxes), f'{len(boxes)} lines of text were found')} where two or three are expected")
    return [box.cut(image) for box in boxes]


def join(crops: Sequence[np.ndarray]) -> np.ndarray:
    """Lines side by side, the first one left, black between and below them.

    Args:
        crops: (h, w, 3) uint8, from top to bottom: assignments come before the expression.

    Returns:
        (H, W, 3) uint8, as high as the highest.
    """
    height, width = max(crop.shape[0] for crop in crops), sum(crop.shape[1] for crop in crops) + GAP * (len(crops) - 1)
    strip = np.zeros((height, width, 3), np.uint8)
    x = 0
    for crop in crops:
        strip[: crop.shape[0], x : x + crop.shape[1]] = crop
        x += crop.shape[1] + GAP
    return strip


def split(strip: np.ndarray) -> list[Box]:
    """Where the lines of a joined strip stand, parted where it is black from top to bottom, each as high as the strip.

    Args:
        strip: (h, w, 3) uint8.
    """
    inside = np.concatenate([[False], strip.any(axis=(0, 2)), [False]])
    starts, ends = np.flatnonzero(inside[1:] & ~inside[:-1]), np.flatnonzero(inside[:-1] & ~inside[1:])
    return [Box(x0, 0, x1, len(strip)) for x0, x1 in zip(starts.tolist(), ends.tolist(), strict=True)] or [Box.of(strip)]


_SCALE = 4  # the lines are sought in a picture that is so many times smaller
_UPRIGHT = np.ones((5, 1), np.uint8)  # arcs are thinner, also when they are smoothed
_UPRIGHT_BLURRED = np.ones((9, 1), np.uint8)  # and this holds where a picture was blurred
_DENSE = 0.22  # share of marked pixels around a point of a text; a dot, or an arc, has less
_DENSE_FAINT = 0.06  # in faint text, beside which nothing else is marked
_REACH = 15, 5  # how far apart, in small pixels across and down, parts of a line may be
_LEAST_HEIGHT = 5  # small pixels of a line; pieces of an arc are lower
_LEAST_WIDTH = 12
_SEARCH, _MARGIN = 6, 6  # pixels around a line in which its edges are sought, and that stay around it
_SEARCH_IN_A_COPY = 24  # to either side: thin strokes at a line's ends are not marked in text that is blurred
_THIN = 16  # pixels beside a line: the end of a level stroke, as thin as an arc, is shorter, and an arc goes on
_FAINT, _FAINT_SHARE = 10, 0.05  # levels that faint text differs by at most, and its least share of all marks
_HIGHEST = LINE_HEIGHTS[-1] + 2 * _MARGIN  # pixels of a line as it was drawn
_EXACT = 0.8  # share of pixels of the very colour of the background, above which noise-free drawing is assumed
_TOLERANCES = 16, 24, 10  # of a channel, where it isn't; another one is tried where lines aren't found


def locate(image: np.ndarray) -> Located:
    """Finds lines of text: what differs from the background, and is dense enough not to be a dot or an arc.

    Args:
        image: (H, W, 3) uint8 RGB.
    """
    background, share = _background(image)
    drawn = _located(_marked(image, background)) if share >= _EXACT else None
    # What a good JPEG adds to a flat background may look like faint text: then there seem to be more lines, or higher ones.
    if drawn and len(drawn.boxes) in LINES and all(box.y1 - box.y0 <= _HIGHEST for box in drawn.boxes):
        return drawn
    copies = [_located(_marked_in_a_copy(image, tolerance)) for tolerance in _TOLERANCES]
    return next((copy for copy in copies if len(copy.boxes) in LINES), drawn or copies[0])


class _Marks(NamedTuple):
    """Where a picture differs from its background, (H, W) uint8, 0 or 255.

    Attributes:
        text: but for arcs.
        edges: the same or more, to find the ends of a line by.
        apart: all of it, arcs and dots as well.
        across: pixels beside a line in which these are sought.
        least: share of marked pixels around a point of a text.
    """

    text: np.ndarray
    edges: np.ndarray
    apart: np.ndarray
    across: int = _SEARCH
    least: float = _DENSE


def _located(marks: _Marks) -> Located:
    dense, joined = _lines(marks.text, marks.least)
    count, _, statistics, _ = cv2.connectedComponentsWithStats(joined)
    boxes = []
    for x, y, w, h in statistics[1:count, :4].tolist():
        if h >= _LEAST_HEIGHT and w >= _LEAST_WIDTH:
            rough = Box(*(_SCALE * value for value in (x, y, x + w, y + h)))
            box = _with_thin_ends(_tight(marks, rough), marks.apart)
            boxes.append(box.grown(_MARGIN, *marks.text.shape))
    boxes.sort(key=lambda box: box.y0)
    return Located(tuple(boxes), {"marked": marks.text, "dense": dense, "joined": joined})


def _lines(marked: np.ndarray, least: float) -> tuple[np.ndarray, np.ndarray]:
    """Where at least a share is marked, at a smaller scale, and that with gaps closed; (h, w) uint8, 0 or 255."""
    height, width = marked.shape
    small = cv2.resize(marked, (max(1, width // _SCALE), max(1, height // _SCALE)), interpolation=cv2.INTER_AREA)
    share = cv2.blur(small, (3, 3), borderType=cv2.BORDER_CONSTANT)
    dense = cv2.threshold(share, 255 * least, 255, cv2.THRESH_BINARY)[1]
    return dense, cv2.morphologyEx(dense, cv2.MORPH_CLOSE, np.ones(_REACH[::-1], np.uint8))


def _background(image: np.ndarray) -> tuple[np.ndarray, float]:
    """The most frequent colour, (3,) uint8, and its share."""
    sample = image[::16, ::16].reshape(-1, 3).astype(np.uint32)
    packed = (sample[:, 0] << 16) | (sample[:, 1] << 8) | sample[:, 2]
    colours, counts = np.unique(packed, return_counts=True)
    best = int(colours[np.argmax(counts)])
    return np.array([best >> 16, best >> 8 & 255, best & 255], np.uint8), float(counts.max() / counts.sum())


def _marked_in_a_copy(image: np.ndarray, tolerance: int) -> _Marks:
    """`_marked` in a photograph, or a picture that was compressed, whose background has many colours."""
    background = np.median(image[::4, ::4].reshape(-1, 3), axis=0).astype(np.uint8)
    apart = _apart(image, background, tolerance)
    text, edges = (cv2.morphologyEx(apart, cv2.MORPH_OPEN, upright) for upright in (_UPRIGHT_BLURRED, _UPRIGHT))
    return _Marks(text, edges, apart, _SEARCH_IN_A_COPY)


def _marked(image: np.ndarray, background: np.ndarray) -> _Marks:
    marked = _apart(image, background, 0)
    if _mostly_faint(image[::4], marked[::4], background):
        far = _apart(image, background, _FAINT)
        if not _lines(cv2.morphologyEx(far, cv2.MORPH_OPEN, _UPRIGHT), _DENSE)[0].any():
            # Arcs and dots are all that isn't near the background: so the text is what is.
            text = cv2.morphologyEx(cv2.subtract(marked, far), cv2.MORPH_OPEN, np.ones((2, 1), np.uint8))
            return _Marks(text, text, text, least=_DENSE_FAINT)
    text = cv2.morphologyEx(marked, cv2.MORPH_OPEN, _UPRIGHT)
    return _Marks(text, text, marked)


def _mostly_faint(image: np.ndarray, marked: np.ndarray, background: np.ndarray) -> bool:
    """Whether enough is near the background, besides the edges of what isn't."""
    near = cv2.subtract(marked, _apart(image, background, _FAINT))
    thick = cv2.morphologyEx(near, cv2.MORPH_OPEN, np.ones((1, 3), np.uint8))
    return cv2.countNonZero(thick) > _FAINT_SHARE * cv2.countNonZero(marked)


def _apart(image: np.ndarray, colour: np.ndarray, tolerance: int) -> np.ndarray:
    """Where any channel differs from a colour by more than some levels, (H, W) uint8, 0 or 255."""
    lowest = np.maximum(colour.astype(int) - tolerance, 0)
    highest = np.minimum(colour.astype(int) + tolerance, 255)
    return cv2.bitwise_not(cv2.inRange(image, lowest, highest))


def _tight(marks: _Marks, rough: Box) -> Box:
    """The smallest box around the marks in and beside another one."""
    height, width = marks.edges.shape
    search = rough.grown(_SEARCH, height, width)
    search = search._replace(x0=max(0, rough.x0 - marks.across), x1=min(width, rough.x1 + marks.across))
    x, y, w, h = cv2.boundingRect(search.cut(marks.edges))
    return Box(search.x0 + x, search.y0 + y, search.x0 + x + w, search.y0 + y + h)


def _with_thin_ends(box: Box, apart: np.ndarray) -> Box:
    """A box that grows to either side by what meets it there, unless that goes on like an arc."""
    strip = apart[box.y0 : box.y1]
    left = _leading(strip[:, max(0, box.x0 - _THIN) : box.x0][:, ::-1])
    right = _leading(strip[:, box.x1 : box.x1 + _THIN])
    return box._replace(x0=box.x0 - left, x1=box.x1 + right)


def _leading(apart: np.ndarray) -> int:
    """How many columns come before the first that is all background; 0 where they are too many."""
    columns = int(np.logical_and.accumulate(np.logical_or.reduce(apart, axis=0)).sum())
    return columns if columns < _THIN else 0


def locate_document(image: np.ndarray) -> Located:
    """The source document's steps: grey, equalised, median filtered, a quarter of the size, opened with a wide kernel so that a
    line's characters grow together, closed, thresholded, outlined; then each outline's edges once more at full size.

    Args:
        image: (H, W, 3) uint8 RGB.
    """
    height, width = image.shape[:2]
    equalized = cv2.equalizeHist(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))
    blurred = cv2.medianBlur(equalized, 9)
    small = cv2.resize(blurred, (max(1, width // 4), max(1, height // 4)))
    opened = cv2.morphologyEx(small, cv2.MORPH_OPEN, np.ones((7, 40)))
    closed = cv2.morphologyEx(opened, cv2.MORPH_CLOSE, np.ones((4, 4)))
    _, mask = cv2.threshold(closed, 127, 255, cv2.THRESH_BINARY_INV)
    mask = cv2.resize(mask, (width, height))
    boxes = []
    for outline in cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)[0]:
        x, y, w, h = cv2.boundingRect(outline)
        region = Box(x, y, x + w, y + h).grown(20, height, width)
        ink = cv2.morphologyEx(region.cut(blurred), cv2.MORPH_CLOSE, np.ones((3, 3)))
        _, ink = cv2.threshold(ink, 127, 255, cv2.THRESH_BINARY_INV)
        parts = cv2.findContours(ink, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)[0]
        if parts:
            x, y, w, h = cv2.boundingRect(np.vstack(parts))
            box = Box(region.x0 + x, region.y0 + y, region.x0 + x + w, region.y0 + y + h)
            boxes.append(box.grown(5, height, width))
    boxes.sort(key=lambda box: box.y0)
    return Located(tuple(boxes), {"equalized": equalized, "blurred": blurred, "joined": closed, "mask": mask})


WAYS: dict[str, Locate] = {"ours": locate, "document": locate_document}
