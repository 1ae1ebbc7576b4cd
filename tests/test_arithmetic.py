from fractions import Fraction

import pytest

from crnn_jax.arithmetic import ExpressionError, evaluate
from crnn_jax.drawing.random import Draws
from crnn_jax.grammar import Level1


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("(3-7)+5", 1),
        ("5-6+2", 1),
        ("(6+7)*2", 26),
        ("8-(2-9)", 15),
        ("2+3*4", 14),
        ("1-2-3", -4),
        ("8/3/2", Fraction(4, 3)),
        ("7*(1+(2+(3)))", 42),
        ("0*0", 0),
        ("100000", 100_000),
    ],
)
def test_evaluate(expression, value):
    assert evaluate(expression) == value


def test_evaluate_is_exact_with_variables():
    value = evaluate("(圳-(97510*45921))*流/35864", {"流": 42072, "圳": 86})
    assert value == Fraction((86 - 97510 * 45921) * 42072, 35864)
    assert evaluate("1/3+1/3+1/3") == 1


def test_evaluate_agrees_with_python():
    draws = Draws(3, "train", 0)
    for _ in range(300):
        text = Level1().sample(draws)
        assert Level1().value(text) == str(eval(text))


@pytest.mark.parametrize(
    ("expression", "what"),
    [
        ("", "the end, character 1, is no number"),
        ("1+", "the end, character 3, is no number"),
        ("(1+2", "the end, character 5, stands where ) is missing"),
        ("1+2)", "')', character 4, can't follow here"),
        ("-1", "'-', character 1, is no number"),
        ("1 + 2", "' ', character 2, can't follow here"),
        ("__import__('os')", "'_', character 1, is no number"),
        ("1**2", "'*', character 3, is no number"),
        ("٣+1", "'٣', character 1, is no number"),
        ("x+1", "'x', character 1, is no number"),
        ("1/(2-2)", "divides by zero at character 2"),
        ("(" * 200 + "1" + ")" * 200, "inside more than 100 brackets"),
        ("1" * 5000, "too long"),
    ],
)
def test_evaluate_says_what_is_wrong(expression, what):
    with pytest.raises(ExpressionError) as error:
        evaluate(expression)
    assert what in str(error.value)
    assert "\n" not in str(error.value)
