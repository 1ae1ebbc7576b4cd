import json
from pathlib import Path

import pytest

from crnn_jax import UserError
from crnn_jax.cli.reading import escaped
from crnn_jax.grammar import is_value
from crnn_jax.vote import Ballot, vote, vote_files


def test_the_majority_wins():
    ballots = [Ballot("1+2", "3", 0.2), Ballot("1+7", "8", 0.99), Ballot("1+2", "3", 0.4)]
    assert vote(ballots) == Ballot("1+2", "3", 0.4)


def test_what_cannot_be_computed_does_not_vote():
    ballots = [Ballot("1+", None, 0.9), Ballot("1+", None, 0.9), Ballot("1+7", "8", 0.1)]
    assert vote(ballots).text == "1+7"
    assert vote(ballots, computable=False).text == "1+"
    assert vote(ballots[:2]) == Ballot("")


def test_ties_go_to_the_higher_confidence_and_then_to_the_first():
    assert vote([Ballot("a", "1", 0.3), Ballot("b", "2", 0.6)]).text == "b"
    assert vote([Ballot("a", "1"), Ballot("b", "2")]).text == "a"


def test_files_of_all_formats_vote_together(tmp_path):
    (tmp_path / "a.txt").write_text("1+2 3\n4*5 20\n", encoding="utf-8")
    (tmp_path / "b.tsv").write_text("0.png\t1+7\t8\t0.900000\n1.png\t4+5\t9\t0.800000\n", encoding="utf-8")
    rows = [{"text": "1+7", "value": "8", "confidence": 0.5, "path": "0.png"}]
    rows.append({"text": "4", "value": None, "confidence": 0.9, "path": "1.png"})
    (tmp_path / "c.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    chosen = vote_files([tmp_path / name for name in ("a.txt", "b.tsv", "c.jsonl")])
    assert [(ballot.text, ballot.value) for ballot in chosen] == [("1+7", "8"), ("4+5", "9")]


def test_readings_of_a_task_without_values_all_vote(tmp_path):
    for name, text in (("a", "AB"), ("b", "AC"), ("c", "AC")):
        (tmp_path / name).write_text(f"{text}\n", encoding="utf-8")
    assert vote_files([tmp_path / name for name in "abc"])[0].text == "AC"


@pytest.mark.parametrize("texts", [("AB 12", "AB 1Z", "AB 1Z"), ("B 1234", "K 77", "K 77"), ("12 34", "12 84", "12 84")])
def test_a_number_that_ends_a_text_is_no_value_of_it(tmp_path, texts):
    for name, text in zip("abc", texts, strict=True):
        (tmp_path / name).write_text(f"{text}\nXYZ\n", encoding="utf-8")
    assert [ballot.text for ballot in vote_files([tmp_path / name for name in "abc"])] == [texts[1], "XYZ"]


def test_formulas_of_level_2_have_values(tmp_path):
    lines = {
        "a": "流=7;流/3 2.33",
        "b": "流=7;流/8 0.88",
        "c": "流=7;流/8 0.88",
        "d": "流=7;流/",
        "e": "流=7;流/",
        "f": "流=7;流/",
    }
    for name, line in lines.items():
        (tmp_path / name).write_text(f"{line}\n", encoding="utf-8")
    (ballot,) = vote_files([tmp_path / name for name in lines])
    assert (ballot.text, ballot.value) == ("流=7;流/8", "0.88")


def test_values_that_were_computed_in_floating_point_are_values(tmp_path):
    exact = 93780 * 94321 * 95511 * 93785
    written = f"{float(exact) * (1 + 1e-12):.2f}"
    for name in "abc":
        (tmp_path / name).write_text(f"流=93785;93780*94321*95511*流/1 {written}\n流=7;流/8 0.87\n", encoding="utf-8")
    ballots = vote_files([tmp_path / name for name in "abc"])
    assert [ballot.value for ballot in ballots] == [written, "0.87"]


def test_values_beyond_those_of_floats_are_values(tmp_path):
    digits = "9" * 310
    (tmp_path / "a").write_text(f"{digits} {digits}\n", encoding="utf-8")
    (ballot,) = vote_files([tmp_path / "a"])
    assert (ballot.text, ballot.value) == (digits, digits)
    assert not is_value(digits, "9" * 311)
    assert is_value(digits, "1" + "0" * 310)  # a billionth off
    assert not any(is_value(word, "1") for word in ("nan", "inf", "-inf", "Infinity"))
    (tmp_path / "b").write_text(f"x={'9' * 4200};x{'*x' * 245} 1\n", encoding="utf-8")  # beyond those of decimals
    (ballot,) = vote_files([tmp_path / "b"])
    assert ballot.value is None


def test_texts_with_spaces_are_whole(tmp_path):
    for name, text in (("a", "hello world"), ("b", "hello there"), ("c", "hello there")):
        (tmp_path / name).write_text(f"{text}\nyes\n", encoding="utf-8")
    assert [ballot.text for ballot in vote_files([tmp_path / name for name in "abc"])] == ["hello there", "yes"]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("1+2 3\n", "has 1 lines"),
        ("x.png\t1\t1\t0.5\n1.png\t1\t1\t0.5\n", "is about"),
        ("0.png\t1\t1\n1.png\t1\t1\t0.5\n", "line 1: must have path"),
        ("{}\n{}\n", "line 1: is JSON, but no reading"),
        ('{"text": ["1"], "value": null, "confidence": 1, "path": "a"}\n1\n', "line 1: is JSON, but no reading"),
        ('{ "text": "1"}\n1\n', "line 1: is JSON, but no reading"),
        ('{"text": "1", "value": null, "confidence": 1' + "0" * 400 + ', "path": "a"}\n1\n', "line 1: is JSON, but no reading"),
        ("0.png\t1\t1\tnan\n1.png\t1\t1\t0.5\n", "line 1: must have path"),
    ],
)
def test_files_that_do_not_fit_together_are_refused(tmp_path, lines, message):
    (tmp_path / "a").write_text("0.png\t1+2\t3\t0.5\n1.png\t1\t1\t0.5\n", encoding="utf-8")
    (tmp_path / "b").write_text(lines, encoding="utf-8")
    with pytest.raises(UserError, match=message):
        vote_files([tmp_path / "a", tmp_path / "b"])


