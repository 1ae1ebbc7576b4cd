"""Reading picture files of any kind."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageOps

from crnn_jax.errors import UserError

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"})


class UnreadableImage(UserError):
    """A file that isn't a picture, or is broken."""


# What untrusted files may be: Pillow would hand others, such as PostScript, to programs that run them.
_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM")
_ORIENTATION, _LYING = 0x0112, (5, 6, 7, 8)  # in EXIF


def open_image(file: str | Path | BinaryIO) -> Image.Image:
    """A picture of a format that is safe to decode, not yet decoded; Pillow's exceptions."""
    return Image.open(file, formats=_FORMATS)


def size_of(image: Image.Image) -> tuple[int, int]:
    """Width and height of a picture as it is shown: a camera may have stored it lying."""
    width, height = image.size
    if image.format == "PNG" and "exif" not in image.info:  # Pillow would decode all of it to look for more
        return width, height
    return (height, width) if image.getexif().get(_ORIENTATION) in _LYING else (width, height)


def read_image(file: str | Path | BinaryIO) -> np.ndarray:
    """Reads a picture as (H, W, 3) uint8 RGB: grey is repeated, 16 bits are scaled to 8, transparency lies on white.

    Args:
        file: its path, or the open file, which is read from its beginning.

    Raises:
        UnreadableImage: missing, empty, truncated, not a picture, or of more pixels than Pillow takes for safe.
    """
    with readable(file) as image:
        return to_rgb(ImageOps.exif_transpose(image))


@contextmanager
def readable(file: str | Path | BinaryIO) -> Iterator[Image.Image]:
    """`open_image` for what can be read: whatever is raised, also by decoding inside, becomes an exception of one kind.

    Raises:
        UnreadableImage: see `read_image`; of an open file it names no place.
    """
    name, place = (str(file), f"{file}: ") if isinstance(file, (str, Path)) else (file, "")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with open_image(file) as image:
                yield image
    except FileNotFoundError:
        raise UnreadableImage(f"{place}there is no such file") from None
    # Pillow's decoders raise many kinds of exceptions on broken files.
    except Exception as error:
        reason = " ".join(str(error).split()).replace(repr(name), "the file")
        raise UnreadableImage(f"{place}can't be read as a picture ({reason or type(error).__name__})") from None


def to_rgb(image: Image.Image) -> np.ndarray:
    """A Pillow image of any mode as (H, W, 3) uint8 RGB."""
    if image.mode.startswith("I") or image.mode == "F":
        values = np.asarray(image, np.float64)
        # Some formats give 16 bits as mode I, whose 32 bits say nothing about the range.
        sixteen = image.mode.startswith("I;16") or values.max(initial=0) > 255
        shares = image.mode == "F" and values.max(initial=0) <= 1  # of white, as floats often are
        scaled = values / 257 if sixteen else 255 * values if shares else values
        grey = np.clip(np.rint(scaled), 0, 255).astype(np.uint8)
        if isinstance(clear := image.info.get("transparency"), int):  # the one level that is
            grey[values == clear] = 255
        return np.repeat(grey[..., None], 3, axis=2)
    if "A" in image.getbands() or "transparency" in image.info:
        layer = image.convert("RGBA")
        white = Image.new("RGBA", layer.size, (255, 255, 255, 255))
        return np.asarray(Image.alpha_composite(white, layer).convert("RGB"))
    return np.asarray(image.convert("RGB"))


def check_array(image: np.ndarray) -> np.ndarray:
    """An array that a user gives as a picture, as (H, W, 3) uint8 RGB.

    Args:
        image: (H, W, 3), (H, W, 4), (H, W, 1) or (H, W), uint8 or uint16.

    Raises:
        UserError: another shape or type, or empty.
    """
    array = np.asarray(image)
    fits = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (1, 3, 4))
    if not fits or array.size == 0 or array.dtype not in (np.uint8, np.uint16):
        raise UserError(f"a picture must be an array (H, W, 3) of uint8, RGB; this one is {array.dtype} of shape {array.shape}")
    if array.dtype == np.uint16:
        array = np.rint(array / 257).astype(np.uint8)
    if array.ndim == 3 and array.shape[2] == 3:
        return np.ascontiguousarray(array)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    return to_rgb(Image.fromarray(np.ascontiguousarray(array)))
