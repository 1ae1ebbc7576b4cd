import itertools
import re
import sys
from collections import Counter
from pathlib import Path

import pytest
from sources import Words

from crnn_jax.alphabet import Alphabet
from crnn_jax.arithmetic import ExpressionError
from crnn_jax.drawing.random import Draws
from crnn_jax.errors import UserError
from crnn_jax.grammar import Level1, Level2, by_name, check_grammar, columns, imported

LEVEL2 = "流=42072;圳=86;(圳-(97510*45921))*流/35864"


def sentences(grammar):
    """Every text of a finite grammar."""
    open_ends = [("", grammar.start)]
    while open_ends:
        text, state = open_ends.pop()
        if grammar.accepts(state):
            yield text
        for c in grammar.alphabet.characters:
            after = grammar.advance(state, c)
            if after is not None:
                open_ends.append((text + c, after))


def test_words_are_all_the_words():
    assert sorted(sentences(Words())) == ["apple", "cherry", "plum"]


def test_level1_has_three_patterns_and_no_other_text():
    found = list(sentences(Level1()))
    operations = ["".join(c) for c in itertools.product("0123456789", "+-*", "0123456789", "+-*", "0123456789")]
    expected = {*operations, *(f"({s[:3]}){s[3:]}" for s in operations), *(f"{s[:2]}({s[2:]})" for s in operations)}
    assert len(found) == 27_000
    assert set(found) == expected


@pytest.mark.parametrize(
    "text", ["", "1", "1+1", "1+1+", "(1+1)", "(1+1+1)", "12+1+1", "1/1+1", "1+1+1 ", "((1+1)+1", "1+(1+1", "dodod", "1o2d3"]
)
def test_level1_rejects(text):
    assert not Level1().contains(text)


@pytest.mark.parametrize("grammar", [Level1(), Words()])
def test_a_completion_ends_a_text_and_shrinks(grammar):
    draws = Draws(0, "train", 1)
    for _ in range(50):
        text, state = grammar.sample(draws), grammar.start
        for c in text:
            completion = grammar.completion(state)
            first, rest = completion[0], completion[1:]
            assert len(grammar.completion(grammar.advance(state, first))) <= len(rest)
            state = grammar.advance(state, c)
        assert grammar.accepts(state)


def test_columns_count_a_blank_between_two_of_the_same():
    assert [columns(text) for text in ("", "a", "ab", "aa", "aaba")] == [0, 1, 2, 3, 5]
    assert columns("ab", after="ca") == 3


def test_a_name_of_ours_is_taken_and_alphabets_must_agree():
    class Mine(Level1):
        pass

    class Reversed(Words):
        alphabet = Alphabet(Words.alphabet.characters[::-1])

    check_grammar(Level1(), Level1.alphabet)
    check_grammar(Words(), Words.alphabet)
    with pytest.raises(UserError, match="'level1' is taken"):
        check_grammar(Mine(), Level1.alphabet)
    with pytest.raises(UserError, match="about the characters"):
        check_grammar(Reversed(), Words.alphabet)


@pytest.mark.parametrize("index", range(200))
def test_level2_accepts_its_samples_and_can_always_end(index):
    grammar = Level2()
    text, state = grammar.sample(Draws(0, "train", index)), grammar.start
    assert len(text) <= grammar.MAX_LENGTH
    for i, c in enumerate(text):
        completion = grammar.completion(state)
        if completion:
            assert grammar.contains(text[:i] + completion)
            shorter = grammar.completion(grammar.advance(state, completion[0]))
            assert columns(completion[0] + shorter) <= columns(completion)
        state = grammar.advance(state, c)
    assert grammar.accepts(state)


@pytest.mark.parametrize("text", ["", "1=5;1+1", "x=1;1+1", LEVEL2 + "+1"])
def test_level2_computes_nothing_else(text):
    with pytest.raises(ExpressionError, match="not a text of level 2"):
        Level2().value(text)


def test_whatever_level2_s_steps_allow_can_be_computed():
    grammar, draws = Level2(), Draws(1, "train", 0)
    for _ in range(100):
        text, state = "", grammar.start
        while True:
            steps = {c: grammar.advance(state, c) for c in grammar.alphabet.characters}
            steps = {c: after for c, after in steps.items() if after is not None}
            if grammar.accepts(state) and (not steps or draws.uniform() < 0.3):
                break
            c = draws.choice(list(steps))  # there is one, or the text may end
            text, state = text + c, steps[c]
        if "/0" not in text:
            assert "." in grammar.value(text)


def test_level2_s_values():
    grammar = Level2()
    assert grammar.contains(LEVEL2)
    assert grammar.value(LEVEL2) == "-5252849004.15"
    assert grammar.value("到=41456;圳=4593;圳*28783*到/27872*64227").startswith("12629012767438.6")
    assert grammar.value("君=1;1-1-君/1000+0") == "0.00"
    with pytest.raises(ExpressionError, match="divides by zero"):
        grammar.value("君=1;1-1-君/0+0")


