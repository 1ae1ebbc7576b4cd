import json
import os
import re
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest
from flax import traverse_util
from PIL import Image
from sources import Bars

import crnn_jax
from crnn_jax.cli import main
from crnn_jax.cli.reading import FileReading, say_squeezed
from crnn_jax.data.examples import Fitted
from crnn_jax.data.images import read_image
from crnn_jax.grammar import Level1
from crnn_jax.recognizer import NOTHING_READ
from crnn_jax.tasks import by_name

COUNT = 5


@pytest.fixture
def folder(tmp_path):
    """Bars with their texts, as ``labels.txt``."""
    folder = tmp_path / "my pictures"
    folder.mkdir()
    examples = [Bars("test", 0)[i] for i in range(COUNT)]
    for i, example in enumerate(examples):
        Image.fromarray(example.image).save(folder / f"{i}.png")
    (folder / "labels.txt").write_text("".join(f"{example.text}\n" for example in examples))
    return folder


def run(capsys, *arguments):
    status = main([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    return status, out.splitlines(), err


def truth(folder):
    return (folder / "labels.txt").read_text().split()


def test_read_gives_one_line_a_picture(capsys, trained, folder):
    status, lines, _ = run(capsys, "read", folder, "--model", trained)
    assert status == 0
    assert len(lines) == COUNT
    assert sum(line == text for line, text in zip(lines, truth(folder), strict=True)) >= COUNT - 1


@pytest.mark.parametrize("command", ["read", "evaluate"])
def test_dtype_is_the_network_s(capsys, trained, folder, monkeypatch, command):
    asked = []
    monkeypatch.setattr(
        "crnn_jax.ensemble.load", lambda name, dtype, **others: asked.append(dtype) or crnn_jax.load(name, dtype=dtype)
    )
    assert run(capsys, command, folder, "--model", trained, "--dtype", "bfloat16")[0] == 0
    assert run(capsys, command, folder, "--model", trained)[0] == 0
    assert asked == ["bfloat16", "float32"]


def test_read_json_has_the_fixed_fields(capsys, trained, folder):
    _, lines, _ = run(capsys, "read", folder / "1.png", folder / "0.png", "--model", trained, "--format", "json")
    rows = [json.loads(line) for line in lines]
    assert [set(row) for row in rows] == [{"path", "text", "confidence", "value", "valid", "characters"}] * 2
    assert [row["path"] for row in rows] == [str(folder / "1.png"), str(folder / "0.png")]
    assert "".join(c["character"] for c in rows[0]["characters"]) == rows[0]["text"]
    assert set(rows[0]["characters"][0]) == {"character", "confidence", "x0", "x1", "box"}


def test_read_alternatives(capsys, trained, folder):
    _, lines, _ = run(capsys, "read", folder / "0.png", "--model", trained, "--format", "json", "--alternatives", 2)
    (row,) = map(json.loads, lines)
    assert [set(other) for other in row["alternatives"]] == [{"text", "confidence", "value"}] * 2


def test_read_tsv(capsys, trained, folder):
    _, texts, _ = run(capsys, "read", folder, "--model", trained)
    _, lines, _ = run(capsys, "read", folder / "*.png", "--model", trained, "--format", "tsv")
    path, text, value, confidence = lines[0].split("\t")
    assert (path, text, value) == (str(folder / "0.png"), texts[0], "-")
    assert 0 < float(confidence) <= 1


def test_timing_goes_to_stderr(capsys, trained, folder):
    _, lines, err = run(capsys, "read", folder, "--model", trained, "--timing")
    assert len(lines) == COUNT
    assert re.fullmatch(rf"{COUNT} pictures in [\d.]+ s: \d+ images/s", err.strip())


def test_read_to_a_file(capsys, trained, folder, tmp_path):
    status, lines, _ = run(capsys, "read", folder, "--model", trained, "--out", tmp_path / "result.txt")
    assert (status, lines) == (0, [])
    assert len((tmp_path / "result.txt").read_text().splitlines()) == COUNT


def test_names_that_are_no_text_are_written(capsys, trained, folder, tmp_path):
    name = os.fsdecode(b"caf\xe9.png")
    (folder / "0.png").rename(folder / name)
    out = tmp_path / "result.tsv"
    assert run(capsys, "read", folder / name, "--model", trained, "--format", "tsv", "--out", out)[0] == 0
    assert "caf\\udce9.png" in out.read_text()
    assert run(capsys, "check", folder, "--names")[1]


def test_broken_pictures_are_named_and_the_rest_is_read_in_order(capsys, trained, folder):
    _, expected, _ = run(capsys, "read", folder, "--model", trained)
    (folder / "1.png").write_bytes(b"")
    (folder / "4.png").write_bytes((folder / "4.png").read_bytes()[:60])
    paths = [folder / f"{i}.png" for i in range(COUNT)]
    status, lines, err = run(capsys, "read", *paths, folder / "none.png", "--model", trained)
    assert status == 1
    assert lines == [expected[0], "", expected[2], expected[3], "", ""]
    assert [name in line for name, line in zip(("1.png", "4.png", "none.png"), err.splitlines(), strict=True)] == [True] * 3
    files = []
    for form in ("text", "tsv", "json"):
        run(capsys, "read", *paths, "--model", trained, "--format", form, "--out", folder / f"lines.{form}")
        files.append(folder / f"lines.{form}")
    assert run(capsys, "vote", *files)[:2] == (0, lines[:COUNT])  # all have a line for each picture


def test_pictures_of_other_kinds_are_read(capsys, trained, folder):
    grey = Image.fromarray(read_image(folder / "0.png")[..., 0])
    grey.save(folder / "grey.png")
    grey.convert("RGBA").save(folder / "alpha.png")
    Image.fromarray(np.asarray(grey).astype(np.uint16) * 257).save(folder / "deep.png")
    grey.resize((200, 40)).save(folder / "large.png")
    names = ("0", "grey", "alpha", "deep", "large")
    _, lines, _ = run(capsys, "read", *(folder / f"{name}.png" for name in names), "--model", trained)
    assert lines[0]
    assert lines == [lines[0]] * len(names)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["read", "nowhere/*.png", "--model", "x"], "matches no file"),
        (["read", "a.png", "--model", "nowhere"], "no such directory"),
        (["read", "a.png", "--alternatives", "2"], "ask for --format json"),
        (["check", "."], "--names"),
        (["evaluate", "."], "--names"),
        (["serve", "--host", "nowhere.invalid"], "can't listen"),
        (["describe", "nowhere"], "no such directory"),
        (["describe", "captcha,captcha-light"], "takes one network"),
        (["evaluate", "nowhere", "--model", "x"], "no such folder"),
        (["generate", "captcha", "--count", "1", "--out", "new", "--variant", "faint"], "captcha has no variants"),
        (["generate", "level1", "--count", "1", "--out", "new", "--variant", "loud"], "no variant 'loud' of level1"),
    ],
)
def test_mistakes_give_one_line_and_status_1(capsys, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    status, lines, err = run(capsys, *arguments)
    assert (status, lines) == (1, [])
    assert len(err.splitlines()) == 1
    assert message in err


def test_each_picture_has_a_line_where_none_can_be_opened(capsys, tmp_path):
    for name in ("a.png", "b.png"):
        (tmp_path / name).touch()
    status, lines, err = run(capsys, "read", tmp_path / "a.png", tmp_path / "b.png", tmp_path / "c.png", "--format", "json")
    assert status == 1
    assert [json.loads(line)["path"] for line in lines] == [str(tmp_path / f"{name}.png") for name in "abc"]
    assert [line.split(":")[1].strip() for line in err.splitlines()] == [str(tmp_path / f"{name}.png") for name in "abc"]


def test_locate_does_not_write_over_its_pictures(capsys, tmp_path):
    run(capsys, "generate", "level2", "--count", 2, "--out", tmp_path / "new")
    before = (tmp_path / "new" / "0.png").read_bytes()
    status, _, err = run(capsys, "locate", tmp_path / "new", "--out", tmp_path / "new")
    assert (status, (tmp_path / "new" / "0.png").read_bytes()) == (1, before)
    assert "name another folder" in err


def test_folder_without_pictures(capsys, tmp_path):
    status, _, err = run(capsys, "read", tmp_path, "--model", "x")
    assert status == 1
    assert "holds no pictures" in err


def test_generate_writes_the_competition_s_format(capsys, tmp_path):
    status, _, _ = run(capsys, "generate", "captcha", "--count", 3, "--out", tmp_path / "new", "--seed", 4)
    assert status == 0
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == ["0.png", "1.png", "2.png", "labels.txt"]
    assert [len(text) for text in truth(tmp_path / "new")] == [4, 4, 4]
    assert read_image(tmp_path / "new" / "0.png").shape == (80, 170, 3)


def test_generate_repeats_itself(capsys, tmp_path):
    for name in ("a", "b"):
        run(capsys, "generate", "captcha", "--count", 2, "--out", tmp_path / name, "--seed", 4)
    assert (tmp_path / "a" / "1.png").read_bytes() == (tmp_path / "b" / "1.png").read_bytes()


def test_generated_pictures_are_not_those_of_training(capsys, tmp_path):
    run(capsys, "generate", "captcha", "--count", 5, "--out", tmp_path / "new")
    trained_on = [by_name("captcha").source("train", 0)[i].text for i in range(5)]
    assert truth(tmp_path / "new") != trained_on


def test_generate_by_the_judge(capsys, tmp_path):
    run(capsys, "generate", "captcha", "--count", 2, "--out", tmp_path / "judge", "--judge")
    judge = by_name("captcha").source("test", 0)
    assert truth(tmp_path / "judge") == [judge[i].text for i in range(2)]


def test_full_output_gives_one_line(capsys, trained, folder):
    status, _, err = run(capsys, "read", folder, "--model", trained, "--out", "/dev/full")
    assert status == 1
    assert "No space left" in err.splitlines()[-1]


def test_generate_never_writes_over_anything(capsys, tmp_path):
    (tmp_path / "precious").touch()
    status, _, err = run(capsys, "generate", "captcha", "--count", 1, "--out", tmp_path)
    assert status == 1
    assert "not an empty folder" in err
    assert [p.name for p in tmp_path.iterdir()] == ["precious"]


def test_evaluate_counts_against_the_labels(capsys, trained, folder, tmp_path):
    _, labels, _ = run(capsys, "read", folder, "--model", trained)
    labels[0] += "0"
    (folder / "labels.txt").write_text("\n".join(labels))
    status, lines, _ = run(capsys, "evaluate", folder, "--model", trained, "--json", "--plots", tmp_path / "plots")
    report = json.loads(lines[0])
    assert status == 0
    assert report["examples"] == COUNT
    assert (report["exact_match"], report["cer"]) == (0.8, 1 / sum(map(len, labels)))
    assert report["confusions"] == [["0", "", 1]]
    by_confidence = [(count, right) for _, count, right in report["confident"]]
    assert by_confidence == sorted(by_confidence)  # the lower the confidence, the more readings
    assert 0 < by_confidence[-1][1] <= by_confidence[-1][0] <= COUNT
    names = ["columns.png", "confusions.png", "right.png", "wrong.png", "wrong.tsv"]
    assert sorted(p.name for p in (tmp_path / "plots").iterdir()) == names
    header, row = (tmp_path / "plots" / "wrong.tsv").read_text().splitlines()
    assert header.split("\t") == ["file", "text", "reading", "valid", "confidence"]
    assert row.split("\t")[:3] == [str(folder / "0.png"), labels[0], labels[0][:-1]]


def test_evaluate_prints_a_report(capsys, trained, folder):
    _, lines, _ = run(capsys, "evaluate", folder, "--model", trained)
    assert lines[0].split() == ["pictures", "5"]
    assert "exact match" in lines[1]
    (most_sure,) = (line for line in lines if line.startswith("confidence of 0.99 or more"))
    assert "%" in most_sure


def test_evaluate_takes_names_for_texts(capsys, trained, folder, tmp_path):
    for number, text in enumerate(truth(folder)):
        (folder / f"{number}.png").rename(folder / f"{text}_{number}.png")
    (folder / "labels.txt").unlink()
    status, lines, _ = run(capsys, "evaluate", folder, "--names", "--model", trained, "--json")
    assert status == 0
    assert json.loads(lines[0])["exact_match"] >= 1 - 1 / COUNT


def test_generate_level1_writes_values(capsys, tmp_path):
    status, _, _ = run(capsys, "generate", "level1", "--count", 4, "--out", tmp_path / "new")
    assert status == 0
    rows = [line.split(" ") for line in (tmp_path / "new" / "labels.txt").read_text().splitlines()]
    assert [value for _, value in rows] == [Level1().value(text) for text, _ in rows]
    assert read_image(tmp_path / "new" / "3.png").shape == (60, 180, 3)
    assert run(capsys, "check", tmp_path / "new", "--task", "level1")[1][-1] == "nothing is wrong"


def test_check_names_each_problem_and_exits_with_1(capsys, tmp_path):
    run(capsys, "generate", "level1", "--count", 2, "--out", tmp_path / "new")
    (tmp_path / "new" / "labels.txt").write_text("1+1+1 4\n2*2*2 8\n3-3-3 -3\n")
    (tmp_path / "new" / "x.png").touch()
    status, lines, _ = run(capsys, "check", tmp_path / "new", "--task", "level1")
    assert status == 1
    assert [line.split(": ")[0] for line in lines[:3]] == ["error", "error", "note"]
    assert "labels.txt, line 1: '1+1+1' comes to 3, not 4" in lines[0]
    assert "labels.txt, line 3: there is no picture 2.png" in lines[1]
    assert lines[-1] == "2 errors, 1 notes"


def test_check_of_no_folder(capsys, tmp_path):
    status, lines, err = run(capsys, "check", tmp_path / "none")
    assert (status, lines) == (1, [])
    assert "no such folder" in err


@pytest.fixture(scope="module")
def level1(tmp_path_factory):
    """A network for level 1 that has hardly learned anything: what it reads breaks the grammar."""
    from crnn_jax import Config, train

    workdir = tmp_path_factory.mktemp("level1")
    config = Config(
        rnn="none", hidden=16, epochs=1, steps_per_epoch=2, batch_size=4, workers=0, validation_examples=4, eval_examples=4
    )
    train(by_name("level1"), config, workdir, devices=jax.devices()[:1])
    return workdir


def test_every_reading_of_level1_is_a_sentence_with_its_value(capsys, level1, tmp_path):
    run(capsys, "generate", "level1", "--count", 6, "--out", tmp_path / "new")
    for decode in ("auto", "beam"):
        _, lines, _ = run(capsys, "read", tmp_path / "new", "--model", level1, "--decode", decode, "--format", "json")
        rows = [json.loads(line) for line in lines]
        assert len(rows) == 6
        assert all(Level1().contains(row["text"]) for row in rows)
        assert all(row["value"] == (Level1().value(row["text"]) if row["valid"] else None) for row in rows)
    status, lines, err = run(capsys, "read", tmp_path / "new", "--model", level1, "--decode", "greedy")
    notes = err.splitlines()
    assert (status, len(lines)) == (0, 6)
    assert all("is no text of the grammar level1" in note or "may be no text" in note for note in notes[:-1])
    assert notes[-1] == f"note: {len(notes) - 1} of 6 readings have no value"
    _, lines, _ = run(capsys, "evaluate", tmp_path / "new", "--model", level1, "--json")
    assert json.loads(lines[0])["computable"] == 1
    report = json.loads((level1 / "result.json").read_text())
    assert report["computable"] == 1


def test_greedy_reading_of_an_unlearned_network_breaks_the_grammar(capsys, level1, tmp_path):
    run(capsys, "generate", "level1", "--count", 6, "--out", tmp_path / "new")
    _, lines, _ = run(capsys, "read", tmp_path / "new", "--model", level1, "--decode", "greedy", "--format", "json")
    assert len(lines) == 6
    assert not any(Level1().contains(json.loads(line)["text"]) for line in lines)


def test_status_says_how_far_a_run_is(trained, capsys, tmp_path):
    assert main(["status", str(trained)]) == 0
    out = capsys.readouterr().out
    assert "task               bars" in out
    assert "last checkpoint    step 140" in out
    assert "finished           exact match" in out
    assert "to go" not in out
    assert main(["status", str(tmp_path)]) == 1
    assert "holds no run" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["level1-light", "level2", "run"])
