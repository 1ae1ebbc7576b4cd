"""Texts of level 2 by chance, in jax: `crnn_jax.grammar.Level2.sample`."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from crnn_jax.device_drawing import line
from crnn_jax.grammar import SEPARATOR, Level2

ALPHABET = Level2.alphabet
BLANK = ALPHABET.blank
OVER = ALPHABET.encode("/")[0]
CHARACTERS = ALPHABET.characters  # of the atlas; two of them are never drawn
DIGITS = len(str(Level2.LARGEST))  # of a number
ASSIGNMENT = 2 + DIGITS  # characters
PIECES = (Level2.OPERANDS - 1) * DIGITS + 1 + max(map(len, Level2.PATTERNS)) - Level2.OPERANDS  # of an expression


class Formula(NamedTuple):
    """A text of level 2, its lines as they are drawn.

    Attributes:
        ids: (L,) int32, padded with the blank.
        length: () int32, of the text.
        assignments: (2, 8) int32 ids, padded with the blank; the second may be empty.
        expression: (26,) int32 ids, a fraction as its bar alone, padded with the blank.
        fractions: (4, 7) int32 ids, from left to right the numerator and the digits of the denominator of each, padded with
            the blank.
    """

    ids: jax.Array
    length: jax.Array
    assignments: jax.Array
    expression: jax.Array
    fractions: jax.Array


def sample(key: jax.Array, more: float = 0.0) -> Formula:
    """A text by the chances of `crnn_jax.grammar.Level2.sample`.

    Args:
        key: of what chance decides.
        more: share of the other numbers of an expression that stand below a bar too, as far as the longest text has room.
    """
    chance = jax.random.uniform(key, (9,))
    numbers = jax.random.randint(jax.random.fold_in(key, 0), (2 + Level2.OPERANDS,), 0, Level2.LARGEST + 1)
    digits = jax.vmap(_digits)(numbers)
    second = chance[0] < Level2.SECOND_VARIABLE
    variables = [line.choice(chance[1 + i], jnp.asarray(ALPHABET.encode(poem))) for i, poem in enumerate(Level2.POEMS)]
    equals = jnp.asarray(ALPHABET.encode("="))
    rows = jnp.stack([jnp.concatenate([variables[i][None], equals, digits[i]]) for i in (0, 1)])
    assignments = jnp.where(jnp.stack([jnp.array(True), second])[:, None], rows, BLANK)

    operand = (Level2.OPERANDS * chance[3]).astype(jnp.int32)
    step = 1 + ((Level2.OPERANDS - 1) * chance[4]).astype(jnp.int32)
    other = jnp.where(second, (operand + step) % Level2.OPERANDS, -1)
    pattern = line.choice(chance[5], jnp.asarray(_patterns()))
    operators = line.choice(chance[6:], jnp.asarray(ALPHABET.encode(Level2.OPERATORS)))
    number = jnp.cumsum(pattern == _NUMBER) - 1  # of each operand
    separators = jnp.where(assignments[:, :1] == BLANK, BLANK, ALPHABET.encode(SEPARATOR)[0])
    lines = jnp.concatenate([assignments, separators], axis=1).reshape(-1)
    numerators, is_fraction = variables[0][None].repeat(Level2.OPERANDS), jnp.arange(Level2.OPERANDS) == operand

    def text(fractions: jax.Array) -> tuple[jax.Array, jax.Array]:
        """The expression's characters, (N, 8), where some of the operands, (4,) bool, are fractions; as texts and as drawn."""

        def symbol(kind: jax.Array, number: jax.Array, operator: jax.Array) -> tuple[jax.Array, jax.Array]:
            whole = jnp.concatenate([jnp.stack([numerators[number], jnp.array(OVER)]), digits[2 + number]])
            ids = jnp.where(kind == _NUMBER, _padded(digits[2 + number]), _padded(kind[None]))
            ids = jnp.where(kind == _OPERATOR, _padded(operators[operator][None]), ids)
            ids = jnp.where((kind == _NUMBER) & (number == other), _padded(variables[1][None]), ids)
            fraction = (kind == _NUMBER) & fractions[number]
            return jnp.where(fraction, whole, ids), jnp.where(fraction, _padded(jnp.array([OVER])), ids)

        return jax.vmap(symbol)(pattern, number, jnp.cumsum(pattern == _OPERATOR) - 1)

    if more:
        chance = jax.random.uniform(jax.random.fold_in(key, 1), (2, Level2.OPERANDS))
        wanted = ~is_fraction & (jnp.arange(Level2.OPERANDS) != other) & (chance[0] < more)
        length = jnp.sum(lines != BLANK) + jnp.sum(text(is_fraction)[0] != BLANK)
        others = line.choice(chance[1], jnp.asarray(ALPHABET.encode(Level2.POEMS[0])))
        numerators = jnp.where(is_fraction, numerators, others)
        is_fraction |= wanted & (jnp.cumsum(wanted) <= (Level2.MAX_LENGTH - length) // 2)
    texts, drawn = text(is_fraction)
    ids, length = _closed_up(jnp.concatenate([lines, texts.reshape(-1)]), Level2.MAX_LENGTH)
    fractions = jnp.where(is_fraction[:, None], jnp.concatenate([numerators[:, None], digits[2:]], axis=1), BLANK)
    fractions = fractions[jnp.argsort(~is_fraction, stable=True)]
    return Formula(ids, length, assignments, _closed_up(drawn.reshape(-1), PIECES)[0], fractions)


_NUMBER, _OPERATOR = -1, -2  # in a pattern; what is neither is the id of a bracket


@cache
def _patterns() -> np.ndarray:
    rows = np.full((len(Level2.PATTERNS), max(map(len, Level2.PATTERNS))), BLANK, np.int32)
    for row, pattern in zip(rows, Level2.PATTERNS, strict=True):
        row[: len(pattern)] = [{"n": _NUMBER, "o": _OPERATOR}.get(c, CHARACTERS.find(c)) for c in pattern]
    return rows


def _digits(number: jax.Array) -> jax.Array:
    """The ids of a number's digits, (6,), blanks after them."""
    powers = 10 ** jnp.arange(DIGITS - 1, -1, -1)
    needed = (number >= powers) | (powers == 1)
    ids = jnp.asarray(ALPHABET.encode(Level2.DIGITS))[number // powers % 10]
    return _closed_up(jnp.where(needed, ids, BLANK), DIGITS)[0]


def _padded(ids: jax.Array) -> jax.Array:
    return jnp.concatenate([ids, jnp.full(ASSIGNMENT - len(ids), BLANK, ids.dtype)])


def _closed_up(ids: jax.Array, size: int) -> tuple[jax.Array, jax.Array]:
    """Without the blanks in between, (size,) int32, and how many there then are."""
    there = ids != BLANK
    places = jnp.where(there, jnp.cumsum(there) - 1, size)
    return jnp.full(size, BLANK, jnp.int32).at[places].set(ids, mode="drop"), jnp.sum(there)
