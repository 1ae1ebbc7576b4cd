"""Runs side by side."""

import json
import shutil
from pathlib import Path

import pytest

from crnn_jax.cli import main
from crnn_jax.errors import UserError
from crnn_jax.training.compare import compare, curves, distinct_names, table


@pytest.fixture
def runs(trained, tmp_path):
    """One that ended, one with another learning rate that didn't, and one that has just begun."""
    ended, validated, begun = (tmp_path / name for name in ("ended", "validated", "begun"))
    for path in (ended, validated, begun):
        shutil.copytree(trained, path)
    description = json.loads((validated / "config.json").read_text())
    description["config"]["learning_rate"] = 0.5
    (validated / "config.json").write_text(json.dumps(description))
    for path in (validated, begun):
        (path / "result.json").unlink()
    (begun / "metrics.jsonl").unlink()
    return ended, validated, begun


def test_figures_and_what_sets_runs_apart(runs):
    ended, validated, begun = compare(runs)
    assert list(ended) == list(validated) == list(begun)
    assert [row["learning_rate"] for row in (ended, validated, begun)] == ["0.003", "0.5", "0.003"]
    assert "batch_size" not in ended  # the same in all
    assert (ended["pictures"], ended["of"]) == ("4,480", "50")
    assert " to " in ended["exact match"]
    assert (validated["pictures"], validated["parameters"]) == ("4,480", "")
    assert validated["exact match"].endswith("validation")
    assert (begun["exact match"], begun["run"]) == ("", "begun")


def test_table_is_padded(runs):
    lines = table(compare(runs)).splitlines()
    assert len(lines) == 5
    assert len(set(map(len, lines))) == 1
    assert set(lines[1]) == {"|", "-", " "}


def test_command_prints_and_plots(runs, tmp_path, capsys):
    assert main(["compare", *map(str, runs), "--plots", str(tmp_path / "plots")]) == 0
    assert "| ended " in capsys.readouterr().out
    assert (tmp_path / "plots" / "compared.png").stat().st_size > 5000


def test_runs_of_one_name_are_told_apart():
    paths = [Path("/a/x/quick"), Path("/b/x/quick"), Path("/b/y/quick")]
    assert distinct_names(paths[:1]) == ["quick"]
    assert distinct_names(paths[1:]) == ["x/quick", "y/quick"]
    assert distinct_names(paths) == ["a/x/quick", "b/x/quick", "b/y/quick"]
    assert distinct_names([paths[0], paths[0]]) == ["quick", "quick"]


def test_folder_without_a_run(tmp_path, runs, capsys):
    with pytest.raises(UserError, match="holds no run"):
        compare([runs[0], tmp_path])
    assert main(["compare", str(tmp_path)]) == 1
    assert "holds no run" in capsys.readouterr().err
    (tmp_path / "config.json").write_text("[]")
    for command in ("compare", "status"):
        assert main([command, str(tmp_path)]) == 1
        assert "config.json: isn't of a run" in capsys.readouterr().err


ROW = {"step": 8, "val_loss": 0.5, "exact_match": 0.5, "cer": 0.1, "examples": 50, "images_per_second": 9.0}


def begun_run(path, **files):
    """A run that no network was trained for, with some of its files as given."""
    described = {"task": "bars", "config": {"backbone": "light", "rnn": "none", "batch_size": 8}}
    for name, content in {"config.json": described, "metrics.jsonl": ROW, **files}.items():
        (path / name).write_text(json.dumps(content) + "\n")
    return str(path)


def test_status_and_comparison_of_a_run_that_goes_on(tmp_path, capsys):
    path = begun_run(tmp_path)
    assert main(["status", path]) == main(["compare", path]) == 0
    assert "step 8: loss 0.5000, exact match 50.00%" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("config.json", {"task": "bars", "config": {}}),
        ("config.json", {"task": "bars"}),
        ("metrics.jsonl", 5),
        ("metrics.jsonl", {"step": 8}),
        ("metrics.jsonl", {name: value for name, value in ROW.items() if name != "exact_match"}),
        ("metrics.jsonl", {**ROW, "exact_match": "half"}),
        ("result.json", []),
        ("result.json", {}),
        ("result.json", {"interval": 5}),
    ],
)
@pytest.mark.parametrize("command", ["status", "compare"])
def test_a_file_that_no_run_wrote_is_named_in_a_line(tmp_path, capsys, command, name, content):
    assert main([command, begun_run(tmp_path, **{name: content})]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {tmp_path / name}: isn't of a run")


@pytest.mark.parametrize(("name", "content"), [("status.json", []), ("status.json", {"step": 3}), ("hosts/0.json", 5)])
def test_so_is_one_that_status_alone_reads(tmp_path, capsys, name, content):
    (tmp_path / "hosts").mkdir()
    assert main(["status", begun_run(tmp_path, **{name: content})]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "isn't of a run" in line


def test_curves_of_metrics_that_no_run_wrote(tmp_path):
    with pytest.raises(UserError, match=r"metrics\.jsonl: isn't of a run \(KeyError: 'val_loss'"):
        curves([Path(begun_run(tmp_path, **{"metrics.jsonl": {"step": 8}}))])
