import numpy as np
import pytest
from sources import Squares, maker

from crnn_jax import UserError
from crnn_jax.data.examples import PADDING, Preparation
from crnn_jax.data.images import UnreadableImage


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
    prepared = Preparation(6, 8, equalize=True)(image)
    assert prepared.shape == (6, 8, 3)
    assert np.ptp(prepared) == 255
    assert (prepared[..., 0] < 128).sum() == 4
    assert np.array_equal(prepared[..., 0], prepared[..., 2])


def test_equalising_keeps_the_order_of_grey_levels():
    grey = np.random.default_rng(0).integers(0, 256, (6, 8), np.uint8)
    prepared = Preparation(6, 8, equalize=True)(np.repeat(grey[..., None], 3, axis=2))[..., 0]
    order = np.argsort(grey, axis=None, kind="stable")
    assert np.all(np.diff(prepared.ravel()[order].astype(int)) >= 0)


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
