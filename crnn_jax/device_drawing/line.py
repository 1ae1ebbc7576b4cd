"""`crnn_jax.drawing.line` in jax: one picture at a time, for `jax.vmap`.

Given the same numbers, the two draw the same picture but for rounding (``tests/device_drawing`` compares them).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from crnn_jax.device_drawing.glyphs import Atlas
from crnn_jax.device_drawing.integers import BITS, ONE, between, place, shifted
from crnn_jax.drawing import line

_V02 = line.Distortion()  # of version 0.2 of the captcha package
_OPACITIES = line.opacities()
_LUMINANCE = np.array([299, 587, 114], np.int32)


class Pieces(NamedTuple):
    """Characters of a picture, from left to right.

    Attributes:
        glyphs: (N,) int32, numbers of an `Atlas`.
        present: (N,) bool, those that are there.
        angles: (N,) float32, radians.
        corners: (N, 4) int32, how far the corners move: x1, y1, x2, y2.
        overlaps: (N,) float32 of 0 to 1, how much of the most that there may be each next one overlaps with.
    """

    glyphs: jax.Array
    present: jax.Array
    angles: jax.Array
    corners: jax.Array
    overlaps: jax.Array


class Ink(NamedTuple):
    """`crnn_jax.drawing.line.Ink` as arrays: (3,) int32 each."""

    background: jax.Array
    text: jax.Array


def choice(chance: jax.Array, items: jax.Array) -> jax.Array:
    """Some of the items, each as likely, from numbers of [0, 1)."""
    return items[(chance * len(items)).astype(jnp.int32)]


def choose_ink(key: jax.Array, darkest: jax.Array) -> Ink:
    """Colours by chance; () bool says whether the text is nearly transparent."""
    background, text = jax.random.uniform(key, (2, 3))
    brightest = jnp.where(darkest, line.DARKEST, line.BRIGHTEST)
    return Ink(238 + (18 * background).astype(jnp.int32), (brightest * text).astype(jnp.int32))


def choose_pieces(
    key: jax.Array, atlas: Atlas, glyphs: jax.Array, present: jax.Array, distortion: line.Distortion = _V02
) -> Pieces:
    """Angles, corners and overlaps by chance for the characters of a text."""
    chance = jax.random.uniform(key, (8, glyphs.shape[0]))
    angles = jnp.radians((2 * chance[0] - 1) * distortion.rotation)
    low, high = jnp.array([distortion.across, distortion.down]).T
    # With a barrier, or some programs contract the product and the sum, and corners differ.
    most = atlas.sizes[glyphs].T * (low[:, None] + lax.optimization_barrier(chance[1:3] * (high - low)[:, None]))  # (2, N)
    corners = (2 * chance[3:7].T - 1) * jnp.tile(most.T, (1, 2))
    return Pieces(glyphs, present, angles, corners.astype(jnp.int32), chance[7])


def side_by_side(
    atlas: Atlas,
    pieces: Pieces,
    count: jax.Array | int,
    ink: Ink,
    height: int,
    width: int,
    room: int,
    *,
    solid: bool = False,
) -> jax.Array:
    """Draws pieces; a text that is too wide is made narrower.

    Args:
        atlas: of the glyphs.
        pieces: from left to right.
        count: () int, of characters, for the average width.
        ink: colours.
        height: of the picture.
        width: likewise.
        room: pixels that the widest text takes.
        solid: as Pillow draws now: a stroke has its colour up to the faintest pixel of its edge, and sizes are changed by
            interpolating; otherwise as it did in 2017: edges are darker, and the nearest pixels are taken.

    Returns:
        (height, width, 3) int32.
    """
    rows, columns = patch_shape(atlas)
    patches, sizes = characters(atlas, pieces.glyphs, pieces.angles, pieces.corners, solid=solid)
    xs, text_width = positions(sizes[:, 0], pieces.overlaps, pieces.present, count)
    canvas = jnp.broadcast_to(ink.background[None, None], (height + 2 * rows, room + columns, 3))
    canvas = paste(canvas, patches, xs, tops(sizes[:, 1], height) + rows, pieces.present, ink)
    return _narrowed(canvas[rows : rows + height], jnp.maximum(text_width, width), width, solid)


def positions(
    widths: jax.Array, overlaps: jax.Array, present: jax.Array, count: jax.Array | int
) -> tuple[jax.Array, jax.Array]:
    """Where pieces of some widths start, (N,) int32, and the sum of the widths; arguments as of `Pieces` and `side_by_side`."""
    widths = jnp.where(present, widths, 0)
    text_width = jnp.sum(widths)
    average = text_width // count
    steps = widths - jnp.where(present, (overlaps * (average // 4 + 1)).astype(jnp.int32), 0)
    return average // 10 + jnp.cumsum(steps) - steps, text_width


def tops(heights: jax.Array, height: jax.Array | int) -> jax.Array:
    """Where pieces start in the middle of a height; negative for higher ones."""
    offsets = height - heights
    return jnp.sign(offsets) * (jnp.abs(offsets) // 2)  # int() rounds towards zero


def paste(canvas: jax.Array, patches: jax.Array, xs: jax.Array, ys: jax.Array, present: jax.Array, ink: Ink) -> jax.Array:
    """Lays pieces on a canvas that has room for them, one after the other.

    Args:
        canvas: (H, W, 3) int32.
        patches: (N, h, w) int32, coverages.
        xs: (N,) int32, their left edges.
        ys: (N,) int32, their tops.
        present: (N,) bool, those that are there.
        ink: colours.
    """

    def one(canvas: jax.Array, piece: tuple[jax.Array, ...]) -> tuple[jax.Array, None]:
        patch, x, y, there = piece
        below = lax.dynamic_slice(canvas, (y, x, 0), (*patch.shape, 3))
        return lax.dynamic_update_slice(canvas, jnp.where(there, blend(below, patch, ink), below), (y, x, 0)), None

    return lax.scan(one, canvas, (patches, xs, ys, present))[0]


def _narrowed(canvas: jax.Array, wide: jax.Array, width: int, solid: bool) -> jax.Array:
    """The first ``wide`` columns of a picture, (H, W, 3) int32, as ``width`` columns."""
    if not solid:
        return canvas[:, (2 * jnp.arange(width) + 1) * wide // (2 * width)]
    places = jnp.clip(place(jnp.arange(width), wide, width), 0, (wide - 1) * ONE)
    return shifted(between(canvas, places, axis=1), BITS)


def patch_shape(atlas: Atlas) -> tuple[int, int]:
    """Rows and columns that hold any of an atlas's characters."""
    sizes, inks = np.asarray(atlas.sizes), np.asarray(atlas.ink_sizes)
    # One that is only rotated takes as much as its diagonal.
    diagonals = np.ceil(np.hypot(*inks.T) + 2) * np.asarray(atlas.unwarped)
    width, height = np.maximum(sizes.max(axis=0), int(diagonals.max()))
    return int(height), int(width)


