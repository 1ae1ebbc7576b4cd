import numpy as np
import pytest
from sources import Squares, maker

from crnn_jax import UserError, tasks
from crnn_jax.data.examples import PADDING, Preparation
from crnn_jax.data.images import UnreadableImage
from crnn_jax.grammar import SEPARATOR
from crnn_jax.locate import split


def test_batch_holds_the_examples_and_leaves_empty_places_empty():
    batch = maker()(np.array([7, PADDING, 123]), first_position=4)
    assert batch["images"][:, 0, 0, 0].tolist() == [7, 0, 123]
    assert batch["labels"].tolist() == [[7, 10, 10], [10, 10, 10], [1, 2, 3]]
    assert batch["label_lengths"].tolist() == [1, 0, 3]
    assert batch["weights"].tolist() == [1, 0, 1]
    assert batch["positions"].tolist() == [4, 5, 6]
    assert batch["widths"].tolist() == [8, 8, 8]


def test_too_long_a_text_is_named():
    with pytest.raises(UserError, match="example 999: the text '999' is longer than 2"):
        maker(max_length=2)(np.array([999]))


def test_preparation_leaves_pictures_of_the_right_size_alone():
    image = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)
    assert Preparation(6, 8)(image) is image


@pytest.mark.parametrize("shape", [(3, 4, 3), (12, 16, 3), (1, 1, 3), (100, 4, 3)])
def test_preparation_stretches_any_size(shape):
    image = np.full(shape, 77, np.uint8)
    prepared = Preparation(6, 8)(image)
    assert prepared.shape == (6, 8, 3)
    assert prepared.dtype == np.uint8
    assert np.all(prepared == 77)


def test_equalising_shows_what_differs_by_one_level():
    image = np.full((6, 8, 3), (243, 255, 252), np.uint8)
    image[2:4, 2:4] -= 1
    prepared = Preparation(6, 8, equalize="always")(image)
    assert prepared.shape == (6, 8, 3)
    assert np.ptp(prepared) == 255
    assert (prepared[..., 0] < 128).sum() == 4
    assert np.array_equal(prepared[..., 0], prepared[..., 2])


def test_equalising_keeps_the_order_of_grey_levels():
    grey = np.random.default_rng(0).integers(0, 256, (6, 8), np.uint8)
    prepared = Preparation(6, 8, equalize="always")(np.repeat(grey[..., None], 3, axis=2))[..., 0]
    order = np.argsort(grey, axis=None, kind="stable")
    assert np.all(np.diff(prepared.ravel()[order].astype(int)) >= 0)


def test_only_faint_pictures_are_equalised():
    faint, clear = (np.full((20, 60, 3), 250, np.uint8) for _ in range(2))
    faint[5:15, 5:40, 2] -= 1  # one level of blue, which a weighted grey would lose
    faint[0, 0] = clear[0, 0] = 20  # a dot
    clear[5:15, 5:40] = 90
    prepared = Preparation(20, 60, equalize="faint")(faint)
    assert prepared[10, 20].max() < 100
    assert prepared[18, 50].min() == 255
    np.testing.assert_array_equal(Preparation(20, 60, equalize="faint")(clear), clear)
    np.testing.assert_array_equal(Preparation(20, 60)(faint), faint)


@pytest.mark.parametrize("contrast", [0.01, 0.3, 1.0])
def test_stretching_makes_contrasts_alike(contrast):
    coverage = np.zeros((20, 60))
    coverage[5:15, 5:20] = 1
    coverage[5:15, 20] = 0.5  # an edge
    ink = np.multiply.outer(coverage, np.array([10, 60, 200]) * contrast)
    picture = np.round(250 - ink).astype(np.uint8)
    picture[18, 50] = 0  # a dot, as dark as can be
    prepared = Preparation(20, 60, equalize="stretch_grey")(picture)
    np.testing.assert_array_equal(prepared[..., 0], prepared[..., 2])
    assert prepared[0, 0, 0] == 255
    assert prepared[10, 10, 0] == 85
    assert prepared[10, 20, 0] == pytest.approx(170, abs=1)
    assert prepared[18, 50, 0] <= 85


def test_stretching_nothing_leaves_nothing():
    blank = np.full((20, 60, 3), 250, np.uint8)
    assert Preparation(20, 60, equalize="stretch_grey")(blank).min() == 255


