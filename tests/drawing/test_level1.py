"""Level 1's drawing against Pillow's own operations, in the order of version 0.2 of the captcha package."""

import dataclasses

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from crnn_jax.data.drawn import Level1Source
from crnn_jax.drawing import level1, line
from crnn_jax.drawing.fonts import font_path, glyph
from crnn_jax.drawing.random import Draws
from crnn_jax.grammar import Level1


def reference(text, ink, style, draws):
    """The same picture, four channels at a time."""
    font = draws.choice(style.fonts)
    pieces = []
    for c in text:
        face = font if style.one_font else draws.choice(style.fonts)
        coverage, w, h = glyph(face, draws.choice(level1.SIZES), c)
        angle = draws.uniform(-30, 30)
        dx, dy = w * draws.uniform(0.1, 0.3), h * draws.uniform(0.2, 0.3)
        x1, y1, x2, y2 = (int(draws.uniform(-d, d)) for d in (dx, dy, dx, dy))
        # As Pillow drew text on a transparent picture then: coverage scales the colour too.
        piece = Image.merge(
            "RGBA", [coverage.point([round(i * channel / 255) for i in range(256)]) for channel in (*ink.text, 255)]
        )
        piece = piece.rotate(angle, Image.Resampling.BILINEAR, expand=True)
        if c != "-":
            w2, h2 = w + abs(x1) + abs(x2), h + abs(y1) + abs(y2)
            corners = (x1, y1, -x1, h2 - y2, w2 + x2, h2 + y2, w2 - x2, -y1)
            piece = piece.resize((w2, h2), Image.Resampling.NEAREST)
            piece = piece.transform((w, h), Image.Transform.QUAD, corners, Image.Resampling.NEAREST)
        pieces.append(piece)
    text_width = sum(piece.width for piece in pieces)
    canvas = Image.new("RGB", (max(text_width, 180), 60), ink.background)
    average = int(text_width / len(text))
    x = int(average * 0.1)
    for piece in pieces:
        luminance = np.asarray(piece.convert("RGB"), int) @ [299, 587, 114] // 1000
        mask = Image.fromarray(np.minimum(255, (luminance * 1.97).astype(int)).astype(np.uint8))
        canvas.paste(piece, (x, int((60 - piece.height) / 2)), mask)
        x += piece.width - draws.below(int(0.25 * average) + 1)
    if text_width > 180:
        canvas = canvas.resize((180, 60), Image.Resampling.NEAREST)
    pen = ImageDraw.Draw(canvas)
    for _ in range(style.dots):
        y, x = draws.below(61), draws.below(181)
        pen.line(((x, y), (x - 1, y - 1)), fill=ink.text, width=3)
    return np.asarray(canvas.filter(ImageFilter.SMOOTH))


@pytest.mark.parametrize("style", [level1.COMPETITION, level1.AUTHOR])
def test_drawing_is_what_pillow_draws(style):
    differences = []
    for i in range(60):
        draws, again = Draws(5, "train", i), Draws(5, "train", i)
        text = Level1().sample(draws)
        Level1().sample(again)
        ink = line.choose_ink(draws, darkest=i % 4 == 0)
        line.choose_ink(again, darkest=i % 4 == 0)
        ours, theirs = level1.draw(text, ink, style, draws), reference(text, ink, style, again)
        assert draws.uniform() == again.uniform()  # as many numbers were drawn
        differences.append(np.abs(ours.astype(int) - theirs.astype(int)))
    # On the outermost pixels of a stroke Pillow divides small numbers, rounded for each channel, by a small alpha.
    assert np.mean(np.array(differences) > 2) < 0.05
    assert np.mean(np.array(differences) > 32) < 0.01
    assert np.mean(differences) < 0.6


class LargestSizes:
    """Chance that picks the largest size and lays each character beside the one before."""

    def uniform(self, low=0.0, high=1.0):
        return (low + high) / 2

    def below(self, n):
        return n - 1 if n == len(level1.SIZES) else 0

    def choice(self, items):
        return items[self.below(len(items))]


def test_a_character_past_the_right_edge_is_cut_off():
    style = dataclasses.replace(level1.COMPETITION, fonts=("DejaVuSans.ttf",), dots=0)
    ink = line.Ink((240, 240, 240), (150, 20, 20))
    for text in ("8*8*8", "(8*8)*8", "8*(8-8)"):
        ours = level1.draw(text, ink, style, LargestSizes())
        theirs = reference(text, ink, style, LargestSizes())
        assert np.mean(np.abs(ours.astype(int) - theirs) > 32) < 0.02


def test_picture_is_a_function_of_seed_split_and_index():
    source = Level1Source("train", 3, level1.COMPETITION, faint=0.2)
    first = [source[i] for i in (7, 2, 7)]
    assert first[0].text == first[2].text
    np.testing.assert_array_equal(first[0].image, first[2].image)
    assert first[0].image.shape == (60, 180, 3)
    for other in (dataclasses.replace(source, seed=4), dataclasses.replace(source, split="validation")):
        assert not np.array_equal(other[7].image, first[0].image)


def test_minus_stays_thin():
    heights = {}
    for c in "-+":
        piece = line.character(c, level1.FONTS[0], 50, Draws(0, "train", 0))
        heights[c] = np.flatnonzero(piece.max(axis=1) > 128).size
    assert heights["-"] < 0.6 * heights["+"]


def test_the_darkest_text_leaves_no_trace():
    invisible, faint = line.Ink((239, 250, 247), (0, 1, 3)), level1.Ink((243, 255, 252), (2, 1, 0))
    style = dataclasses.replace(level1.COMPETITION, dots=0)
    assert not invisible.visible
    assert np.unique(level1.draw("5-6+2", invisible, style, Draws(0, "train", 0))).tolist() == [239, 247, 250]
    assert faint.visible
    picture = level1.draw("5-6+2", faint, style, Draws(0, "train", 0))
    assert np.abs(picture.astype(int) - faint.background).max() == 1


def test_a_text_without_trace_is_empty_in_training_and_never_judged():
    train = Level1Source("train", 0, level1.COMPETITION, faint=1.0)
    shares = np.mean([not train[i].text for i in range(300)])
    assert 0.05 < shares < 0.2
    for split in ("validation", "test", "generate"):
        source = Level1Source(split, 0, level1.FAINT)
        assert all(Level1().contains(source[i].text) for i in range(50))


def test_every_font_has_every_character():
    assert not set(level1.UNSEEN.fonts) & set(level1.FONTS)
    for font in (*level1.FONTS, *level1.UNSEEN.fonts):
        assert font_path(font).is_file()
        inks = {c: glyph(font, 45, c).coverage for c in "0123456789+-*()"}
        assert all(ink is not None for ink in inks.values()), font
        assert len({ink.tobytes() + bytes(ink.size) for ink in inks.values()}) == 15, font
