"""What the texts of a task may be: drawing one by chance, going on by one character, and computing what it comes to.

Decoding asks a grammar which characters may follow (`crnn_jax.ctc.beam`), so that no reading breaks it. For a grammar of your
own, extend `Grammar`; its docstring has an example. Nothing here imports jax.
"""

from __future__ import annotations

import importlib
import sys
from abc import ABC, abstractmethod
from collections.abc import Hashable
from decimal import MAX_EMAX, MIN_EMIN, Decimal, DecimalException, localcontext
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from crnn_jax.alphabet import Alphabet
from crnn_jax.arithmetic import ExpressionError, evaluate
from crnn_jax.errors import UserError, in_one_line

State = Hashable

SEPARATOR = ";"  # between the lines of a text


class Chooser(Protocol):
    """What `Grammar.sample` asks of its source of chance; `crnn_jax.drawing.random.Draws` is one."""

    def below(self, n: int) -> int:
        """An integer in [0, n)."""
        ...


def columns(text: str, after: str = "") -> int:
    """Columns that CTC needs for a text: one a character, and one more, for a blank, between two of the same.

    Args:
        text: to be read.
        after: what was read before it, of which the last character counts.
    """
    return len(text) + sum(a == b for a, b in pairwise(after[-1:] + text))


# Columns that there should be for each that a text needs. With twice as many as characters CTC learns better, the source
# document found; a height that we choose for pictures of one's own leaves half as many more as are needed.
SPARE, AMPLE = 1.5, 2.0


class Grammar(ABC):
    """A set of texts, read character by character; an object of constants, without state of its own.

    A few words, as a user would write them::

        class Words(Grammar):
            name = "fruit"
            alphabet = Alphabet("abcdefghijklmnopqrstuvwxyz")
            start = ""  # the state is what was read so far
            words = ("apple", "cherry", "plum")

            def advance(self, state, character):
                text = state + character
                return text if any(word.startswith(text) for word in self.words) else None

            def completion(self, state):
                rests = (word[len(state):] for word in self.words if word.startswith(state))
                return min(rests, key=lambda rest: columns(rest, after=state))

            def sample(self, draws):
                return self.words[draws.below(len(self.words))]

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
        """A text that may follow to the end, of those that take the fewest `columns`; empty where a text may end.

        It keeps a search out of dead ends.
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

    @property
    def computes(self) -> bool:
        """Whether texts come to something."""
        return type(self).value is not Grammar.value

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
        """The integer that a text comes to.

        Raises:
            ExpressionError: the text isn't one of level 1.
        """
        if not self.contains(text):
            raise ExpressionError(f"{text!r} is not a text of level 1")
        return str(evaluate(text))

    def _kind(self, character: str) -> str:
        if character in self.DIGITS:
            return "d"
        if character in self.OPERATORS:
            return "o"
        return character if character in "()" else "?"  # in no pattern


class _Level2State(NamedTuple):
    """Where a text of level 2 stands.

    Attributes:
        part: what is being read: a ``name``, its ``=``, its ``value``; after a semicolon a ``line``; in the expression an
            ``operand``, a ``number``, a fraction's bar ``over`` and its number ``below``; ``done`` after a variable or bracket.
        variables: that were assigned.
        pattern: of the expression: n for an operand, o for an operator, brackets for themselves.
        pending: what the expression must still hold: ``/`` for the fraction, a variable for itself.
        digits: of the number that is being read; `_CLOSED` where none may follow.
        round: whether these digits are 1 and zeros.
    """

    part: str = "name"
    variables: str = ""
    pattern: str = ""
    pending: str = ""
    digits: int = 0
    round: bool = False


_CLOSED = 6


