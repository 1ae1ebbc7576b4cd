import pytest

from crnn_jax.alphabet import Alphabet
from crnn_jax.grammar import Level1, Level2
from crnn_jax.metrics import Score, wilson_interval
from crnn_jax.regular import Regular


def test_counts_by_hand():
    score = Score.of(["A0", "ABX", "", "AC"], ["AO", "AB", "Q", "ABC"])
    assert (score.examples, score.exact, score.exact_document) == (4, 0, 1)  # ABX passes once it is cut to AB
    assert (score.edits, score.characters) == (4, 8)
    assert score.cer == 0.5
    assert dict(score.confusions) == {("O", "0"): 1, ("", "X"): 1, ("Q", ""): 1, ("B", ""): 1}


def test_strict_match_wants_the_whole_text():
    score = Score.of(["AB", "ABA"], ["AB", "AB"])
    assert (score.exact_match, score.exact_match_document) == (0.5, 1.0)


def test_scores_add_up_to_the_score_of_all():
    readings, texts = ["A0", "B", "CC"], ["AO", "B", "C"]
    parts = Score.of(readings[:1], texts[:1]) + Score.of(readings[1:], texts[1:])
    assert parts == Score.of(readings, texts)


def test_empty_score_is_zero():
    assert Score().summary() == {"exact_match": 0.0, "exact_match_document": 0.0, "cer": 0.0, "examples": 0}


def test_readings_and_texts_must_pair_up():
    with pytest.raises(ValueError, match="argument 2 is longer"):
        Score.of(["A"], ["A", "B"])


def test_wilson_interval():
    # Newcombe, "Two-sided confidence intervals for the single proportion", 1998, table I, method 3.
    for successes, trials, low, high in ((81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611)):
        assert wilson_interval(successes, trials) == pytest.approx((low, high), abs=1e-4)


def test_values_by_hand():
    readings = ["1+2+3", "3+2+1", "1+2", "1-2-3", "2*2*2"]
    texts = ["1+2+3", "1+2+3", "1+2+3", "1+2+3", "2*2*2"]
    score = Score.of(readings, texts, Level1())
    assert (score.exact, score.computable, score.exact_value) == (2, 4, 3)
    assert score.grammar_summary(Level1()) == {"exact_value": 0.6, "computable": 0.8}
    assert Score.of(readings[:2], texts[:2], Level1()) + Score.of(readings[2:], texts[2:], Level1()) == score
    assert score.grammar_summary(None) == {}


def test_a_division_by_zero_is_not_computable():
    text = "流=42072;(1+2)+3*流/0"
    score = Score.of([text, text[:-1] + "7"], [text, text], Level2())
    assert (score.exact, score.computable, score.exact_value) == (1, 1, 1)


def test_texts_that_come_to_nothing_have_no_value_in_common():
    grammar = Regular(r"[A-Z]{2} \d{2}", Alphabet("ABCD 129"))
    score = Score.of(["AB 12", "AB 99", "CD 9"], ["AB 99", "AB 99", "CD 99"], grammar)
    assert (score.exact, score.exact_value) == (1, 1)
    assert score.grammar_summary(grammar) == {"computable": 2 / 3}
