"""`crnn_jax.drawing.level2` in jax: the lines of a formula, cut out and joined, as training sees them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache, partial
from itertools import product
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from crnn_jax.device_drawing import copied as augment
from crnn_jax.device_drawing import line
from crnn_jax.device_drawing.drawn import Draw, Drawn, for_some
from crnn_jax.device_drawing.formula import ASSIGNMENT, BLANK, CHARACTERS, DIGITS, OVER, PIECES, sample
from crnn_jax.device_drawing.glyphs import Atlas, Face, make_atlas
from crnn_jax.device_drawing.integers import divided, over_channels
from crnn_jax.drawing import level2
from crnn_jax.drawing.line import dots
from crnn_jax.grammar import SEPARATOR, Level2
from crnn_jax.locate import GAP, STRIP_HEIGHT

_IS_VARIABLE = np.array([not c.isascii() for c in CHARACTERS])

Look = tuple[str, float]  # font and weight


@cache
def _atlas(looks: tuple[Look, ...]) -> Atlas:
    """Glyph ``(look * sizes + size) * characters + character``."""
    return make_atlas(
        Face(font, size, c, weight)
        for font, weight in looks
        for size in level2.SIZES
        for c in CHARACTERS.replace("/", "1").replace(SEPARATOR, "1")
    )


def make_draw(
    style: level2.Style, variety: float = 0.0, faint: float = 0.0, copied: float = 0.0, fractions: float = 0.0
) -> Draw:
    """The training strips of `crnn_jax.data.drawn.Level2Source`, by the same chances, not yet prepared.

    Args:
        style: of the pictures.
        variety: share of the pictures that are drawn in many faces and weights instead.
        faint: share of the pictures whose text is nearly as bright as the background, besides those of chance.
        copied: share of the pictures that someone took from a page.
        fractions: share of the numbers that stand below a bar, besides the one that does in each text.
    """
    styles = (style, level2.VARIED if variety else style)
    looks = tuple(dict.fromkeys(look for some in styles for look in _looks(some)))
    atlas = _atlas(looks)
    ordinary, varied = (_choices(some, looks) for some in styles)
    widest = _widest(atlas)
    assignment_room = widest[1] + (ASSIGNMENT - 1) * widest[0]
    most_fractions = Level2.OPERANDS if fractions else 1
    fraction_room = 6 + DIGITS * round(widest[0] * level2.SMALLER[0]) + widest[1]
    more_room = (most_fractions - 1) * max(0, fraction_room - DIGITS * widest[0])
    rooms = (assignment_room, assignment_room, widest[1] + (PIECES - 2) * widest[0] + fraction_room + more_room)

    def draw(key: jax.Array) -> Drawn:
        keys = iter(jax.random.split(key, 12))
        formula = sample(next(keys), fractions)
        chance = jax.random.uniform(next(keys), (3,))
        ink = line.choose_ink(next(keys), (chance[0] < faint) | style.darkest)
        chosen = jnp.where(chance[1] < variety, line.choice(chance[2], varied), line.choice(chance[2], ordinary))
        place, arc = _Place.by_chance(next(keys)), _colour(next(keys))

        small = formula.fractions[:most_fractions]
        ids = jnp.concatenate([formula.assignments.reshape(-1), formula.expression, small.reshape(-1)])
        sizes = jax.random.randint(next(keys), ids.shape, 0, len(level2.SIZES))
        look = jnp.where(jnp.asarray(_IS_VARIABLE)[jnp.minimum(ids, len(CHARACTERS) - 1)], chosen[0], chosen[1])
        glyphs = (look * len(level2.SIZES) + sizes) * len(CHARACTERS) + jnp.minimum(ids, len(CHARACTERS) - 1)
        pieces = line.choose_pieces(next(keys), atlas, glyphs, ids != BLANK, style.distortion)
        patches, shown = line.characters(atlas, pieces.glyphs, pieces.angles, pieces.corners)
        ends = [ASSIGNMENT, 2 * ASSIGNMENT, 2 * ASSIGNMENT + PIECES]
        parts = zip(*(jnp.split(array, ends) for array in (patches, shown, pieces.present, pieces.overlaps)), strict=True)
        *lines, below_bars = parts
        of_fractions = [part.reshape(*small.shape, *part.shape[1:]) for part in below_bars]
        of_fractions.append(jax.random.split(next(keys), most_fractions))
        coverages, fraction_widths = jax.vmap(partial(_fraction, room=fraction_room))(*of_fractions)
        line_keys = jax.random.split(next(keys), 3)
        crops, crop_sizes = [], []
        for number, (room, (patch, size, here, overlap)) in enumerate(zip(rooms, lines, strict=True)):
            text, bars = _Text(patch, size[:, 0], size[:, 1], here, overlap, jnp.sum(here)), None
            if number == 2:
                bars = _Bars(formula.expression == OVER, coverages, fraction_widths)
                text = text._replace(widths=bars.instead_of(text.widths), characters=text.characters + jnp.sum(small != BLANK))
            strip, _, bar_places = _strip(text, bars, ink, place.line, room)
            crop, crop_size, corner = _crop(strip, ink, place, number, arc, line_keys[number])
            crops.append(crop)
            crop_sizes.append(jnp.where(here[0] if number < 2 else True, crop_size, 0))
        cut = _Lines(crops, crop_sizes, bar_places - corner[jnp.array([[0, 0, 1]])], ink.background)
        if copied:
            cut = _copied(cut, next(keys), copied)
        image, size = _join(cut.crops, cut.sizes)
        expression = size[0] - cut.sizes[-1][0]  # where the last line begins, which has the fractions
        bar_places = cut.bars + jnp.stack([expression, expression, jnp.zeros_like(expression)])[None]
        seen, there = line.visible(ink), jnp.arange(most_fractions) < jnp.sum(formula.expression == OVER)
        return Drawn(
            image.astype(jnp.uint8),
            jnp.where(seen, formula.ids, BLANK),
            jnp.where(seen, formula.length, 0),
            cut.background,
            size,
            jnp.where(there[:, None], bar_places, -1),
        )

    return draw


def _looks(style: level2.Style) -> Iterator[Look]:
    """Those that a style's characters may have."""
    return product((*style.fonts, *style.latin), style.weights)


