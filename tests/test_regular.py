"""Regular expressions as grammars."""

import pickle
import re
import threading
from itertools import product

import interegular.fsm
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crnn_jax import Alphabet, Regular, UserError, ctc
from crnn_jax.drawing.random import Draws
from crnn_jax.grammar import by_name, columns
from crnn_jax.regular import _bounded

DIGITS = Alphabet("0123456789-")
PATTERNS = [r"\d{4}-\d{2}-\d{2}", r"(\d\d|-)+", r"1*", r"(0|1|22)(3-)?4+", r"[0-4]{2,}-?\d"]


@pytest.mark.parametrize("pattern", PATTERNS)
def test_samples_match(pattern):
    grammar = Regular(pattern, DIGITS)
    samples = [grammar.sample(Draws(0, "train", i)) for i in range(50)]
    assert all(re.fullmatch(pattern, text) and grammar.contains(text) for text in samples)
    assert len(set(samples)) > 3


@given(st.sampled_from(PATTERNS), st.text(st.sampled_from("0123456789-"), max_size=10))
def test_it_contains_what_python_matches(pattern, text):
    grammar = Regular(pattern, DIGITS)
    assert grammar.contains(text) == bool(re.fullmatch(pattern, text))
    state = grammar.start
    for i, character in enumerate(text):
        state = grammar.advance(state, character)
        if state is None:
            return
        whole = text[: i + 1] + grammar.completion(state)
        assert re.fullmatch(pattern, whole)
        assert grammar.accepts(state) == bool(re.fullmatch(pattern, text[: i + 1]))


def test_completions_take_the_fewest_columns():
    grammar = Regular("1(1|23)", DIGITS)
    state = grammar.advance(grammar.start, "1")
    assert columns(grammar.completion(state), after="1") == 2


def test_a_search_obeys_it():
    import numpy as np

    grammar = Regular(r"\d{2}-\d", DIGITS)
    logits = np.random.default_rng(0).normal(size=(9, DIGITS.size)).astype(np.float32)
    assert re.fullmatch(grammar.pattern, DIGITS.decode(ctc.beam(logits[None], grammar=grammar)[0][0].ids))


@pytest.mark.parametrize(("pattern", "text"), [(r"^\d+$", "12"), (r"1\$", "1$"), (r"1\\$", "1\\"), ("^1", "1"), ("1$", "1")])
def test_anchors_around_a_pattern_change_nothing(pattern, text):
    grammar = Regular(pattern, Alphabet("012$\\"))
    assert grammar.contains(text)
    assert re.fullmatch(pattern, text)
    assert not grammar.contains(text + "0$")


def test_a_checkpoint_s_name_says_all():
    grammar = Regular(r"\d+", DIGITS)
    again = by_name(grammar.name, DIGITS)
    assert again.contains("12")
    assert pickle.loads(pickle.dumps(grammar)).contains("12")


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("a{2,1}", "can't be used"),
        ("(" * 800 + "1" + ")" * 800, "too deep"),
        ("(a", "can't be used: Can not match at index 2$"),
        ("x", "matches no text"),
        (r"(.)\1", "can't be used: Group ref"),
        ("1$|2", "may only be its first character"),
        (r"\d*1\d{18}", "more than 5000 states"),
        (r"(?!00)\d+", "looks ahead"),
        (r"(?=1)\d", "looks ahead"),
        ("[]1]", "must be written as"),
        ("[^]1]", "must be written as"),
        ("1++2", "possessive"),
        ("1{2}+", "possessive"),
    ],
)
def test_what_can_not_be_used(pattern, message):
    with pytest.raises(UserError, match=message):
        Regular(pattern, DIGITS)


def test_large_alphabets():
    """What a pattern doesn't tell apart is not tried one by one."""
    grammar = Regular(".{6}", Alphabet("".join(map(chr, range(0x4E00, 0x4E00 + 3000)))))
    state = grammar.advance(grammar.start, "一")
    assert columns(grammar.completion(state), after="一") == 5
    assert grammar.contains("一丁七一丁七")


SCRIPTS = Alphabet("aé文٣1_ ]-.[\\")
KINDS = [r"\w+", r"\W", r"[^\w]", r"[\d文]+", r"\D\s?", r"[\]a]", r"[a\-é]+", r"[\W]", r"[^\W]+", r"\.\[?", r"\\\S?"]


@pytest.mark.parametrize("pattern", KINDS)
def test_kinds_of_characters_are_python_s_in_any_script(pattern):
    grammar = Regular(pattern, SCRIPTS)
    texts = ["".join(text) for length in range(3) for text in product(SCRIPTS.characters, repeat=length)]
    assert [text for text in texts if grammar.contains(text)] == [text for text in texts if re.fullmatch(pattern, text)]


def test_threads_that_make_grammars_leave_interegular_as_it_was():
    before = interegular.fsm.crawl
    other = threading.Thread(target=Regular, args=(r"\d", DIGITS))
    with _bounded():
        other.start()
        other.join(0.3)
        assert other.is_alive()  # waits for this one
    other.join()
    assert interegular.fsm.crawl is before
