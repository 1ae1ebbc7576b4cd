import pytest

from crnn_jax import Alphabet, UserError


def test_ids_are_places_and_the_blank_is_last():
    alphabet = Alphabet("ab7")
    assert alphabet.encode("7ab").tolist() == [2, 0, 1]
    assert (alphabet.blank, alphabet.size) == (3, 4)


def test_decode_leaves_blanks_out():
    assert Alphabet("ab").decode([0, 2, 1, 2]) == "ab"


def test_of_collects_sorted_characters():
    assert Alphabet.of(["ba", "c", ""]).characters == "abc"


def test_unknown_character_is_named():
    with pytest.raises(UserError, match=r"'x' in the text 'axb'"):
        Alphabet("ab").encode("axb")


@pytest.mark.parametrize("characters", ["", "aba", ["a", "b"]])
def test_bad_alphabets(characters):
    with pytest.raises(UserError):
        Alphabet(characters)
