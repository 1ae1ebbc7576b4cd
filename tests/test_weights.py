"""Networks as single files, and those that come with the package."""

import json
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from networks import fresh
from PIL import Image
from safetensors.numpy import save_file

import crnn_jax
from crnn_jax import Alphabet, Architecture, UserError, tasks, weights
from crnn_jax.cli import main
from crnn_jax.cli.arguments import model_for, networks, suits
from crnn_jax.data.examples import Preparation
from crnn_jax.export import export, load_exported
from crnn_jax.models.crnn import CRNN


@pytest.mark.parametrize(
    ("name", "share"),
    [
        ("captcha", 0.95),
        ("captcha-light", 0.9),
        ("level1", 0.98),
        ("level1-light", 0.95),
        ("level2", 0.85),
        ("level2-drawn", 0.75),
        ("level2-light", 0.75),
        ("level2-quick", 0.75),
    ],
)
def test_those_that_come_with_the_package_read(name, share):
    model = crnn_jax.load(name)
    source = tasks.by_name(name.split("-")[0]).source("generate", 11)
    examples = [source[i] for i in range(24 if name.startswith("level2") else 64)]
    readings = model.read([example.image for example in examples], decode="greedy")
    right = np.mean([reading.text == example.text for reading, example in zip(readings, examples, strict=True)])
    assert right >= share


def test_they_are_small():
    names = ("captcha", "captcha-light", "level1", "level1-light", "level2", "level2-drawn", "level2-light", "level2-quick")
    assert weights.names() == names
    assert sum(weights.packaged(name).stat().st_size for name in weights.names()) < 15_000_000


@pytest.mark.parametrize("name", weights.names())
def test_cards_are_about_these_networks(name):
    model = crnn_jax.load(name)
    cards = (Path(__file__).parent.parent / "docs" / "models.md").read_text(encoding="utf-8")
    card = cards.split(f"\n## {name}\n")[1].split("\n## ")[0]
    config = model.description["config"]
    assert f"{config['epochs'] * config['steps_per_epoch'] * config['batch_size']:,} " in card  # pictures
    assert f"{weights.packaged(name).stat().st_size / 1e6:.2f} MB" in card


def test_what_was_saved_comes_back(tmp_path):
    variables = {
        "params": {"a": {"kernel": np.float32([[1, 0.5]])}, "b": np.float32([3])},
        "batch_stats": {"c": np.float32([2])},
    }
    weights.save(tmp_path / "w.safetensors", variables, {"task": "图"})
    back, description = weights.load(tmp_path / "w.safetensors")
    jax.tree.map(np.testing.assert_array_equal, back, variables)
    assert description["task"] == "图"


def test_numbers_that_do_not_fit_are_refused(tmp_path):
    with pytest.raises(UserError, match="numbers that float16 can't"):
        weights.save(tmp_path / "w.safetensors", {"a": np.float32([1e6])}, {})
    with pytest.raises(UserError, match="numbers that float16 can't"):
        weights.save(tmp_path / "w.safetensors", {"a": np.float32([np.nan])}, {})


def test_files_that_are_none_of_ours(tmp_path):
    path = tmp_path / "w.safetensors"
    with pytest.raises(UserError, match="can't be read as a network"):
        weights.load(path)
    path.write_bytes(b"pickle, perhaps")
    with pytest.raises(UserError, match="can't be read as a network"):
        weights.load(path)
    save_file({"a": np.zeros(3, np.float32)}, path)
    with pytest.raises(UserError, match="can't be read as a network"):
        weights.load(path)
    save_file({"a": np.zeros(3, np.float32)}, path, {"description": "[1]"})
    with pytest.raises(UserError, match="its description is no object"):
        weights.load(path)
    save_file({"a": np.zeros(3, np.float32)}, path, {"description": json.dumps({"format": 9})})
    with pytest.raises(UserError, match="has format 9, this version reads format 1"):
        weights.load(path)


def test_a_single_network_has_no_steps():
    with pytest.raises(UserError, match="captcha-light: is a single network"):
        crnn_jax.load("captcha-light", step=3)


