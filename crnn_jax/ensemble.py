"""Several networks that read the same pictures together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np

from crnn_jax.ahead import ahead
from crnn_jax.data.examples import BATCH_SIZE
from crnn_jax.decoding import Decode, Decoded, Decoder
from crnn_jax.errors import UserError
from crnn_jax.recognizer import Reader, Reading, Recognizer, Seen, batched, load, prepared

_PROPOSALS = 4  # texts of each network
_LEAST = 1e-300  # probability


class Ensemble:
    """Reads with several networks of one alphabet and grammar.

    Where all of them read the same, that is the reading. Elsewhere each proposes texts, and all judge these: the one with the
    largest product of their probabilities is taken (Hinton, "Products of experts", 1999). The confidence is the geometric mean
    of these probabilities; the places of the characters are those of the most confident network.

    Args:
        members: the networks, two or more.

    Raises:
        UserError: they read different alphabets, or texts of different grammars.
    """

    def __init__(self, members: Sequence[Recognizer]) -> None:
        if len(members) < 2:
            raise UserError("an ensemble takes two networks or more")
        self.members = tuple(members)
        self.alphabet, self.grammar = members[0].alphabet, members[0].grammar
        for member in members[1:]:
            if member.alphabet.characters != self.alphabet.characters or type(member.grammar) is not type(self.grammar):
                raise UserError("networks that read together must have the same alphabet and the same grammar")

    def read(
        self, images: Iterable[str | Path | np.ndarray], *, decode: Decode = "auto", batch_size: int = BATCH_SIZE
    ) -> list[Reading]:
        """Reads pictures, as `Recognizer.read` does."""
        pictures = ahead(self.prepare, images, batch_size)
        return list(self.read_prepared(pictures, decode=decode, batch_size=batch_size))

    def prepare(self, image: str | Path | np.ndarray) -> tuple[np.ndarray, ...]:
        """A picture as each network takes it.

        Raises:
            UserError: it can't be read, or no formula is found in it.
        """
        return prepared(image, *(member.preparation for member in self.members))

    def read_prepared(
        self, images: Iterable[tuple[np.ndarray, ...]], *, decode: Decode = "auto", batch_size: int = BATCH_SIZE
    ) -> Iterator[Reading]:
        """Reads pictures that `prepare` gave, a batch at a time."""
        decoder = Decoder(self.alphabet, self.grammar, decode)
        for batch, room in batched(images, batch_size):
            views = [member.see(images, room) for member, images in zip(self.members, zip(*batch, strict=True), strict=True)]
            for seen in zip(*views, strict=True):
                yield self._read(seen, decoder)

    def warm_up(self, pictures: int) -> None:
        """Compiles what reading that many pictures of any width needs."""
        for member in self.members:
            member.warm_up(pictures)

    def _read(self, seen: Sequence[Seen], decoder: Decoder) -> Reading:
        decoded: Sequence[Decoded] = [decoder.decode(view.columns, view.greedy) for view in seen]
        if len({read.text for read in decoded}) > 1:
            decoded = _agreed([view.columns for view in seen], decoded, decoder)
        best = max(range(len(seen)), key=lambda i: decoded[i].confidence)
        confidence = float(np.prod([read.confidence for read in decoded]) ** (1 / len(decoded)))
        return replace(self.members[best].reading(decoded[best], seen[best]), confidence=round(confidence, 6))


def _agreed(columns: Sequence[np.ndarray], decoded: Sequence[Decoded], decoder: Decoder) -> Sequence[Decoded]:
    """The text that all networks together find likeliest, as each of them reads it."""
    proposed = {tuple(decoder.alphabet.encode(read.text).tolist()) for read in decoded}
    if decoder.mode != "greedy":
        proposed.update(ids for each in columns for ids in decoder.search(each)[:_PROPOSALS])
    judged = []
    for ids in sorted(proposed):
        with suppress(ValueError):  # one network has too few columns for what another one read
            judged.append([decoder.aligned(each, ids) for each in columns])
    valid = [reads for reads in judged if any(read.valid for read in reads)]
    return max(valid or judged, key=_log_probability, default=decoded)


def _log_probability(reads: Sequence[Decoded]) -> float:
    return float(sum(np.log(max(read.confidence, _LEAST)) for read in reads))


def load_together(names: Sequence[str | Path]) -> Reader[Any]:
    """The network of a name (see `crnn_jax.load`), or several as an ensemble.

    Raises:
        UserError: one can't be read, or they can't read together.
    """
    networks = [load(name) for name in names]
    return networks[0] if len(networks) == 1 else Ensemble(networks)


def first_network(reader: Reader[Any]) -> Recognizer:
    """Of several that read together, for what only one can show."""
    return reader.members[0] if isinstance(reader, Ensemble) else cast(Recognizer, reader)
