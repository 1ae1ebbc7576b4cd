"""Level 2's drawing: what it is a function of, where the ink lies, and what the lines alone have of a whole canvas."""

import re

import numpy as np
import pytest

from crnn_jax.data.drawn import Level2Source
from crnn_jax.drawing import level2, line
from crnn_jax.drawing.random import Draws
from crnn_jax.grammar import Level2
from crnn_jax.locate import STRIP_HEIGHT

TEXT = "流=42072;圳=86;(圳-(97510*45921))*流/35864"
INK = line.Ink((240, 250, 245), (190, 60, 140))


def test_canvas_has_a_size_of_the_competition_and_a_box_a_line():
    for i in range(12):
        draws = Draws(0, "train", i)
        text = Level2().sample(draws)
        canvas = level2.draw(text, INK, level2.COMPETITION, draws)
        height, width, _ = canvas.image.shape
        assert height in range(400, 1001, 100)
        assert width in range(800, 4001, 800)
        assert len(canvas.boxes) == text.count(";") + 1
        for box in canvas.boxes:
            assert 0 <= box.x0 < box.x1 <= width
            assert 0 <= box.y0 < box.y1 <= height
            assert 25 < box.y1 - box.y0 < 110
        assert all(a.y1 <= b.y0 + 20 for a, b in zip(canvas.boxes, canvas.boxes[1:], strict=False))


def test_picture_is_a_function_of_seed_split_and_index():
    source = Level2Source("train", 3, level2.COMPETITION, variety=0.5, faint=0.1)
    for i in (7, 2, 7):
        np.testing.assert_array_equal(source[i].image, Level2Source("train", 3, level2.COMPETITION, 0.5, 0.1)[i].image)
    assert source[7].text != source[2].text
    assert source[7].text != Level2Source("validation", 3, level2.COMPETITION)[7].text


def test_more_numbers_stand_below_a_bar():
    plain, more = (Level2Source("train", 3, level2.COMPETITION, fractions=share) for share in (0.0, 0.5))
    counts = [0, 0]
    for i in range(40):
        texts = plain[i].text, more[i].text
        assert re.sub("./(?=[0-9])", "", texts[0]) == re.sub("./(?=[0-9])", "", texts[1])
        assert len(texts[1]) <= Level2.MAX_LENGTH
        counts = [count + text.count("/") for count, text in zip(counts, texts, strict=True)]
    assert counts[0] == 40
    assert 60 < counts[1] < 110
    line = "水/12+天/345"
    pieces = list(level2._pieces(line, (level2.SONG, level2.SONG), 0.5, level2.COMPETITION.distortion, Draws(0, "train", 5)))
    assert [piece.shape[0] == level2.FRACTION_HEIGHT for piece in pieces] == [True, False, True]


def test_copied_pictures_are_larger_and_compressed():
    plain, copied = (Level2Source("train", 3, level2.COMPETITION, copied=share) for share in (0.0, 1.0))
    scales = []
    for i in range(12):
        assert copied[i].text == plain[i].text
        images = plain[i].image, copied[i].image
        exact = [np.mean((image == image[0, 0]).all(axis=2)) for image in images]
        assert exact[1] < exact[0]
        assert images[1].shape[0] <= max(STRIP_HEIGHT, images[0].shape[0])
        scales.append(images[1].shape[0] / images[0].shape[0])
    assert 0.98 < min(scales) < 1.1 < max(scales)


@pytest.mark.parametrize("split", ["validation", "test", "generate"])
def test_whole_canvases_are_judged(split):
    example = Level2Source(split, 0, level2.COMPETITION)[0]
    assert example.image.shape[0] >= 400
    assert Level2().contains(example.text)


def test_crops_hold_the_ink_with_a_margin():
    crops = level2.draw_crops(TEXT, INK, level2.COMPETITION, Draws(1, "train", 0))
    assert len(crops) == 3
    for crop in crops:
        text_colour = np.abs(crop.astype(int) - INK.text).max(axis=2) < 40
        rows, columns = np.flatnonzero(text_colour.any(axis=1)), np.flatnonzero(text_colour.any(axis=0))
        assert rows[0] >= 3
        assert columns[0] >= 3
        assert rows[-1] < crop.shape[0] - 3
        assert columns[-1] < crop.shape[1] - 3
    assert crops[2].shape[1] > 2 * crops[0].shape[1]


def test_fraction_is_a_bar_with_a_character_above_and_a_number_below():
    pieces = list(
        level2._pieces("流/35864", (level2.SONG, level2.SONG), 0.5, level2.COMPETITION.distortion, Draws(0, "train", 5))
    )
    assert len(pieces) == 1
    coverage = pieces[0]
    middle = coverage.shape[0] // 2
    assert (coverage[middle - 1 : middle + 2, :105] == 255).all()
    above, below = coverage[: middle - 3], coverage[middle + 4 :]
    assert above.max() > 200
    assert below.max() > 200
    assert np.flatnonzero(above.max(axis=0)).max() < 60  # one narrow character
    assert np.flatnonzero(below.max(axis=0)).max() > 60


def test_every_face_has_every_character():
    for font in level2.FACES:
        inks = {c: line.character(c, font, 45, Draws(0, "train", 0)) for c in Level2.alphabet.characters}
        assert all(ink.max() > 128 for ink in inks.values()), font
    assert not {*level2.COMPETITION.latin, *level2.LATIN_FACES} & set(level2.UNSEEN_FACES)
    for font in (*level2.LATIN_FACES, *level2.UNSEEN_FACES):
        others = filter(str.isascii, Level2.alphabet.characters)
        assert all(line.character(c, font, 45, Draws(0, "train", 0)).max() > 128 for c in others), font


def test_variables_and_other_characters_may_have_faces_of_their_own(monkeypatch):
    drawn = []

    def recorded(text, font, *arguments, **options):
        drawn.append((text.isascii(), font))
        return line.character(text, font, *arguments, **options)

    monkeypatch.setattr(level2, "character", recorded)
    seen = {True: set(), False: set()}
    for i in range(60):
        drawn.clear()
        level2.draw_crops(TEXT, INK, level2.VARIED, Draws(0, "train", i))
        fonts = {latin: {font for is_latin, font in drawn if is_latin == latin} for latin in (True, False)}
        assert all(len(some) == 1 for some in fonts.values())
        seen = {latin: seen[latin] | fonts[latin] for latin in seen}
    assert seen == {True: set(level2.LATIN_FACES), False: set(level2.FACES)}


def test_weight_makes_strokes_bolder():
    ink = [line.character("君", level2.SONG, 45, Draws(0, "train", 0), weight=weight).mean() for weight in (0.0, 0.5, 1.0)]
    assert ink[0] < ink[1] < ink[2]


def test_dots_lie_where_they_should_and_have_all_colours():
    picture = line.empty(400, 800, (255, 255, 255))
    line.draw_dots_of_all_colours(picture, 300, Draws(0, "train", 0))
    marked = (picture != 255).any(axis=2)
    assert 300 * 4 < marked.sum() < 300 * 25
    assert len(np.unique(picture[marked], axis=0)) > 250
    assert marked[:, :400].sum() > 0.35 * marked.sum()
    assert marked[:200].sum() > 0.35 * marked.sum()
