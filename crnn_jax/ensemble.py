"""Several networks that read the same pictures together."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from crnn_jax.box import Traced
from crnn_jax.data.examples import BATCH_SIZE, Fitted
from crnn_jax.decoding import Decode, Decoder
from crnn_jax.errors import UserError
from crnn_jax.grammar import Grammar
from crnn_jax.loading import load
from crnn_jax.looks import read_together
from crnn_jax.recognizer import Columns, Reader, Reading, Recognizer, prepared, read_all
from crnn_jax.training.config import Dtype


class Ensemble:
    """Reads with several networks of one alphabet and grammar, see `crnn_jax.looks`.

    Args:
        members: the networks, two or more.
        weights: the power to which each one's probabilities count; None: all 1. One that errs more often deserves less.

    Attributes:
        members: as given.
        weights: likewise.
        alphabet: of all of them.
        grammar: likewise.

    Raises:
        UserError: they are fewer than two, or read different alphabets, or texts of different grammars; or there isn't a weight
            above 0 for each.
    """

    def __init__(self, members: Iterable[Recognizer], weights: Iterable[float] | None = None) -> None:
        self.members = tuple(members)
        self.weights = (1.0,) * len(self.members) if weights is None else tuple(weights)
        if len(self.members) < 2:
            raise UserError("an ensemble takes two networks or more")
        self.alphabet, self.grammar = self.members[0].alphabet, self.members[0].grammar
        kinds = {(member.alphabet.characters, _name(member.grammar)) for member in self.members}
        if len(kinds) > 1:
            raise UserError("networks that read together must have the same alphabet and the same grammar")
        if len(self.weights) != len(self.members) or not all(0 < weight < math.inf for weight in self.weights):
            raise UserError(f"weights={self.weights}: must be a number above 0 for each network")

    def read(
        self,
        images: Iterable[str | Path | np.ndarray],
        *,
        decode: Decode = "auto",
        batch_size: int = BATCH_SIZE,
        alternatives: int = 0,
    ) -> list[Reading]:
        """Reads pictures, as `Recognizer.read` does.

        Raises:
            UserError: see there.
        """
        return read_all(self, images, decode, batch_size, alternatives)

    def prepare(self, image: str | Path | np.ndarray) -> tuple[Traced, ...]:
        """A picture as each network takes it.

        Raises:
            UserError: it can't be read, or no formula is found in it.
        """
        return prepared(image, *(member.preparation for member in self.members))

    def read_prepared(
        self,
        images: Iterable[tuple[Traced, ...]],
        *,
        decode: Decode = "auto",
        batch_size: int = BATCH_SIZE,
        alternatives: int = 0,
    ) -> Iterator[Reading]:
        """Reads pictures that `prepare` gave, a batch at a time.

        Raises:
            UserError: see `Recognizer.read_prepared`.
        """
        decoder = Decoder(self.alphabet, self.grammar, decode, alternatives)
        return read_together(self.members, self.weights, images, decoder, batch_size)

    def squeezed(self, picture: tuple[Traced, ...]) -> Fitted | None:
        """See `Recognizer.squeezed`; of the first network that squeezes it."""
        each = (member.squeezed(one) for member, one in zip(self.members, picture, strict=True))
        return next(filter(None, each), None)

    def columns(self, picture: tuple[Traced, ...]) -> Columns:
        """The first network's columns of a picture that `prepare` gave."""
        return self.members[0].columns(picture[0])

    def warm_up(self, pictures: int) -> None:
        """See `Recognizer.warm_up`."""
        for member in self.members:
            member.warm_up(pictures)


def _name(grammar: Grammar | None) -> str | None:
    return None if grammar is None else grammar.name


def load_together(weights: Mapping[str, float], grammar: Grammar | None = None, dtype: Dtype = "float32") -> Reader[Any]:
    """The network of a name (see `crnn_jax.load`), or several as an ensemble, with a grammar of their texts.

    Args:
        weights: of the networks, by their names.
        grammar: as of `crnn_jax.load`.
        dtype: likewise.

    Raises:
        UserError: one can't be read, or they can't read together.
    """
    networks = [load(name, grammar=grammar, dtype=dtype) for name in weights]
    return networks[0] if len(networks) == 1 else Ensemble(networks, weights.values())
