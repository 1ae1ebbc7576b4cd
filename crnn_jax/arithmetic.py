"""Arithmetic in texts, computed exactly and without Python's `eval`."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction

from crnn_jax.errors import UserError


class ExpressionError(UserError):
    """A text that isn't arithmetic, or divides by zero."""


def decimal(value: Fraction) -> str:
    """A number written out, to 28 digits."""
    return str(Decimal(value.numerator) / value.denominator)


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