class Level2(Grammar):
    """Assignments and an expression, such as ``流=42072;圳=86;(圳-(97510*45921))*流/35864``.

    The first variable is a character of the first poem, and in about two texts of three a second one is of the second poem. The
    expression has four operands, one of 11 patterns of brackets, three operators of ``+ - *``. One operand is a fraction with
    the first variable above a number, one is the second variable if there is one, the others are numbers. Numbers are integers
    from 0 to 100000.
    """

    name = "level2"
    # The document's poems; 不 stands twice in the first and so comes twice as often.
    POEMS = ("君不见黄河之水天上来奔流到海不复回", "烟锁池塘柳深圳铁板烧")
    PATTERNS = (
        "nononon",
        *("(non)onon", "no(non)on", "nono(non)"),
        *("(nonon)on", "no(nonon)"),
        *("((non)on)on", "(no(non))on", "no((non)on)", "no(no(non))"),
        "(non)o(non)",
    )
    OPERANDS, LARGEST, MAX_LENGTH = 4, 100_000, 46
    SECOND_VARIABLE = 0.658  # how often there is one
    DIGITS, OPERATORS = "0123456789", "+-*"
    alphabet = Alphabet("0123456789+-*/()=;" + "".join(dict.fromkeys("".join(POEMS))))
    start = _Level2State()

    def advance(self, state: _Level2State, character: str) -> _Level2State | None:
        """See `Grammar`."""
        after = None
        match state.part:
            case "value" | "number" | "below" if character in self.DIGITS:
                after = self._digit(state, int(character))
            case "name" if character in self.POEMS[0]:
                after = state._replace(part="=", variables=character)
            case "=" if character == "=":
                after = state._replace(part="value")
            case "value" if character == SEPARATOR and state.digits:
                after = _Level2State("line", state.variables)
            case "line" if len(state.variables) == 1 and character in self.POEMS[1]:
                after = _Level2State("=", state.variables + character)
            case "line":
                after = self._operand(state._replace(part="operand", pending="/" + state.variables[1:]), character)
            case "operand":
                after = self._operand(state, character)
            case "over" if character == "/":
                after = state._replace(part="below")
            case "number" | "below" | "done" if state.digits or state.part == "done":
                after = self._operator(state, character)
        return after

    def completion(self, state: _Level2State) -> str:
        """See `Grammar`."""
        number = "" if state.digits else "1"
        match state.part:
            case "name":
                first = self.POEMS[0][0]
                return f"{first}=1;{self._rest('', first, '/')}"
            case "=" | "value" | "line":
                head = {"=": "=1" + SEPARATOR, "value": number + SEPARATOR, "line": ""}[state.part]
                return head + self._rest("", state.variables, "/" + state.variables[1:])
            case "over":
                head = "/1"
            case "number" | "below":
                head = number
            case _:
                head = ""
        return head + self._rest(state.pattern, state.variables, state.pending)

    def sample(self, draws: Chooser) -> str:
        """See `Grammar`; the shares are those of the document's 100,000 texts."""
        second = draws.below(1000) < 1000 * self.SECOND_VARIABLE
        variables = "".join(_choice(draws, poem) for poem in self.POEMS[: 1 + second])
        lines = [f"{variable}={draws.below(self.LARGEST + 1)}" for variable in variables]
        operands = [str(draws.below(self.LARGEST + 1)) for _ in range(self.OPERANDS)]
        fraction = draws.below(self.OPERANDS)
        operands[fraction] = f"{variables[0]}/{operands[fraction]}"
        if second:
            operands[(fraction + 1 + draws.below(self.OPERANDS - 1)) % self.OPERANDS] = variables[1]
        left = iter(operands)
        pattern = self.PATTERNS[draws.below(len(self.PATTERNS))]
        fill = {"n": lambda: next(left), "o": lambda: _choice(draws, self.OPERATORS)}
        return SEPARATOR.join([*lines, "".join(fill[c]() if c in fill else c for c in pattern)])

    def value(self, text: str) -> str:
        """What the expression comes to, computed exactly and then rounded to two decimals.

        Raises:
            ExpressionError: the text isn't one of level 2, or divides by zero.
        """
        if not self.contains(text):
            raise ExpressionError(f"{text!r} is not a text of level 2")
        *assignments, expression = text.split(SEPARATOR)
        variables = {assignment[0]: int(assignment[2:]) for assignment in assignments}
        hundredths = round(evaluate(expression, variables) * 100)
        return f"{'-' if hundredths < 0 else ''}{abs(hundredths) // 100}.{abs(hundredths) % 100:02}"

    def _digit(self, state: _Level2State, digit: int) -> _Level2State | None:
        if state.digits == 0:
            return state._replace(digits=1 if digit else _CLOSED, round=digit == 1)
        if state.digits < len(str(self.LARGEST)) - 1:
            return state._replace(digits=state.digits + 1, round=state.round and digit == 0)
        largest = state.digits < _CLOSED and state.round and digit == 0
        return state._replace(digits=_CLOSED) if largest else None

    def _operand(self, state: _Level2State, character: str) -> _Level2State | None:
        if character == "(":
            return self._follow(state, "(", "operand")
        places_left = self.OPERANDS - state.pattern.count("n") - 1
        if character in self.DIGITS and places_left >= len(state.pending):
            after = self._follow(state, "n", "number")
            return after and self._digit(after, int(character))
        if character == state.variables[0] and "/" in state.pending:
            return self._follow(state._replace(pending=state.pending.replace("/", "")), "n", "over")
        if character in state.variables[1:] and character in state.pending:
            return self._follow(state._replace(pending=state.pending.replace(character, "")), "n", "done")
        return None

    def _operator(self, state: _Level2State, character: str) -> _Level2State | None:
        state = state._replace(digits=0, round=False)
        if character == ")":
            return self._follow(state, ")", "done")
        return self._follow(state, "o", "operand") if character in self.OPERATORS else None

    def _follow(self, state: _Level2State, kind: str, part: str) -> _Level2State | None:
        pattern = state.pattern + kind
        fits = any(whole.startswith(pattern) for whole in self.PATTERNS)
        return state._replace(part=part, pattern=pattern) if fits else None

    def _rest(self, pattern: str, variables: str, pending: str) -> str:
        """The end of an expression in the fewest columns."""
        rests = (whole[len(pattern) :] for whole in self.PATTERNS if whole.startswith(pattern))
        rest = min(rests, key=lambda rest: columns(rest, after=pattern))
        left = iter([f"{variables[0]}/1" if wanted == "/" else wanted for wanted in pending])
        return "".join(next(left, "1") if c == "n" else "+" if c == "o" else c for c in rest)


