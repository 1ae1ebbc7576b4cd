"""Characters and their ids."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from crnn_jax.errors import UserError


@dataclass(frozen=True)
class Alphabet:
    """The characters that a network can read; the id of the CTC blank follows the last of them.

    >>> digits = Alphabet("0123456789")
    >>> digits.encode("42").tolist(), digits.decode([4, 2]), digits.blank
    ([4, 2], '42', 10)

    Attributes:
        characters: each once, in the order of their ids.

    Raises:
        UserError: empty or no string, or a character stands twice.
    """

    characters: str

    def __post_init__(self) -> None:
        if not isinstance(self.characters, str):
            raise UserError(f"an alphabet is a string of its characters, not a {type(self.characters).__name__}")
        if not self.characters:
            raise UserError("an alphabet needs at least one character")
        repeated = sorted({c for c in self.characters if self.characters.count(c) > 1})
        if repeated:
            raise UserError(f"characters that stand more than once in the alphabet: {' '.join(map(repr, repeated))}")

    @classmethod
    def of(cls, texts: Iterable[str]) -> Alphabet:
        """The sorted characters of some texts."""
        return cls("".join(sorted(set().union(*texts))))

    @property
    def blank(self) -> int:
        """Id of the CTC blank, K."""
        return len(self.characters)

    @property
    def size(self) -> int:
        """Number of ids with the blank, K + 1."""
        return len(self.characters) + 1

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {character: i for i, character in enumerate(self.characters)}

    def encode(self, text: str) -> np.ndarray:
        """The ids of a text's characters, (L,) int32.

        Raises:
            UserError: a character isn't in the alphabet.
        """
        try:
            return np.array([self._ids[character] for character in text], np.int32)
        except KeyError as error:
            raise UserError(f"{error.args[0]!r} in the text {text!r} is not in the alphabet {self.characters!r}") from None

    def decode(self, ids: Iterable[int]) -> str:
        """The text of some ids; blanks are left out."""
        return "".join(self.characters[i] for i in ids if i != self.blank)