def characters(
    atlas: Atlas, glyphs: jax.Array, angles: jax.Array, corners: jax.Array, *, solid: bool = False
) -> tuple[jax.Array, jax.Array]:
    """`character` for many: (N, rows, columns) int32 and (N, 2) int32."""
    return jax.vmap(lambda *piece: character(atlas, *piece, solid=solid))(glyphs, angles, corners)


def character(
    atlas: Atlas, glyph: jax.Array, angle: jax.Array, corners: jax.Array, *, solid: bool = False
) -> tuple[jax.Array, jax.Array]:
    """The coverage of a rotated and warped character, and its size.

    Args:
        atlas: of the glyphs.
        glyph: () int32, its number.
        angle: () float32, radians.
        corners: (4,) int32, see `Pieces`.
        solid: see `side_by_side`.

    Returns:
        (rows, columns) int32 of 0 to 255, of `patch_shape`; width and height of what of it counts, (2,) int32.
    """
    rows, columns = patch_shape(atlas)
    size, ink_size, unwarped = atlas.sizes[glyph], atlas.ink_sizes[glyph], atlas.unwarped[glyph]
    turn = jnp.round(angle * (_TURN / (2 * math.pi))).astype(jnp.int32) % _TURN
    cos, sin = jnp.asarray(_turns())[turn]
    half = ink_size * _LONG  # of the ink, in the unit of what follows: twice a length times a cosine
    reach = jnp.abs(jnp.stack([cos, sin])) * ink_size[0] + jnp.abs(jnp.stack([sin, cos])) * ink_size[1]
    rotated = -(-(half + reach) // (2 * _LONG)) - (half - reach) // (2 * _LONG)
    pixels = jnp.stack(jnp.meshgrid(jnp.arange(columns), jnp.arange(rows)))  # (2, rows, columns), x and y

    def sample(pixels: jax.Array) -> jax.Array:
        """The rotated character's colour times alpha, and alpha, in some of its pixels, (2, rows, columns)."""
        centred = 2 * pixels + 1 - rotated[:, None, None]
        x = cos * centred[0] - sin * centred[1]
        y = sin * centred[0] + cos * centred[1]
        inside = (jnp.abs(x) < half[0]) & (jnp.abs(y) < half[1])
        # From pixels' corners to their centres, and one for the frame.
        x, y = ((a + b + _LONG) // (2 * _LONG // ONE) for a, b in ((x, half[0]), (y, half[1])))
        return jnp.where(inside, _interpolated(atlas.ink, glyph, x, y), 0)

    warped, larger = _warped(pixels, jnp.maximum(1, size), corners)
    if solid:
        alpha = _resized(lambda places: sample(places)[1], rotated, larger, diagonal(atlas))
        coverage = jnp.where(_pick(alpha, warped, larger) > 0, 255, 0)
    else:
        places = (2 * warped + 1) * rotated[:, None, None] // (2 * larger[:, None, None])
        product, alpha = sample(jnp.where(unwarped, pixels, places))
        coverage = jnp.minimum(255, product * 255 // jnp.maximum(alpha, 1))
    shown = jnp.where(unwarped, rotated, size)
    return jnp.where((pixels[0] < shown[0]) & (pixels[1] < shown[1]), coverage, 0), shown


_TURN = 1 << 14  # angles of a whole turn, a tenth of a pixel apart at 260 pixels from the middle
_LONG = 1 << 16  # a cosine of 1


@functools.cache
def _turns() -> np.ndarray:
    """Cosine and sine of each angle, (`_TURN`, 2) int32."""
    angles = np.arange(_TURN) * (2 * np.pi / _TURN)
    return np.rint(_LONG * np.stack([np.cos(angles), np.sin(angles)], axis=1)).astype(np.int32)


def diagonal(atlas: Atlas) -> int:
    """Rows and columns that hold any of an atlas's characters, however it is rotated."""
    return int(np.ceil(np.hypot(*np.asarray(atlas.ink_sizes).T)).max()) + 2


def _resized(sample: Callable[[jax.Array], jax.Array], rotated: jax.Array, larger: jax.Array, room: int) -> jax.Array:
    """A rotated character in another size: Pillow's ``resize`` with its cubic, across and then down.

    Args:
        sample: gives the rotated character in some pixels.
        rotated: (2,), its width and height.
        larger: (2,), those that it is to have.
        room: rows and columns that hold it.

    Returns:
        (2 room, 2 room) float32, integers.
    """
    pixels = jnp.stack(jnp.meshgrid(jnp.arange(room), jnp.arange(room)))
    picture = jnp.where(jnp.all(pixels < rotated[:, None, None], axis=0), sample(pixels), 0)
    across, down = (_cubic(rotated[axis], larger[axis], room) for axis in (0, 1))
    picture = jnp.clip(jnp.round(picture @ across.T), 0, 255)
    return jnp.clip(jnp.round(down @ picture), 0, 255)


def _cubic(before: jax.Array, after: jax.Array, room: int) -> jax.Array:
    """Weights of the ``before`` pixels in each of the ``after``, (2 room, room); Keys 1981, with a = -0.5."""
    scale = before / after
    wide = jnp.maximum(scale, 1)
    centres = (jnp.arange(2 * room)[:, None] + 0.5) * scale
    pixels = jnp.arange(room)[None]
    d = jnp.abs(pixels + 0.5 - centres) / wide
    weights = jnp.where(d < 1, (1.5 * d - 2.5) * d * d + 1, jnp.where(d < 2, ((-0.5 * d + 2.5) * d - 4) * d + 2, 0))
    weights = jnp.where(pixels < before, weights, 0)
    return weights / jnp.maximum(jnp.sum(weights, axis=1, keepdims=True), 1e-6)


def _pick(picture: jax.Array, pixels: jax.Array, size: jax.Array) -> jax.Array:
    """Some pixels of a picture, (2, ...), 0 where they lie outside of its size."""
    inside = jnp.all((pixels >= 0) & (pixels < size[:, None, None]), axis=0)
    return jnp.where(inside, picture.at[pixels[1], pixels[0]].get(mode="clip"), 0)


def _warped(pixels: jax.Array, size: jax.Array, corners: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Where pixels lie before Pillow's ``QUAD``, (2, rows, columns) int32, in a picture that is larger, (2,) its size."""
    (w, h), (x1, y1, x2, y2) = size, corners
    w2, h2 = w + jnp.abs(x1) + jnp.abs(x2), h + jnp.abs(y1) + jnp.abs(y2)
    x, y = 2 * pixels + 1  # their middles, in halves of a pixel

    def place(nw: jax.Array, sw: jax.Array, se: jax.Array, ne: jax.Array) -> jax.Array:
        """Between the corners."""
        return (4 * w * h * nw + 2 * w * (sw - nw) * y + 2 * h * (ne - nw) * x + (se - sw - ne + nw) * x * y) // (4 * w * h)

    return jnp.stack([place(x1, -x1, w2 + x2, w2 - x2), place(y1, h2 - y2, h2 + y2, -y1)]), jnp.stack([w2, h2])


def _interpolated(ink: jax.Array, glyph: jax.Array, x: jax.Array, y: jax.Array) -> jax.Array:
    """Bilinear, by places in shares of a pixel, (2, rows, columns) int32; what lies outside is any number."""
    right, down = x % ONE, y % ONE
    total = jnp.zeros((*x.shape, 2), jnp.int32)
    for dy, weight_y in ((0, ONE - down), (1, down)):
        for dx, weight_x in ((0, ONE - right), (1, right)):
            # Indices past the ends are clipped.
            level = ink.at[glyph, (y >> BITS) + dy, (x >> BITS) + dx].get(mode="clip")
            total += (weight_y * weight_x)[..., None] * level
    return jnp.moveaxis(shifted(total, 2 * BITS), -1, 0)


def blend(below: jax.Array, coverage: jax.Array, ink: Ink) -> jax.Array:
    """Lays a character on a picture by its own luminance.

    Args:
        below: (h, w, 3) int32.
        coverage: (h, w) int32 of 0 to 255.
        ink: its colour.
    """
    scaled = divided_by_255(coverage[..., None] * ink.text[None, None])
    luminance = scaled @ _LUMINANCE // 1000
    opacity = jnp.asarray(_OPACITIES, jnp.int32)[luminance][..., None]
    return divided_by_255(below * (255 - opacity) + scaled * opacity)


def visible(ink: Ink) -> jax.Array:
    """Whether a text leaves any trace, () bool."""
    luminance = ink.text @ _LUMINANCE // 1000
    return jnp.asarray(_OPACITIES)[luminance] > 0


def divided_by_255(values: jax.Array) -> jax.Array:
    """Rounded."""
    values = values + 128
    return (values + (values >> 8)) >> 8


def draw_dots(picture: jax.Array, places: jax.Array, pixels: jax.Array | np.ndarray, colours: jax.Array) -> jax.Array:
    """Draws dots, later ones over earlier ones.

    Args:
        picture: (H, W, 3) int32.
        places: (D, 2) int32, row and column.
        pixels: (D, N, 2) or (1, N, 2) int, of each dot from its place.
        colours: (D, 3) or (1, 3) int32.
    """
    ys, xs = jnp.moveaxis(places[:, None] + jnp.asarray(pixels), -1, 0)
    if len(colours) == 1:
        return _put(picture, ys, xs, colours)
    # Which of several values a scatter leaves in a pixel is anyone's guess, but the largest is well defined.
    numbers = jnp.broadcast_to(jnp.arange(1, len(places) + 1)[:, None], ys.shape)
    top = jnp.zeros(picture.shape[:2], jnp.int32).at[_inside(jnp.where(xs < 0, -1, ys), picture), xs].max(numbers, mode="drop")
    return jnp.where(top[..., None] > 0, colours[top - 1], picture)


def draw_arc(
    picture: jax.Array,
    box: tuple[jax.Array, ...],
    start: jax.Array,
    end: jax.Array,
    colour: jax.Array,
    *,
    left: jax.Array | int = 0,
    top: jax.Array | int = 0,
) -> jax.Array:
    """Draws what is seen of a part of an ellipse, one pixel wide.

    Args:
        picture: (H, W, 3) int32.
        box: x1, y1, x2, y2 of the whole ellipse, () int32 each.
        start: degrees from the right, clockwise.
        end: likewise.
        colour: (3,) int32.
        left: the picture's left edge, where the box is not counted from there.
        top: likewise.
    """
    x1, y1, x2, y2 = box
    # Twice the centre and the radii, integers: at the ends of an ellipse a rounding error would decide whether a pixel is
    # seen, and differ with the number of pictures that are drawn together.
    centre, radii = (x1 + x2 - 2 * left, y1 + y2 - 2 * top), (jnp.maximum(x2 - x1, 1), jnp.maximum(y2 - y1, 1))
    # One point in each column and each row, in either half: where the ellipse is flat the columns leave no gap, where it is
    # steep the rows don't, and both hit the same pixels.
    for axis in (0, 1):
        along = jnp.arange(picture.shape[1 - axis])
        place, radius = 2 * along - centre[axis], radii[axis]
        share, square = place / radius, radius**2 - place**2
        height = jnp.sqrt(jnp.maximum(0, square).astype(jnp.float32)) / radius
        offset = jnp.round(radii[1 - axis] * height * ONE).astype(jnp.int32)
        for side in (-1, 1):
            unit = (share, side * height) if axis == 0 else (side * height, share)
            angle = jnp.degrees(jnp.arctan2(unit[1], unit[0])) % 360
            seen = (square >= 0) & ((angle - start) % 360 <= end - start + 1e-3)
            across = shifted(centre[1 - axis] * ONE + side * offset, BITS + 1)
            xs, ys = (along, across) if axis == 0 else (across, along)
            picture = _put(picture, jnp.where(seen, ys, -1), xs, colour)
    return picture


def _put(picture: jax.Array, ys: jax.Array, xs: jax.Array, colour: jax.Array) -> jax.Array:
    """Pixels in a colour, those that lie in the picture."""
    return picture.at[_inside(jnp.where(xs < 0, -1, ys), picture), xs].set(colour, mode="drop")


def _inside(ys: jax.Array, picture: jax.Array) -> jax.Array:
    """Negative rows moved past the end, where they are dropped: jax would count them from there."""
    return jnp.where(ys < 0, picture.shape[0], ys)


def smooth(picture: jax.Array) -> jax.Array:
    """Pillow's SMOOTH filter, the outermost pixels left as they are; (H, W, 3) int32."""
    rows, columns = picture.shape[0] - 2, picture.shape[1] - 2
    around = sum(picture[i : i + rows, j : j + columns] for i in range(3) for j in range(3))
    total = around + 4 * picture[1:-1, 1:-1]
    return picture.at[1:-1, 1:-1].set((2 * total + 13) // 26)