def test_a_name_that_is_none(tmp_path):
    with pytest.raises(UserError, match=r"comes with the package \(captcha, captcha-light, level1, level1-light, .*\)"):
        crnn_jax.load("level3")


@pytest.mark.parametrize(
    ("size", "name"),
    [
        ((170, 80), "captcha"),
        ((180, 60), "level1"),
        ((1600, 700), "level2"),
        ((1184, 576), "level2"),
        ((861, 81), "level2"),
        ((640, 480), None),
        ((900, 120), None),
    ],
)
def test_the_model_is_told_from_the_size(size, name):
    assert suits(*size) == name
    assert model_for(*size) == (weights.BEST[name] if name else None)


def test_networks_that_read_together_are_in_the_package():
    assert weights.BEST.keys() == tasks.TASKS.keys()
    for task, model in weights.BEST.items():
        assert next(iter(networks(model))) == task
        assert set(networks(model)) <= set(weights.names())


@pytest.mark.parametrize(
    ("model", "named"),
    [
        ("a", {"a": 1}),
        ("a, b:0.25,c:2", {"a": 1, "b": 0.25, "c": 2}),
        ("runs/a:b@100,:3", {"runs/a:b@100": 1, ":3": 1}),
    ],
)
def test_networks_are_named_with_their_weights(model, named):
    assert networks(model) == named


@pytest.mark.parametrize(("model", "message"), [("a,,b", "a name is missing"), ("a,a:2", "names a network twice")])
def test_networks_that_can_not_be_told_apart_are_refused(model, message):
    with pytest.raises(UserError, match=message):
        networks(model)


def test_a_file_of_another_version_is_one_line(tmp_path):
    variables, description = weights.load(weights.packaged("level1"))
    newer = {**description, "preparation": {**description["preparation"], "tilt": 1}}
    lacking = {name: value for name, value in description.items() if name != "preparation"}
    for other in (newer, lacking):
        weights.save(tmp_path / "a.safetensors", variables, other)
        with pytest.raises(UserError, match="doesn't suit this version"):
            crnn_jax.load(tmp_path / "a.safetensors")


@pytest.mark.parametrize(
    "change",
    [
        {"grammar": 5},
        {"alphabet": list("0123456789+-*() ")},
        {"preparation": {"height": 0}},
        {"preparation": {"height": 5}},  # no row is left of it
        {"preparation": {"width": -1}},
        {"preparation": {"width": 10**12}},
        {"preparation": {"lines": 0}},
        {"preparation": {"locate": []}},
        {"config": {"drop_columns": 10**12}},
    ],
)
def test_a_description_of_what_there_can_not_be_is_one_line(tmp_path, change):
    variables, description = weights.load(weights.packaged("level1-light"))
    changed = {key: {**description[key], **value} if isinstance(value, dict) else value for key, value in change.items()}
    weights.save(tmp_path / "a.safetensors", variables, {**description, "grammar": None, **changed})
    with pytest.raises(UserError) as error:
        crnn_jax.load(tmp_path / "a.safetensors")
    assert "\n" not in str(error.value)


def _without(folder, name):
    del folder[name]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: _without(v, "batch_stats"), "has no batch_stats"),
        (lambda v: _without(v["params"], "classifier"), "params/classifier"),
        (lambda v: v["params"]["classifier"].update(bias=np.zeros(3)), "params/classifier/bias"),
        (lambda v: v["params"].update(classifier=np.zeros(3)), "params/classifier"),
        (lambda v: v["batch_stats"]["Normalization_0"]["norm"].update(mean=np.zeros(1)), "norm/mean"),
        (lambda v: v.update(intermediates={"a": np.zeros(3)}), "intermediates/a"),
        (lambda v: v["params"].update({"classifier/bias/b": np.zeros(3)}), "can't be read as a network"),
    ],
)
def test_a_file_with_other_arrays_than_its_network_is_one_line(tmp_path, change, message):
    variables, description = weights.load(weights.packaged("level1-light"))
    change(variables)
    weights.save(tmp_path / "a.safetensors", variables, description)
    with pytest.raises(UserError, match=message) as error:
        crnn_jax.load(tmp_path / "a.safetensors")
    assert "\n" not in str(error.value)


