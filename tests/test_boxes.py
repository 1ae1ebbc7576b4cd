"""Where the characters of a reading stand in the picture that was given."""

import re
from itertools import pairwise

import cv2
import numpy as np
import pytest

import crnn_jax
from crnn_jax import tasks
from crnn_jax.box import Box, Part, Traced, resized
from crnn_jax.data.examples import Preparation
from crnn_jax.drawing import level2, line
from crnn_jax.drawing.random import Draws
from crnn_jax.grammar import SEPARATOR, Level2
from crnn_jax.locate import NoFormula, join

# Pixels around a line's ink: those that locating leaves, and dots and arcs that touch it; the next line is 100 below.
MARGIN = 35
COLUMN = 8  # pixels of a prepared picture, at most as many of the canvas


def test_a_part_shows_whole_pixels_of_the_other_picture():
    part = Part(Box(10, 0, 20, 5), Box(100, 50, 130, 60))
    assert part.shown(Box(10, 0, 20, 5)) == Box(100, 50, 130, 60)
    assert part.shown(Box(11, 1, 12, 2)) == Box(103, 52, 106, 54)
    smaller = Part(Box(0, 0, 30, 10), Box(0, 0, 10, 10))
    assert smaller.shown(Box(4, 0, 5, 10)) == Box(1, 0, 2, 10)
    assert smaller.shown(Box(5, 0, 7, 10)) == Box(1, 0, 3, 10)


def test_a_box_of_several_parts_is_of_the_one_that_it_is_most_about():
    image = np.zeros((10, 46, 3), np.uint8)
    letter, bar, digits = (
        Part(Box(0, 0, 20, 10), Box(0, 0, 20, 10)),
        Part(Box(20, 0, 26, 10), Box(20, 4, 50, 6)),
        Part(Box(26, 0, 44, 10), Box(20, 6, 38, 10)),
    )
    traced = Traced(image, ((letter, bar, digits),))
    assert traced.source(Box(10, 0, 22, 10)) == Box(10, 0, 20, 10)
    assert traced.source(Box(17, 0, 27, 10)) == Box(20, 4, 50, 6)  # all of the narrow one
    assert traced.source(Box(24, 0, 40, 10)) == Box(20, 6, 34, 10)
    assert traced.source(Box(44, 0, 46, 10)) is None
    assert Traced(image).source(Box(44, 0, 46, 10)) == Box(44, 0, 46, 10)


def test_steps_follow_one_another():
    image = np.zeros((30, 60, 3), np.uint8)
    half = Traced(image).then(lambda image: resized(image[::2, ::2], image))
    right = half.then(lambda image: Traced(image[:, 10:], ((Part(Box(0, 0, 20, 15), Box(10, 0, 30, 15)),),)))
    assert right.image.shape == (15, 20, 3)
    assert right.source(Box(1, 0, 3, 15)) == Box(22, 0, 26, 30)


@pytest.mark.parametrize(
    "preparation",
    [
        Preparation(32, 200),
        Preparation(32, 400, widths=(400,)),
        Preparation(64, 400, widths=(200, 400), enlarge=True, equalize="stretch"),
    ],
)
@pytest.mark.parametrize("size", [(32, 200), (48, 150), (20, 300), (7, 31)])
def test_what_is_seen_in_a_prepared_picture_is_found_in_the_one_that_was_given(preparation, size):
    image = np.full((*size, 3), 200, np.uint8)
    x0, x1 = size[1] // 2, size[1] // 2 + max(2, size[1] // 10)
    image[:, x0:x1] = 0
    traced = preparation.traced(image)
    np.testing.assert_array_equal(traced.image, preparation(image))
    inside = traced.image.any(axis=(0, 2)).nonzero()[0][-1] + 1
    seen = np.flatnonzero(traced.image[0, :inside, 0] < 60)
    found = traced.source(Box(seen[0], 0, seen[-1] + 1, len(traced.image)))
    assert (found.y0, found.y1) == (0, size[0])
    assert abs(found.x0 - x0) <= 1
    assert abs(found.x1 - x1) <= 1


def test_lines_that_are_put_below_one_another():
    crops = [np.full((60 + 10 * i, 300, 3), 230, np.uint8) for i in range(3)]
    for i, crop in enumerate(crops):
        crop[:, 100 + 8 * i : 124 + 8 * i] = 10
    traced = tasks.LEVEL2_LINES.traced(join(crops))
    for i, page in enumerate(np.split(traced.image, 3)):
        seen = np.flatnonzero((page[0] < 90).all(axis=1) & page[0].any(axis=1))
        found = traced.source(Box(seen[0], 81 * i, seen[-1] + 1, 81 * (i + 1)))
        assert abs(found.x0 - (302 * i + 100 + 8 * i)) <= 2
        assert abs(found.x1 - (302 * i + 124 + 8 * i)) <= 2