GRAMMARS: dict[str, type[Grammar]] = {Level1.name: Level1, Level2.name: Level2}


def check_grammar(grammar: Grammar, alphabet: Alphabet) -> None:
    """Checks that a grammar suits a network's alphabet, and that its name is its own.

    Raises:
        UserError: it doesn't, or it isn't.
    """
    if grammar.alphabet != alphabet:
        raise UserError(
            f"the grammar {grammar.name!r} is about the characters {grammar.alphabet.characters!r},"
            f" and the network's are {alphabet.characters!r}"
        )
    if type(grammar) is not GRAMMARS.get(grammar.name, type(grammar)):
        raise UserError(f"the name {grammar.name!r} is taken: give {type(grammar).__name__} another one")


def value_of(grammar: Grammar | None, text: str) -> str | None:
    """What a text comes to; None where there is no such thing, as without a grammar or after a division by zero."""
    try:
        return grammar.value(text) if grammar else None
    except ExpressionError:
        return None


_RELATIVE = Decimal("1e-9")
_ABSOLUTE = Decimal("0.01") + _RELATIVE


def is_value(written: str, exact: str) -> bool:
    """Whether a number is what a text comes to, as far as can be told of one that was computed in floating point.

    The competition takes what is at most 0.01 off; of results in the billions a float keeps no more digits.

    Args:
        written: by others, such as ``84528694423119.28``; what isn't a number must be the same.
        exact: as a grammar's `Grammar.value` writes it.
    """
    with localcontext(Emax=MAX_EMAX, Emin=MIN_EMIN):  # floats end at 1e308
        try:
            numbers = Decimal(written), Decimal(exact)
            if not all(number.is_finite() for number in numbers):
                return written == exact
            return abs(numbers[0] - numbers[1]) <= max(_RELATIVE * max(map(abs, numbers)), _ABSOLUTE)
        except DecimalException:
            return written == exact


def by_name(name: str, alphabet: Alphabet) -> Grammar:
    """A grammar of ours, such as a checkpoint names, of texts of an alphabet.

    Raises:
        UserError: it is none of ours.
    """
    from crnn_jax.regular import PREFIX, Regular

    if name.startswith(PREFIX):
        return Regular(name.removeprefix(PREFIX), alphabet)
    if name not in GRAMMARS:
        raise UserError(
            f"the grammar {name!r} isn't one of {', '.join(GRAMMARS)}: --grammar=package.module:Class takes your own,"
            " in Python load(..., grammar=...)"
        )
    return GRAMMARS[name]()


def imported(place: str) -> Grammar:
    """A grammar of your own from where Python finds its class; what isn't installed may lie in the current folder.

    Args:
        place: ``package.module:Class``; the class is made without arguments.

    Raises:
        UserError: the module can't be imported, or has no such class, or it is no grammar.
    """
    module, _, name = place.partition(":")
    if not (module and name):
        raise UserError(f"the grammar {place!r} must be written as package.module:Class")
    if str(Path.cwd()) not in sys.path:  # where only `python -m` looks
        sys.path.append(str(Path.cwd()))
    try:
        kind = getattr(importlib.import_module(module), name, None)
    except Exception as error:  # it runs whatever stands there
        raise UserError(f"the grammar {place!r}: {module} can't be imported ({in_one_line(error)})") from None
    if not (isinstance(kind, type) and issubclass(kind, Grammar)):
        what = "has no such class" if kind is None else "has another thing of that name"
        raise UserError(f"the grammar {place!r}: {module} {what}; it must be a class derived from crnn_jax.Grammar")
    try:
        grammar = kind()
    except Exception as error:
        raise UserError(f"the grammar {place!r} can't be made ({in_one_line(error)})") from None
    wanted = {"name": str, "alphabet": Alphabet, "start": Hashable}
    if wrong := [what for what, of in wanted.items() if not isinstance(getattr(grammar, what, []), of)]:
        kinds = "a name (str), an alphabet (crnn_jax.Alphabet) and a start (hashable)"
        raise UserError(f"the grammar {place!r} must have {kinds}: see its {' and '.join(wrong)}")
    return grammar


def _choice(draws: Chooser, items: str) -> str:
    return items[draws.below(len(items))]