def test_numbers_that_are_none_are_refused(tmp_path):
    variables, description = weights.load(weights.packaged("level1-light"))
    arrays = {name: array.astype(np.float16) for name, array in weights._flatten(variables).items()}
    arrays["params/classifier/bias"][0] = np.nan
    header = {"description": json.dumps({**description, "format": weights.FORMAT})}
    save_file(arrays, tmp_path / "a.safetensors", header)
    with pytest.raises(UserError, match="holds what is no number"):
        crnn_jax.load(tmp_path / "a.safetensors")


@pytest.mark.parametrize("task", ["level1", "level2"])
def test_reading_without_a_model(tmp_path, capsys, task):
    assert main(["generate", task, "--count", "3", "--out", str(tmp_path / "a")]) == 0
    assert main(["read", str(tmp_path / "a"), "--decode", "greedy"]) == 0
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 3
    assert f"the pictures look like {task} (--model={weights.BEST[task]})" in err


def test_pictures_of_several_kinds_are_read_each_by_its_model(tmp_path, capsys):
    texts = {}
    for kind in ("captcha", "level1"):
        assert main(["generate", kind, "--count", "2", "--out", str(tmp_path / kind)]) == 0
        labels = (tmp_path / kind / "labels.txt").read_text().splitlines()
        texts |= {str(tmp_path / kind / f"{i}.png"): label.split()[0] for i, label in enumerate(labels)}
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    paths = [str(tmp_path / kind / f"{i}.png") for i in (0, 1) for kind in ("captcha", "level1")]
    assert main(["read", *paths[:3], str(broken), paths[3], "--format", "tsv"]) == 1
    out, err = capsys.readouterr()
    read = [line.split("\t") for line in out.splitlines()]
    assert [path for path, *_ in read] == [*paths[:3], str(broken), paths[3]]
    assert [len(text) for _, text, *_ in read] == [len(texts.get(path, "")) for path, *_ in read]
    assert f"captcha (--model={weights.BEST['captcha']}) and level1 (--model={weights.BEST['level1']})" in err
    assert err.count("error:") == 1
    assert "broken.png" in err

    Image.new("RGB", (640, 480)).save(tmp_path / "other.png")
    assert main(["read", *paths, str(tmp_path / "other.png")]) == 1
    out, err = capsys.readouterr()
    assert [bool(line) for line in out.splitlines()] == [True] * len(paths) + [False]
    assert "other.png: is 640x480, which suits none of our models" in err
    assert main(["read", str(tmp_path / "other.png")]) == 1
    assert "can't be told from their size" in capsys.readouterr().err


def test_evaluating_pictures_of_several_kinds_needs_a_model(tmp_path, capsys):
    Image.new("RGB", (180, 60)).save(tmp_path / "a.png")
    Image.new("RGB", (170, 80)).save(tmp_path / "b.png")
    assert main(["evaluate", str(tmp_path), "--names"]) == 1
    several = f"{weights.BEST['level1']} and {weights.BEST['captcha']}"
    assert f"for several models ({several}): --model names one" in capsys.readouterr().err
    Image.new("RGB", (640, 480)).save(tmp_path / "b.png")
    assert main(["evaluate", str(tmp_path), "--names"]) == 1
    assert "b.png is 640x480" in capsys.readouterr().err


def test_several_networks_read_together(tmp_path, capsys):
    assert main(["generate", "level2", "--count", "3", "--out", str(tmp_path / "a")]) == 0
    (tmp_path / "a" / "broken.png").write_bytes(b"no picture")
    assert main(["read", str(tmp_path / "a"), "--model", "level2-light, level2-drawn", "--timing"]) == 1
    out, err = capsys.readouterr()
    assert [bool(line) for line in out.splitlines()] == [True] * 3 + [False]
    assert "broken.png" in err
    (tmp_path / "a" / "broken.png").unlink()
    evaluate = ["evaluate", str(tmp_path / "a"), "--model", "level2-light,level2-drawn", "--plots", str(tmp_path / "plots")]
    assert main(evaluate) == 0
    assert (tmp_path / "plots" / "columns.png").is_file()
    for name, message in (("level2-light,", "a name is missing"), ("level1,captcha", "same alphabet")):
        assert main(["read", str(tmp_path / "a"), "--model", name]) == 1
        assert message in capsys.readouterr().err
    assert main(["export", "level2-light,level2-drawn", "--to", "weights", "--out", str(tmp_path / "a.safetensors")]) == 1
    assert "takes one network" in capsys.readouterr().err


