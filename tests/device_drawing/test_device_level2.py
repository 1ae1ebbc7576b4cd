"""Strips of level 2 drawn in jax against those drawn on the host."""

import math
from functools import partial
from itertools import product

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from crnn_jax import fraction, tasks
from crnn_jax.data.augment import copied
from crnn_jax.data.contrast import equalize
from crnn_jax.data.drawn import _with_fractions
from crnn_jax.device_drawing import copied as device_copied
from crnn_jax.device_drawing import formula as device_formula
from crnn_jax.device_drawing import fraction as device_fraction
from crnn_jax.device_drawing import level2 as device_level2
from crnn_jax.device_drawing import line as device_line
from crnn_jax.device_drawing import make_draw
from crnn_jax.device_drawing.contrast import stretch
from crnn_jax.device_drawing.drawn import Drawn, draw_all
from crnn_jax.device_drawing.fit import fit
from crnn_jax.device_drawing.fraction import in_a_row
from crnn_jax.drawing import level2, line
from crnn_jax.drawing.random import Draws
from crnn_jax.grammar import SEPARATOR, Level2
from crnn_jax.locate import STRIP_HEIGHT, join

LOOKS = tuple(device_level2._looks(level2.COMPETITION))
ALPHABET = Level2.alphabet
CHARACTERS = jax.jit(lambda *pieces: device_line.characters(device_level2._atlas(LOOKS), *pieces))
STRIP = jax.jit(device_level2._strip, static_argnums=4)


def decode(ids):
    return ALPHABET.decode(np.asarray(ids)[np.asarray(ids) != ALPHABET.blank])


def with_fractions(drawn, fractions):
    """The text of an expression in which each fraction is its bar alone."""
    whole = iter([f"{row[0]}/{row[1:]}" for row in map(decode, fractions) if row])
    return "".join(next(whole) if c == "/" else c for c in drawn)


def test_texts_are_those_of_the_grammar():
    formulas = jax.jit(jax.vmap(device_formula.sample))(jax.random.split(jax.random.key(0), 3000))
    formulas = [device_formula.Formula(*row) for row in zip(*map(np.asarray, formulas), strict=True)]
    texts = [decode(formula.ids) for formula in formulas]
    assert all(map(Level2().contains, texts))
    assert all(formula.length == len(text) for formula, text in zip(formulas, texts, strict=True))
    for formula, text in zip(formulas, texts, strict=True):
        drawn = [decode(row) for row in formula.assignments] + [decode(formula.expression)]
        assert not any(decode(row) for row in formula.fractions[1:])
        drawn[2] = with_fractions(drawn[2], formula.fractions)
        assert SEPARATOR.join(filter(None, drawn)) == text
    assert np.mean([text.count(SEPARATOR) == 2 for text in texts]) == pytest.approx(Level2.SECOND_VARIABLE, abs=0.03)
    assert np.mean([text[0] == "不" for text in texts]) == pytest.approx(2 / 17, abs=0.03)
    counts = [sum(text.count(c) for text in texts) for c in "123456789"]
    assert max(counts) < 1.1 * min(counts)
    assert {tuple(c for c in text.split(SEPARATOR)[-1] if c in "()") for text in texts} == {
        tuple(c for c in pattern if c in "()") for pattern in Level2.PATTERNS
    }


def test_more_fractions_as_on_the_host():
    sample = jax.vmap(lambda key: device_formula.sample(key, 0.5))
    formulas = jax.jit(sample)(jax.random.split(jax.random.key(0), 3000))
    formulas = [device_formula.Formula(*row) for row in zip(*map(np.asarray, formulas), strict=True)]
    for formula in formulas:
        lines = [decode(row) for row in formula.assignments if decode(row)]
        text = SEPARATOR.join([*lines, with_fractions(decode(formula.expression), formula.fractions)])
        assert text == decode(formula.ids)
        assert len(text) == formula.length <= Level2.MAX_LENGTH
    ours = [decode(formula.expression).count("/") for formula in formulas]
    texts = [_with_fractions(Level2().sample(draws), 0.5, draws) for draws in (Draws(1, "train", i) for i in range(3000))]
    host = [text.count("/") for text in texts]
    for count in range(1, 5):
        assert ours.count(count) / 3000 == pytest.approx(host.count(count) / 3000, abs=0.04)


class Recorded:
    """Draws whose numbers are kept, as shares of what they may be."""

    def __init__(self, *seed):
        self._draws, self.shares = Draws(*seed), []

    def below(self, n):
        number = self._draws.below(n)
        self.shares.append((number + 0.5) / n)
        return number

    def uniform(self, low=0.0, high=1.0):
        number = self._draws.uniform(low, high)
        self.shares.append((number - low) / (high - low) if high > low else 0.0)
        return number