@pytest.mark.parametrize(
    "text",
    [
        LEVEL2.replace("流=", "圳=", 1),  # a second poem's character first
        LEVEL2.replace("86;(圳", "86;(君"),  # another variable than the assigned
        LEVEL2.replace("86;(圳", "86;(17"),  # the second variable is not used
        LEVEL2.replace("*流/35864", "*35864"),  # no fraction
        LEVEL2.replace("流/35864", "圳/35864"),  # the wrong numerator
        LEVEL2.replace("42072", "042072"),
        LEVEL2.replace("42072", "100001"),
        LEVEL2.replace("))", ")"),
        LEVEL2.replace("-(97510*45921)", "-97510"),  # three operands
        LEVEL2 + "+1",
        LEVEL2[:-5],
        LEVEL2.replace(";圳=86", ""),
    ],
)
def test_level2_rejects(text):
    assert not Level2().contains(text)


def test_level2_takes_numbers_to_100000():
    for number in ("0", "10", "99999", "100000"):
        assert Level2().contains(LEVEL2.replace("42072", number))


def test_level2_samples_as_the_document_counted():
    texts = [Level2().sample(Draws(2, "train", i)) for i in range(6000)]
    counts = Counter("".join(texts))
    assert counts["="] / 6000 == pytest.approx(1.658, abs=0.02)
    assert counts["("] / 6000 == pytest.approx(15 / 11, abs=0.04)
    assert counts["/"] == 6000
    assert counts["不"] / counts["君"] == pytest.approx(2, rel=0.25)
    assert all(counts[o] / 6000 == pytest.approx(1, abs=0.05) for o in "+-*")
    first_digits = Counter(text[2] for text in texts)
    assert first_digits["0"] < 5
    assert all(first_digits[d] / 6000 == pytest.approx(1 / 9, abs=0.015) for d in "123456789")


def test_level1_samples_patterns_digits_and_operators_equally_often():
    draws = Draws(0, "train", 0)
    texts = [Level1().sample(draws) for _ in range(30_000)]
    assert all(map(Level1().contains, texts[:100]))
    patterns = Counter("".join("d" if c.isdigit() else "o" if c in "+-*" else c for c in text) for text in texts)
    assert set(patterns) == set(Level1.PATTERNS)
    assert all(abs(count / 30_000 - 1 / 3) < 0.012 for count in patterns.values())
    characters = Counter("".join(texts))
    assert all(abs(characters[d] / 90_000 - 1 / 10) < 0.005 for d in "0123456789")
    assert all(abs(characters[o] / 60_000 - 1 / 3) < 0.01 for o in "+-*")


def test_grammars_have_names():
    assert isinstance(by_name("level1", Level1.alphabet), Level1)
    with pytest.raises(UserError, match="'plates' isn't one of level1, level2"):
        by_name("plates", Level1.alphabet)


@pytest.fixture
def fruit(tmp_path, monkeypatch):
    """The example of the page on grammars, in the current folder."""
    page = (Path(__file__).parent.parent / "docs" / "grammar.md").read_text(encoding="utf-8")
    (block,) = (block for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "(Grammar)" in block)
    (tmp_path / "fruit_of_the_page.py").write_text(
        block
        + "class Unfinished(Grammar):\n    pass\n"
        + "class Nameless(Words):\n    name, alphabet = None, 'abc'\n"
        + "class Asks(Words):\n    def __init__(self, what):\n        pass\n"
    )
    (tmp_path / "broken_module.py").write_text("1 / 0")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])


def test_a_grammar_is_imported_by_its_place(fruit):
    grammar = imported("fruit_of_the_page:Words")
    assert sorted(sentences(grammar)) == ["apple", "cherry", "plum"]
    assert isinstance(imported("sources:Words"), Words)


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("fruit_of_the_page", "must be written as package.module:Class"),
        (":Words", "must be written as package.module:Class"),
        ("no.such:Words", "no.such can't be imported (ModuleNotFoundError: No module named 'no')"),
        ("broken_module:Words", "can't be imported (ZeroDivisionError: division by zero)"),
        ("fruit_of_the_page:Wrods", "has no such class; it must be a class derived from crnn_jax.Grammar"),
        ("fruit_of_the_page:Alphabet", "has another thing of that name; it must be a class derived from crnn_jax.Grammar"),
        ("fruit_of_the_page:columns", "has another thing of that name"),
        ("fruit_of_the_page:Unfinished", "can't be made (TypeError: Can't instantiate abstract class Unfinished"),
        ("fruit_of_the_page:Asks", "can't be made (TypeError"),
        ("fruit_of_the_page:Nameless", "see its name and alphabet"),
    ],
)
def test_what_is_no_grammar_of_ones_own_is_named_in_one_line(fruit, place, message):
    with pytest.raises(UserError) as error:
        imported(place)
    assert message in str(error.value)
    assert repr(place) in str(error.value)
    assert "\n" not in str(error.value)
