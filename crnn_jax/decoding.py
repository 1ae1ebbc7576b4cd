"""From the network's columns to texts: greedily, or by a search that obeys the task's grammar."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import numpy as np

from crnn_jax import ctc
from crnn_jax.alphabet import Alphabet
from crnn_jax.errors import UserError
from crnn_jax.grammar import Grammar, value_of

Decode = Literal["auto", "once", "greedy", "beam"]
# Probability that a text of a grammar must have. Readings of 40 pictures of dots or noise, of either level, had less than 5e-5,
# right readings 0.14 or more (300 of either level, 346 of faint level 1); of 965 others, by three networks together, one less.
_LEAST = 1e-4


class Span(NamedTuple):
    """Where a character was read.

    Attributes:
        confidence: its largest probability in its columns.
        start: the first of them.
        end: the column after the last.
    """

    confidence: float
    start: int
    end: int


class Decoded(NamedTuple):
    """What the columns of a picture say.

    Attributes:
        text: all of it.
        confidence: probability of the text, over all its alignments.
        valid: whether it is a text of the grammar, not quite unlikely and likelier than that there is none; without a grammar,
            whether it isn't empty.
        value: what it comes to; None for texts that are not valid or don't compute.
        spans: of its characters.
    """

    text: str
    confidence: float
    valid: bool
    value: str | None
    spans: tuple[Span, ...]


@dataclass(frozen=True)
class Alternative:
    """A text that was not read, but is likely too.

    Attributes:
        text: all of it.
        confidence: its probability; of several looks at a picture the geometric mean.
        value: what it comes to; None for texts that don't compute.
    """

    text: str
    confidence: float
    value: str | None


@dataclass(frozen=True)
class Decoder:
    """Reads columns.

    Attributes:
        alphabet: of the network.
        grammar: of the texts; None: any.
        mode: ``greedy``: the best character of each column; ``beam``: a search, held to the grammar if there is one;
            ``once``: the search where the greedy reading isn't a text of the grammar; ``auto``: likewise, and who reads looks
            again where in doubt (`crnn_jax.looks`).
        alternatives: how many other texts to tell besides what is read, each reading's likeliest of what a search finds.
        width: of the search.

    Raises:
        UserError: there is no such mode, or ``alternatives`` is below 0.
    """

    alphabet: Alphabet
    grammar: Grammar | None = None
    mode: Decode = "auto"
    alternatives: int = 0
    width: int = 16

    def __post_init__(self) -> None:
        if self.mode not in get_args(Decode):
            raise UserError(f"decode must be one of {', '.join(get_args(Decode))}, not {self.mode!r}")
        if self.alternatives < 0:
            raise UserError(f"alternatives={self.alternatives}: must be at least 0")

    def __call__(self, logits: np.ndarray, lengths: np.ndarray, greedy: ctc.Greedy) -> list[Decoded]:
        """Reads a batch on the host.

        Args:
            logits: (B, T, K + 1).
            lengths: (B,) int, columns of each example.
            greedy: what `ctc.greedy` made of them.
        """
        columns = [example[:length] for example, length in zip(logits, lengths.tolist(), strict=True)]
        rows = (ctc.Greedy(*(field[i] for field in greedy)) for i in range(len(columns)))
        return [self.decode(example, row) for example, row in zip(columns, rows, strict=True)]

    def decode(self, columns: np.ndarray, greedy: ctc.Greedy) -> Decoded:
        """Reads one example on the host.

        Args:
            columns: logits that count, (T, K + 1).
            greedy: what `ctc.greedy` made of them.
        """
        if not len(columns):  # the picture is too narrow for one
            return Decoded("", 0.0, False, None, ())
        text = self.alphabet.decode(greedy.ids[: int(greedy.counts)].tolist())
        if self.mode == "beam" or (self.mode != "greedy" and self.grammar is not None and not self.grammar.contains(text)):
            found = self.search(columns)
            if found:
                return self.aligned(columns, found[0])
        spans = (x[: len(text)].tolist() for x in (greedy.character_confidences, greedy.starts, greedy.ends))
        return self._decoded(columns, text, float(greedy.confidences), list(map(Span, *spans)))

    def search(self, columns: np.ndarray, width: int | None = None) -> list[tuple[int, ...]]:
        """The ids of the likeliest texts, held to the grammar if there is one, the likeliest first.

        Args:
            columns: logits, (T, K + 1).
            width: of the search; None: the decoder's.
        """
        hypotheses = ctc.beam(columns[None], grammar=self.grammar, width=width or self.width)[0]
        return [hypothesis.ids for hypothesis in hypotheses]

    def aligned(self, columns: np.ndarray, ids: tuple[int, ...]) -> Decoded:
        """A text as if it were what was read, with the probability of all its alignments.

        Args:
            columns: logits, (T, K + 1).
            ids: of the text's characters.

        Raises:
            ValueError: it takes more columns.
        """
        aligned = ctc.align(columns, ids)
        spans = zip(aligned.confidences.tolist(), aligned.starts.tolist(), aligned.ends.tolist(), strict=True)
        confidence = float(np.exp(aligned.log_probability))
        return self._decoded(columns, self.alphabet.decode(ids), confidence, [Span(*span) for span in spans])

    def _decoded(self, columns: np.ndarray, text: str, confidence: float, spans: list[Span]) -> Decoded:
        return Decoded(text, confidence, *self.judge(text, confidence, [columns], [1.0]), tuple(spans))

    def judge(
        self, text: str, confidence: float, views: Sequence[np.ndarray], weights: Sequence[float]
    ) -> tuple[bool, str | None]:
        """Whether a text is valid (of the grammar, likelier than `_LEAST` and than that there is none), and its value.

        Args:
            text: that was read.
            confidence: its probability; of several looks, the weighted geometric mean of theirs.
            views: logits (T, K + 1) of each look.
            weights: of each.
        """
        if self.grammar is None:
            return bool(text), None
        nothing = geometric_mean(map(_nothing, views), weights)
        valid = self.grammar.contains(text) and (not text or confidence > max(_LEAST, nothing))
        return valid, value_of(self.grammar, text) if valid else None


def geometric_mean(probabilities: Iterable[float], weights: Sequence[float]) -> float:
    """Weighted; 0 where one is 0."""
    total = sum(weights)
    return math.prod(value ** (weight / total) for value, weight in zip(probabilities, weights, strict=True))


def _nothing(columns: np.ndarray) -> float:
    """Probability that there is no text at all."""
    return float(np.exp(ctc.log_probabilities(columns)[:, -1].sum()))
