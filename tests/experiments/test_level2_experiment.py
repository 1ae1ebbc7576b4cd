"""The recipes of level 2, and what the experiment says to a folder that doesn't fit."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from absl import flags
from absl.testing import flagsaver

from crnn_jax.cli import main
from crnn_jax.training.schedules import make_schedule
from experiments import common
from experiments.level2 import RECIPES

ROOT = Path(__file__).parent.parent.parent


def test_document_recipe_is_the_document_s():
    recipe = RECIPES["document"]
    config = recipe.config
    assert (config.backbone, config.rnn, config.hidden, config.dropout) == ("vgg346", "gru", 128, 0)
    assert (config.initialization, config.l2, config.drop_columns) == ("he_uniform", 1e-5, 2)
    assert config.steps_per_epoch * config.batch_size == 89_600
    assert config.validation_examples == 10_240
    assert config.keep_all
    assert recipe.task.preparation.equalize == "never"
    schedule = make_schedule(config)
    rates = [float(schedule(350 * epoch)) for epoch in (0, 49, 50, 99, 100, 149)]
    assert rates == pytest.approx([1e-3, 1e-3, 1e-4, 1e-4, 1e-5, 1e-5])
    assert recipe.schedule_epochs == {"alternate": 100}  # of which the first 20 are at 1e-3


def test_what_the_document_tried_before_has_flags():
    recipe = RECIPES["document"]
    with flagsaver.flagsaver():
        flags.FLAGS(["level2", "--dropout=0.25", "--nodropout_dense", "--initialization=he_normal", "--backbone=vgg2222"])
        _, config = common._chosen(recipe, common.from_folder, lambda task: task, [""])
    assert (config.dropout, config.dropout_dense, config.initialization) == (0.25, False, "he_normal")
    assert config.backbone == "vgg2222"
    assert config.rnn_initialization == recipe.config.rnn_initialization == "glorot_uniform"


def test_quick_validates_on_whole_canvases():
    task = RECIPES["quick"].task
    assert task.source("train", 0)[0].image.shape[0] <= 110
    assert task.source("validation", 0)[0].image.shape[0] >= 400


@pytest.mark.parametrize(
    ("flag", "message"),
    [("--recombine", "name the folder"), ("--process=1", "go with --coordinator"), ("--variety=2", "--variety=2")],
)
def test_flags_that_need_others_are_refused(flag, message, tmp_path):
    command = [sys.executable, "-m", "experiments.level2", "--recipe=quick", flag, f"--workdir={tmp_path / 'run'}"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    assert result.returncode == 1
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_recombining_too_few_pictures_is_one_line(tmp_path):
    assert main(["generate", "level2", "--count", "2", "--out", str(tmp_path / "pictures")]) == 0
    command = [
        sys.executable,
        "-m",
        "experiments.level2",
        "--recipe=quick",
        "--recombine",
        f"--data_dir={tmp_path / 'pictures'}",
    ]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    assert result.returncode == 1
    assert "2 pictures are fewer than 89600 for training" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.slow
@pytest.mark.parametrize("own_folder", [False, True])
def test_the_document_s_command_runs(own_folder, tmp_path):
    """As it stands, with our drawing, and with pictures in the competition's format; all of it but the amount."""
    amount = ["--epochs=1", "--steps_per_epoch=2", "--batch_size=2", "--validation_examples=2", "--eval_examples=2"]
    command = [sys.executable, "-m", "experiments.level2", "--lr_schedule=step", *amount, f"--workdir={tmp_path / 'run'}"]
    if own_folder:
        assert main(["generate", "level2", "--count", "60", "--out", str(tmp_path / "pictures")]) == 0
        command.append(f"--data_dir={tmp_path / 'pictures'}")
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=600)
    assert result.returncode == 0, result.stderr
    report = json.loads((tmp_path / "run" / "result.json").read_text())
    assert report["train_images"] == 4
    assert report["judge"].startswith(str(tmp_path / "pictures") if own_folder else "our own drawing")