@pytest.fixture(scope="module")
def model():
    return crnn_jax.load("level2-light")


@pytest.mark.parametrize("name", ["captcha", "level1-light"])
def test_boxes_go_from_left_to_right_over_ink(name):
    reader, source = crnn_jax.load(name), tasks.by_name(name.split("-")[0]).source("generate", 3)
    images = [source[i].image for i in range(12)]
    enlarged = [image.repeat(3, axis=0).repeat(2, axis=1) for image in images]
    for image, reading, larger in zip(images, reader.read(images), reader.read(enlarged), strict=True):
        boxes = [character.box for character in reading.characters]
        assert len(boxes) >= 4
        assert all(a.x0 < a.x1 <= b.x1 for a, b in pairwise(boxes))
        ink = np.abs(image.astype(int) - np.median(image, axis=(0, 1))).max(axis=2) > 20
        for box in boxes:
            assert Box.of(image).holds(box)
            assert (box.y0, box.y1) == (0, len(image))
            assert np.count_nonzero(box.cut(ink)) >= 20
        assert [c.box for c in larger.characters] == [Box(2 * b.x0, 0, 2 * b.x1, 3 * len(image)) for b in boxes]


def canvases(count):
    drawn = []
    for index in range(count):
        draws = Draws(12, "test", index)
        text, ink = Level2().sample(draws), line.choose_ink(draws)
        drawn.append((text, level2.draw(text, ink, level2.COMPETITION, draws)))
    return drawn


def in_lines(reading):
    """The boxes of each line's characters, and its text."""
    boxes, lines = [character.box for character in reading.characters], reading.text.split(SEPARATOR)
    for text in lines:
        yield text, boxes[: len(text)]
        assert boxes[len(text) : len(text) + 1] in ([], [None])  # the separator stands nowhere
        boxes = boxes[len(text) + 1 :]


def check_order(text, boxes, learned):
    """A line from left to right, its fraction as one: the variable above the bar, the number below it."""
    fraction = re.search(r"./\d+", text)
    if fraction and len({box.y0 for box in boxes}) > 1:  # its bar was found
        variable, bar, *digits = boxes[slice(*fraction.span())]
        assert variable.y1 <= min(digit.y0 for digit in digits)
        if learned:  # at another size the columns of a / may show what is beside its bar
            assert variable.y1 <= bar.y0 < bar.y1 <= min(digit.y0 for digit in digits)
            reach = bar.grown(COLUMN, 10_000, 10_000)  # or less than all of it
            assert all(reach.x0 <= box.x0 < box.x1 <= reach.x1 for box in (variable, *digits))
        assert digits == sorted(digits)
        boxes = [*boxes[: fraction.start()], bar, *boxes[fraction.end() :]]
    assert all(a.x0 + a.x1 <= b.x0 + b.x1 for a, b in pairwise(boxes))


@pytest.mark.parametrize("scale", [1.0, 1.5, 0.75])
def test_characters_of_a_canvas_lie_in_their_lines(model, scale):
    drawn = canvases(10)
    images = [canvas.image if scale == 1 else cv2.resize(canvas.image, None, fx=scale, fy=scale) for _, canvas in drawn]
    right = 0
    for (text, canvas), image in zip(drawn, images, strict=True):
        try:
            (reading,) = model.read([image])
        except NoFormula:  # in one that was changed in size
            assert scale != 1
            continue
        lines = zip(canvas.boxes, text.split(SEPARATOR), in_lines(reading), strict=True)
        for place, expected, (part, boxes) in lines:
            room = Box(*(round(scale * edge) for edge in place.grown(MARGIN, 10_000, 10_000)))
            assert all(room.holds(box) for box in boxes)
            if part == expected:
                right += 1
                check_order(part, boxes, learned=scale == 1)
                assert scale != 1 or (len({box.y0 for box in boxes}) > 1) == ("/" in part)
    assert right >= (25 if scale == 1 else 9)


def test_networks_that_read_fractions_as_they_are_drawn_and_together(model):
    other = crnn_jax.load("level2-drawn")
    (text, canvas), *_ = canvases(1)
    (alone,) = other.read([canvas.image])
    assert alone.text == text
    for place, (_, boxes) in zip(canvas.boxes, in_lines(alone), strict=True):
        assert all(place.grown(MARGIN, 10_000, 10_000).holds(box) for box in boxes)
        assert len({(box.y0, box.y1) for box in boxes}) == 1
    (both,) = crnn_jax.Ensemble([model, other]).read([canvas.image])
    assert both.text == text
    assert both.characters in (alone.characters, model.read([canvas.image])[0].characters)
