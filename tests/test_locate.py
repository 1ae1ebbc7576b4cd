"""Finding lines: on canvases whose boxes are known, on faint ones, and on pictures that hold no formula."""

import cv2
import numpy as np
import pytest

from crnn_jax import locate
from crnn_jax.box import Box
from crnn_jax.drawing import level2, line
from crnn_jax.drawing.random import Draws
from crnn_jax.grammar import Level2


def canvas(index, style=level2.COMPETITION, darkest=False):
    draws = Draws(11, "test", index)
    text = Level2().sample(draws)
    ink = line.choose_ink(draws, darkest=darkest)
    while not ink.visible:
        ink = line.choose_ink(draws, darkest=darkest)
    return level2.draw(text, ink, style, draws)


def test_all_lines_are_found_and_no_ink_is_lost():
    for i in range(25):
        image, boxes = canvas(i)
        found = locate.locate(image).boxes
        assert len(found) == len(boxes), i
        assert all(map(Box.holds, found, boxes)), i
        assert all(box.y1 - box.y0 < 120 for box in found)


@pytest.mark.parametrize(("length", "belongs"), [(12, True), (30, False)])
def test_the_end_of_a_thin_level_stroke_belongs_to_its_line_and_an_arc_does_not(length, belongs):
    image, boxes = next(c for c in map(canvas, range(20)) if all(length < box.x0 < box.x1 < 750 for box in c.boxes))
    background = image[0, 0].copy()
    for box in boxes:
        rows = slice(box.y0 - 20, box.y1 + 20)
        image[rows, : box.x0] = image[rows, box.x1 :] = background
        middle = (box.y0 + box.y1) // 2
        for at in (box.x0 - length, box.x1):
            image[middle : middle + 2, at : at + length] = 255 - background
    found = locate.locate(image).boxes
    wider = [box._replace(x0=box.x0 - length, x1=box.x1 + length) for box in boxes]
    assert all(map(Box.holds, found, boxes))
    assert all(map(Box.holds, found, wider)) == belongs


def test_the_documents_steps_find_the_lines_too():
    counts = [len(locate.locate_document(c.image).boxes) == len(c.boxes) for c in map(canvas, range(8))]
    assert sum(counts) >= 7


@pytest.mark.parametrize("shape", [(400, 800), (1, 1), (3, 2000)])
def test_the_documents_steps_find_nothing_in_an_empty_picture(shape):
    assert not locate.locate_document(np.full((*shape, 3), 247, np.uint8)).boxes


def test_faint_text_is_found_more_often_than_by_the_documents_steps():
    ours = theirs = 0
    for i in range(12):
        image, boxes = canvas(i, level2.FAINT, darkest=True)
        for found, score in ((locate.locate(image).boxes, "ours"), (locate.locate_document(image).boxes, "theirs")):
            good = len(found) == len(boxes) and all(map(Box.holds, found, boxes))
            ours, theirs = ours + (good and score == "ours"), theirs + (good and score == "theirs")
    assert ours >= 8
    assert ours > theirs


def test_a_compressed_and_enlarged_picture():
    image, boxes = canvas(3)
    block = image[max(0, boxes[0].y0 - 60) : boxes[-1].y1 + 60, max(0, boxes[0].x0 - 60) : boxes[-1].x1 + 200]
    large = cv2.resize(block, None, fx=1.6, fy=1.6, interpolation=cv2.INTER_LINEAR)
    _, data = cv2.imencode(".jpg", large, [cv2.IMWRITE_JPEG_QUALITY, 85])
    assert len(locate.locate(cv2.imdecode(data, cv2.IMREAD_COLOR)).boxes) == len(boxes)


@pytest.mark.parametrize(("suffix", "quality"), [(".jpg", 75), (".jpg", 92), (".jpg", 100), (".webp", 90)])
def test_compressed_pictures(suffix, quality):
    option = cv2.IMWRITE_JPEG_QUALITY if suffix == ".jpg" else cv2.IMWRITE_WEBP_QUALITY
    right = 0
    for image, boxes in map(canvas, range(50)):
        copy = cv2.imdecode(cv2.imencode(suffix, image, [option, quality])[1], cv2.IMREAD_COLOR)
        found = locate.locate(copy).boxes
        right += len(found) == len(boxes) and all(
            a.grown(2, *image.shape[:2]).holds(b) for a, b in zip(found, boxes, strict=True)
        )
    assert right >= 45


@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_strip_of_one_colour_holds_no_formula(level):
    with pytest.raises(locate.NoFormula, match="one colour"):
        locate.find_strip(np.full((81, 900, 3), level, np.uint8))


@pytest.mark.parametrize("shape", [(400, 800), (1, 1), (3, 2000), (1000, 4000)])
def test_an_empty_picture_holds_no_formula(shape):
    picture = np.full((*shape, 3), 247, np.uint8)
    if shape != (3, 2000):
        with pytest.raises(locate.NoFormula, match="no line of text"):
            locate.find_strip(picture)
    assert not locate.locate(picture).boxes


def test_one_line_and_four_lines_are_no_formula():
    image, boxes = canvas(0)
    one = image[: boxes[0].y1 + 12]
    with pytest.raises(locate.NoFormula, match="one line"):
        locate.find_strip(np.concatenate([one, np.full_like(one, image[0, 0])]))
    with pytest.raises(locate.NoFormula, match=r"\d+ lines of text were found where two or three are expected"):
        locate.find_strip(np.concatenate([image, image]))


def test_noise_is_no_formula():
    noise = np.random.default_rng(0).integers(0, 256, (500, 800, 3), np.uint8)
    with pytest.raises(locate.NoFormula):
        locate.find_strip(noise)


def test_a_strip_is_taken_as_it_is():
    strip = np.random.default_rng(0).integers(0, 256, (81, 820, 3), np.uint8)
    assert locate.find_strip(strip).image is strip


def test_join_puts_lines_side_by_side_with_black_between_and_below():
    crops = [np.full((40, 100, 3), 250, np.uint8), np.full((60, 300, 3), 240, np.uint8)]
    strip = locate.join(crops)
    assert strip.shape == (60, 402, 3)
    assert (strip[:40, :100] == 250).all()
    assert (strip[40:, :100] == 0).all()
    assert (strip[:, 100:102] == 0).all()
    assert (strip[:, 102:] == 240).all()


def test_a_strip_is_split_where_it_was_joined():
    rng = np.random.default_rng(0)
    crops = [rng.integers(1, 256, shape, np.uint8) for shape in ((9, 7, 3), (12, 4, 3), (10, 20, 3))]
    strip = locate.join(crops)
    parts = [box.cut(strip) for box in locate.split(strip)]
    assert [part.shape for part in parts] == [(12, 7, 3), (12, 4, 3), (12, 20, 3)]
    for part, crop in zip(parts, crops, strict=True):
        np.testing.assert_array_equal(part[: len(crop)], crop)
    assert locate.split(crops[0]) == [Box.of(crops[0])]
    assert locate.split(np.zeros((5, 6, 3), np.uint8)) == [Box(0, 0, 6, 5)]
