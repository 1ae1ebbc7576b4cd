"""The pictures of the ``captcha`` package 0.7.1 as a pure function of random draws.

The package draws with ``secrets``, which can't be seeded. `draw` takes its random numbers in the package's own order, so
that the two give the same picture, byte for byte, when they are fed the same numbers (``tests/drawing/test_captcha.py``
does that). It is faster because it keeps each glyph's ink, skips the blanks, which leave none, and computes of Pillow's
work only what is seen (`crnn_jax.drawing.pillow`).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from types import ModuleType
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image, ImageDraw

from crnn_jax.drawing.fonts import glyph
from crnn_jax.drawing.line import dot, draw_dots, empty, smooth
from crnn_jax.drawing.random import RandomNumbers

FONT = "DroidSansMono.ttf"
FONT_SIZES = (42, 50, 56)
BLANK_PROBABILITY = 0.5
ROTATION = 30.0  # degrees, either way
DOTS = 30
# Opaque from a luminance of 130 on; darker colours let the background through.
_MASK_TABLE = np.array([min(255, int(value * 1.97)) for value in range(256)], np.uint8)

Colour = tuple[int, ...]
Piece = tuple[np.ndarray | None, int, int]  # (h, w, 4) uint8, if there is ink, w, h


class Warp(NamedTuple):
    """How far the corners of a character are moved at most, across and down: ``size * (least + chance * more) + shift``.

    Attributes:
        least: shares of its size, as the next one.
        more: the chance is of [0, 1).
        shift: pixels.
    """

    least: tuple[float, float]
    more: tuple[float, float]
    shift: tuple[float, float]


OLDER_WARP = Warp(least=(0.1, 0.2), more=(0.3 - 0.1, 0.3 - 0.2), shift=(0.0, 0.0))
WARP = Warp(least=(0.0, 0.0), more=(0.3 - 0.1, 0.3 - 0.2), shift=(0.1, 0.2))  # in 0.7, a factor has become a summand


def draw(text: str, width: int, height: int, draws: RandomNumbers, *, older: bool = False) -> np.ndarray:
    """Draws a text as ``captcha.image.ImageCaptcha(width, height).generate_image(text)`` does.

    Args:
        text: one character or more of the font.
        width: of the picture, in pixels.
        height: likewise.
        draws: where the random numbers come from.
        older: as version 0.6 did, which warped characters further.

    Returns:
        (height, width, 3) uint8, RGB.
    """
    background = _colour(238, 255, draws)
    opacity = draws.below(36) + 220
    colour = (*_colour(10, 200, draws), opacity)
    pieces = list(_draw_characters(text, np.array(colour), OLDER_WARP if older else WARP, draws))
    canvas = _side_by_side(pieces, len(text), background, width, height, draws)
    places = np.array([(draws.below(width + 1), draws.below(height + 1)) for _ in range(DOTS)])
    draw_dots(canvas, places[:, ::-1], dot()[None], np.array([colour[:3]], np.uint8))
    image = Image.fromarray(canvas)
    _draw_arc(ImageDraw.Draw(image), colour, width, height, draws)
    return smooth(np.asarray(image))


def _colour(low: int, high: int, draws: RandomNumbers) -> Colour:
    return tuple(draws.below(high - low + 1) + low for _ in range(3))


def _draw_characters(text: str, colour: np.ndarray, warp: Warp, draws: RandomNumbers) -> Iterator[Piece]:
    for character in text:
        if draws.uniform() > BLANK_PROBABILITY:
            yield _draw_character(" ", colour, warp, draws)
        yield _draw_character(character, colour, warp, draws)


def _side_by_side(
    pieces: Sequence[Piece], count: int, background: Colour, width: int, height: int, draws: RandomNumbers
) -> np.ndarray:
    """Each overlaps the one before by up to a quarter of the average width of the ``count`` characters."""
    text_width = sum(piece_width for _, piece_width, _ in pieces)
    canvas = empty(max(text_width, width), height, background)  # on its side, for `resized`
    average = int(text_width / count)
    x = int(average * 0.1)
    for piece, piece_width, piece_height in pieces:
        if piece is not None:
            _pillow().paste_by_luminance(canvas.swapaxes(0, 1), piece, x, int((height - piece_height) / 2), _MASK_TABLE)
        x += piece_width - draws.below(int(0.25 * average) + 1)
    if text_width > width:
        canvas = _pillow().resized(canvas, width)
    return cv2.transpose(canvas)


def _draw_character(character: str, colour: np.ndarray, warp: Warp, draws: RandomNumbers) -> Piece:
    """One character, rotated and warped, with its width and height; no picture where there is no ink."""
    coverage, w, h = _coverage(FONT_SIZES[draws.below(len(FONT_SIZES))], character)
    # The package shifts the glyph inside a box that it then cuts off again: two numbers without effect.
    draws.below(5), draws.below(7)
    angle = -ROTATION + draws.uniform() * 2 * ROTATION
    dx, dy = (
        size * least + size * draws.uniform() * more + shift for size, least, more, shift in zip((w, h), *warp, strict=True)
    )
    x1, y1, x2, y2 = (int(draws.uniform() * 2 * d - d) for d in (dx, dy, dx, dy))
    if coverage is None:
        return None, w, h
    radians = -math.radians(angle % 360.0)
    cos, sin = round(math.cos(radians), 15), round(math.sin(radians), 15)  # as Pillow does
    w2, h2 = w + abs(x1) + abs(x2), h + abs(y1) + abs(y2)
    corners = np.array([x1, y1, -x1, h2 - y2, w2 + x2, h2 + y2, w2 - x2, -y1], np.float64)
    piece = np.empty((h, w, 4), np.uint8)
    _pillow().rotate_resize_and_warp(coverage, colour, cos, sin, (w2, h2), corners, piece)
    return piece, w, h


@functools.cache
def _coverage(size: int, character: str) -> tuple[np.ndarray | None, int, int]:
    """A character's ink, (h, w) uint8, with its width and height; see `crnn_jax.drawing.fonts.Glyph`."""
    ink, width, height = glyph(FONT, size, character)
    return None if ink is None else np.asarray(ink), width, height


def _pillow() -> ModuleType:
    from crnn_jax.drawing import pillow  # imports numba, for which those who only read don't wait

    return pillow


def _draw_arc(canvas: ImageDraw.ImageDraw, colour: Colour, width: int, height: int, draws: RandomNumbers) -> None:
    fifth, fifth_of_height = int(width / 5), int(height / 5)
    x1 = draws.below(fifth + 1)
    x2 = draws.below(width - fifth + 1) + fifth
    y1 = draws.below(height - 2 * fifth_of_height + 1) + fifth_of_height
    y2 = draws.below(height - y1 - fifth_of_height + 1) + y1
    end = draws.below(41) + 160
    start = draws.below(21)
    canvas.arc((x1, y1, x2, y2), start, end, fill=colour)
