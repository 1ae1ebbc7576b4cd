"""The pictures of level 2: two or three lines of formulas somewhere on a large canvas with noise.

A line is a strip as of level 1 (`crnn_jax.drawing.line`), 800 pixels wide, with an arc of its own; a fraction stands in it like
one wide character. On the canvas lie dots and one more arc, each of its own colour.

For training, a line can be drawn alone, cut out as locating does it: many times faster than its canvas.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image, ImageDraw

from crnn_jax.box import Box
from crnn_jax.drawing.line import Distortion, Ink, character, draw_dots_of_all_colours, empty, side_by_side, smooth
from crnn_jax.drawing.random import RandomNumbers
from crnn_jax.grammar import SEPARATOR

HEIGHTS = range(400, 1001, 100)  # of a canvas
WIDTHS = range(800, 4001, 800)
BLOCK_WIDTH, BLOCK_HEIGHT = 800, 400  # where all lines stand
LINE_HEIGHTS = range(100, 134)  # of a strip
SIZES = range(38, 51)
AREA_PER_DOT = 4266  # pixels
BRIGHTEST = 201  # channels of an arc's colour are below

# A fraction: a bar, and below and above it characters made smaller.
BAR_WIDTH, BAR_HEIGHT, FRACTION_HEIGHT = 105, 3, 81
_TOKENS = re.compile(r"./\d+|.")  # fractions and characters
SMALLER = (0.8, 0.55)  # width and height
ABOVE, BELOW = -24, 13  # centres of the numerator and the denominator, from the bar's

# Pixels that locating leaves around a line: some, and in a share of the cases, where dots or an arc touch the text, more.
LEAST_MARGIN, MARGINS, MORE_MARGIN, MORE = 5, 3, 0.2, 12
MOST_MARGIN = LEAST_MARGIN + MARGINS - 1 + MORE - 1

SONG, NARROW = "SungtiLGB-Regular.ttf", "TWSung-Regular.ttf"  # nearest to the competition's own
FACES = (
    SONG,
    "UMingCN-Light.ttf",
    "NotoSerifCJKsc-Regular.otf",
    NARROW,
    "NotoSansCJKsc-Regular.otf",
    "UKaiCN-Book.ttf",
    "CrnnKai-Regular.ttf",
)
# Faces without Chinese characters, for all others: digits are what a formula has most of, and the competition's are neither
# Song's nor any other's that we have.
LATIN_FACES = (
    *FACES,
    "Arimo-Regular.ttf",
    "Cabin-Regular.ttf",
    "CrnnFlare-Regular.otf",
    "CrnnSans-Regular.ttf",
    "DroidSansMono.ttf",
    "Inconsolata-Regular.ttf",
    "Jost-Regular.ttf",
    "Tinos-Regular.ttf",
)
# For judging alone: what level 1 has besides.
UNSEEN_FACES = (
    "Anton-Regular.ttf",
    "ArchivoBlack-Regular.ttf",
    "ComicNeue-Bold.otf",
    "CrnnGrotesque-Regular.otf",
    "DejaVuSans.ttf",
    "DejaVuSansMono.ttf",
    "Gelasio-Regular.ttf",
    "Tinos-Bold.ttf",
)


# More than what was measured on the few pictures that there are.
_WIDE = Distortion(rotation=45.0, across=(0.1, 0.4))


@dataclass(frozen=True)
class Style:
    """What sets two sources of such pictures apart.

    Attributes:
        fonts: files of `crnn_jax.drawing.fonts`; a picture has one.
        latin: likewise, for all but the variables; none: that of the variables.
        weights: how much bolder than the font its strokes are, see `crnn_jax.drawing.line.character`; a picture has one.
        distortion: of each character.
        darkest: all texts are dark, that is nearly transparent.
    """

    fonts: tuple[str, ...] = (SONG, NARROW)
    latin: tuple[str, ...] = (NARROW,)  # high digits, a * of six long arms: as in the competition's pictures
    weights: tuple[float, ...] = (0.0, 0.25, 0.5)
    distortion: Distortion = _WIDE
    darkest: bool = False


COMPETITION = Style()
VARIED = Style(fonts=FACES, latin=LATIN_FACES, weights=(0.0, 0.25, 0.5, 0.75))
FAINT = Style(darkest=True)
UNSEEN = Style(latin=UNSEEN_FACES)  # which are never trained with; the variables are as ever


class Canvas(NamedTuple):
    """A whole picture.

    Attributes:
        image: (H, W, 3) uint8, RGB.
        boxes: of the ink of each line, from top to bottom.
    """

    image: np.ndarray
    boxes: tuple[Box, ...]


class _Place(NamedTuple):
    """Where a picture's text stands, in pixels.

    Attributes:
        height: of the canvas.
        width: of the canvas.
        x: left edge of the lines.
        y: top of the first one.
        line: height of each.
    """

    height: int
    width: int
    x: int
    y: int
    line: int


def _place(draws: RandomNumbers) -> _Place:
    height, width = HEIGHTS[draws.below(len(HEIGHTS))], WIDTHS[draws.below(len(WIDTHS))]
    x, y = draws.below(width - BLOCK_WIDTH + 1), draws.below(height - BLOCK_HEIGHT + 1)
    return _Place(height, width, x, y, LINE_HEIGHTS[draws.below(len(LINE_HEIGHTS))])


def draw(text: str, ink: Ink, style: Style, draws: RandomNumbers) -> Canvas:
    """Draws a whole canvas.

    Args:
        text: lines with ``;`` between them, the last one with a fraction.
        ink: their colours.
        style: of the picture.
        draws: where the random numbers come from.
    """
    place, arc = _place(draws), _arc_colour(draws)
    image = empty(place.height, place.width, ink.background)
    boxes = []
    for number, strip in enumerate(_strips(text, ink, style, place.line, draws)):
        y, box = place.y + number * place.line, _ink_box(strip, ink)
        width = min(max(BLOCK_WIDTH, strip.shape[1]), place.width - place.x)
        image[y : y + place.line, place.x : place.x + width] = _cut(strip, Box(0, 0, width, place.line), ink, draws)
        boxes.append(Box(box.x0 + place.x, box.y0 + y, min(box.x1 + place.x, place.width), box.y1 + y))
    _draw_dots(image, draws)
    _draw_arc(image, place.width, place.height, 0, 0, arc, draws)
    return Canvas(image, tuple(boxes))


def draw_crops(text: str, ink: Ink, style: Style, draws: RandomNumbers) -> list[np.ndarray]:
    """Draws the lines alone, each cut out with margins by chance.

    Args:
        text: as of `draw`.
        ink: likewise.
        style: likewise.
        draws: likewise.

    Returns:
        A picture a line, (h, w, 3) uint8, RGB.
    """
    place, arc = _place(draws), _arc_colour(draws)
    crops = []
    for number, strip in enumerate(_strips(text, ink, style, place.line, draws)):
        box = _ink_box(strip, ink)
        window = Box(
            max(-place.x, box.x0 - _margin(draws)), box.y0 - _margin(draws), box.x1 + _margin(draws), box.y1 + _margin(draws)
        )
        crop = _cut(strip, window, ink, draws)
        _draw_dots(crop, draws)
        # Each line has an arc of its own chance: what one crop shows is as likely as on a canvas.
        left, top = place.x + window.x0, place.y + number * place.line + window.y0
        _draw_arc(crop, place.width, place.height, left, top, arc, draws)
        crops.append(crop)
    return crops


def _margin(draws: RandomNumbers) -> int:
    """As locating leaves it."""
    return LEAST_MARGIN + draws.below(MARGINS) + (draws.below(MORE) if draws.uniform() < MORE_MARGIN else 0)


def _strips(text: str, ink: Ink, style: Style, height: int, draws: RandomNumbers) -> Iterator[np.ndarray]:
    """The lines' characters on their background, (height, W, 3) uint8."""
    font = style.fonts[draws.below(len(style.fonts))]
    latin = style.latin[draws.below(len(style.latin))] if style.latin else font
    weight = style.weights[draws.below(len(style.weights))]
    for line in text.split(SEPARATOR):
        pieces = list(_pieces(line, (font, latin), weight, style.distortion, draws))
        yield side_by_side(pieces, len(line), ink, height, 0, draws)


