"""`crnn_jax.drawing.captcha` in jax; a text that is too wide is made narrower by linear instead of cubic interpolation."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np

from crnn_jax.alphabet import Alphabet
from crnn_jax.device_drawing import line
from crnn_jax.device_drawing.drawn import Draw, Drawn
from crnn_jax.device_drawing.glyphs import Atlas, Face, make_atlas
from crnn_jax.drawing import captcha
from crnn_jax.drawing.line import dot


@functools.cache
def _atlas(characters: str) -> Atlas:
    """Glyph ``size * characters + character``; the last character is the blank."""
    return make_atlas(Face(captcha.FONT, size, c) for size in captcha.FONT_SIZES for c in characters + " ")


def make_draw(
    alphabet: Alphabet, length: int, width: int, height: int, hard: str = "", emphasis: float = 0.0, older: float = 0.0
) -> Draw:
    """The training pictures of `crnn_jax.data.drawn.CaptchaSource`, by the same chances.

    Args:
        alphabet: of the texts.
        length: of a text.
        width: of the pictures, in pixels.
        height: likewise.
        hard: characters that are drawn more often.
        emphasis: share of the characters that are among these, besides those of chance.
        older: share of the pictures that are drawn as version 0.6 of the package did.
    """
    atlas = _atlas(alphabet.characters)
    kinds = len(alphabet.characters) + 1
    difficult = jnp.asarray(alphabet.encode(hard or alphabet.characters), jnp.int32)
    room = int(np.asarray(atlas.sizes[:, 0]).max()) * 2 * length

    def draw(key: jax.Array) -> Drawn:
        text_key, ink_key, size_key, piece_key, noise_key, warp_key = jax.random.split(key, 6)
        chance = jax.random.uniform(text_key, (4, length))
        chosen = difficult[(chance[1] * len(difficult)).astype(jnp.int32)]
        ids = jnp.where(chance[0] < emphasis, chosen, (chance[2] * (kinds - 1)).astype(jnp.int32))
        # Before each character there may be a blank.
        characters = jnp.stack([jnp.full(length, kinds - 1), ids], axis=1).reshape(-1)
        present = jnp.stack([chance[3] > captcha.BLANK_PROBABILITY, jnp.ones(length, bool)], axis=1).reshape(-1)
        sizes = jax.random.randint(size_key, (2 * length,), 0, len(captcha.FONT_SIZES))
        is_older = jax.random.uniform(warp_key) < older
        warp = jax.tree.map(lambda a, b: jnp.where(is_older, a, b), captcha.OLDER_WARP, captcha.WARP)
        pieces = _choose_pieces(piece_key, atlas, sizes * kinds + characters, present, warp)
        colours = jax.random.uniform(ink_key, (2, 3))
        ink = line.Ink(238 + (colours[0] * 18).astype(jnp.int32), 10 + (colours[1] * 191).astype(jnp.int32))
        picture = line.side_by_side(atlas, pieces, length, ink, height, width, room, solid=True)
        picture = line.smooth(_draw_noise(noise_key, picture, ink.text))
        return Drawn(picture.astype(jnp.uint8), ids, jnp.array(length), ink.background, jnp.array([width, height]))

    return draw


def _choose_pieces(key: jax.Array, atlas: Atlas, glyphs: jax.Array, present: jax.Array, warp: captcha.Warp) -> line.Pieces:
    """By the package's chances."""
    chance = jax.random.uniform(key, (8, len(glyphs)))
    sizes = zip(atlas.sizes[glyphs].T, chance[:2], *warp, strict=True)
    dx, dy = (size * (least + share * more) + shift for size, share, least, more, shift in sizes)
    corners = (2 * chance[2:6] - 1) * jnp.stack([dx, dy, dx, dy])
    angles = jnp.radians((2 * chance[6] - 1) * captcha.ROTATION)
    return line.Pieces(glyphs, present, angles, corners.T.astype(jnp.int32), chance[7])


def _draw_noise(key: jax.Array, picture: jax.Array, colour: jax.Array) -> jax.Array:
    """Dots and an arc."""
    height, width, _ = picture.shape
    dot_key, arc_key = jax.random.split(key)
    places = jax.random.uniform(dot_key, (captcha.DOTS, 2)) * jnp.array([[height + 1, width + 1]])
    picture = line.draw_dots(picture, places.astype(jnp.int32), dot()[None], colour[None])
    chance = jax.random.uniform(arc_key, (6,))
    fifth, fifth_of_height = width // 5, height // 5
    x1 = (chance[0] * (fifth + 1)).astype(jnp.int32)
    x2 = (chance[1] * (width - fifth + 1)).astype(jnp.int32) + fifth
    y1 = (chance[2] * (height - 2 * fifth_of_height + 1)).astype(jnp.int32) + fifth_of_height
    y2 = (chance[3] * (height - y1 - fifth_of_height + 1)).astype(jnp.int32) + y1
    start, end = jnp.floor(chance[4] * 21), jnp.floor(chance[5] * 41) + 160
    return line.draw_arc(picture, (x1, y1, x2, y2), start, end, colour)
