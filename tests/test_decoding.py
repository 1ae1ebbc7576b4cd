import jax
import jax.numpy as jnp
import numpy as np
import pytest

from crnn_jax import ctc
from crnn_jax.alphabet import Alphabet
from crnn_jax.decoding import Decoder
from crnn_jax.grammar import Grammar, Level1

LEVEL1 = Level1()


def columns_of(text, *, sharpness=8.0):
    """Logits whose best path is a text with blanks between; ``_`` stands for a blank."""
    ids = [LEVEL1.alphabet.blank if c == "_" else LEVEL1.alphabet.characters.index(c) for c in text]
    return sharpness * jax.nn.one_hot(jnp.array([ids]), LEVEL1.alphabet.size)


def decode(logits, mode="auto", grammar=LEVEL1):
    lengths = np.full(len(logits), logits.shape[1])
    alphabet = grammar.alphabet if grammar else LEVEL1.alphabet
    return Decoder(alphabet, grammar, mode)(np.asarray(logits), lengths, jax.tree.map(np.asarray, ctc.greedy(logits)))


def test_a_sentence_is_read_greedily_with_its_value():
    (read,) = decode(columns_of("_(3-7)+5_"))
    assert (read.text, read.value, read.valid) == ("(3-7)+5", "1", True)
    assert [(s.start, s.end) for s in read.spans] == [(i, i + 1) for i in range(1, 8)]
    assert read.confidence > 0.8


def test_auto_searches_only_where_the_greedy_reading_is_no_sentence(monkeypatch):
    searched = []
    monkeypatch.setattr(ctc, "beam", lambda logits, **options: searched.append(logits.shape) or [[]])
    decode(jnp.concatenate([columns_of("_1+2*3__"), columns_of("_1+2*___")]))
    assert searched == [(1, 8, 17)]


@pytest.mark.parametrize("mode", ["auto", "once", "beam"])
def test_a_reading_that_breaks_the_grammar_is_mended(mode):
    logits = columns_of("_(3-7+5__").at[0, 5, LEVEL1.alphabet.characters.index(")")].set(6.0)
    (read,) = decode(logits, mode)
    assert LEVEL1.contains(read.text)
    assert read.value == str(LEVEL1.value(read.text))
    assert len(read.spans) == len(read.text)
    (greedy,) = decode(logits, "greedy")
    assert (greedy.text, greedy.valid, greedy.value) == ("(3-7+5", False, None)


def test_confidence_of_a_searched_text_is_its_probability():
    logits = jax.random.normal(jax.random.key(0), (1, 9, LEVEL1.alphabet.size))
    (read,) = decode(logits, "beam")
    ids = jnp.array([LEVEL1.alphabet.encode(read.text)])
    losses, _ = ctc.loss(logits, jnp.array([9]), ids, jnp.array([ids.shape[1]]))
    np.testing.assert_allclose(read.confidence, np.exp(-losses[0]), rtol=1e-4)


def test_where_nothing_is_written_the_sentence_is_not_valid():
    (read,) = decode(columns_of("_________"))
    assert LEVEL1.contains(read.text)
    assert read.confidence < 1e-6
    assert not read.valid
    assert read.value is None


def test_columns_past_the_length_do_not_count():
    logits = jnp.concatenate([columns_of("1+2*3_"), columns_of("999")], axis=1)
    decoder = Decoder(LEVEL1.alphabet, LEVEL1, "beam")
    (read,) = decoder(np.asarray(logits), np.array([6]), jax.tree.map(np.asarray, ctc.greedy(logits, jnp.array([6]))))
    assert read.text == "1+2*3"


def test_without_a_grammar_any_text_is_valid_and_auto_is_greedy():
    read = decode(jnp.concatenate([columns_of("_12_2"), columns_of("_____")]), grammar=None)
    assert [(r.text, r.valid, r.value) for r in read] == [("122", True, None), ("", False, None)]


class Fractions(Grammar):
    """A digit over a digit."""

    name, alphabet, start = "fractions", Alphabet("0123456789/"), ""

    def advance(self, state, character):
        return state + character if (character == "/") == (len(state) == 1) and len(state) < 3 else None

    def completion(self, state):
        return "0/0"[len(state) :]

    def sample(self, draws):
        return "1/2"

    def value(self, text):
        from crnn_jax.arithmetic import evaluate

        return str(evaluate(text))


def test_a_division_by_zero_has_no_value():
    grammar = Fractions()
    logits = 8.0 * jax.nn.one_hot(jnp.array([[1, 10, 0, 11]]), 12)
    (read,) = decode(logits, grammar=grammar)
    assert (read.text, read.valid, read.value) == ("1/0", True, None)