def test_describe_tells_what_a_network_is_and_its_layers(capsys, trained, name):
    status, lines, _ = run(capsys, "describe", trained if name == "run" else name)
    assert status == 0
    assert max(map(len, lines)) <= 120
    network = crnn_jax.load(trained if name == "run" else name)
    told, table = "\n".join(lines[: lines.index("")]), lines[lines.index("") + 1 :]
    assert f"characters  {network.alphabet.size - 1}: " in told
    description = network.description
    validated = "cer=" if "metrics" in description else f"of {len(description['averaged'])} networks"
    assert all(what in told for what in (f"height={network.preparation.height}", "learning_rate=", validated))
    params = traverse_util.flatten_dict(network.variables["params"])
    assert {line.split()[0] for line in table[2:-1]} == {"/".join(path[:-1]) for path in params}
    assert table[-1].split() == ["all", f"{sum(array.size for array in params.values()):,}"]


@pytest.fixture
def keeping_proportions(monkeypatch):
    """All networks that are loaded keep the proportions of pictures."""

    def load(name, dtype, **others):
        model = crnn_jax.load(name, dtype=dtype)
        preparation = replace(model.preparation, widths=(model.preparation.width,), enlarge=True)
        return crnn_jax.Recognizer(model.architecture, model.alphabet, preparation, model.variables)

    monkeypatch.setattr("crnn_jax.ensemble.load", load)


