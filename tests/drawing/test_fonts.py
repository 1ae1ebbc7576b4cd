"""The ink of single characters."""

from PIL import ImageFont

from crnn_jax.drawing import fonts, level2
from crnn_jax.drawing.fonts import glyph


def test_widths_do_not_depend_on_what_a_system_has():
    """Of Pillow's two engines only one is there without FriBiDi."""
    for font in (*level2.COMPETITION.fonts, *level2.COMPETITION.latin):
        face = ImageFont.truetype(str(fonts.font_path(font)), 38, layout_engine=ImageFont.Layout.BASIC)
        for character in "0123456789+-*()=":
            _, _, right, bottom = face.getbbox(character)
            assert (glyph(font, 38, character).width, glyph(font, 38, character).height) == (1 + right, 1 + bottom)
