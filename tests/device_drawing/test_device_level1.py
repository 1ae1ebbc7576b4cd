"""Drawing in jax against drawing on the host, from the same numbers and from chance."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from crnn_jax.device_drawing import level1 as device_level1
from crnn_jax.device_drawing import line as device_line
from crnn_jax.device_drawing.glyphs import Face, make_atlas
from crnn_jax.drawing import level1, line
from crnn_jax.drawing.fonts import glyph
from crnn_jax.drawing.random import Draws
from crnn_jax.grammar import Level1

FONTS = ("DejaVuSans.ttf", "Anton-Regular.ttf", "Tinos-Regular.ttf")
SIZES = (35, 44, 55)
STYLE = level1.Style(FONTS)
CHARACTERS = "0123456789+-*()"


@pytest.fixture(scope="module")
def draw_text():
    atlas = make_atlas(Face(font, size, c) for font in FONTS for size in SIZES for c in CHARACTERS)
    return jax.jit(lambda pieces, count, ink: device_line.side_by_side(atlas, pieces, count, ink, 60, 180, 500))


def pieces_of(text, font, sizes, draws):
    """The numbers that the host's drawing takes."""
    rows = []
    for c, size in zip(text, sizes, strict=True):
        _, w, h = glyph(FONTS[font], SIZES[size], c)
        angle = math.radians(draws.uniform(-30, 30))
        dx, dy = w * draws.uniform(0.1, 0.3), h * draws.uniform(0.2, 0.3)
        corners = [int(draws.uniform(-d, d)) for d in (dx, dy, dx, dy)]
        rows.append(((font * len(SIZES) + size) * len(CHARACTERS) + CHARACTERS.index(c), angle, corners, draws.uniform()))
    rows += rows[:1] * (7 - len(text))
    glyphs, angles, corners, overlaps = zip(*rows, strict=True)
    present = jnp.arange(7) < len(text)
    return device_line.Pieces(jnp.array(glyphs), present, jnp.array(angles), jnp.array(corners), jnp.array(overlaps))


class Overlaps:
    """Gives the host the overlaps that it would take after all characters are drawn."""

    def __init__(self, overlaps):
        self._overlaps = iter(overlaps.tolist())

    def below(self, n):
        return int(next(self._overlaps) * n)


@pytest.mark.parametrize("index", range(12))
def test_the_same_numbers_give_the_same_picture(index, draw_text):
    draws = Draws(2, "train", index)
    text, ink = Level1().sample(draws), line.choose_ink(draws, darkest=index % 3 == 0)
    font, sizes = draws.below(3), [draws.below(3) for _ in text]
    again = Draws(3, "train", index)
    pieces = pieces_of(text, font, sizes, Draws(3, "train", index))
    drawn = []
    for c, size in zip(text, sizes, strict=True):
        drawn.append(line.character(c, FONTS[font], SIZES[size], again))
        again.uniform()
    host = line.side_by_side(drawn, len(text), ink, 60, 180, Overlaps(np.asarray(pieces.overlaps, np.float64)))
    if host.shape[1] > 180:
        host = host[:, ((np.arange(180) + 0.5) * host.shape[1] / 180).astype(int)]
    device_ink = device_line.Ink(jnp.array(ink.background), jnp.array(ink.text))
    device = draw_text(pieces, jnp.array(len(text)), device_ink)
    difference = np.abs(np.asarray(device) - host)
    assert np.mean(difference > 2) < 0.01
    assert np.mean(difference) < 0.3


def test_texts_are_those_of_the_grammar():
    ids, lengths = jax.vmap(device_level1.sample)(jax.random.split(jax.random.key(0), 3000))
    alphabet = Level1.alphabet
    texts = [alphabet.decode(row[:n]) for row, n in zip(np.asarray(ids), np.asarray(lengths), strict=True)]
    assert all(map(Level1().contains, texts))
    assert np.all(np.asarray(ids)[np.arange(7)[None] >= np.asarray(lengths)[:, None]] == alphabet.blank)
    assert {len(text) for text in texts} == {5, 7}
    assert np.mean([text.startswith("(") for text in texts]) == pytest.approx(1 / 3, abs=0.04)
    counts = [sum(text.count(c) for text in texts) for c in "0123456789"]
    assert max(counts) < 1.2 * min(counts)


def test_pictures_are_statistically_those_of_the_host():
    draw = jax.jit(jax.vmap(device_level1.make_draw(STYLE)))
    drawn = draw(jax.random.split(jax.random.key(1), 80))
    pictures, lengths, backgrounds = drawn.image, drawn.length, drawn.background
    assert pictures.shape == (80, 60, 180, 3)
    assert pictures.dtype == jnp.uint8
    host = []
    for i in range(80):
        draws = Draws(4, "train", i)
        text, ink = Level1().sample(draws), line.choose_ink(draws)
        host.append(level1.draw(text, ink, STYLE, draws))
    ours, theirs = np.asarray(pictures, float), np.array(host, float)
    assert ours.mean() == pytest.approx(theirs.mean(), abs=4)
    assert ours.std() == pytest.approx(theirs.std(), abs=5)
    # How far to the right texts reach, and how much of a row and a column they fill.
    for axis in (1, 2):
        filled = [(p.min(axis=3) < 200).mean(axis=(0, axis)) for p in (ours, theirs)]
        np.testing.assert_allclose(filled[0], filled[1], atol=0.15)
    assert set(np.asarray(lengths).tolist()) <= {0, 5, 7}
    assert np.mean(np.all(ours == np.asarray(backgrounds)[:, None, None], axis=3)) > 0.5


def test_a_picture_depends_on_its_key_alone():
    draw = jax.jit(jax.vmap(device_level1.make_draw(level1.Style(FONTS, one_font=False), faint=0.5)))
    keys = jax.random.split(jax.random.key(5), 4)
    many, one = draw(keys), draw(keys[2:3])
    for a, b in zip(jax.tree.leaves(many), jax.tree.leaves(one), strict=True):
        np.testing.assert_array_equal(a[2], b[0])
    assert not np.array_equal(many.image[0], many.image[1])