@jax.jit
def fraction_of(patches, sizes, present, of_digits, of_places):
    """`_fraction`, given what chance would decide within it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jax.random, "uniform", lambda key, shape: of_places)
        return device_level2._fraction(patches, sizes, present, of_digits, None, 300)


@pytest.mark.parametrize("index", range(6))
def test_the_same_numbers_give_the_same_expression(index):
    text = Level2().sample(Draws(1, "train", index)).split(SEPARATOR)[-1]
    ink, height = line.choose_ink(Draws(2, "train", index)), 100 + 6 * index
    recorded = Recorded(3, "train", index)
    font, weight = LOOKS[0]
    host = line.side_by_side(
        list(level2._pieces(text, (font, font), weight, level2.COMPETITION.distortion, recorded)),
        len(text),
        ink,
        height,
        0,
        recorded,
    )

    # The numbers, in the order in which the host took them.
    shares = iter(recorded.shares)
    bar = text.index("/")
    end = next(i for i in range(bar + 1, len(text) + 1) if i == len(text) or not text[i].isdigit())
    order = [*text[: bar - 1], *text[bar - 1 : end].replace("/", ""), *text[end:]]
    small = range(bar - 1, end - 1)
    drawn, chances = [], []
    for i, c in enumerate(order):
        drawn.append((c, *(next(shares) for _ in range(8))))  # size, angle, how far at most, and how far the corners move
        if i == small[-1]:
            chances = [next(shares) for _ in range(1 + len(small[1:]) + 1)]
    overlaps = list(shares)
    assert len(overlaps) == len(order) - len(small) + 1

    atlas = device_level2._atlas(LOOKS)
    distortion = level2.COMPETITION.distortion

    def characters(some, room):
        rows = []
        for c, size, angle, across, down, *corners in some:
            glyph = int(size * len(level2.SIZES)) * len(ALPHABET.characters) + ALPHABET.characters.index(c)
            width, height = np.asarray(atlas.sizes[glyph])
            most = [
                side * (low + share * (high - low))
                for side, share, (low, high) in ((width, across, distortion.across), (height, down, distortion.down))
            ]
            moved = [int((2 * share - 1) * most[i % 2]) for i, share in enumerate(corners)]
            rows.append((glyph, math.radians((2 * angle - 1) * distortion.rotation), moved))
        rows += [rows[0]] * (room - len(rows))
        patches, sizes = CHARACTERS(*(jnp.array(column) for column in zip(*rows, strict=True)))
        return patches, sizes, jnp.arange(room) < len(some)

    patches, sizes, present = characters([drawn[i] for i in small], 7)
    of_digits = jnp.array([0.0, *chances[1:-1]] + [0.0] * (7 - len(small)))
    fraction, width = fraction_of(patches, sizes, present, of_digits, jnp.array([chances[-1], chances[0]]))
    pieces = [*drawn[: small[0] + 1], *drawn[small[-1] + 1 :]]
    patches, sizes, present = characters(pieces, 26)
    bars = device_level2._Bars(jnp.arange(26) == small[0], fraction[None], width[None])
    pieces = device_level2._Text(
        patches,
        bars.instead_of(sizes[:, 0]),
        sizes[:, 1],
        present,
        jnp.array(overlaps + [0.0] * (26 - len(overlaps))),
        jnp.array(len(text)),
    )
    device_ink = device_line.Ink(jnp.array(ink.background), jnp.array(ink.text))
    strip, width, (bar,) = STRIP(pieces, bars, device_ink, jnp.array(height), 1200)
    assert int(width) == host.shape[1]
    edge = device_level2._EDGE
    x, right, y = np.asarray(bar).tolist()
    assert right - x == level2.BAR_WIDTH
    ink_of_bar = np.asarray(strip)[y - 2 : y + 3, x : x + level2.BAR_WIDTH].mean(axis=(1, 2))
    assert ink_of_bar[1:4].max() < ink_of_bar[[0, 4]].min()
    difference = np.abs(np.asarray(strip)[edge : edge + height, edge : edge + host.shape[1]] - host.astype(int))
    assert np.mean(difference > 2) < 0.01
    assert np.mean(difference) < 0.3


@pytest.mark.parametrize("darkest", [False, True])
def test_a_strip_is_prepared_as_on_the_host(darkest):
    task = tasks.level2("faint" if darkest else "competition")
    style = level2.FAINT if darkest else level2.COMPETITION
    for index in range(4):
        draws = Draws(5, "train", index)
        text, ink = Level2().sample(draws), line.choose_ink(draws, darkest=darkest)
        if not ink.visible:
            continue
        strip = join(level2.draw_crops(text, ink, style, draws))
        room = np.zeros((180, 2000, 3), np.uint8)
        room[: strip.shape[0], : strip.shape[1]] = strip
        nothing = jnp.zeros(46, int), jnp.zeros((), int)
        drawn = Drawn(jnp.asarray(room), *nothing, jnp.array(ink.background), jnp.array(strip.shape[1::-1]))
        prepared = jax.jit(lambda drawn: fit(stretch(drawn), task.preparation))(drawn)
        expected = task.preparation(strip)
        assert prepared.size.tolist() == [expected.shape[1], 81]
        shown = np.asarray(prepared.image).astype(int)
        assert np.abs(shown[:, : expected.shape[1]] - expected).max() <= 1
        assert not shown[:, expected.shape[1] :].any()


@pytest.mark.parametrize("taken_from_a_page", [False, True])
@pytest.mark.parametrize("index", range(6))
def test_fractions_are_written_in_a_row_as_on_the_host(index, taken_from_a_page):
    draws = Draws(6, "train", index)
    text, ink = _with_fractions(Level2().sample(draws), 0.5, draws), line.choose_ink(draws)
    crops = level2.draw_crops(text, ink, level2.COMPETITION, draws)
    strip = join(copied(crops, STRIP_HEIGHT, draws) if taken_from_a_page else crops)
    levelled = equalize(strip, "stretch") * strip.any(axis=2, keepdims=True)
    expected = fraction.in_a_row(levelled, 81).image
    scale = len(expected) / len(levelled)
    bars = fraction.bars(cv2.resize(levelled, (round(levelled.shape[1] * scale), len(expected)), interpolation=cv2.INTER_AREA))
    places = [np.round(np.array([bar.x0, bar.x1, bar.y]) / scale) for bar in bars] + [[-1, -1, -1]] * (4 - len(bars))
    room = np.zeros((180, 2000, 3), np.uint8)
    room[: strip.shape[0], : strip.shape[1]] = levelled
    nothing = jnp.zeros(46, int), jnp.zeros((), int), jnp.zeros(3, int)
    drawn = Drawn(jnp.asarray(room), *nothing, jnp.array(strip.shape[1::-1]), jnp.array(places, int))
    row = jax.jit(partial(in_a_row, height=81 if taken_from_a_page else None))(drawn)
    assert row.size.tolist() == [expected.shape[1], expected.shape[0]]
    shown = np.asarray(row.image).astype(int)
    assert np.abs(shown[: expected.shape[0], : expected.shape[1]] - expected).max() <= 1 + taken_from_a_page
    assert not shown[expected.shape[0] :].any()
    assert not shown[:, expected.shape[1] :].any()


@pytest.mark.slow
@pytest.mark.parametrize("copied", [0.0, 1.0])
def test_bars_are_where_they_are_said_to_be(copied):
    """Looked for as on the host, where a strip that was copied isn't too high; there some of its bars are missed."""
    draw_plain = device_level2.make_draw(level2.COMPETITION, copied=copied, fractions=0.3)
    draw = jax.jit(lambda key: no_higher(stretch(draw_plain(key))))

    def no_higher(drawn):
        return device_fraction._no_higher(drawn, 81)

    missed, right, several = [], [], 0
    for key in jax.random.split(jax.random.key(2), 25):
        drawn = draw(key)
        width, height = drawn.size.tolist()
        found, told = fraction.bars(np.asarray(drawn.image)[:height, :width]), np.asarray(drawn.bars)
        told = told[told[:, 0] >= 0]
        several += len(told) > 1
        near = np.abs(np.subtract(np.array(found).reshape(-1, 1, 3), told[None])).max(axis=2) <= 8
        right += near.any(axis=1).tolist()
        missed += (~near.any(axis=0)).tolist()
    assert several > 5
    assert np.mean(right) >= 0.85  # an arc, or a dot, may make one longer, or hide it
    assert np.mean(missed) <= (0.4 if copied else 0.05)


