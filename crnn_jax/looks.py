"""Reading by several looks at a picture: of several networks, and where they are in doubt of the picture moved a little.

What one look makes of a picture depends on where its columns begin, and networks err in different places: the text with the
largest product of all looks' probabilities is taken (Hinton, "Products of experts", 1999), those of a network that errs more
often to a smaller power.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain, islice
from typing import TYPE_CHECKING, TypeVar

import cv2
import numpy as np

from crnn_jax import ctc
from crnn_jax.ahead import ahead
from crnn_jax.box import Traced
from crnn_jax.data.examples import STEP, Preparation
from crnn_jax.decoding import Alternative, Decoded, Decoder, geometric_mean
from crnn_jax.errors import UserError
from crnn_jax.grammar import value_of
from crnn_jax.models.crnn import geometry

if TYPE_CHECKING:
    from crnn_jax.recognizer import Reading, Recognizer, Seen

T = TypeVar("T")
Views = list[tuple[Traced, ...]]  # pictures, each as each network takes it

_DOUBTFUL = 0.95  # confidence below which a picture is looked at again: nearly all mistakes are there, and few right readings
_SHIFT = 0.5  # of a column, by which it is moved then
FEW = 8  # pictures that are looked at again together: more would leave most places of a batch empty


def read_together(
    members: Sequence[Recognizer],
    weights: Sequence[float],
    pictures: Iterable[tuple[Traced, ...]],
    decoder: Decoder,
    batch_size: int,
) -> Iterator[Reading]:
    """Reads pictures, a batch at a time; the networks see the next one meanwhile.

    Where all looks read the same, that is the reading. Elsewhere all judge what each of them read. The confidence is the
    weighted geometric mean of the text's probabilities; the places of the characters are those of a first look, of the network
    that is most confident.

    Args:
        members: the networks; of one alphabet and grammar.
        weights: of each, above 0.
        pictures: as each network takes them.
        decoder: looks again only if its mode is ``auto``.
        batch_size: pictures that are read at a time.

    Raises:
        UserError: the batch size is below 1.
    """

    def see(some: tuple[Views, int]) -> tuple[Views, int, list[tuple[Seen, ...]]]:
        batch, room = some
        return batch, room, _see(members, weights, batch, room)

    for batch, room, first in ahead(see, batched(pictures, batch_size), room=1, threads=1):
        seen = list(first)
        readings = [_read(members, looks, looks, decoder) for looks in first]
        if decoder.mode == "auto":
            doubtful = [i for i, looks in enumerate(first) if readings[i].confidence < _DOUBTFUL and _has_columns(looks)]
            again = _look_again(members, weights, [batch[i] for i in doubtful], min(room, FEW))
            for i, more in zip(doubtful, again, strict=True):
                seen[i] = (*first[i], *more)
                readings[i] = _read(members, first[i], seen[i], decoder)
        yield from map(partial(_with_alternatives, decoder), readings, seen) if decoder.alternatives else readings


def batched(items: Iterable[T], size: int) -> Iterator[tuple[list[T], int]]:
    """Lists of ``size`` items, the last one perhaps shorter, each with how many the network is to be given room for.

    A last batch is filled up, so that nothing new is compiled for it; a single small one only to a power of two.

    Raises:
        UserError: the size is below 1.
    """
    if size < 1:
        raise UserError(f"batch_size={size}: must be at least 1")
    iterator, room = iter(items), None
    while batch := list(islice(iterator, size)):
        room = room or min(size, 1 << (len(batch) - 1).bit_length())
        yield batch, room


def _see(members: Sequence[Recognizer], weights: Sequence[float], pictures: Views, room: int) -> list[tuple[Seen, ...]]:
    """What each network makes of each picture."""
    views = zip(*pictures, strict=True)
    seen = [
        [look._replace(weight=weight) for look in member.see(own, room)]
        for member, weight, own in zip(members, weights, views, strict=True)
    ]
    return list(zip(*seen, strict=True))


def _has_columns(looks: Sequence[Seen]) -> bool:
    return all(len(look.columns) for look in looks)


def _look_again(
    members: Sequence[Recognizer], weights: Sequence[float], pictures: Sequence[tuple[Traced, ...]], room: int
) -> Iterator[tuple[Seen, ...]]:
    """What each network makes of each picture when it is moved."""
    moved = (
        tuple(
            shifted(view, round(_SHIFT * geometry(member.architecture).stride), member.preparation)
            for member, view in zip(members, views, strict=True)
        )
        for views in pictures
    )
    return chain.from_iterable(_see(members, weights, batch, room) for batch, _ in batched(moved, room))


def shifted(picture: Traced, pixels: int, preparation: Preparation) -> Traced:
    """A prepared picture moved to the right; what it shows is not traced.

    Where widths vary it grows up to the largest; what doesn't fit is cut off.
    """
    image = picture.image
    height, width = image.shape[:2]
    room = min(preparation.width, -(-(width + pixels) // STEP) * STEP) if preparation.widths else width
    moved = np.zeros((height, room, 3), np.uint8)
    moved[:, : width + pixels] = cv2.copyMakeBorder(image, 0, 0, pixels, 0, cv2.BORDER_REPLICATE)[:, :room]
    return Traced(moved)


def _read(members: Sequence[Recognizer], first: Sequence[Seen], seen: Sequence[Seen], decoder: Decoder) -> Reading:
    """The reading of all looks, the first of each network among them."""
    decoded = [decoder.decode(look.columns, look.greedy) for look in seen]
    if len(seen) == 1:
        return members[0].reading(decoded[0], seen[0])
    if len({read.text for read in decoded}) > 1:
        decoded = agreed(seen, decoded, decoder)
    best = max(range(len(first)), key=lambda i: decoded[i].confidence)
    reading = members[best].reading(decoded[best], first[best])
    weights = [look.weight for look in seen]
    confidence = geometric_mean((read.confidence for read in decoded), weights)
    valid, value = decoder.judge(reading.text, confidence, [look.columns for look in seen], weights)
    return replace(reading, confidence=round(confidence, 6), valid=valid, value=value)


def _with_alternatives(decoder: Decoder, reading: Reading, seen: Sequence[Seen]) -> Reading:
    """A reading with the likeliest other texts that a search finds in any of the looks; all looks judge each."""
    seen = [look for look in seen if len(look.columns)]
    width = max(decoder.width, 2 * decoder.alternatives)
    found = {ids: decoder.alphabet.decode(ids) for look in seen for ids in decoder.search(look.columns, width)}
    sums, weight = {ids: _product(seen, ids) for ids in found}, sum(look.weight for look in seen)
    others = [ids for ids, text in found.items() if text not in ("", reading.text)]
    others.sort(key=lambda ids: (-sums[ids], found[ids]))

    def alternative(ids: tuple[int, ...]) -> Alternative:
        text = found[ids]
        return Alternative(text, round(math.exp(sums[ids] / weight), 6), value_of(decoder.grammar, text))

    return replace(reading, alternatives=tuple(map(alternative, others[: decoder.alternatives])))


def agreed(seen: Sequence[Seen], decoded: Sequence[Decoded], decoder: Decoder) -> list[Decoded]:
    """What all looks together find likeliest of what they read, as each of them reads it.

    One that has too few columns for it, or none, reads what it read before, with confidence 0.

    Args:
        seen: the looks.
        decoded: what each of them read.
        decoder: that read them.
    """
    proposed = {tuple(decoder.alphabet.encode(read.text).tolist()) for read in decoded}
    if decoder.grammar is not None:
        proposed = {ids for ids in proposed if decoder.grammar.contains(decoder.alphabet.decode(ids))} or proposed
    ids = max(sorted(proposed), key=lambda ids: _product([look for look in seen if len(look.columns)], ids))
    return [
        decoder.aligned(look.columns, ids) if _log_probability(look.columns, ids) > -math.inf else read._replace(confidence=0.0)
        for look, read in zip(seen, decoded, strict=True)
    ]


def _product(seen: Sequence[Seen], ids: Sequence[int]) -> float:
    """The logarithm of the product of all looks' probabilities of a text."""
    return sum(look.weight * _log_probability(look.columns, ids) for look in seen)


def _log_probability(columns: np.ndarray, ids: Sequence[int]) -> float:
    try:
        return ctc.align(columns, ids).log_probability
    except ValueError:  # it takes more columns
        return -math.inf