def test_a_picture_that_was_not_read_keeps_its_line_and_does_not_vote(tmp_path):
    for name, lines in {"a": "\n1+2 3\n", "b": "4+1 5\n\n", "c": "\n\n"}.items():
        (tmp_path / name).write_text(lines, encoding="utf-8")
    assert [ballot.text for ballot in vote_files([tmp_path / name for name in "abc"])] == ["4+1", "1+2"]
    (tmp_path / "a").write_text("\n", encoding="utf-8")
    (tmp_path / "b").write_text("1+2 3\n", encoding="utf-8")
    assert [ballot.text for ballot in vote_files([tmp_path / "a", tmp_path / "b"])] == ["1+2"]


def test_readings_may_begin_with_a_brace_and_hold_any_space(tmp_path):
    for name in "ab":
        (tmp_path / name).write_text("{x}\na\u2028b\n" + '{"a":' + "[" * 100_000, encoding="utf-8")
    assert [ballot.text for ballot in vote_files([tmp_path / "a", tmp_path / "b"])][:2] == ["{x}", "a\u2028b"]


def test_paths_are_as_they_were_before_they_were_written(tmp_path):
    path = "a\\b\tc\\n.png"
    row = {"text": "1", "value": None, "confidence": 0.5, "path": path}
    (tmp_path / "a").write_text(json.dumps(row) + "\n", encoding="utf-8")
    (tmp_path / "b").write_text(f"\ufeff{escaped(Path(path))}\t1\t-\t0.5\n", encoding="utf-8")
    assert vote_files([tmp_path / "a", tmp_path / "b"])[0].path == path


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"nothing\.txt: can't be read"):
        vote_files([tmp_path / "nothing.txt"])
