"""The fonts that come with the package, and the ink of single characters drawn with them."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import NamedTuple

from PIL import Image, ImageDraw, ImageFont

_PACKAGE = Path(__file__).resolve().parent.parent
# In a wheel the fonts lie inside the package, in a checkout beside it.
_FOLDERS = (_PACKAGE / "fonts", _PACKAGE.parent / "fonts")


def font_path(name: str) -> Path:
    """The file of a font that we ship, such as ``DroidSansMono.ttf``.

    Raises:
        FileNotFoundError: there is no such font.
    """
    for folder in _FOLDERS:
        if (folder / name).is_file():
            return folder / name
    raise FileNotFoundError(f"no font {name!r} in {' or '.join(map(str, _FOLDERS))}")


class Glyph(NamedTuple):
    """A character's ink.

    Attributes:
        coverage: the ink's bounding box, mode ``L``, 0 to 255; None for a character without ink (a blank).
        width: right edge of the ink in pixels when the character is set at (1, 1).
        height: lower edge of the ink, likewise.
    """

    coverage: Image.Image | None
    width: int
    height: int


@functools.lru_cache(maxsize=16384)
def glyph(font: str, size: int, character: str) -> Glyph:
    """The ink of one character of a shipped font at a size in pixels; kept, because drawing it costs the most."""
    face = _face(font, size)
    _, _, width, height = ImageDraw.Draw(Image.new("L", (1, 1))).multiline_textbbox((1, 1), character, font=face)
    canvas = Image.new("L", (int(width) + 1, int(height) + 1))
    ImageDraw.Draw(canvas).text((0, 0), character, font=face, fill=255)
    box = canvas.getbbox()
    return Glyph(canvas.crop(box) if box else None, int(width), int(height))


@functools.lru_cache(maxsize=256)
def _face(font: str, size: int) -> ImageFont.FreeTypeFont:
    # The other engine, the default where a system has FriBiDi, makes a character a pixel wider now and then.
    return ImageFont.truetype(str(font_path(font)), size, layout_engine=ImageFont.Layout.BASIC)