def _choices(style: level2.Style, looks: tuple[Look, ...]) -> jax.Array:
    """The numbers of the looks of variables and of other characters that a picture may have, (N, 2) int32."""
    return jnp.array(
        [
            (looks.index((font, weight)), looks.index((latin, weight)))
            for font, weight in product(style.fonts, style.weights)
            for latin in (style.latin or (font,))
        ]
    )


def _widest(atlas: Atlas) -> tuple[int, int]:
    """Pixels of the widest character other than a variable, and of the widest variable."""
    widths = np.maximum(np.asarray(atlas.sizes)[:, 0], np.hypot(*np.asarray(atlas.ink_sizes).T) * np.asarray(atlas.unwarped))
    variable = np.tile(_IS_VARIABLE, len(widths) // len(CHARACTERS))
    return int(np.ceil(widths[~variable].max())) + 2, int(widths[variable].max())


class _Place(NamedTuple):
    """As of `crnn_jax.drawing.level2`, () int32 each."""

    height: jax.Array
    width: jax.Array
    x: jax.Array
    y: jax.Array
    line: jax.Array

    @classmethod
    def by_chance(cls, key: jax.Array) -> _Place:
        chance = jax.random.uniform(key, (5,))
        heights, widths, lines = (jnp.array(list(r)) for r in (level2.HEIGHTS, level2.WIDTHS, level2.LINE_HEIGHTS))
        height, width, line_height = (line.choice(c, some) for c, some in zip(chance, (heights, widths, lines), strict=False))
        x, y = (
            ((whole - block + 1) * c).astype(jnp.int32)
            for whole, block, c in ((width, level2.BLOCK_WIDTH, chance[3]), (height, level2.BLOCK_HEIGHT, chance[4]))
        )
        return cls(height, width, x, y, line_height)


def _colour(key: jax.Array) -> jax.Array:
    return jax.random.randint(key, (3,), 0, level2.BRIGHTEST)


def _fraction(
    patches: jax.Array, sizes: jax.Array, present: jax.Array, overlaps: jax.Array, key: jax.Array, room: int
) -> tuple[jax.Array, jax.Array]:
    """The coverage of a fraction, (81, room) int32, and its width.

    Args:
        patches: (7, rows, columns) int32, of the numerator and the digits of the denominator.
        sizes: (7, 2) int32, theirs.
        present: (7,) bool, those that are there.
        overlaps: (7,) float32, see `crnn_jax.device_drawing.line.Pieces`.
        key: of what chance decides.
        room: columns of the result.
    """
    _, rows, columns = patches.shape
    smaller = jnp.maximum(1, jnp.round(sizes * jnp.array([level2.SMALLER])).astype(jnp.int32))  # (7, 2)
    patches = jax.vmap(_shrunk)(patches, sizes, smaller)
    starts = (jax.random.uniform(key, (2,)) * jnp.array([8, 5])).astype(jnp.int32) + jnp.array([3, 2])
    widths = jnp.where(present, smaller[:, 0], 0).at[0].set(0)
    average = jnp.sum(widths) // jnp.maximum(1, jnp.sum(present) - 1)
    steps = widths - jnp.where(present, (overlaps * (average // 4 + 1)).astype(jnp.int32), 0).at[0].set(0)
    xs = (starts[1] + jnp.cumsum(steps) - steps).at[0].set(starts[0])
    middle = level2.FRACTION_HEIGHT // 2
    centres = middle + jnp.where(jnp.arange(len(xs)) == 0, level2.ABOVE, level2.BELOW)
    piece = jnp.zeros((level2.FRACTION_HEIGHT + rows, room + columns), jnp.int32)
    for patch, x, y, there in zip(patches, xs, jnp.maximum(0, centres - smaller[:, 1] // 2), present, strict=True):
        below = lax.dynamic_slice(piece, (y, x), patch.shape)
        piece = lax.dynamic_update_slice(piece, jnp.where(there, jnp.maximum(below, patch), below), (y, x))
    piece = piece[: level2.FRACTION_HEIGHT, :room]
    piece = piece.at[middle - 1 : middle - 1 + level2.BAR_HEIGHT, : level2.BAR_WIDTH].set(255)
    width = jnp.maximum(level2.BAR_WIDTH, jnp.max(jnp.where(present, xs + widths, 0).at[0].set(0)))
    return jnp.where(jnp.arange(room)[None] < width, piece, 0), width


def _shrunk(patch: jax.Array, before: jax.Array, after: jax.Array) -> jax.Array:
    """A patch whose size becomes smaller, the nearest pixels taken."""
    x, y = (
        (2 * jnp.arange(size) + 1) * before[axis] // (2 * after[axis])
        for axis, size in ((0, patch.shape[1]), (1, patch.shape[0]))
    )
    picked = patch.at[y[:, None], x[None]].get(mode="clip")
    inside = (jnp.arange(patch.shape[0])[:, None] < after[1]) & (jnp.arange(patch.shape[1])[None] < after[0])
    return jnp.where(inside, picked, 0)


class _Text(NamedTuple):
    """The pieces of a line.

    Attributes:
        patches: (N, rows, columns) int32, coverages.
        widths: (N,) int32.
        heights: (N,) int32.
        present: (N,) bool.
        overlaps: (N,) float32.
        characters: () int32, how many there are.
    """

    patches: jax.Array
    widths: jax.Array
    heights: jax.Array
    present: jax.Array
    overlaps: jax.Array
    characters: jax.Array


class _Bars(NamedTuple):
    """The fractions of a line.

    Attributes:
        pieces: (N,) bool, which pieces of the line they are.
        coverages: (F, 81, columns) int32, from left to right.
        widths: (F,) int32, theirs.
    """

    pieces: jax.Array
    coverages: jax.Array
    widths: jax.Array

    @property
    def numbers(self) -> jax.Array:
        """Which fraction each piece is, (N,) int32; of other pieces any number."""
        return jnp.maximum(0, jnp.cumsum(self.pieces) - 1)

    def instead_of(self, widths: jax.Array) -> jax.Array:
        """The widths of all pieces, (N,) int32, from those of others."""
        return jnp.where(self.pieces, self.widths[self.numbers], widths)

    def places(self, xs: jax.Array) -> jax.Array:
        """Of the fractions, (F,) int32, by those of the pieces; 0 for one that isn't there."""
        here = self.pieces[None] & (self.numbers[None] == jnp.arange(len(self.widths))[:, None])
        return jnp.sum(jnp.where(here, xs[None], 0), axis=1)


_HIGHEST = max(level2.LINE_HEIGHTS)
_EDGE = level2.MOST_MARGIN + 1  # smoothing looks one pixel further


def _strip(
    text: _Text, bars: _Bars | None, ink: line.Ink, height: jax.Array, room: int
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """A line on its background, with room for a margin on each side, (133 + 2 edge, room + 2 edge, 3) int32, its width, and the
    left end, right end and middle row of its fractions' bars, (F, 3) int32.

    Args:
        text: its pieces.
        bars: its fractions; None: there are none.
        ink: colours.
        height: () int32, of the line.
        room: columns.
    """
    rows, columns = text.patches.shape[1:]
    if bars is not None:
        rows, columns = max(rows, bars.coverages.shape[1]), max(columns, bars.coverages.shape[2])
    xs, width = line.positions(text.widths, text.overlaps, text.present, jnp.maximum(1, text.characters))
    canvas = jnp.broadcast_to(ink.background[None, None], (_HIGHEST + 2 * rows, room + columns, 3))
    ys = rows + line.tops(text.heights, height)
    present = text.present if bars is None else text.present & ~bars.pieces
    canvas = line.paste(canvas, text.patches, xs, ys, present, ink)
    bar_places = jnp.zeros((0, 3), jnp.int32)
    if bars is not None:
        left, y = bars.places(xs), jnp.full(len(bars.widths), line.tops(jnp.array(level2.FRACTION_HEIGHT), height))
        canvas = line.paste(canvas, bars.coverages, left, rows + y, jnp.arange(len(left)) < jnp.sum(bars.pieces), ink)
        bar_places = _EDGE + jnp.stack([left, left + level2.BAR_WIDTH, y + level2.FRACTION_HEIGHT // 2], axis=1)
    shown = canvas[rows : rows + _HIGHEST, :room]
    inside = (jnp.arange(_HIGHEST)[:, None] < height) & (jnp.arange(room)[None] < width)
    shown = jnp.where(inside[..., None], shown, ink.background[None, None])
    frame = jnp.broadcast_to(ink.background[None, None], (_HIGHEST + 2 * _EDGE, room + 2 * _EDGE, 3))
    return frame.at[_EDGE:-_EDGE, _EDGE:-_EDGE].set(shown), width, bar_places


def _crop(
    strip: jax.Array, ink: line.Ink, place: _Place, number: int, arc: jax.Array, key: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """What locating cuts out of a line, in the upper left corner of (H, W, 3) int32, its width and height, and the column and
    row of the line where it starts, (2,) int32 each."""
    margin_key, arc_key, canvas_arc_key, colour_key, dot_key = jax.random.split(key, 5)
    marked = over_channels(jnp.logical_or, strip != ink.background[None, None])
    (x0, x1), (y0, y1) = (_extent(jnp.any(marked, axis=axis)) for axis in (0, 1))
    left, above, right, below = _margins(margin_key)
    window_x, window_y = jnp.maximum(_EDGE - place.x, x0 - left), y0 - above
    size = jnp.stack([x1 + right - window_x, y1 + below - window_y])

    strip = _arc(strip, level2.BLOCK_WIDTH, place.line, -_EDGE, -_EDGE, _colour(colour_key), arc_key)
    strip = line.smooth(strip)
    room = jnp.pad(strip, ((0, len(strip)), (0, len(strip)), (0, 0)))  # or a slice that would reach past the end starts earlier
    crop = lax.dynamic_slice(room, (window_y, window_x, 0), strip.shape)
    crop = _dots(crop, size, dot_key)
    x, y = place.x + window_x - _EDGE, place.y + number * place.line + window_y - _EDGE
    return _arc(crop, place.width, place.height, x, y, arc, canvas_arc_key), size, jnp.stack([window_x, window_y])


def _extent(marked: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The first mark, and what comes after the last; a single one in the corner where there is none."""
    places = jnp.arange(len(marked))
    any_marked = jnp.any(marked)
    first = jnp.where(any_marked, jnp.argmax(marked), _EDGE)
    return first, jnp.where(any_marked, jnp.max(jnp.where(marked, places, 0)) + 1, _EDGE + 1)


def _margins(key: jax.Array) -> jax.Array:
    """Four by the chances of the host, (4,) int32."""
    chance = jax.random.uniform(key, (3, 4))
    more = jnp.where(chance[1] < level2.MORE_MARGIN, (chance[2] * level2.MORE).astype(jnp.int32), 0)
    return level2.LEAST_MARGIN + (chance[0] * level2.MARGINS).astype(jnp.int32) + more


def _arc(
    picture: jax.Array,
    width: jax.Array | int,
    height: jax.Array,
    left: jax.Array | int,
    top: jax.Array | int,
    colour: jax.Array,
    key: jax.Array,
) -> jax.Array:
    """What is seen, in a picture that starts at (left, top), of an arc by chance across ``width`` x ``height``."""
    chance = jax.random.uniform(key, (6,))
    fifth, fifth_of_height = width // 5, height // 5

    def below(number: jax.Array | int, c: jax.Array) -> jax.Array:
        return (number * c).astype(jnp.int32)

    x1, x2 = below(fifth + 1, chance[0]), width - fifth + below(fifth + 1, chance[1])
    y1 = fifth_of_height + below(height - 2 * fifth_of_height + 1, chance[2])
    y2 = y1 + below(height - y1 - fifth_of_height + 1, chance[3])
    start, end = below(21, chance[4]), 160 + below(41, chance[5])
    return line.draw_arc(picture, (x1, y1, x2, y2), start, end, colour, left=left, top=top)


def _dots(picture: jax.Array, size: jax.Array, key: jax.Array) -> jax.Array:
    """Sprinkles dots over what counts of a picture."""
    most = picture.shape[0] * picture.shape[1] // level2.AREA_PER_DOT + 1
    chance = jax.random.uniform(key, (most + 1, 6))
    more = (chance[most, 0] * level2.AREA_PER_DOT).astype(jnp.int32)
    count = (size[0] * size[1] + more) // level2.AREA_PER_DOT
    places = (chance[:most, :2] * size[::-1][None]).astype(jnp.int32)
    shapes = jnp.asarray(dots())
    pixels = line.choice(chance[:most, 2], shapes)
    there = jnp.arange(most)[:, None] < count
    places = jnp.where(there, places, 2 * max(picture.shape))
    return line.draw_dots(picture, places, pixels, (chance[:most, 3:] * 256).astype(jnp.int32))


class _Lines(NamedTuple):
    """The lines of a formula, cut out.

    Attributes:
        crops: three of (H, W, 3) int32.
        sizes: theirs, (2,) int32 each; 0 of one that isn't there.
        bars: (F, 3) int32, places of the bars in the last one.
        background: (3,) int32, its colour.
    """

    crops: list[jax.Array]
    sizes: list[jax.Array]
    bars: jax.Array
    background: jax.Array


def _copied(lines: _Lines, key: jax.Array, share: float) -> _Lines:
    """A share of the pictures as if someone took them from a page."""
    chance = jax.random.uniform(key, (5,))

    def copy(operand: tuple[_Lines, jax.Array]) -> _Lines:
        lines, chance = operand
        highest = STRIP_HEIGHT * augment.UNIT // jnp.max(jnp.stack([size[1] for size in lines.sizes]))
        copies = [
            augment.copied(crop, size, lines.background, highest, chance)
            for crop, size in zip(lines.crops, lines.sizes, strict=True)
        ]
        sizes = [jnp.where(size[0] > 0, copy.size, 0) for size, copy in zip(lines.sizes, copies, strict=True)]
        bars = divided(lines.bars * copies[0].times, augment.UNIT)
        return _Lines([copy.picture for copy in copies], sizes, bars, copies[0].background)

    def as_wide(operand: tuple[_Lines, jax.Array]) -> _Lines:
        lines, _ = operand
        rooms = [augment.room(crop.shape[1]) - crop.shape[1] for crop in lines.crops]
        crops = [jnp.pad(crop, ((0, 0), (0, room), (0, 0))) for crop, room in zip(lines.crops, rooms, strict=True)]
        return lines._replace(crops=crops)

    return for_some(chance[4] < share, copy, as_wide, (lines, chance[:4]))


def _join(crops: list[jax.Array], sizes: list[jax.Array]) -> tuple[jax.Array, jax.Array]:
    """`crnn_jax.locate.join` of those that have a width, (H, W, 3) int32, black around it; its width and height, (2,) int32."""
    height, room = crops[0].shape[0], sum(crop.shape[1] + GAP for crop in crops)
    strip = jnp.zeros((height, room + max(crop.shape[1] for crop in crops), 3), jnp.int32)
    x = jnp.zeros((), jnp.int32)
    for crop, size in zip(crops, sizes, strict=True):
        rows, columns, _ = crop.shape
        inside = (jnp.arange(rows)[:, None] < size[1]) & (jnp.arange(columns)[None] < size[0])
        below = lax.dynamic_slice(strip, (0, x, 0), crop.shape)
        strip = lax.dynamic_update_slice(strip, jnp.where(inside[..., None], crop, below), (0, x, 0))
        x = x + jnp.where(size[0] > 0, size[0] + GAP, 0)
    return strip[:, :room], jnp.stack([x - GAP, jnp.max(jnp.stack([size[1] for size in sizes]))])
