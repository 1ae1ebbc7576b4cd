"""Captchas drawn in jax against those drawn on the host."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from crnn_jax import device_drawing, tasks
from crnn_jax.cli import main
from crnn_jax.data.images import read_image
from crnn_jax.device_drawing import captcha as device_captcha
from crnn_jax.device_drawing import examples, line, make_draw
from crnn_jax.drawing import captcha
from crnn_jax.drawing.fonts import glyph
from crnn_jax.drawing.random import Draws

ALPHABET = tasks.captcha().alphabet
CHARACTERS = ALPHABET.characters + " "


def pieces_of(text, draws):
    """The numbers that the host's drawing takes, in its order."""
    rows = []

    def piece(c):
        size = draws.below(3)
        _, w, h = glyph(captcha.FONT, captcha.FONT_SIZES[size], c)
        draws.below(5), draws.below(7)
        angle = math.radians(-30 + draws.uniform() * 60)
        dx, dy = w * draws.uniform() * 0.2 + 0.1, h * draws.uniform() * (0.3 - 0.2) + 0.2
        corners = [int(draws.uniform() * 2 * d - d) for d in (dx, dy, dx, dy)]
        rows.append((size * len(CHARACTERS) + CHARACTERS.index(c), angle, corners))

    for c in text:
        if draws.uniform() > captcha.BLANK_PROBABILITY:
            piece(" ")
        piece(c)
    overlaps = [draws.uniform() for _ in rows]
    overlaps += [0.0] * (8 - len(rows))
    present = jnp.arange(8) < len(rows)
    rows += rows[:1] * (8 - len(rows))
    glyphs, angles, corners = zip(*rows, strict=True)
    return line.Pieces(jnp.array(glyphs), present, jnp.array(angles), jnp.array(corners), jnp.array(overlaps))


@pytest.fixture(scope="module")
def draw_text():
    atlas = device_captcha._atlas(ALPHABET.characters)
    return jax.jit(lambda pieces, ink: line.side_by_side(atlas, pieces, 4, ink, 80, 170, 400, solid=True))


@pytest.mark.parametrize("index", range(8))
def test_the_same_numbers_give_the_same_text(index, draw_text):
    draws = Draws(2, "train", index)
    text = "".join(draws.choice(ALPHABET.characters) for _ in range(4))
    background, colour = (250, 240, 245), (20 + 20 * index, 180 - 20 * index, 60)
    draws = Draws(3, "train", index)
    characters = list(captcha._draw_characters(text, np.array((*colour, 240)), captcha.WARP, draws))
    host = captcha._side_by_side(characters, 4, background, 170, 80, draws)
    pieces = pieces_of(text, Draws(3, "train", index))
    ink = line.Ink(jnp.array(background), jnp.array(colour))
    device = draw_text(pieces, ink)
    difference = np.abs(np.asarray(device) - np.asarray(host).astype(int))
    assert np.mean(difference) < 2
    assert np.mean(difference > 60) < 0.02


@pytest.mark.parametrize("warp", [captcha.WARP, captcha.OLDER_WARP])
def test_corners_move_as_far_as_on_the_host(warp):
    atlas = device_captcha._atlas(ALPHABET.characters)
    glyphs = jnp.full(2000, CHARACTERS.index("W"))
    chosen = device_captcha._choose_pieces(jax.random.key(0), atlas, glyphs, jnp.ones(2000, bool), warp)
    width, height = np.asarray(atlas.sizes[glyphs[0]])
    most = [
        size * (least + more) + shift
        for size, least, more, shift in zip((width, height) * 2, *(2 * p for p in warp), strict=True)
    ]
    reached = np.abs(np.asarray(chosen.corners)).max(axis=0)
    assert np.all(reached <= most)
    assert np.all(reached >= np.array(most) - 2)


def test_pictures_are_statistically_those_of_the_package():
    task = tasks.captcha(emphasis=0.25)
    drawn = jax.jit(jax.vmap(make_draw(task)))(jax.random.split(jax.random.key(0), 64))
    assert drawn.image.shape == (64, 80, 170, 3)
    assert drawn.length.tolist() == [4] * 64
    zeros = np.mean(np.isin(np.asarray(drawn.ids), ALPHABET.encode("0O")))
    assert zeros == pytest.approx(0.25 + 0.75 * 2 / 36, abs=0.1)
    package = np.array([tasks.captcha().source("test", 0)[i].image for i in range(64)], float)
    ours = np.asarray(drawn.image, float)
    assert ours.mean() == pytest.approx(package.mean(), abs=4)
    assert ours.std() == pytest.approx(package.std(), abs=5)
    for axis in (1, 2):
        filled = [(p.min(axis=3) < 200).mean(axis=(0, axis)) for p in (ours, package)]
        np.testing.assert_allclose(*filled, atol=0.2)


def test_pictures_of_a_command_are_those_of_a_seed(tmp_path, monkeypatch):
    monkeypatch.setattr(device_drawing, "_AT_ONCE", 4)
    few, many = (list(examples(tasks.captcha(), 5, count)) for count in (3, 6))
    assert [example.text for example in few] == [example.text for example in many[:3]]
    assert len({example.text for example in many}) == 6
    assert (
        main(["generate", "captcha", "--count", "3", "--seed", "5", "--drawing", "device", "--out", str(tmp_path / "new")]) == 0
    )
    np.testing.assert_array_equal(read_image(tmp_path / "new" / "2.png"), few[2].image)
    assert (tmp_path / "new" / "labels.txt").read_text().split() == [example.text for example in few]


def test_an_arc_is_unbroken_and_one_pixel_wide():
    picture = jnp.zeros((80, 170, 3), jnp.int32)
    box = tuple(map(jnp.array, (10, 20, 160, 60)))
    drawn = np.asarray(line.draw_arc(picture, box, jnp.array(0.0), jnp.array(180.0), jnp.array([9, 9, 9])))[..., 0] > 0
    assert drawn[:40].sum() == 0  # the lower half
    columns = drawn[:, 10:161]
    assert columns.any(axis=0).all()
    assert np.all(columns[:, 40:110].sum(axis=0) == 1)
