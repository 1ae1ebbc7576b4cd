"""`crnn_jax.drawing.level1` in jax."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np

from crnn_jax.data.drawn import LEVEL1_HARD
from crnn_jax.device_drawing import line
from crnn_jax.device_drawing.drawn import Draw, Drawn
from crnn_jax.device_drawing.glyphs import Atlas, Face, make_atlas
from crnn_jax.drawing import level1
from crnn_jax.drawing.line import dot
from crnn_jax.grammar import Level1

_CHARACTERS = Level1.alphabet.characters.strip()
_MOST = Level1.MAX_LENGTH


@functools.cache
def _atlas(fonts: tuple[str, ...]) -> Atlas:
    """Glyph ``(font * sizes + size) * characters + character``."""
    return make_atlas(Face(font, size, c) for font in fonts for size in level1.SIZES for c in _CHARACTERS)


def make_draw(style: level1.Style, faint: float = 0.0, emphasis: float = 0.0, hard: float = 0.0) -> Draw:
    """The training pictures of `crnn_jax.data.drawn.Level1Source`, by the same chances.

    Args:
        style: of the pictures.
        faint: share of pictures whose text is nearly as bright as the background, besides those of chance.
        emphasis: share of the pictures in the faces that are misread most often, besides those of chance.
        hard: share of the characters that are misread most often, besides those of chance.
    """
    drawn_fonts = tuple(dict.fromkeys((*style.fonts, *(level1.HARD_FONTS if emphasis else ()))))
    atlas = _atlas(drawn_fonts)
    blank = Level1.alphabet.blank
    ordinary = jnp.array([drawn_fonts.index(font) for font in style.fonts])
    difficult = jnp.array([drawn_fonts.index(font) for font in level1.HARD_FONTS]) if emphasis else ordinary
    widest = int(np.asarray(atlas.sizes[:, 0]).max()) * _MOST

    def draw(key: jax.Array) -> Drawn:
        text_key, ink_key, font_key, size_key, piece_key, dot_key, share_key = jax.random.split(key, 7)
        ids, length = sample(text_key, hard)
        present = jnp.arange(_MOST) < length
        shares = jax.random.uniform(share_key, (2,))
        ink = line.choose_ink(ink_key, (shares[0] < faint) | style.darkest)
        chance = jax.random.uniform(font_key, (1 if style.one_font else _MOST,))
        fonts = jnp.where(shares[1] < emphasis, line.choice(chance, difficult), line.choice(chance, ordinary))
        sizes = jax.random.randint(size_key, (_MOST,), 0, len(level1.SIZES))
        glyphs = (fonts * len(level1.SIZES) + sizes) * len(_CHARACTERS) + jnp.minimum(ids, len(_CHARACTERS) - 1)
        pieces = line.choose_pieces(piece_key, atlas, glyphs, present)
        picture = line.side_by_side(atlas, pieces, length, ink, level1.HEIGHT, level1.WIDTH, widest)
        places = jax.random.uniform(dot_key, (style.dots, 2)) * jnp.array([[level1.HEIGHT + 1, level1.WIDTH + 1]])
        picture = line.draw_dots(picture, places.astype(jnp.int32), dot()[None], ink.text[None])
        seen = line.visible(ink)
        picture = line.smooth(picture).astype(jnp.uint8)
        return Drawn(
            picture,
            jnp.where(seen, ids, blank),
            jnp.where(seen, length, 0),
            ink.background,
            jnp.array([level1.WIDTH, level1.HEIGHT]),
        )

    return draw


def _characters(key: jax.Array, kind: np.ndarray, difficult: np.ndarray, hard: float) -> jax.Array:
    """Ids by chance, (7,) int32."""
    chance = jax.random.uniform(key, (2, _MOST))
    return jnp.where(
        chance[0] < hard, line.choice(chance[1], jnp.asarray(difficult)), line.choice(chance[1], jnp.asarray(kind))
    )


def sample(key: jax.Array, hard: float = 0.0) -> tuple[jax.Array, jax.Array]:
    """A text of level 1: its ids, (7,) int32, padded with the blank, and its length, (); ``hard`` as of `make_draw`."""
    alphabet = Level1.alphabet
    # Digits are -1, operators -2, what stays is its id.
    kinds = np.full((len(Level1.PATTERNS), _MOST), alphabet.blank, np.int32)
    for row, pattern in zip(kinds, Level1.PATTERNS, strict=True):
        row[: len(pattern)] = [{"d": -1, "o": -2}.get(c, alphabet.characters.find(c)) for c in pattern]
    pattern_key, digit_key, operator_key = jax.random.split(key, 3)
    number = jax.random.randint(pattern_key, (), 0, len(kinds))
    digits, operators = (
        _characters(k, alphabet.encode(kind), alphabet.encode(difficult), hard)
        for k, kind, difficult in zip((digit_key, operator_key), (Level1.DIGITS, Level1.OPERATORS), LEVEL1_HARD, strict=True)
    )
    chosen = jnp.asarray(kinds)[number]
    ids = jnp.where(chosen == -1, digits, jnp.where(chosen == -2, operators, chosen))
    return ids, jnp.asarray([len(p) for p in Level1.PATTERNS])[number]
