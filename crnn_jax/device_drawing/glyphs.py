"""The ink of all characters that a task draws, as one array on the device."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from crnn_jax.drawing import line
from crnn_jax.drawing.fonts import glyph


class Face(NamedTuple):
    """What a glyph is drawn from.

    Attributes:
        font: a file of `crnn_jax.drawing.fonts`.
        size: in pixels.
        character: one, perhaps a blank.
        weight: how much bolder than the font, see `crnn_jax.drawing.line.character`.
    """

    font: str
    size: int
    character: str
    weight: float = 0.0


class Atlas(NamedTuple):
    """Glyphs by number.

    Attributes:
        ink: (G, H, W, 2) uint8, as `crnn_jax.drawing.line.framed_ink` gives it, zeros to the right of it and below.
        ink_sizes: (G, 2) int32, width and height of the ink without its frame.
        sizes: (G, 2) int32, width and height that the character takes.
        unwarped: (G,) bool, those that are rotated only.
    """

    ink: jax.Array
    ink_sizes: jax.Array
    sizes: jax.Array
    unwarped: jax.Array


def make_atlas(faces: Iterable[Face]) -> Atlas:
    """Draws glyphs; a blank has no ink."""
    inks, sizes, unwarped = [], [], []
    for face in faces:
        coverage, width, height = glyph(face.font, face.size, face.character)
        inks.append(np.zeros((2, 2, 2), np.uint8) if coverage is None else line.framed_ink(*face)[0])
        sizes.append((width, height))
        unwarped.append(face.character == line.UNWARPED)
    room = np.zeros((len(inks), *np.max([ink.shape for ink in inks], axis=0)), np.uint8)
    for place, ink in zip(room, inks, strict=True):
        place[: ink.shape[0], : ink.shape[1]] = ink
    ink_sizes = [(ink.shape[1] - 2, ink.shape[0] - 2) for ink in inks]
    return Atlas(
        *(jnp.asarray(a) for a in (room, np.array(ink_sizes, np.int32), np.array(sizes, np.int32), np.array(unwarped)))
    )