@pytest.mark.parametrize("command", ["read", "evaluate"])
@pytest.mark.parametrize("models", [1, 2])
def test_pictures_that_are_too_wide_are_named(capsys, trained, folder, keeping_proportions, command, models):
    Image.fromarray(read_image(folder / "3.png")).resize((8 * Bars.WIDTH, Bars.HEIGHT)).save(folder / "3.png")
    named = [str(trained), f"{trained}/."][:models]  # the same network
    status, _, err = run(capsys, command, folder, "--model", ",".join(named))
    notes = [line for line in err.splitlines() if "too wide" in line]
    assert status == 0
    assert len(notes) == 1
    assert notes[0].startswith(f"note: {folder / '3.png'}: is too wide: the network saw it 2 pixels high instead of 16")


def test_of_many_pictures_that_are_too_wide_the_others_are_counted(capsys):
    files = [FileReading(Path(f"{i}.png"), NOTHING_READ, Fitted(10, 320, 48)) for i in range(13)]
    say_squeezed(files)
    err = capsys.readouterr().err.splitlines()
    assert len(err) == 11
    assert err[-1] == "note: 3 more pictures are too wide"


def test_a_grammar_of_ones_own_says_what_is_read(capsys, trained, folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "evens.py").write_text(
        "from sources import Words\nfrom crnn_jax import Alphabet\n"
        "class Evens(Words):\n    name, alphabet, words = 'evens', Alphabet('01'), ('0', '10', '110')\n"
    )
    model = ("--model", trained, "--grammar")
    status, lines, _ = run(capsys, "read", folder, *model, "evens:Evens")
    assert status == 0
    assert set(lines) <= {"0", "10", "110"}
    status, lines, _ = run(capsys, "evaluate", folder, *model, "evens:Evens", "--json")
    assert status == 0
    assert json.loads(lines[0])["computable"] == 1
    status, _, _ = run(
        capsys, "export", trained, "--to=weights", "--out=evens.safetensors", "--check=2", "--grammar=evens:Evens"
    )
    assert status == 0
    for place, message in (("evens:Odds", "has no such class"), ("sources:Words", "about the characters 'abcdefg")):
        for command in (("read", folder, *model, place), ("export", trained, "--to=weights", "--grammar", place)):
            status, lines, err = run(capsys, *command)
            assert (status, lines) == (1, [])
            assert message in err
            assert err.count("\n") == 1