def _pieces(
    line: str, fonts: tuple[str, str], weight: float, distortion: Distortion, draws: RandomNumbers
) -> Iterator[np.ndarray]:
    """Coverages of a line's characters, each fraction as one; the fonts are the variables' and the others'."""

    def one(text: str, scale: tuple[float, float] = (1.0, 1.0)) -> np.ndarray:
        font, size = fonts[text.isascii()], SIZES[draws.below(len(SIZES))]
        return character(text, font, size, draws, distortion, weight=weight, scale=scale)

    for token in _TOKENS.findall(line):
        if len(token) == 1:
            yield one(token)
        else:
            yield _fraction(one(token[0], SMALLER), [one(digit, SMALLER) for digit in token[2:]], draws)


def _fraction(numerator: np.ndarray, denominator: Sequence[np.ndarray], draws: RandomNumbers) -> np.ndarray:
    """The coverage of a fraction, (81, 105) uint8, or wider where the denominator is."""
    average = int(sum(digit.shape[1] for digit in denominator) / len(denominator))
    xs, x = [], 2 + draws.below(5)
    for digit in denominator:
        xs.append(x)
        x += digit.shape[1] - draws.below(int(0.25 * average) + 1)
    width = max(BAR_WIDTH, xs[-1] + denominator[-1].shape[1])
    piece = np.zeros((FRACTION_HEIGHT, width), np.uint8)
    middle = FRACTION_HEIGHT // 2
    for digit, left in zip(denominator, xs, strict=True):
        _add(piece, digit, left, middle + BELOW)
    _add(piece, numerator, 3 + draws.below(8), middle + ABOVE)
    piece[middle - 1 : middle - 1 + BAR_HEIGHT, :BAR_WIDTH] = 255
    return piece