def test_exported_networks_do_what_the_model_does(tmp_path, trained, capsys):
    for to, suffix in (("weights", "safetensors"), ("stablehlo", "stablehlo"), ("onnx", "onnx")):
        out = tmp_path / f"bars.{suffix}"
        assert main(["export", str(trained), "--to", to, "--out", str(out), "--check", "80"]) == 0
        said = capsys.readouterr().out
        if to != "weights":
            assert "0 of 80 pictures are read in another way" in said
            assert json.loads(out.with_suffix(".json").read_text())["alphabet"] == "01"
    pictures = [np.full((16, 64, 3), 200, np.uint8)]
    a, b = (crnn_jax.load(path).read(pictures) for path in (trained, tmp_path / "bars.safetensors"))
    assert a[0].text == b[0].text


@pytest.mark.parametrize("architecture", [Architecture(rnn="conv", hidden=16), Architecture(backbone="resnet", rnn="none")])
def test_onnx_of_other_networks_where_widths_differ(tmp_path, architecture):
    alphabet, preparation = Alphabet("01"), Preparation(16, 64, widths=(32, 64))
    model = CRNN.of(architecture, alphabet, preparation)
    images, widths = np.random.default_rng(0).integers(0, 256, (2, 16, 64, 3), np.uint8), np.array([64, 45], np.int32)
    variables = fresh(model, images, widths)
    recognizer = crnn_jax.Recognizer(architecture, alphabet, preparation, variables)
    export(recognizer, "onnx", tmp_path / "a.onnx")
    logits, lengths = load_exported(tmp_path / "a.onnx")(images, widths)
    expected, counts = jax.jit(recognizer.logits)(images, widths)
    np.testing.assert_array_equal(lengths, counts)
    np.testing.assert_allclose(logits, expected, atol=1e-4)


@pytest.mark.parametrize("suffix", ["onnx", "stablehlo"])
def test_an_export_that_is_none_is_one_line(tmp_path, suffix):
    for data in (b"", b"no network"):
        (tmp_path / f"a.{suffix}").write_bytes(data)
        with pytest.raises(UserError, match="can't be read as a network"):
            load_exported(tmp_path / f"a.{suffix}")


@pytest.mark.parametrize(("to", "module"), [("stablehlo", "flatbuffers"), ("onnx", "jax2onnx")])
def test_what_is_not_installed_is_named(tmp_path, monkeypatch, capsys, to, module):
    monkeypatch.setitem(sys.modules, module, None)
    assert main(["export", "level1", "--to", to, "--out", str(tmp_path / f"out.{to}")]) == 1
    assert f"{module} is not installed: pip install 'crnn-jax[export]'" in capsys.readouterr().err


def test_onnx_runs_where_there_is_no_jax(tmp_path, monkeypatch, capsys):
    """The program in the docs."""
    monkeypatch.chdir(tmp_path)
    assert main(["export", "level1", "--to", "onnx", "--check", "8"]) == 0
    example = tasks.level1().source("generate", 1)[0]
    Image.fromarray(example.image).save("a.png")
    page = (Path(__file__).parent.parent / "docs" / "reading.md").read_text(encoding="utf-8")
    blocks = (part.split("```")[0] for part in page.split("```python\n")[1:])
    program = next(block for block in blocks if "onnxruntime" in block)
    program += '\nimport sys\nassert "jax" not in sys.modules\n'
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == crnn_jax.load("level1").read([example.image], decode="greedy")[0].text
