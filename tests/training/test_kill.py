"""Runs with worker processes that are ended from outside must go on as if nothing had happened."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from training.test_loop import assert_same_run

PROGRAM = Path(__file__).parent.parent / "bars_run.py"


def start(workdir, *options):
    command = [sys.executable, str(PROGRAM), str(workdir), *options]
    return subprocess.Popen(command, start_new_session=True, stderr=subprocess.PIPE, text=True)


def run_to_the_end(workdir, *options):
    process = start(workdir, *options)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err


def end_in_the_middle(workdir, number):
    """Sends a signal to the run and all its workers once some steps are saved."""
    process = start(workdir)
    deadline = time.monotonic() + 300
    while not any(path.name.isdigit() for path in (workdir / "checkpoints").glob("*")) and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.killpg(process.pid, number)
    _, err = process.communicate(timeout=60)
    return process.returncode, err


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("unbroken")
    run_to_the_end(workdir)
    return workdir


@pytest.mark.parametrize(
    "number", [signal.SIGKILL, *(pytest.param(n, marks=pytest.mark.slow) for n in (signal.SIGINT, signal.SIGTERM))]
)
def test_run_that_was_ended_goes_on_bit_for_bit(unbroken, tmp_path, number):
    status, err = end_in_the_middle(tmp_path, number)
    assert status == (-signal.SIGKILL if number == signal.SIGKILL else 130), err
    assert "Traceback" not in err
    assert not (tmp_path / "result.json").exists()
    run_to_the_end(tmp_path)
    assert_same_run(unbroken, tmp_path)
