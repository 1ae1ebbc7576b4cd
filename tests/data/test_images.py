import io

import numpy as np
import pytest
from PIL import Image

from crnn_jax.data.images import UnreadableImage, check_array, read_image
from crnn_jax.errors import UserError

GRADIENT = np.arange(0, 240, dtype=np.uint8).reshape(6, 40)


def save(path, image, **options):
    image.save(path, **options)
    return read_image(path)


def test_colour_comes_back_as_it_was(tmp_path):
    colours = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    np.testing.assert_array_equal(save(tmp_path / "a b ü 图.png", Image.fromarray(colours)), colours)


def test_grey_is_repeated(tmp_path):
    read = save(tmp_path / "grey.png", Image.fromarray(GRADIENT))
    np.testing.assert_array_equal(read, np.repeat(GRADIENT[..., None], 3, axis=2))


def test_sixteen_bits_are_scaled(tmp_path):
    read = save(tmp_path / "deep.png", Image.fromarray(GRADIENT.astype(np.uint16) * 257))
    np.testing.assert_array_equal(read[..., 0], GRADIENT)


@pytest.mark.parametrize("white", [1, 255])
def test_floats_are_levels_or_shares_of_white(tmp_path, white):
    read = save(tmp_path / "float.tif", Image.fromarray(GRADIENT.astype(np.float32) * (white / 255)))
    np.testing.assert_array_equal(read[..., 0], GRADIENT)


def test_a_transparent_level_of_sixteen_bits_is_white(tmp_path):
    deep = np.uint16([[30_000, 10 * 257]])
    read = save(tmp_path / "deep.png", Image.fromarray(deep), transparency=30_000)
    assert read[..., 0].tolist() == [[255, 10]]


def test_transparency_lies_on_white(tmp_path):
    layer = np.zeros((2, 2, 4), np.uint8)
    layer[0, 0] = (10, 20, 30, 255)
    read = save(tmp_path / "clear.png", Image.fromarray(layer))
    assert read[0, 0].tolist() == [10, 20, 30]
    assert read[1, 1].tolist() == [255, 255, 255]


@pytest.mark.parametrize("mode", ["P", "1", "CMYK", "LA"])
def test_other_modes(tmp_path, mode):
    image = Image.fromarray(GRADIENT).convert(mode)
    suffix = "tif" if mode == "CMYK" else "png"
    read = save(tmp_path / f"picture.{suffix}", image)
    assert read.shape == (6, 40, 3)
    if mode != "1":
        assert np.abs(read[..., 0].astype(int) - GRADIENT).max() <= 3


def test_rotation_in_the_metadata_is_applied(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    assert save(tmp_path / "turned.jpg", Image.fromarray(GRADIENT), exif=exif).shape == (40, 6, 3)


def broken_files():
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)).save(buffer, "png")
    png = buffer.getvalue()
    return {"empty.png": b"", "cut.png": png[: len(png) // 2], "text.png": b"no picture", "head.png": png[:20]}


@pytest.mark.parametrize("name", sorted(broken_files()))
def test_broken_files_give_one_line_with_their_name(tmp_path, name):
    (tmp_path / name).write_bytes(broken_files()[name])
    with pytest.raises(UnreadableImage) as caught:
        read_image(tmp_path / name)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_open_file_is_read_from_its_beginning():
    file = io.BytesIO()
    Image.fromarray(GRADIENT).save(file, "png")
    for _ in range(2):
        np.testing.assert_array_equal(read_image(file)[..., 0], GRADIENT)


@pytest.mark.parametrize("name", sorted(broken_files()))
def test_broken_open_files_give_one_line_without_a_name(name):
    with pytest.raises(UnreadableImage, match=r"^can't be read as a picture ") as caught:
        read_image(io.BytesIO(broken_files()[name]))
    assert "BytesIO" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(UnreadableImage, match="no such file"):
        read_image(tmp_path / "none.png")
    with pytest.raises(UnreadableImage, match="can't be read"):
        read_image(tmp_path)


def test_far_too_many_pixels_are_refused_before_decoding(tmp_path):
    path = tmp_path / "bomb.png"
    Image.new("1", (30_000, 20_000)).save(path)
    with pytest.raises(UnreadableImage, match="600000000 pixels"):
        read_image(path)


@pytest.mark.parametrize("shape", [(4, 5), (4, 5, 1), (4, 5, 3), (4, 5, 4)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_arrays_of_many_kinds(shape, dtype):
    array = np.full(shape, np.iinfo(dtype).max, dtype)
    assert check_array(array).shape == (4, 5, 3)
    assert np.all(check_array(array) == 255)


@pytest.mark.parametrize(
    "array", [np.zeros((4, 5, 3)), np.zeros((4, 5, 2), np.uint8), np.zeros((0, 5, 3), np.uint8), np.zeros(3, np.uint8)]
)
def test_other_arrays_are_refused(array):
    with pytest.raises(UserError, match="uint8"):
        check_array(array)
