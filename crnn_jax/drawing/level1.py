"""The pictures of level 1: arithmetic in one colour, left aligned, warped, with dots.

They are those of version 0.2 of the ``captcha`` package with the changes that the official pictures show: no arc, a minus that
is rotated only and so stays thin. The package pastes each character by its own luminance, so that dark colours are nearly
transparent: a few pictures differ from their background by one level, and three in a million not at all.

Everything that happens to a character before it is pasted is done on its coverage alone, from which tables give colour and
opacity: that is faster than four channels, and the same but for rounding at the edges of strokes
(``tests/drawing/test_level1.py`` compares it with Pillow's own operations).
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from crnn_jax.drawing.captcha import RandomNumbers, smooth
from crnn_jax.drawing.fonts import glyph

WIDTH, HEIGHT = 180, 60
SIZES = range(35, 56)
ROTATION = 30.0  # degrees, either way
_OPACITY = 1.97  # of a character, for each level of its luminance
_UNWARPED = "-"
_BRIGHTEST, _DARKEST = 201, 6  # channels of a text's colour are below


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
        return bool(_tables(self)[0][255])


def choose_ink(draws: RandomNumbers, *, darkest: bool = False) -> Ink:
    """Colours by chance; the darkest texts are nearly or wholly transparent."""
    background = tuple(238 + draws.below(18) for _ in range(3))
    return Ink(background, tuple(draws.below(_DARKEST if darkest else _BRIGHTEST) for _ in range(3)))


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
    """Characters side by side, each overlapping the one before by up to a quarter of the average width."""
    font = style.fonts[draws.below(len(style.fonts))]
    pieces = []
    for character in text:
        if not style.one_font:
            font = style.fonts[draws.below(len(style.fonts))]
        pieces.append(_character(character, font, SIZES[draws.below(len(SIZES))], draws))
    text_width = sum(piece.shape[1] for piece in pieces)
    canvas = np.empty((HEIGHT, max(text_width, WIDTH), 3), np.uint8)
    canvas[:] = ink.background
    average = int(text_width / len(text))
    x, free = int(average * 0.1), 0
    for piece in pieces:
        _paste(canvas, piece, x, free, ink)
        free = max(free, x + piece.shape[1])
        x += piece.shape[1] - draws.below(int(0.25 * average) + 1)
    return canvas[:, _nearest(text_width, WIDTH)[1:-1] - 1] if text_width > WIDTH else canvas


@functools.lru_cache(maxsize=16384)
def _ink(font: str, size: int, character: str) -> tuple[Image.Image, int, int]:
    """A character's coverage twice, as colour and as alpha, with its width and height.

    Pillow weighs colours by alpha when it interpolates, and nobody looks at alpha later: so strokes come out bolder.
    """
    coverage, width, height = glyph(font, size, character)
    if coverage is None:
        raise ValueError(f"{character!r} leaves no ink in {font}")
    return Image.merge("LA", (coverage, coverage)), width, height


def _character(character: str, font: str, size: int, draws: RandomNumbers) -> np.ndarray:
    """The coverage of a rotated and warped character, (h, w) uint8."""
    ink, w, h = _ink(font, size, character)
    angle = draws.uniform(-ROTATION, ROTATION)
    dx, dy = w * draws.uniform(0.1, 0.3), h * draws.uniform(0.2, 0.3)
    corners = [int(draws.uniform(-d, d)) for d in (dx, dy, dx, dy)]
    rotated = np.asarray(ink.rotate(angle, Image.Resampling.BILINEAR, expand=True).getchannel(0))
    return rotated if character == _UNWARPED else _warp(rotated, w, h, *corners)


def _warp(coverage: np.ndarray, w: int, h: int, x1: int, y1: int, x2: int, y2: int) -> np.ndarray:
    """Stretches a picture and maps a quadrilateral of it to (h, w): Pillow's ``resize`` and ``QUAD``, to the nearest pixel."""
    w2, h2 = w + abs(x1) + abs(x2), h + abs(y1) + abs(y2)
    x, y = np.arange(w) + 0.5, np.arange(h)[:, None] + 0.5

    def place(size: int, nw: int, sw: int, se: int, ne: int) -> np.ndarray:
        """Pixel of the stretched picture, from 1; 0 and size + 1 stand for what is outside."""
        across, down, both = (ne - nw) / w, (sw - nw) / h, (se - sw - ne + nw) / (w * h)
        places = ((nw + 1) + down * y) + (across + both * y) * x
        return np.clip(places, 0, size + 1, out=places).astype(np.intp)

    height, width = coverage.shape
    padded = np.zeros((height + 2, width + 2), np.uint8)
    padded[1:-1, 1:-1] = coverage
    columns = _nearest(width, w2).take(place(w2, x1, -x1, w2 + x2, w2 - x2))
    rows = _nearest(height, h2).take(place(h2, y1, h2 - y2, h2 + y2, -y1))
    return padded.ravel().take(rows * (width + 2) + columns)