@pytest.mark.parametrize("shape", [(200, 300, 3), (10, 30, 3), (10, 900, 3)])
def test_preparation_keeps_proportions_where_widths_vary(shape):
    image = np.full(shape, 77, np.uint8)
    prepared = Preparation(20, 160, widths=(40, 80, 160))(image)
    height, width = shape[:2]
    factor = min(1, 20 / height, 160 / width)
    assert prepared.shape[0] == 20
    assert prepared.shape[1] % 8 == 0
    inside = prepared[: round(height * factor), : round(width * factor)]
    assert np.all(inside == 77)
    assert inside.size == np.count_nonzero(prepared)


@pytest.mark.parametrize(
    ("preparation", "shape", "seen"),
    [
        (Preparation(48, 320, widths=(128, 320), enlarge=True), (48, 1500, 3), (10, 320, 48)),
        (Preparation(48, 320, widths=(128, 320), enlarge=True), (24, 200, 3), None),  # 38 of 48 rows
        (Preparation(48, 320, widths=(320,)), (20, 600, 3), (11, 320, 20)),  # which would not be enlarged
        (Preparation(48, 320, widths=(320,)), (20, 300, 3), None),
        (Preparation(48, 320), (48, 1500, 3), None),  # stretched
        (Preparation(96, 320, widths=(320,), lines=2), (40, 700, 3), (18, 320, 40)),
    ],
)
def test_pictures_that_are_too_wide_are_told(preparation, shape, seen):
    picture = preparation.traced(np.full(shape, 200, np.uint8))
    assert preparation.squeezed(picture) == seen


def test_a_batch_is_as_wide_as_the_widest_picture_needs():
    preparation = Preparation(20, 160, widths=(40, 80, 160))
    images = [preparation(np.full((20, width, 3), 9, np.uint8)) for width in (30, 70)]
    assert preparation.stack(images).shape == (2, 20, 80, 3)
    assert preparation.stack(images[:1], 3).shape == (3, 20, 40, 3)
    assert preparation.stack(images, widest=True).shape == (2, 20, 160, 3)


def test_a_picture_that_was_not_prepared_is_no_part_of_a_batch():
    with pytest.raises(UserError, match="a picture is 161 pixels wide, 160 are the most"):
        Preparation(20, 160, widths=(80, 160)).stack([np.zeros((20, 161, 3), np.uint8)])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"height": 0}, "height must be at least 1, not 0"),
        ({"width": -1}, "width must be at least 1, not -1"),
        ({"lines": 0}, "lines must be at least 1, not 0"),
        ({"lines": 3}, "the height 20 can't be shared out among 3 lines"),
        ({"enlarge": []}, r"enlarge must be true or false, not \[\]"),
    ],
)
def test_sizes_and_flags_that_there_can_not_be(change, message):
    with pytest.raises(UserError, match=message):
        Preparation(**{"height": 20, "width": 160, **change})


@pytest.mark.parametrize("widths", [(80, 40), (40, 80), (0, 160)])
def test_widths_must_rise_to_the_largest(widths):
    with pytest.raises(UserError, match="widths must rise"):
        Preparation(20, 160, widths=widths)


class OneBroken(Squares):
    def __getitem__(self, index):
        if index == 5:
            raise UnreadableImage("5.png: can't be read")
        return super().__getitem__(index)


def test_an_unreadable_picture_is_told_and_its_place_does_not_count():
    batch = maker(source=OneBroken())(np.array([7, 5, 9]))
    assert batch["unreadable"] == ["5.png: can't be read"]
    assert batch["weights"].tolist() == [1, 0, 1]
    assert batch["label_lengths"].tolist() == [1, 0, 1]
    assert batch["images"][:, 0, 0, 0].tolist() == [7, 7, 9]  # BatchNorm sees a picture there


def test_each_line_of_a_strip_is_found_whatever_its_colours():
    source = tasks.level2().source("train", 0)
    for i in range(60):
        example = source[i]
        lines = len(split(example.image))
        page = tasks.LEVEL2_LINES(example.image).reshape(3, 81, -1)
        assert [bool(line.any()) for line in page] == [True] * lines + [False] * (3 - lines)
        assert lines == example.text.count(SEPARATOR) + 1
