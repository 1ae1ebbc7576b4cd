"""What the texts of a task may be: drawing one by chance, going on by one character, and computing what it comes to.

Decoding asks a grammar which characters may follow (`crnn_jax.ctc.beam`), so that no reading breaks it. For a grammar of your
own, extend `Grammar`; its docstring has an example. Nothing here imports jax.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping
from fractions import Fraction
from typing import Any, Protocol

from crnn_jax.alphabet import Alphabet
from crnn_jax.errors import UserError

State = Hashable


class Chooser(Protocol):
    """What `Grammar.sample` asks of its source of chance; `crnn_jax.drawing.random.Draws` is one."""

    def below(self, n: int) -> int:
        """An integer in [0, n)."""
        ...


class Grammar(ABC):
    """A set of texts, read character by character; an object of constants, without state of its own.

    Times such as ``23:59``, as a user would write them::

        class Times(Grammar):
            name = "times"
            alphabet = Alphabet("0123456789:")
            start = ""  # the state is what was read so far

            def advance(self, state, character):
                place = len(state)
                highest = {0: "2", 1: "3" if state == "2" else "9", 3: "5", 4: "9"}.get(place, "")
                fits = character == ":" if place == 2 else character in "0123456789" and character <= highest
                return state + character if fits else None

            def completion(self, state):
                return "00:00"[len(state):]

            def sample(self, draws):
                return f"{draws.below(24):02}:{draws.below(60):02}"

    Attributes:
        name: under which a checkpoint remembers it.
        alphabet: of its texts, and of a network that reads them.
        start: the state before the first character. States are hashable; from equal states the same texts follow.
    """

    name: str
    alphabet: Alphabet
    start: State

    @abstractmethod
    def advance(self, state: Any, character: str) -> State | None:
        """The state after one more character, or None where it can't follow."""

    @abstractmethod
    def completion(self, state: Any) -> str:
        """A shortest text that may follow to the end; empty where a text may end.

        It keeps a search out of dead ends: after its first character, the completion is never longer than the rest.
        """

    @abstractmethod
    def sample(self, draws: Chooser) -> str:
        """A text by chance, with the distribution of the task."""

    def value(self, text: str) -> str | None:
        """What a text comes to, written out; None where texts stand for nothing but themselves.

        Raises:
            ExpressionError: it can't be computed.
        """
        return None

    def accepts(self, state: Any) -> bool:
        """Whether a text may end here."""
        return not self.completion(state)

    def contains(self, text: str) -> bool:
        """Whether a text is one of the grammar's."""
        state: State | None = self.start
        for character in text:
            state = self.advance(state, character)
            if state is None:
                return False
        return self.accepts(state)


class Level1(Grammar):
    """Arithmetic on three digits with two operators of + - * and at most one pair of brackets, such as ``(3-7)+5``.

    The three patterns, the digits and the operators are each equally likely.
    """

    name = "level1"
    alphabet = Alphabet("0123456789+-*() ")  # as in the source document: no text has a blank
    start = ""

    # A state is the pattern of what was read: d for a digit, o for an operator, brackets for themselves.
    PATTERNS = ("dodod", "(dod)od", "do(dod)")
    DIGITS, OPERATORS = "0123456789", "+-*"
    MAX_LENGTH = 7

    def advance(self, state: str, character: str) -> str | None:
        """See `Grammar`."""
        pattern = state + self._kind(character)
        return pattern if any(whole.startswith(pattern) for whole in self.PATTERNS) else None

    def completion(self, state: str) -> str:
        """See `Grammar`."""
        rest = min((whole[len(state) :] for whole in self.PATTERNS if whole.startswith(state)), key=len)
        return "".join({"d": self.DIGITS[0], "o": self.OPERATORS[0]}.get(kind, kind) for kind in rest)

    def sample(self, draws: Chooser) -> str:
        """See `Grammar`."""
        choices = {"d": self.DIGITS, "o": self.OPERATORS}
        pattern = self.PATTERNS[draws.below(len(self.PATTERNS))]
        return "".join(_choice(draws, choices.get(kind, kind)) for kind in pattern)

    def value(self, text: str) -> str:
        """The integer that a text comes to."""
        return str(evaluate(text))

    def _kind(self, character: str) -> str:
        if character in self.DIGITS:
            return "d"
        return "o" if character in self.OPERATORS else character


GRAMMARS: dict[str, type[Grammar]] = {Level1.name: Level1}


def by_name(name: str) -> Grammar:
    """A grammar of ours, such as a checkpoint names.

    Raises:
        UserError: it is none of ours.
    """
    if name not in GRAMMARS:
        raise UserError(
            f"the grammar {name!r} isn't one of {', '.join(GRAMMARS)}: load the model with grammar=..., your own object"
        )
    return GRAMMARS[name]()


class ExpressionError(UserError):
    """A text that isn't arithmetic, or divides by zero."""


_MAX_EXPRESSION = 1000  # characters
_MAX_DEPTH = 100  # brackets in brackets


def evaluate(expression: str, variables: Mapping[str, int] | None = None) -> Fraction:
    """Computes arithmetic exactly: + - * / and brackets over non-negative integers and variables of one character.

    Args:
        expression: such as ``(3-7)*x/2``.
        variables: values of the variables.

    Raises:
        ExpressionError: says at which character it goes wrong.
    """
    if len(expression) > _MAX_EXPRESSION:
        raise ExpressionError(f"an expression of {len(expression)} characters is too long, {_MAX_EXPRESSION} are the most")
    return _Parser(expression, variables or {}).parse()


class _Parser:
    """Recursive descent: a sum is products, a product is operands, an operand is a number, a variable or a sum in brackets."""

    def __init__(self, text: str, variables: Mapping[str, int]) -> None:
        self._text, self._variables = text, variables
        self._position = self._depth = 0

    def parse(self) -> Fraction:
        result = self._sum()
        if self._position < len(self._text):
            raise self._error("can't follow here")
        return result

    @property
    def _next(self) -> str:
        return self._text[self._position : self._position + 1]

    def _take(self) -> str:
        character = self._next
        self._position += 1
        return character

    def _sum(self) -> Fraction:
        result = self._product()
        while self._next in ("+", "-"):
            result = result + self._product() if self._take() == "+" else result - self._product()
        return result

    def _product(self) -> Fraction:
        result = self._operand()
        while self._next in ("*", "/"):
            place = self._position
            if self._take() == "*":
                result *= self._operand()
            else:
                divisor = self._operand()
                if divisor == 0:
                    raise ExpressionError(f"{self._text!r} divides by zero at character {place + 1}")
                result /= divisor
        return result

    def _operand(self) -> Fraction:
        if self._next == "(":
            return self._bracket()
        if self._next in self._variables:
            return Fraction(self._variables[self._take()])
        start = self._position
        while self._next and self._next in "0123456789":
            self._position += 1
        if start == self._position:
            raise self._error("is no number")
        return Fraction(int(self._text[start : self._position]))

    def _bracket(self) -> Fraction:
        self._take()
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise self._error(f"is inside more than {_MAX_DEPTH} brackets")
        result = self._sum()
        if self._next != ")":
            raise self._error("stands where ) is missing")
        self._take()
        self._depth -= 1
        return result

    def _error(self, what: str) -> ExpressionError:
        found = repr(self._next) if self._next else "the end"
        return ExpressionError(f"{self._text!r} is not arithmetic: {found}, character {self._position + 1}, {what}")


def _choice(draws: Chooser, items: str) -> str:
    return items[draws.below(len(items))]