@functools.lru_cache(maxsize=8192)
def _nearest(old: int, new: int) -> np.ndarray:
    """For each of ``new`` pixels, the nearest of ``old`` ones on the same length: both from 1, with one more at each end."""
    inner = ((np.arange(new) + 0.5) * old / new).astype(np.intp) + 1
    return np.concatenate([[0], inner, [old + 1]])


def _paste(canvas: np.ndarray, coverage: np.ndarray, x: int, free: int, ink: Ink) -> None:
    """Lays a character on the canvas, in the middle of its height; right of ``free`` there is nothing but background."""
    y = int((HEIGHT - coverage.shape[0]) / 2)
    coverage = coverage[max(0, -y) : HEIGHT - y, : canvas.shape[1] - x]
    below = canvas[max(0, y) : max(0, y) + len(coverage), x : x + coverage.shape[1]]
    opacity, colour, on_background = _tables(ink)
    overlap = max(0, free - x)
    below[:, overlap:] = on_background.take(coverage[:, overlap:], axis=0)
    if overlap:
        part = coverage[:, :overlap]
        below[:, :overlap] = _divided_by_255(below[:, :overlap] * (255 - opacity[part][..., None]) + colour[part])


def _divided_by_255(values: np.ndarray) -> np.ndarray:
    """Rounded, as Pillow does it."""
    values = values + 128
    return (values + (values >> 8)) >> 8


@functools.lru_cache(maxsize=16)
def _tables(ink: Ink) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each coverage: the opacity, (256,) uint16, the text's colour times that, (256, 3) uint16, and both laid on the
    background, (256, 3) uint8."""
    scaled = _divided_by_255(np.arange(256, dtype=np.uint32)[:, None] * np.array(ink.text, np.uint32))
    luminance = scaled @ np.array([299, 587, 114], np.uint32) // 1000  # rounded down, as Pillow did then
    opacity = np.minimum(255, (luminance * _OPACITY).astype(np.uint32))[:, None]
    colour = scaled * opacity
    on_background = _divided_by_255(np.array(ink.background, np.uint32) * (255 - opacity) + colour)
    return opacity[:, 0].astype(np.uint16), colour.astype(np.uint16), on_background.astype(np.uint8)


def _draw_dots(picture: np.ndarray, colour: tuple[int, ...], count: int, draws: RandomNumbers) -> None:
    places = np.array([(draws.below(HEIGHT + 1), draws.below(WIDTH + 1)) for _ in range(count)], np.intp).reshape(-1, 1, 2)
    ys, xs = (places + _dot()).reshape(-1, 2).T
    inside = (ys >= 0) & (xs >= 0) & (ys < HEIGHT) & (xs < WIDTH)
    picture[ys[inside], xs[inside]] = colour


@functools.cache
def _dot() -> np.ndarray:
    """The pixels that Pillow fills for a line of width 3 from (0, 0) to (-1, -1), (N, 2) int, row and column."""
    canvas = Image.new("L", (9, 9))
    ImageDraw.Draw(canvas).line(((4, 4), (3, 3)), fill=255, width=3)
    return np.argwhere(np.asarray(canvas)) - 4
