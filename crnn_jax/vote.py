"""Several readings of the same pictures, put together by a vote."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from crnn_jax.arithmetic import ExpressionError, decimal, evaluate
from crnn_jax.errors import UserError
from crnn_jax.grammar import SEPARATOR, is_value

NO_VALUE = "-"
_VALUE = re.compile(r"-?\d+(\.\d+)?")
_MAX_FORMULA = 1000  # characters


class Ballot(NamedTuple):
    """What one model read in a picture.

    Attributes:
        text: that was read.
        value: what it comes to; None where it can't be computed.
        confidence: of the reading; 0 where it isn't known.
        path: of the picture, where it is known.
    """

    text: str
    value: str | None = None
    confidence: float = 0.0
    path: str | None = None


def vote(ballots: Sequence[Ballot], *, computable: bool = True) -> Ballot:
    """The reading that most models agree on; of several, the one with the highest single confidence, then the first.

    Args:
        ballots: of the models, for one picture.
        computable: readings that can't be computed don't vote.

    Returns:
        The chosen text's ballot of the highest confidence; an empty one where nobody votes.
    """
    votes: defaultdict[str, list[Ballot]] = defaultdict(list)
    for ballot in ballots:
        if ballot.text and (ballot.value is not None or not computable):
            votes[ballot.text].append(ballot)
    if not votes:
        return Ballot("", path=next((ballot.path for ballot in ballots if ballot.path), None))
    # max keeps the first of equals.
    winners = max(votes.values(), key=lambda same: (len(same), max(ballot.confidence for ballot in same)))
    return max(winners, key=lambda ballot: ballot.confidence)


def read_ballots(path: Path) -> list[Ballot]:
    """A file of readings as ``crnn-jax read --out`` writes it: text, tsv or json, one line a picture.

    Of a line of text, a number after a space is the value where the text before it comes to that, see
    `crnn_jax.grammar.is_value`; an empty line is of a picture that could not be read.

    Raises:
        UserError: it can't be read, or a line is malformed.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig").replace("\r\n", "\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: can't be read ({error})") from None
    lines = text.removesuffix("\n").split("\n") if text else []
    return [_parse(line, f"{path}, line {number}") for number, line in enumerate(lines, 1)]


def _parse(line: str, place: str) -> Ballot:
    if (row := _object(line)) is not None:
        try:
            return _checked(Ballot(row["text"], row["value"], float(row["confidence"]), row["path"]))
        except (ValueError, KeyError, TypeError, OverflowError):
            raise UserError(f"{place}: is JSON, but no reading") from None
    if "\t" in line:
        fields = line.split("\t")
        try:
            name, text, value, confidence = fields
            return _checked(Ballot(text, None if value == NO_VALUE else value, float(confidence), _unescaped(name)))
        except ValueError:
            raise UserError(f"{place}: must have path, text, value and confidence, separated by tabs") from None
    text, _, value = line.rpartition(" ")
    return Ballot(text, value) if _comes_to(text, value) else Ballot(line)


def _unescaped(path: str) -> str:
    r"""What ``crnn-jax read`` wrote as ``\\\\``, ``\\t``, ``\\n`` or ``\\r``."""
    meant = {"\\": "\\", "t": "\t", "n": "\n", "r": "\r"}
    return re.sub(r"\\([\\tnr])", lambda match: meant[match[1]], path)


def _comes_to(text: str, value: str) -> bool:
    """Whether a text is a formula that comes to this: a number may also be the last word of a text."""
    if len(text) > _MAX_FORMULA or not _VALUE.fullmatch(value):
        return False
    *assignments, expression = text.split(SEPARATOR)
    try:
        variables = {assignment[:1]: int(assignment[2:]) for assignment in assignments}
        return is_value(value, decimal(evaluate(expression, variables)))
    except (ExpressionError, ValueError):
        return False


def _object(line: str) -> dict[str, Any] | None:
    """A line's JSON object; None: it's none, such as a text that begins with a brace."""
    try:
        row = json.loads(line) if line.startswith("{") else None
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) else None


def _checked(ballot: Ballot) -> Ballot:
    if not all(isinstance(part, str | None) for part in (ballot.text, ballot.value, ballot.path)) or ballot.text is None:
        raise TypeError
    if not 0 <= ballot.confidence <= 1:
        raise ValueError
    return ballot


def vote_files(paths: Sequence[Path]) -> list[Ballot]:
    """Votes over files of readings of the same pictures, line by line.

    Where no line of any file has a value, the readings are of a task that computes nothing, and all of them vote.

    Raises:
        UserError: a file can't be read, or they are not about the same pictures.
    """
    files = [read_ballots(path) for path in paths]
    for path, ballots in zip(paths[1:], files[1:], strict=True):
        if len(ballots) != len(files[0]):
            raise UserError(f"{path}: has {len(ballots)} lines, and {paths[0]} has {len(files[0])}")
    computable = any(ballot.value is not None for ballots in files for ballot in ballots)
    chosen = []
    for number, row in enumerate(zip(*files, strict=True), 1):
        names = {ballot.path for ballot in row if ballot.path is not None}
        if len(names) > 1:
            raise UserError(f"line {number} is about {' in one file and '.join(sorted(names))} in another")
        chosen.append(vote(row, computable=computable))
    return chosen
