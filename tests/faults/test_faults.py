"""What goes wrong while a run lasts, and what becomes of the run. ``docs/reliability.md`` has a line for each."""

import dataclasses
import random
import shutil
import signal
import time
from pathlib import Path

import jax
import numpy as np
import pytest
from sources import Bars, bars_task
from training.test_kill import run_to_the_end, start
from training.test_loop import TINY, assert_same_run, metrics_of, newest_step, run, state_of

from crnn_jax import UserError
from crnn_jax.data.workers import BatchWorkers
from crnn_jax.training import checkpoint, feed, loop, steps
from crnn_jax.training.rundir import RunDirectory, describe_run

LONGER = dataclasses.replace(TINY, epochs=3)


@pytest.fixture(scope="module")
def two_epochs(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("two_epochs")
    run(workdir, config=dataclasses.replace(LONGER, epochs=2))
    return workdir


@pytest.fixture
def begun(two_epochs, tmp_path):
    """A run of two epochs, whose weights were saved at steps 4 and 8."""
    return shutil.copytree(two_epochs, tmp_path / "begun")


def newest_file(workdir, item):
    """The largest file of an item of the newest checkpoint."""
    numbers = [int(path.name) for path in (workdir / "checkpoints").iterdir() if path.name.isdigit()]
    newest = workdir / "checkpoints" / str(max(numbers))
    return max((path for path in (newest / item).rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)


def truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def garble(path):
    path.write_bytes(bytes(random.Random(0).randbytes(path.stat().st_size)))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # orbax's own, of a file that it can't read
# Each item damaged in each way, without --slow in one.
@pytest.mark.parametrize(
    ("item", "damage"),
    [
        pytest.param(item, damage, marks=() if damage is common else pytest.mark.slow, id=f"{item}-{damage.__name__}")
        for item, common in (("weights", truncate), ("optimizer", garble), ("progress", Path.unlink), ("description", truncate))
        for damage in (truncate, garble, Path.unlink)
    ],
)
def test_a_damaged_newest_checkpoint_is_left_for_the_one_before(begun, item, damage, caplog):
    damage(newest_file(begun, item))
    run(begun, config=LONGER)
    assert "going on from the one before" in caplog.text
    assert "going on from step 4 of 12" in caplog.text
    assert newest_step(begun) == 12
    assert [row["step"] for row in metrics_of(begun)] == [4, 8, 12]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_checkpoint_may_be_damaged_again(begun):
    for kept in ("17.damaged", "17.damaged-2"):
        truncate(newest_file(begun, "weights"))
        run(begun, config=dataclasses.replace(LONGER, epochs=2))
        assert (begun / "checkpoints" / kept).is_dir()


def test_when_all_checkpoints_are_damaged_the_run_says_so(begun):
    for path in (begun / "checkpoints").glob("[0-9]*/weights/**/*"):
        if path.is_file():
            truncate(path)
    with pytest.raises(UserError, match="no checkpoint can be restored: checkpoint 17 can't be read"):
        run(begun, config=LONGER)


def test_a_checkpoint_of_a_newer_version_is_refused(begun, monkeypatch):
    monkeypatch.setattr(checkpoint, "FORMAT", 0)
    with pytest.raises(UserError, match="has format 1, this version reads format 0"):
        run(begun, config=LONGER)


def test_two_runs_in_one_directory(tmp_path):
    claimed = RunDirectory(tmp_path).claim(describe_run(bars_task(), TINY))
    with claimed, pytest.raises(UserError, match="another process trains there"):
        run(tmp_path)
    run(tmp_path, config=dataclasses.replace(TINY, epochs=1))


class Hanging(Bars):
    """Hangs at an example."""

    def __getitem__(self, index):
        if index == 9:
            time.sleep(1000)
        return super().__getitem__(index)


def test_a_worker_that_hangs_ends_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(feed, "BatchWorkers", lambda makers, count: BatchWorkers(makers, count, patience=4))
    begun = time.monotonic()
    with pytest.raises(UserError, match=r"has not made its batch for 4 s \(examples \d+ to \d+\)"):
        run(tmp_path, bars_task(Hanging), dataclasses.replace(TINY, workers=1))
    assert time.monotonic() - begun < 60


def spoiling(step_number, make=steps.make_train_step):
    """Steps, one of which has a loss that is no number."""

    def make_spoiled(*args, **options):
        step = make(*args, **options)

        def spoiled(state, batch, key):
            if int(steps.unreplicate(state).step) + 1 in step_number:
                batch = batch | {"weights": batch["weights"] * np.float32(np.nan)}
            return step(state, batch, key)

        return spoiled

    return make_spoiled


def test_a_loss_that_is_no_number_names_step_and_pictures(tmp_path, monkeypatch):
    monkeypatch.setattr(steps, "make_train_step", spoiling([6]))
    with pytest.raises(UserError, match=r"at step 6 \(pictures 40, 41, .*47\).*the checkpoint of step 4 is kept"):
        run(tmp_path)
    assert newest_step(tmp_path) == 4


def test_it_can_be_left_out(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(steps, "make_train_step", spoiling([6]))
    run(tmp_path, config=dataclasses.replace(TINY, on_nan="skip"))
    assert "step 6 was left out, its loss is not a number: pictures 40, 41" in caplog.text
    assert [row["skipped"] for row in metrics_of(tmp_path)] == [0, 1]
    for leaf in jax.tree.leaves(state_of(tmp_path)[1]):
        assert np.all(np.isfinite(leaf))


def test_a_run_that_is_spoilt_ends_even_so(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "_MOST_SKIPPED", 3)
    monkeypatch.setattr(steps, "make_train_step", spoiling(range(100)))
    with pytest.raises(UserError, match="at step 3"):
        run(tmp_path, config=dataclasses.replace(TINY, on_nan="skip"))


@pytest.mark.slow
def test_a_step_is_the_same_whether_or_not_it_could_be_left_out(tmp_path):
    for on_nan in ("stop", "skip"):
        run(tmp_path / on_nan, config=dataclasses.replace(TINY, on_nan=on_nan))
    jax.tree.map(np.testing.assert_array_equal, state_of(tmp_path / "stop")[1], state_of(tmp_path / "skip")[1])


@pytest.mark.slow
def test_killed_twenty_times_the_run_ends_as_an_unbroken_one(tmp_path):
    """It saves after each step, so that saves are hit too, and has more steps than it takes in that time."""
    steps = "--steps=100"
    run_to_the_end(tmp_path / "unbroken", steps)
    chance, reached, until_saved = random.Random(1), [], 0.0
    for _ in range(20):
        began = time.monotonic()
        process = start(tmp_path / "killed", steps)
        while not until_saved and process.poll() is None and newest_step(tmp_path / "killed") is None:
            time.sleep(0.1)
        # Kills come around its first save, however long this machine takes until there.
        until_saved = until_saved or time.monotonic() - began
        time.sleep(max(0, began + chance.uniform(0.7, 1.2) * until_saved - time.monotonic()))
        process.kill()
        _, err = process.communicate()
        assert process.returncode == -signal.SIGKILL, err[-500:]
        reached.append(newest_step(tmp_path / "killed") or 0)
    assert reached == sorted(reached)
    assert 0 < reached[-1] < 200
    run_to_the_end(tmp_path / "killed", steps)
    assert_same_run(tmp_path / "unbroken", tmp_path / "killed")
    assert all(path.name.isdigit() for path in (tmp_path / "killed" / "checkpoints").iterdir() if path.is_dir())


def test_what_a_kill_left_of_a_save_is_cleared_away(begun):
    (begun / "checkpoints" / "12.orbax-checkpoint-tmp").mkdir()
    run(begun, config=LONGER)
    assert all(path.name.isdigit() for path in (begun / "checkpoints").iterdir() if path.is_dir())
