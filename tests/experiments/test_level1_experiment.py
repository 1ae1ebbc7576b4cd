"""The experiment as a user calls it: in a process of its own."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from crnn_jax.cli import main
from crnn_jax.training.schedules import make_schedule
from experiments.level1 import RECIPES

ROOT = Path(__file__).parent.parent.parent
SMALL = [
    "--epochs=1",
    "--steps_per_epoch=2",
    "--batch_size=4",
    "--validation_examples=4",
    "--eval_examples=4",
    "--workers=0",
    "--rnn=none",
]


def run(*arguments):
    command = [sys.executable, "-m", "experiments.level1", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)


def test_document_recipe_is_the_document_s():
    recipe = RECIPES["document"]
    config = recipe.config
    assert config.epochs == 50
    assert abs(config.steps_per_epoch * config.batch_size - 100_000) < config.batch_size
    assert (config.backbone, config.rnn, config.hidden, config.drop_columns) == ("vgg222", "gru", 128, 2)
    assert (config.initialization, config.dropout, config.dropout_dense) == ("he_normal", 0.25, False)
    assert recipe.task.alphabet.size == 17
    assert recipe.task.preparation.equalize == "never"
    schedule = make_schedule(config)
    assert [round(float(schedule(781 * epoch)), 8) for epoch in (0, 49)] == [1e-3, 1e-3]


@pytest.mark.slow
def test_quick_learns_from_a_folder_and_refuses_a_bad_one(tmp_path):
    pictures = tmp_path / "pictures"
    assert main(["generate", "level1", "--count", "60", "--out", str(pictures)]) == 0
    result = run("--recipe=quick", f"--workdir={tmp_path / 'run'}", f"--data_dir={pictures}", "--equalize=faint", *SMALL)
    assert result.returncode == 0, result.stderr
    report = json.loads((tmp_path / "run" / "result.json").read_text())
    assert str(pictures) in report["judge"]
    assert report["computable"] == 1
    description = json.loads((tmp_path / "run" / "config.json").read_text())
    assert description["grammar"] == "level1"
    assert RECIPES["quick"].task.preparation.equalize == "stretch_grey"
    assert description["preparation"]["equalize"] == "faint"

    labels = (pictures / "labels.txt").read_text().splitlines()
    (pictures / "labels.txt").write_text("\n".join(["1+1+1 4", *labels[1:]]))
    result = run("--recipe=quick", f"--workdir={tmp_path / 'other'}", f"--data_dir={pictures}", *SMALL)
    assert result.returncode == 1
    assert result.stderr.count("error:") == 1
    assert "labels.txt, line 1: '1+1+1' comes to 3, not 4" in result.stderr
    assert not (tmp_path / "other").exists()
