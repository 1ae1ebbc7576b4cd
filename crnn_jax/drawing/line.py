"""Characters of one colour side by side, as version 0.2 of the ``captcha`` package drew them: what levels 1 and 2 share.

The package pastes each character by its own luminance, so that dark colours are nearly transparent: a few pictures differ from
their background by one level, and three in a million not at all.

Everything that happens to a character before it is pasted is done on its coverage alone, from which tables give colour and
opacity, and in one interpolation: that is faster than four channels, and the same but for rounding at the edges of strokes
(``tests/drawing/test_level1.py`` compares it with Pillow's own operations). `crnn_jax.drawing.pixels` has the loops.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image, ImageDraw

from crnn_jax.drawing.fonts import glyph
from crnn_jax.drawing.random import RandomNumbers

_OPACITY = 1.97  # of a character, for each level of its luminance
BRIGHTEST, DARKEST = 201, 6  # channels of a text's colour are below
UNWARPED = "-"
_OVERLAP = 0.25  # of the average width, at most


@dataclass(frozen=True)
class Distortion:
    """How far characters are turned and warped.

    Attributes:
        rotation: degrees, either way.
        across: how far a corner moves at most, in widths of the character: by chance between these two.
        down: likewise, in heights.
    """

    rotation: float = 30.0
    across: tuple[float, float] = (0.1, 0.3)
    down: tuple[float, float] = (0.2, 0.3)


class Ink(NamedTuple):
    """Colours of a picture.

    Attributes:
        background: (3,) of 238 to 255.
        text: (3,) of 0 to 200.
    """

    background: tuple[int, ...]
    text: tuple[int, ...]

    @property
    def visible(self) -> bool:
        """Whether the text leaves any trace."""
        return bool(_tables(self).transparency[255] < 255)


def choose_ink(draws: RandomNumbers, *, darkest: bool = False) -> Ink:
    """Colours by chance; the darkest texts are nearly or wholly transparent."""
    background = tuple(238 + draws.below(18) for _ in range(3))
    return Ink(background, tuple(draws.below(DARKEST if darkest else BRIGHTEST) for _ in range(3)))


def empty(height: int, width: int, colour: Sequence[int]) -> np.ndarray:
    """A picture of one colour, (height, width, 3) uint8."""
    # Row by row: broadcasting three numbers over every pixel takes nine times as long.
    canvas = np.empty((height, width * 3), np.uint8)
    canvas[:] = np.tile(np.array(colour, np.uint8), width)
    return canvas.reshape(height, width, 3)


def smooth(picture: np.ndarray) -> np.ndarray:
    """Pillow's SMOOTH filter: the same bytes, the outermost pixels left as they are.

    Args:
        picture: (H, W, 3) uint8.
    """
    return _pixels().smooth(picture)


def character(
    text: str,
    font: str,
    size: int,
    draws: RandomNumbers,
    distortion: Distortion = Distortion(),
    *,
    weight: float = 0.0,
    scale: tuple[float, float] = (1.0, 1.0),
) -> np.ndarray:
    """The coverage of a rotated and warped character, (h, w) uint8; a minus is rotated only, and so stays thin.

    Args:
        text: one character.
        font: a file of `crnn_jax.drawing.fonts`.
        size: in pixels.
        draws: where the random numbers come from.
        distortion: how far it goes.
        weight: how much bolder than the font the strokes are: 1 for a pixel on each side.
        scale: of width and height, when all is done.

    Raises:
        ValueError: the character leaves no ink.
    """
    ink, w, h = framed_ink(font, size, text, weight)
    angle = draws.uniform(-distortion.rotation, distortion.rotation)
    dx, dy = w * draws.uniform(*distortion.across), h * draws.uniform(*distortion.down)
    x1, y1, x2, y2 = (int(draws.uniform(-d, d)) for d in (dx, dy, dx, dy))
    cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    turned = _turned(ink.shape[1] - 2, ink.shape[0] - 2, cos, sin)
    (width, height), corners = ((w, h), (x1, y1, x2, y2)) if text != UNWARPED else (turned, (0, 0, 0, 0))
    out = np.empty((max(1, round(height * scale[1])), max(1, round(width * scale[0]))), np.uint8)
    _pixels().rotate_and_warp(ink, turned, cos, sin, (width, height), corners, out)
    return out


def _pixels() -> ModuleType:
    from crnn_jax.drawing import pixels  # takes half a second, for which those who only read don't wait

    return pixels


def _turned(w: int, h: int, cos: float, sin: float) -> tuple[int, int]:
    """Width and height of a picture of ``w`` x ``h`` after Pillow's ``rotate``, which makes it as large as that needs."""
    across = (abs(cos) * w + abs(sin) * h) / 2
    down = (abs(sin) * w + abs(cos) * h) / 2
    return (
        math.ceil(w / 2 + across) - math.floor(w / 2 - across),
        math.ceil(h / 2 + down) - math.floor(h / 2 - down),
    )


