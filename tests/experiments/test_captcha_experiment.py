"""The experiment as a user calls it: in a process of its own."""

import json
import subprocess
import sys
from pathlib import Path

import jax
import pytest

from crnn_jax.training.schedules import make_schedule
from experiments import common
from experiments.captcha import RECIPES

ROOT = Path(__file__).parent.parent.parent
SMALL = ["--epochs=1", "--steps_per_epoch=2", "--batch_size=4", "--validation_examples=4", "--eval_examples=4"]


def run(*arguments, cwd=ROOT):
    command = [sys.executable, "-m", "experiments.captcha", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=300)


def test_document_recipe_is_the_document_s():
    config = RECIPES["document"].config
    assert (config.batch_size, config.steps_per_epoch, config.epochs) == (128, 400, 40)
    assert (config.backbone, config.rnn, config.hidden, config.dropout, config.drop_columns) == ("vgg222", "gru", 128, 0.2, 2)
    assert RECIPES["document"].task.source("train", 0).emphasis == 0
    schedule = make_schedule(config)
    assert [round(float(schedule(400 * epoch)), 8) for epoch in (0, 19, 20, 39)] == [1e-3, 1e-3, 1e-4, 1e-4]


def test_quick_run_in_a_worker_process(tmp_path):
    result = run("--recipe=quick", f"--workdir={tmp_path}", "--workers=1", "--rnn=none", *SMALL)
    assert result.returncode == 0, result.stderr
    report = json.loads((tmp_path / "result.json").read_text())
    assert report["examples"] == 4
    assert "unmodified captcha package" in report["judge"]


@pytest.mark.slow
def test_document_on_a_cpu_says_what_it_means_to(tmp_path):
    result = run(f"--workdir={tmp_path}", "--workers=0", "--rnn=none", *SMALL)
    assert result.returncode == 0, result.stderr
    assert "--recipe=quick takes minutes" in result.stderr
    assert json.loads((tmp_path / "config.json").read_text())["config"]["backbone"] == "vgg222"


def test_help_lists_the_options():
    result = run("--help")
    for flag in ("--workdir", "--recipe", "--backbone", "--lr_schedule", "--resume"):
        assert flag in result.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--no_such_flag=1"], "no_such_flag"),
        (["--recipe=slow"], "slow"),
        (["--epochs=0"], "epochs"),
        (["--learning_rate=0"], "learning_rate must be above 0"),
        (["--dropout=1"], "dropout must be at least 0 and below 1"),
        (["quick"], "options are written --name=value"),
        (["--workdir=/proc/nothing/here"], "can't be written"),
        (["--init_from="], "--init_from is empty"),
        (["--learn_all"], "--learn_all goes with --data_dir"),
    ],
)
def test_wrong_flags_give_a_line_and_no_traceback(arguments, message):
    result = run(*arguments)
    assert result.returncode not in (0, 130)
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_memory_that_is_out_is_known_from_other_errors():
    error = jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate 12345678 bytes.")
    assert common._is_out_of_memory(error)
    assert common._is_out_of_memory(MemoryError())
    assert not common._is_out_of_memory(jax.errors.JaxRuntimeError("INVALID_ARGUMENT: no such shape"))