def _add(piece: np.ndarray, coverage: np.ndarray, x: int, centre: int) -> None:
    y = max(0, centre - coverage.shape[0] // 2)
    below = piece[y : y + coverage.shape[0], x : x + coverage.shape[1]]
    np.maximum(below, coverage[: below.shape[0], : below.shape[1]], out=below)


def _ink_box(strip: np.ndarray, ink: Ink) -> Box:
    """Where a strip differs from its background; a single pixel where it doesn't."""
    x, y, w, h = cv2.boundingRect(cv2.bitwise_not(cv2.inRange(strip, ink.background, ink.background)))
    return Box(x, y, x + max(1, w), y + max(1, h))


def _cut(strip: np.ndarray, window: Box, ink: Ink, draws: RandomNumbers) -> np.ndarray:
    """What a window shows of a strip that goes on to all sides, with its arc, smoothed."""
    x0, y0, x1, y1 = window.x0 - 1, window.y0 - 1, window.x1 + 1, window.y1 + 1  # smoothing looks one pixel further
    pixels = empty(y1 - y0, x1 - x0, ink.background)
    inside = strip[max(0, y0) : y1, max(0, x0) : x1]
    pixels[max(0, -y0) : max(0, -y0) + inside.shape[0], max(0, -x0) : max(0, -x0) + inside.shape[1]] = inside
    _draw_arc(pixels, BLOCK_WIDTH, strip.shape[0], x0, y0, _arc_colour(draws), draws)
    return smooth(pixels)[1:-1, 1:-1]


def _arc_colour(draws: RandomNumbers) -> tuple[int, ...]:
    return tuple(draws.below(BRIGHTEST) for _ in range(3))


def _draw_arc(
    image: np.ndarray, width: int, height: int, left: int, top: int, colour: tuple[int, ...], draws: RandomNumbers
) -> None:
    """Draws what is seen, in a picture that starts at (left, top), of an arc across ``width`` x ``height``; in place."""
    fifth = width // 5
    x1, x2 = draws.below(fifth + 1), width - fifth + draws.below(fifth + 1)
    y1 = height // 5 + draws.below(height - 2 * (height // 5) + 1)
    y2 = y1 + draws.below(height - y1 - height // 5 + 1)
    start, end = draws.below(21), 160 + draws.below(41)
    if not (y1 - top < image.shape[0] and y2 - top >= 0 and x1 - left < image.shape[1] and x2 - left >= 0):
        return
    picture = Image.fromarray(image)
    ImageDraw.Draw(picture).arc((x1 - left, y1 - top, x2 - left, y2 - top), start, end, fill=colour)
    image[:] = np.asarray(picture)


def _draw_dots(image: np.ndarray, draws: RandomNumbers) -> None:
    """Sprinkles dots over a picture, in place."""
    share = image.shape[0] * image.shape[1] / AREA_PER_DOT
    draw_dots_of_all_colours(image, int(share + draws.uniform()), draws)