@functools.lru_cache(maxsize=16384)
def framed_ink(font: str, size: int, text: str, weight: float = 0.0) -> tuple[np.ndarray, int, int]:
    """A character's coverage as alpha and as a colour times alpha, with its width and height.

    Pillow weighs colours by alpha when it interpolates, and nobody looks at alpha later: so strokes come out bolder.

    Returns:
        (h + 2, w + 2, 2) uint8: the colour and alpha, framed with their outermost pixels; width; height.

    Raises:
        ValueError: the character leaves no ink.
    """
    ink, width, height = glyph(font, size, text)
    if ink is None:
        raise ValueError(f"{text!r} leaves no ink in {font}")
    coverage = np.asarray(ink)
    if weight:
        coverage = cv2.copyMakeBorder(coverage, 1, 1, 1, 1, cv2.BORDER_CONSTANT)
        coverage = cv2.addWeighted(coverage, 1 - weight, cv2.dilate(coverage, np.ones((3, 3), np.uint8)), weight, 0)
    pair = np.dstack([divided_by_255(coverage.astype(np.uint32) ** 2), coverage]).astype(np.uint8)
    return cv2.copyMakeBorder(pair, 1, 1, 1, 1, cv2.BORDER_REPLICATE), width, height


def side_by_side(
    pieces: Sequence[np.ndarray], count: int, ink: Ink, height: int, width: int, draws: RandomNumbers
) -> np.ndarray:
    """Pieces of a text from left to right, each overlapping the one before by up to a quarter of the average width.

    Args:
        pieces: coverages, (h, w) uint8.
        count: of characters, for the average.
        ink: their colours.
        height: of the picture.
        width: of it, at least.
        draws: where the random numbers come from.

    Returns:
        (height, W, 3) uint8, RGB, where W is the larger one of ``width`` and the widths of all the pieces.
    """
    text_width = sum(piece.shape[1] for piece in pieces)
    canvas = empty(height, max(text_width, width), ink.background)
    average = int(text_width / count)
    x, free = int(average * 0.1), 0
    for piece in pieces:
        _pixels().paste(canvas, piece, x, int((height - piece.shape[0]) / 2), free, *_tables(ink))
        free = max(free, x + piece.shape[1])
        x += piece.shape[1] - draws.below(int(_OVERLAP * average) + 1)
    return canvas


def divided_by_255(values: np.ndarray) -> np.ndarray:
    """Rounded, as Pillow does it."""
    values = values + 128
    return (values + (values >> 8)) >> 8


class _Tables(NamedTuple):
    """What each coverage looks like.

    Attributes:
        transparency: 255 less the opacity, (256,) uint16.
        colour: the text's colour times the opacity, (256, 3) uint16.
        on_background: both laid on the background, (256, 3) uint8.
    """

    transparency: np.ndarray
    colour: np.ndarray
    on_background: np.ndarray


_LEVELS = np.arange(256, dtype=np.uint32)[:, None]


@functools.cache
def opacities() -> np.ndarray:
    """Of a character for each luminance, (256,) uint32."""
    return np.minimum(255, (np.arange(256) * _OPACITY).astype(np.uint32))


@functools.lru_cache(maxsize=16)
def _tables(ink: Ink) -> _Tables:
    scaled = divided_by_255(_LEVELS * np.array(ink.text, np.uint32))
    luminance = scaled @ np.array([299, 587, 114], np.uint32) // 1000  # rounded down, as Pillow did then
    opacity = opacities()[luminance][:, None]
    colour = scaled * opacity
    on_background = divided_by_255(np.array(ink.background, np.uint32) * (255 - opacity) + colour)
    return _Tables(
        (255 - opacity[:, 0]).astype(np.uint16),
        colour.astype(np.uint16),
        on_background.astype(np.uint8),
    )


@functools.cache
def dot(length: int = 1, rise: int = 1) -> np.ndarray:
    """The pixels that Pillow fills for a line of width 3 from (0, 0) to (-length, -rise), (N, 2) int, row and column."""
    canvas = Image.new("L", (15, 15))
    ImageDraw.Draw(canvas).line(((7, 7), (7 - length, 7 - rise)), fill=255, width=3)
    return np.argwhere(np.asarray(canvas)) - 7


def draw_dots(picture: np.ndarray, places: np.ndarray, pixels: np.ndarray, colours: np.ndarray) -> None:
    """Draws dots, or what is inside of them, in place.

    Args:
        picture: (H, W, 3) uint8.
        places: (D, 2) int, row and column.
        pixels: (D, N, 2) or (1, N, 2) int, of each dot from its place.
        colours: (D, 3) or (1, 3) uint8.
    """
    _pixels().draw_dots(picture, places, pixels, colours)


_LENGTHS = 3  # of a dot, either way


@functools.cache
def dots() -> np.ndarray:
    """Dots of all sizes, (9, N, 2) int: those of fewer pixels name their first one several times."""
    sizes = [dot(length, rise) for length in range(1, _LENGTHS + 1) for rise in range(1, _LENGTHS + 1)]
    most = max(map(len, sizes))
    return np.stack([np.concatenate([pixels, np.repeat(pixels[:1], most - len(pixels), axis=0)]) for pixels in sizes])


def draw_dots_of_all_colours(picture: np.ndarray, count: int, draws: RandomNumbers) -> None:
    """Sprinkles dots of several sizes, each of its own colour, in place.

    Args:
        picture: (H, W, 3) uint8.
        count: of dots.
        draws: where the random numbers come from.
    """
    ranges = [*picture.shape[:2], _LENGTHS**2, 256, 256, 256]
    numbers = (draws.many(len(ranges) * count).reshape(count, len(ranges)) * ranges).astype(np.intp)
    draw_dots(picture, numbers[:, :2], dots()[numbers[:, 2]], numbers[:, 3:].astype(np.uint8))