class Chances:
    """What chance decides in `copied` on the host, as shares of what it may be."""

    def __init__(self, *shares):
        self._shares = iter(shares)

    def uniform(self, low=0.0, high=1.0):
        return low + next(self._shares) * (high - low)

    def below(self, n):
        return int(next(self._shares) * n)

    def choice(self, items):
        return items[self.below(len(items))]


def test_a_picture_taken_from_a_page_is_that_of_the_host():
    copy, off, effects = jax.jit(device_copied.copied), [], []
    for index in range(1, 8):
        draws = Draws(5, "train", index)
        text, ink = Level2().sample(draws), line.choose_ink(draws)
        crops = level2.draw_crops(text, ink, level2.COMPETITION, draws)
        scale, filtering, quality, left = (draws.uniform() for _ in range(4))
        expected = copied(crops, STRIP_HEIGHT, Chances(scale, filtering, quality, left))
        highest = jnp.array(STRIP_HEIGHT * device_copied.UNIT // max(len(crop) for crop in crops))
        for crop, host in zip(crops, expected, strict=True):
            room = np.zeros((171, 700, 3), np.int32)
            room[: crop.shape[0], : crop.shape[1]] = crop
            chance = jnp.array([scale, quality, left, filtering])
            got = copy(jnp.asarray(room), jnp.array(crop.shape[1::-1]), jnp.array(ink.background), highest, chance)
            assert got.size.tolist() == list(host.shape[1::-1])
            assert got.times / device_copied.UNIT == pytest.approx(host.shape[1] / crop.shape[1], abs=0.01)
            difference = np.abs(np.asarray(got.picture)[: host.shape[0], : host.shape[1]] - host.astype(int))
            assert np.mean(difference > 8) < 0.01
            background = [np.bincount(channel).argmax() for channel in host.reshape(-1, 3).T]
            assert np.abs(np.asarray(got.background) - background).max() <= 2
            plain = cv2.resize(crop, host.shape[1::-1], interpolation=cv2.INTER_LINEAR)
            off.append(difference.mean())
            effects.append(np.abs(plain.astype(int) - host).mean())
    assert np.mean(off) < 0.2 * np.mean(effects)  # a rounded level more or less moves a whole wave of a block


@pytest.mark.slow
@pytest.mark.parametrize("shares", [{}, {"copied": 0.5, "fractions": 0.3, "in_a_row": True}])
def test_strips_are_statistically_those_of_the_host(shares):
    task = tasks.level2(**shares)
    drawn = jax.jit(partial(draw_all, make_draw(task)))(jax.random.split(jax.random.key(1), 48))
    assert drawn.image.shape == (48, 81, task.preparation.width, 3)
    source = task.source("train", 0)
    examples = [source[i] for i in range(150)]
    host = [task.preparation(example.image) for example in examples]
    widths = np.asarray(drawn.size[:, 0])
    assert widths.mean() == pytest.approx(np.mean([picture.shape[1] for picture in host]), rel=0.06)
    ours = [np.asarray(picture)[:, :width] for picture, width in zip(drawn.image, widths, strict=True)]
    for measure in (np.mean, np.std):
        a, b = ([measure(picture) for picture in pictures] for pictures in (ours, host))
        assert np.mean(a) == pytest.approx(np.mean(b), abs=4)
    lengths = np.asarray(drawn.length)
    assert lengths.mean() == pytest.approx(np.mean([len(example.text) for example in examples]), abs=1.5)


def test_variables_and_other_characters_may_have_faces_of_their_own():
    looks = tuple(device_level2._looks(level2.VARIED))
    chosen = [[looks[i] for i in pair] for pair in device_level2._choices(level2.VARIED, looks).tolist()]
    assert {(a[0], b[0], a[1]) for a, b in chosen} == set(
        product(level2.VARIED.fonts, level2.VARIED.latin, level2.VARIED.weights)
    )
    assert all(a[1] == b[1] for a, b in chosen)
    competition = device_level2._choices(level2.COMPETITION, LOOKS)
    assert {LOOKS[latin][0] for _, latin in competition.tolist()} == set(level2.COMPETITION.latin)


def test_later_dots_lie_over_earlier_ones():
    picture = jnp.zeros((9, 9, 3), jnp.int32)
    places = jnp.array([[4, 4], [4, 5], [-1, -1]])
    pixels = np.array([[[0, 0], [0, 1]]])
    colours = jnp.array([[1, 1, 1], [2, 2, 2], [3, 3, 3]])
    drawn = np.asarray(device_line.draw_dots(picture, places, pixels, colours))[..., 0]
    assert drawn[4].tolist() == [0, 0, 0, 0, 1, 2, 2, 0, 0]
    assert drawn.sum() == 5


def test_a_part_of_an_arc_is_a_part_of_the_whole():
    box = tuple(map(jnp.array, (10, 20, 160, 60)))
    angles, colour = (jnp.array(10.0), jnp.array(180.0)), jnp.array([9, 9, 9])
    draw = jax.jit(device_line.draw_arc, static_argnames=("left", "top"))
    whole = draw(jnp.zeros((80, 170, 3), jnp.int32), box, *angles, colour)
    part = draw(jnp.zeros((30, 60, 3), jnp.int32), box, *angles, colour, left=30, top=40)
    np.testing.assert_array_equal(part, whole[40:70, 30:90])
    assert np.asarray(part).any()
