"""Several networks that read the same pictures together."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from crnn_jax import ctc
from crnn_jax.box import Traced
from crnn_jax.data.examples import BATCH_SIZE
from crnn_jax.decoding import Decode, Decoded, Decoder, geometric_mean
from crnn_jax.errors import UserError
from crnn_jax.grammar import Grammar
from crnn_jax.recognizer import Reader, Reading, Recognizer, Seen, batched, load, prepared, read_all
from crnn_jax.training.config import Dtype


class Ensemble:
    """Reads with several networks of one alphabet and grammar.

    Where all of them read the same, that is the reading. Elsewhere all judge what each of them read: the text with the largest
    product of their probabilities is taken (Hinton, "Products of experts", 1999). The confidence is the geometric mean of these
    probabilities; the places of the characters are those of the most confident network.

    Args:
        members: the networks, two or more.

    Attributes:
        members: as given.
        alphabet: of all of them.
        grammar: likewise.

    Raises:
        UserError: they are fewer than two, or read different alphabets, or texts of different grammars.
    """

    def __init__(self, members: Iterable[Recognizer]) -> None:
        self.members = tuple(members)
        if len(self.members) < 2:
            raise UserError("an ensemble takes two networks or more")
        self.alphabet, self.grammar = self.members[0].alphabet, self.members[0].grammar
        kinds = {(member.alphabet.characters, _name(member.grammar)) for member in self.members}
        if len(kinds) > 1:
            raise UserError("networks that read together must have the same alphabet and the same grammar")

    def read(
        self, images: Iterable[str | Path | np.ndarray], *, decode: Decode = "auto", batch_size: int = BATCH_SIZE
    ) -> list[Reading]:
        """Reads pictures, as `Recognizer.read` does."""
        return read_all(self, images, decode, batch_size)

    def prepare(self, image: str | Path | np.ndarray) -> tuple[Traced, ...]:
        """A picture as each network takes it.

        Raises:
            UserError: it can't be read, or no formula is found in it.
        """
        return prepared(image, *(member.preparation for member in self.members))

    def read_prepared(
        self, images: Iterable[tuple[Traced, ...]], *, decode: Decode = "auto", batch_size: int = BATCH_SIZE
    ) -> Iterator[Reading]:
        """Reads pictures that `prepare` gave, a batch at a time."""
        decoder = Decoder(self.alphabet, self.grammar, decode)
        for batch, room in batched(images, batch_size):
            views = [member.see(own, room) for member, own in zip(self.members, zip(*batch, strict=True), strict=True)]
            for seen in zip(*views, strict=True):
                yield self._read(seen, decoder)

    def warm_up(self, pictures: int) -> None:
        """See `Recognizer.warm_up`."""
        for member in self.members:
            member.warm_up(pictures)

    def _read(self, seen: Sequence[Seen], decoder: Decoder) -> Reading:
        decoded = [decoder.decode(view.columns, view.greedy) for view in seen]
        if len({read.text for read in decoded}) > 1:
            decoded = _agreed([view.columns for view in seen], decoded, decoder)
        best = max(range(len(seen)), key=lambda i: decoded[i].confidence)
        reading = self.members[best].reading(decoded[best], seen[best])
        confidence = geometric_mean(read.confidence for read in decoded)
        valid, value = decoder.judge(reading.text, confidence, [view.columns for view in seen])
        return replace(reading, confidence=round(confidence, 6), valid=valid, value=value)


def _agreed(columns: Sequence[np.ndarray], decoded: Sequence[Decoded], decoder: Decoder) -> list[Decoded]:
    """What all networks together find likeliest of what they read, as each of them reads it.

    One that has too few columns for it, or none, reads what it read before, with confidence 0.
    """
    proposed = {tuple(decoder.alphabet.encode(read.text).tolist()) for read in decoded}
    if decoder.grammar is not None:
        proposed = {ids for ids in proposed if decoder.grammar.contains(decoder.alphabet.decode(ids))} or proposed
    ids = max(sorted(proposed), key=lambda ids: sum(_log_probability(each, ids) for each in columns if len(each)))
    return [
        decoder.aligned(each, ids) if _log_probability(each, ids) > -math.inf else read._replace(confidence=0.0)
        for each, read in zip(columns, decoded, strict=True)
    ]


def _log_probability(columns: np.ndarray, ids: Sequence[int]) -> float:
    try:
        return ctc.align(columns, ids).log_probability
    except ValueError:  # it takes more columns
        return -math.inf


def _name(grammar: Grammar | None) -> str | None:
    return None if grammar is None else grammar.name


def load_together(names: Sequence[str | Path], grammar: Grammar | None = None, dtype: Dtype = "float32") -> Reader[Any]:
    """The network of a name (see `crnn_jax.load`), or several as an ensemble, with a grammar of their texts.

    Raises:
        UserError: one can't be read, or they can't read together.
    """
    networks = [load(name, grammar=grammar, dtype=dtype) for name in names]
    return networks[0] if len(networks) == 1 else Ensemble(networks)
