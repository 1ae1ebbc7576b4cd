"""The pictures of level 1: arithmetic in one colour, left aligned, warped, with dots.

They are those of version 0.2 of the ``captcha`` package (`crnn_jax.drawing.line`) with the changes that the official pictures
show: no arc, and a minus that is rotated only.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from crnn_jax.drawing import level2
from crnn_jax.drawing.line import Ink, character, dot, draw_dots, side_by_side, smooth
from crnn_jax.drawing.random import RandomNumbers

WIDTH, HEIGHT = 180, 60
SIZES = range(35, 56)
# Look-alikes of the 16 faces that the source document's author drew with.
FONTS = (
    "DroidSansMono.ttf",
    "Arimo-Regular.ttf",
    "ArchivoBlack-Regular.ttf",
    "CrnnSans-Regular.ttf",
    "ComicNeue-Bold.otf",
    "Inconsolata-Regular.ttf",
    "Jost-Regular.ttf",
    "Gelasio-Regular.ttf",
    "Cabin-Regular.ttf",
    "CrnnGrotesque-Regular.otf",
    "Anton-Regular.ttf",
    "DejaVuSansMono.ttf",
    "CrnnFlare-Regular.otf",
    "Tinos-Regular.ttf",
    "Tinos-Bold.ttf",
    "DejaVuSans.ttf",
)

# Those in which a network makes the most mistakes, the first one twice as many as any other.
HARD_FONTS = (
    "Anton-Regular.ttf",
    "Anton-Regular.ttf",
    "ArchivoBlack-Regular.ttf",
    "Cabin-Regular.ttf",
    "ComicNeue-Bold.otf",
    "Inconsolata-Regular.ttf",
)


@dataclass(frozen=True)
class Style:
    """What sets two sources of such pictures apart.

    Attributes:
        fonts: files of `crnn_jax.drawing.fonts`.
        one_font: in a picture; otherwise each character has its own.
        dots: in the text's colour.
        darkest: all texts are dark, that is nearly transparent.
    """

    fonts: tuple[str, ...] = FONTS
    one_font: bool = True
    dots: int = 15
    darkest: bool = False


COMPETITION = Style()
AUTHOR = Style(one_font=False, dots=30)  # how the document's author drew for training
FAINT = Style(darkest=True)
UNSEEN = Style(fonts=level2.FACES)  # none of which is trained with


def draw(text: str, ink: Ink, style: Style, draws: RandomNumbers) -> np.ndarray:
    """Draws a text.

    Args:
        text: one character or more of the fonts.
        ink: its colours.
        style: of the picture.
        draws: where the random numbers come from.

    Returns:
        (60, 180, 3) uint8, RGB.
    """
    picture = _draw_text(text, ink, style, draws)
    _draw_dots(picture, ink.text, style.dots, draws)
    return smooth(picture)


def _draw_text(text: str, ink: Ink, style: Style, draws: RandomNumbers) -> np.ndarray:
    """(60, 180, 3) uint8; a text that is too wide is made narrower."""
    font = style.fonts[draws.below(len(style.fonts))]
    pieces = []
    for c in text:
        if not style.one_font:
            font = style.fonts[draws.below(len(style.fonts))]
        pieces.append(character(c, font, SIZES[draws.below(len(SIZES))], draws))
    canvas = side_by_side(pieces, len(text), ink, HEIGHT, WIDTH, draws)
    return cv2.resize(canvas, (WIDTH, HEIGHT), interpolation=cv2.INTER_NEAREST_EXACT) if canvas.shape[1] > WIDTH else canvas


def _draw_dots(picture: np.ndarray, colour: tuple[int, ...], count: int, draws: RandomNumbers) -> None:
    places = np.array([(draws.below(HEIGHT + 1), draws.below(WIDTH + 1)) for _ in range(count)], np.intp).reshape(-1, 2)
    draw_dots(picture, places, dot()[None], np.array([colour], np.uint8))
