"""How well texts were read, as counts that add up over batches and hosts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from rapidfuzz.distance import Levenshtein

from crnn_jax.grammar import Grammar, value_of

Confusion = tuple[str, str]


@dataclass
class Score:
    """Counts over some readings; two scores add up.

    Attributes:
        examples: texts compared.
        exact: readings that equal their text.
        exact_document: readings that equal it once they are cut to its length, which is how the source of the captcha
            recipe counts: an over-long reading can pass.
        edits: characters to insert, delete or replace, in all.
        characters: characters of the texts.
        confusions: how often a character (first) was read as another (second); an empty string stands for a character
            that was left out or made up.
        computable: readings that are texts of the task's grammar and, where it computes, come to something (a division by zero
            doesn't); 0 for a task without a grammar.
        exact_value: readings of the grammar that equal their text or come to the same.
    """

    examples: int = 0
    exact: int = 0
    exact_document: int = 0
    edits: int = 0
    characters: int = 0
    confusions: Counter[Confusion] = field(default_factory=Counter)
    computable: int = 0
    exact_value: int = 0

    @classmethod
    def of(cls, readings: Iterable[str], texts: Iterable[str], grammar: Grammar | None = None) -> Score:
        """Compares readings with their texts, one by one."""
        score = cls()
        for reading, text in zip(readings, texts, strict=True):
            edits = Levenshtein.editops(text, reading)
            score.examples += 1
            score.exact += reading == text
            score.exact_document += reading[: len(text)] == text
            score.edits += len(edits)
            score.characters += len(text)
            for edit in edits:
                true = text[edit.src_pos] if edit.tag != "insert" else ""
                read = reading[edit.dest_pos] if edit.tag != "delete" else ""
                score.confusions[true, read] += 1
            if grammar is not None and grammar.contains(reading):
                value = value_of(grammar, reading)
                score.computable += value is not None or not grammar.computes
                score.exact_value += reading == text or (value is not None and value == value_of(grammar, text))
        return score

    def __add__(self, other: Score) -> Score:
        return Score(*(getattr(self, count.name) + getattr(other, count.name) for count in fields(self)))

    def to_json(self) -> dict[str, Any]:
        """As JSON types."""
        return asdict(self) | {"confusions": [[*pair, count] for pair, count in self.confusions.items()]}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Score:
        """What `to_json` gave."""
        confusions = Counter({(true, read): count for true, read, count in value["confusions"]})
        return cls(**(value | {"confusions": confusions}))

    @property
    def exact_match(self) -> float:
        """Share of readings that equal their text."""
        return self.exact / max(1, self.examples)

    @property
    def exact_match_document(self) -> float:
        """Share of readings that equal their text once cut to its length."""
        return self.exact_document / max(1, self.examples)

    @property
    def cer(self) -> float:
        """Character error rate: edits for each character of the texts."""
        return self.edits / max(1, self.characters)

    def summary(self) -> dict[str, float]:
        """The shares, for a log or a file."""
        return {
            "exact_match": self.exact_match,
            "exact_match_document": self.exact_match_document,
            "cer": self.cer,
            "examples": self.examples,
        }

    def grammar_summary(self, grammar: Grammar | None) -> dict[str, float]:
        """Further shares, for a task with a grammar; that of values for one whose texts come to something."""
        examples = max(1, self.examples)
        value = {"exact_value": self.exact_value / examples} if grammar and grammar.computes else {}
        return value | ({"computable": self.computable / examples} if grammar else {})


def wilson_interval(successes: int, trials: int) -> tuple[float, float]:
    """95% confidence interval of a share (Wilson, "Probable inference, the law of succession, and statistical inference",
    JASA 1927)."""
    if trials == 0:
        return 0.0, 1.0
    z = 1.959964
    share = successes / trials
    centre = (share + z * z / (2 * trials)) / (1 + z * z / trials)
    half = z / (1 + z * z / trials) * (share * (1 - share) / trials + z * z / (4 * trials * trials)) ** 0.5
    return max(0.0, centre - half), min(1.0, centre + half)
