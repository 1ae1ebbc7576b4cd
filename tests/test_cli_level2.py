"""The command line on level 2: locating, reading whole canvases, plots, votes."""

import json
from dataclasses import replace

import jax
import numpy as np
import pytest
from PIL import Image

from crnn_jax import Config, tasks
from crnn_jax.cli import main
from crnn_jax.data.images import read_image
from crnn_jax.grammar import Level2
from crnn_jax.training.loop import train


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("level2") / "pictures"
    assert main(["generate", "level2", "--count", "3", "--out", str(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A network that has learned nothing, without recurrent layers, which take long to compile."""
    workdir = tmp_path_factory.mktemp("level2-run")
    config = Config(
        rnn="none", hidden=16, epochs=1, steps_per_epoch=1, batch_size=2, workers=0, validation_examples=2, eval_examples=2
    )
    report = train(tasks.level2(variety=0.5), config, workdir, devices=jax.devices()[:1])
    assert report.computable == 1  # also of a network that knows nothing
    assert {path.name for path in (workdir / "plots").iterdir()} == {
        f"{name}.png" for name in ("curves", "readings", "confusions", "columns")
    }
    return workdir


def run(capsys, *arguments):
    status = main([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    return status, out.splitlines(), err


def test_generated_labels_have_values(pictures):
    for line in (pictures / "labels.txt").read_text(encoding="utf-8").splitlines():
        text, value = line.split(" ")
        assert Level2().value(text) == value


@pytest.mark.parametrize(
    ("way", "stages"),
    [("ours", ("1-marked", "2-dense", "3-joined")), ("document", ("1-equalized", "2-blurred", "3-joined", "4-mask"))],
)
def test_locate_saves_each_stage(capsys, pictures, tmp_path, way, stages):
    status, lines, _ = run(capsys, "locate", pictures / "0.png", "--out", tmp_path / "out", "--way", way)
    count = int(lines[0].split()[0])
    assert status == 0
    names = {path.stem for path in (tmp_path / "out").iterdir()}
    assert names == {*stages, "boxes", "strip", *(f"line-{i + 1}" for i in range(count))}
    boxes, whole = read_image(tmp_path / "out" / "boxes.png"), read_image(pictures / "0.png")
    assert boxes.shape == whole.shape
    assert (boxes != whole).any()


@pytest.mark.parametrize("way", ["ours", "document"])
def test_locate_names_pictures_without_a_formula_and_does_the_rest(capsys, pictures, tmp_path, way):
    folder = tmp_path / "mixed"
    folder.mkdir()
    Image.open(pictures / "0.png").save(folder / "0.png")
    Image.new("RGB", (900, 500), "white").save(folder / "1.png")
    text = (pictures / "labels.txt").read_text(encoding="utf-8").splitlines()[0]
    (folder / "labels.txt").write_text(f"{text}\n{text}\n{text}\n", encoding="utf-8")
    status, lines, err = run(capsys, "locate", folder, "--out", tmp_path / "out", "--workers", 1, "--way", way)
    assert status == 1
    assert "1.png: no line of text was found where two or three are expected" in err
    assert "labels.txt, line 3: 2.png isn't among the pictures" in err
    assert "1 of 2 pictures located" in lines[0]
    assert len((tmp_path / "out" / "labels.tsv").read_text(encoding="utf-8").splitlines()) == 2


def test_labels_of_other_strips_stay(capsys, pictures, tmp_path):
    text = (pictures / "labels.txt").read_text(encoding="utf-8").split(" ")[0]

    def labelled_after(name, label):
        folder = tmp_path / f"{name}-{bool(label)}"
        folder.mkdir()
        Image.open(pictures / "0.png").save(folder / f"{name}.png")
        if label:
            (folder / "labels.tsv").write_text(f"file\ttext\n{name}.png\t{label}\n", encoding="utf-8")
        assert run(capsys, "locate", folder, "--out", tmp_path / "out", "--workers", 1)[0] == 0
        table = (tmp_path / "out" / "labels.tsv").read_text(encoding="utf-8")
        return [line.split("\t")[0] for line in table.splitlines()[1:]]

    assert labelled_after("a", text) == ["a.png"]
    assert labelled_after("b", text) == ["a.png", "b.png"]
    assert labelled_after("c", "") == ["a.png", "b.png"]
    assert labelled_after("a", "") == ["b.png"]  # its strip is another one now


@pytest.mark.parametrize("table", ["file\ttext\tvalue\tnote\nb.png\t1\t\tmine\n", "file\ttext\tvalue\nb.jpg\t1\t\n"])
def test_labels_that_are_none_of_ours_stay_as_they_are(capsys, pictures, tmp_path, table):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "labels.tsv").write_text(table, encoding="utf-8")
    status, _, err = run(capsys, "locate", pictures, "--out", tmp_path / "out", "--workers", 1)
    assert (status, (tmp_path / "out" / "labels.tsv").read_text(encoding="utf-8")) == (1, table)
    assert "can't be added to: name another folder" in err


def test_whole_canvases_and_strips_are_read_and_computed(capsys, pictures, model, tmp_path):
    assert run(capsys, "locate", pictures, "--out", tmp_path / "strips", "--workers", 1)[0] == 0
    found = []
    for folder in (pictures, tmp_path / "strips"):
        status, lines, _ = run(capsys, "read", folder, "--model", model, "--format", "json")
        assert status == 0
        found.append([json.loads(line) for line in lines])
    for canvas, strip in zip(*found, strict=True):
        assert Level2().contains(canvas["text"])
        assert canvas["text"] == strip["text"]


def test_a_picture_without_a_formula_is_named_and_counts_as_a_mistake(capsys, pictures, model, tmp_path):
    folder = tmp_path / "mixed"
    folder.mkdir()
    Image.open(pictures / "0.png").save(folder / "0.png")
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (500, 900, 3), np.uint8)).save(folder / "1.png")
    text = (pictures / "labels.txt").read_text(encoding="utf-8").splitlines()[0]
    (folder / "labels.txt").write_text(f"{text}\n{text}\n", encoding="utf-8")
    status, lines, err = run(capsys, "read", folder, "--model", model)
    assert (status, len(lines), lines[1]) == (1, 2, "")
    assert "1.png: " in err
    assert "expected" in err
    status, lines, _ = run(capsys, "evaluate", folder, "--model", model, "--json", "--plots", tmp_path / "plots")
    report = json.loads(lines[0])
    assert (report["examples"], report["unreadable_files"]) == (2, 0)
    assert (tmp_path / "plots" / "wrong.png").is_file()


def test_check_plots_where_lines_lie(capsys, pictures, tmp_path):
    status, lines, _ = run(capsys, "check", pictures, "--task", "level2", "--plots", tmp_path)
    assert status == 0
    assert lines[-1] == "nothing is wrong"
    assert (tmp_path / "places.png").stat().st_size > 10_000


def test_vote_writes_a_result_file(capsys, tmp_path):
    for name, line in (("a", "1+2 3"), ("b", "1+7 8"), ("c", "1+2 3")):
        (tmp_path / name).write_text(f"{line}\n{line}\n", encoding="utf-8")
    status, _, _ = run(capsys, "vote", *(tmp_path / name for name in "abc"), "--out", tmp_path / "result.txt")
    assert status == 0
    assert (tmp_path / "result.txt").read_text() == "1+2 3\n1+2 3\n"
    (tmp_path / "b").write_text("1+7 8\n")
    status, _, err = run(capsys, "vote", tmp_path / "a", tmp_path / "b")
    assert status == 1
    assert "has 1 lines" in err


@pytest.mark.slow
def test_lines_can_be_read_each_alone(capsys, pictures, tmp_path):
    task = replace(tasks.level2(), preparation=tasks.LEVEL2_LINES)
    config = Config(
        rnn="none", hidden=16, epochs=1, steps_per_epoch=1, batch_size=2, workers=0, validation_examples=2, eval_examples=2
    )
    assert train(task, config, tmp_path / "run", devices=jax.devices()[:1]).computable == 1
    status, lines, _ = run(capsys, "read", pictures, "--model", tmp_path / "run", "--format", "json")
    assert status == 0
    for line in lines:
        reading = json.loads(line)
        assert Level2().contains(reading["text"])
        edges = [(character["x0"], character["x1"]) for character in reading["characters"]]
        assert all(x0 <= x1 for x0, x1 in edges)
        assert [x0 for x0, _ in edges] == sorted(x0 for x0, _ in edges)
        separators = [edge for edge, c in zip(edges, reading["text"], strict=True) if c == ";"]
        assert all(x0 == x1 for x0, x1 in separators)
        boxes = [character["box"] for character in reading["characters"]]
        assert [box is None for box in boxes] == [character == ";" for character in reading["text"]]
        tops = [box[1] for box in boxes if box]
        assert tops == sorted(tops)  # each in its line of the canvas
        assert len(set(tops)) == len(separators) + 1
