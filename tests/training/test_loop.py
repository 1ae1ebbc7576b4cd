"""Whole runs of a small task: learning, going on, stopping, refusing."""

import dataclasses
import json
import os
import shutil
import signal
import threading
from functools import partial

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest
from PIL import Image
from sources import Bars, Blank, Broken, Failing, Interrupting, bars_task

import crnn_jax
from crnn_jax import Config, UserError, tasks, weights
from crnn_jax.data.folder import split_of
from crnn_jax.errors import Interrupted
from crnn_jax.locate import NoFormula
from crnn_jax.recognizer import Recognizer
from crnn_jax.tasks import from_folder
from crnn_jax.training import loop, profiling, report, steps
from crnn_jax.training.checkpoint import Checkpoints
from crnn_jax.training.loop import train
from crnn_jax.training.setup import scarce_columns

# Without recurrent layers, because the suite spends its time on compilation; test_kill has them.
TINY = Config(
    backbone="light",
    rnn="none",
    hidden=16,
    dropout=0.1,
    epochs=2,
    steps_per_epoch=4,
    batch_size=8,
    learning_rate=1e-3,
    workers=0,
    validation_examples=10,
    eval_examples=10,
)
ONE = jax.devices()[:1]


def run(workdir, task=None, config=TINY, **options):
    return train(task or bars_task(), config, workdir, **{"devices": ONE, **options})


def state_of(workdir):
    """Everything that a checkpoint holds, but for the time that it took."""
    checkpoints = Checkpoints(workdir / "checkpoints", writable=False)
    newest = checkpoints.newest
    optimizer = ocp.StandardCheckpointer().restore(workdir / "checkpoints" / str(newest) / "optimizer")
    items = [checkpoints.weights(newest), optimizer]
    progress = json.loads((workdir / "checkpoints" / str(newest) / "progress" / "metadata").read_text())
    description = checkpoints.describe(newest)
    checkpoints.close()
    return checkpoints.step(newest), items, progress["data"], description["metrics"]


def newest_step(workdir):
    newest = Checkpoints(workdir / "checkpoints", writable=False).newest
    return None if newest is None else Checkpoints.step(newest)


TIMES = ("images_per_second", "waited_for_batches")


def metrics_of(workdir):
    rows = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in row.items() if name not in TIMES} for row in rows]


def assert_same_run(first, second):
    a, b = state_of(first), state_of(second)
    assert (a[0], a[2], a[3]) == (b[0], b[2], b[3])
    jax.tree.map(np.testing.assert_array_equal, a[1], b[1])
    assert metrics_of(first) == metrics_of(second)


def full_disk(*args, **kwargs):
    raise OSError(28, os.strerror(28))


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("unbroken")
    return workdir, run(workdir)


def test_run_s_directory_holds_what_it_should(unbroken):
    workdir, report = unbroken
    result = json.loads((workdir / "result.json").read_text())
    assert {"exact_match", "exact_match_document", "cer", "examples", "parameters", "train_images_per_second"} <= set(result)
    assert result["examples"] == report.examples == 10
    assert result["loss"] > 0
    assert result["judge"] == "the tests"
    assert json.loads((workdir / "config.json").read_text())["config"]["hidden"] == 16
    assert [row["step"] for row in metrics_of(workdir)] == [4, 8]
    for name in ("curves", "readings", "confusions", "columns"):
        assert (workdir / "plots" / f"{name}.png").stat().st_size > 2000


def test_same_seed_gives_the_same_run(unbroken, tmp_path):
    run(tmp_path)
    assert_same_run(unbroken[0], tmp_path)


def test_other_seed_gives_another_run(unbroken, tmp_path):
    run(tmp_path, config=crnn_jax.Config(**{**vars(TINY), "seed": 1}))
    assert state_of(tmp_path)[3]["val_loss"] != state_of(unbroken[0])[3]["val_loss"]


@pytest.mark.parametrize("step", [2, 6])
def test_killed_and_resumed_run_equals_an_unbroken_one_bit_for_bit(unbroken, tmp_path, monkeypatch, step):
    monkeypatch.setattr(loop, "_SAVE_SECONDS", 0)  # saves after each step
    with pytest.raises(RuntimeError, match="as if killed"):
        run(tmp_path, bars_task(partial(Failing, index=step * TINY.batch_size + 3)))
    assert 0 < newest_step(tmp_path) < 8
    run(tmp_path)
    assert_same_run(unbroken[0], tmp_path)


def test_averages_are_read_with_and_go_on_bit_for_bit(tmp_path, monkeypatch):
    config = dataclasses.replace(TINY, ema=0.9)
    run(tmp_path / "unbroken", config=config)
    monkeypatch.setattr(loop, "_SAVE_SECONDS", 0)
    with pytest.raises(RuntimeError, match="as if killed"):
        run(tmp_path / "killed", bars_task(partial(Failing, index=6 * TINY.batch_size + 3)), config)
    run(tmp_path / "killed", config=config)
    assert_same_run(tmp_path / "unbroken", tmp_path / "killed")
    _, (weights, optimizer), _, _ = state_of(tmp_path / "unbroken")
    averages, last = (tree["params"]["classifier"]["kernel"] for tree in (weights, optimizer))
    assert not np.array_equal(averages, last)
    np.testing.assert_allclose(averages, last, atol=0.02)


def test_a_run_that_chooses_its_pictures_goes_on_bit_for_bit(unbroken, tmp_path, monkeypatch):
    chooser, network = tmp_path / "chooser.safetensors", crnn_jax.load(unbroken[0])
    weights.save(chooser, network.variables, network.description)
    config = dataclasses.replace(TINY, candidates=3, chooser=str(chooser))
    report = run(tmp_path / "unbroken", config=config)
    assert report.train_images == 8 * TINY.batch_size
    assert metrics_of(tmp_path / "unbroken") != metrics_of(unbroken[0])
    monkeypatch.setattr(loop, "_SAVE_SECONDS", 0)
    with pytest.raises(RuntimeError, match="as if killed"):
        run(tmp_path / "killed", bars_task(partial(Failing, index=(5 * 3 + 1) * TINY.batch_size)), config)
    run(tmp_path / "killed", config=config)
    assert_same_run(tmp_path / "unbroken", tmp_path / "killed")
    weights.save(chooser, jax.tree.map(lambda x: 0.9 * x, network.variables), network.description)
    with pytest.raises(UserError, match="chooser_weights is"):
        run(tmp_path / "killed", config=config)


def test_a_network_for_other_pictures_can_t_choose(tmp_path):
    with pytest.raises(UserError, match="captcha can't choose: it was trained on other characters"):
        run(tmp_path / "run", config=dataclasses.replace(TINY, candidates=2, chooser="captcha"))
    assert not (tmp_path / "run").exists()
    with pytest.raises(UserError, match="captcha can't choose from 1 candidate: candidates must be at least 2"):
        dataclasses.replace(TINY, chooser="captcha")


def test_what_is_due_is_saved_once(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "_SAVE_SECONDS", -1)  # always due
    saved, save = [], Checkpoints.save
    monkeypatch.setattr(Checkpoints, "save", lambda self, step, *rest: (saved.append(step), save(self, step, *rest)))
    run(tmp_path, config=dataclasses.replace(TINY, epochs=1, steps_per_epoch=9))
    # A request travels with a step, and is known when the next is under way; the last is saved before it is validated, too.
    assert saved == [2, 4, 6, 8, 9, 9]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_saves_and_the_run_goes_on(unbroken, tmp_path, number):
    before = signal.getsignal(number)
    with pytest.raises(Interrupted, match="the same command goes on"):
        run(tmp_path, bars_task(partial(Interrupting, index=5 * TINY.batch_size, number=number)))
    assert signal.getsignal(number) is before
    assert newest_step(tmp_path) in range(1, 8)
    run(tmp_path)
    assert_same_run(unbroken[0], tmp_path)


def test_signal_in_the_only_step_of_the_last_epoch_saves(tmp_path):
    short = dataclasses.replace(TINY, epochs=1, steps_per_epoch=1)
    with pytest.raises(Interrupted, match="stopped at step 1, all saved"):
        run(tmp_path, bars_task(partial(Interrupting, index=1, number=signal.SIGINT)), config=short)
    assert newest_step(tmp_path) == 1
    assert metrics_of(tmp_path) == []


def test_signal_in_the_validation_saves_and_validates_again(unbroken, tmp_path):
    def source(split, seed):
        index = 3 if split == "validation" else -1
        return Interrupting(split, seed, index=index, number=signal.SIGINT)

    with pytest.raises(Interrupted):
        run(tmp_path, bars_task(source))
    assert newest_step(tmp_path) == 4
    assert metrics_of(tmp_path) == []
    run(tmp_path)
    assert_same_run(unbroken[0], tmp_path)


def test_validated_checkpoint_that_can_t_be_saved_leaves_the_one_before(unbroken, tmp_path, monkeypatch):
    def source(split, seed):
        return Interrupting(split, seed, index=3 if split == "validation" else -1, number=signal.SIGINT)

    with pytest.raises(Interrupted):
        run(tmp_path, bars_task(source))
    with monkeypatch.context() as patch:
        patch.setattr("orbax.checkpoint.CheckpointManager.save", full_disk)
        with pytest.raises(UserError, match="could not be saved"):
            run(tmp_path)
    assert newest_step(tmp_path) == 4
    run(tmp_path)
    assert_same_run(unbroken[0], tmp_path)


def test_finished_run_is_only_judged_again(unbroken, caplog):
    workdir, report = unbroken
    before = state_of(workdir)[0]
    again = run(workdir)
    assert "all 8 steps are done" in caplog.text
    assert state_of(workdir)[0] == before
    assert (again.exact_match, again.cer) == (report.exact_match, report.cer)


def test_more_epochs_go_on_and_the_change_is_said(tmp_path, caplog):
    run(tmp_path, config=Config(**{**vars(TINY), "epochs": 1}))
    assert (tmp_path / "result.json").exists()
    with pytest.raises(Interrupted):
        run(tmp_path, bars_task(partial(Interrupting, index=5 * TINY.batch_size, number=signal.SIGINT)))
    assert not (tmp_path / "result.json").exists()  # of the shorter run
    run(tmp_path)
    assert "epochs was 1 and is 2" in caplog.text
    assert "going on from step 4 of 8" in caplog.text
    assert (tmp_path / "result.json").exists()
    assert state_of(tmp_path)[0] == 8


def test_best_and_two_newest_are_kept_and_the_best_is_loaded(tmp_path):
    config = Config(**{**vars(TINY), "epochs": 4, "lr_schedule": "constant", "learning_rate": 3e-2})
    report = run(tmp_path, config=config)
    losses = {row["step"]: row["val_loss"] for row in metrics_of(tmp_path)}
    best = min(losses, key=losses.get)
    kept = {Checkpoints.step(int(p.name)) for p in (tmp_path / "checkpoints").iterdir() if p.name.isdigit()}
    assert kept == {best, 12, 16}  # a newest one that is damaged has one before it
    assert report.step == best
    assert crnn_jax.load(tmp_path).description["metrics"]["val_loss"] == losses[best]


def test_weights_of_every_epoch_are_kept_if_asked(tmp_path):
    run(tmp_path, config=dataclasses.replace(TINY, epochs=4, steps_per_epoch=1, keep_all=True))
    readers = [crnn_jax.load(tmp_path, step=step) for step in (1, 2, 3, 4)]
    assert len({float(np.sum(reader.description["metrics"]["val_loss"])) for reader in readers}) == 4
    with pytest.raises(UserError, match="no validated checkpoint of step 9 was kept; there are those of steps 1, 2, 3, 4"):
        crnn_jax.load(tmp_path, step=9)
    assert crnn_jax.load(f"{tmp_path}@3").description == readers[2].description  # as a flag has it


def test_alternate_goes_on_from_the_best_weights_and_resumes_at_a_restart(tmp_path, monkeypatch):
    # The first stage's rate is far too high, so that its second epoch is worse than its first.
    config = dataclasses.replace(
        TINY, epochs=5, steps_per_epoch=2, learning_rate=0.3, lr_schedule="alternate", keep_all=True, dropout=0.0
    )
    restarts = []
    restart = loop._Run._restart

    def noting(self):
        restart(self)
        restarts.append((self._step, jax.tree.leaves(steps.unreplicate(self._state.params))[0].copy()))

    monkeypatch.setattr(loop._Run, "_restart", noting)
    run(tmp_path / "whole", config=config)
    assert [step for step, _ in restarts] == [2, 4, 6, 8]
    rows = [json.loads(line) for line in (tmp_path / "whole" / "metrics.jsonl").read_text().splitlines()]
    checkpoints = Checkpoints(tmp_path / "whole" / "checkpoints", writable=False)
    for step, first in restarts:
        best = min((row for row in rows if row["step"] <= step), key=lambda row: row["val_loss"])
        np.testing.assert_array_equal(first, jax.tree.leaves(checkpoints.weights(2 * best["step"] + 1)["params"])[0])
    checkpoints.close()
    # Killed right after a stage's last save, it restarts in the same way.
    with pytest.raises(RuntimeError):
        run(tmp_path / "killed", task=bars_task(partial(Failing, index=4 * 8 + 1)), config=config)
    run(tmp_path / "killed", config=config)
    jax.tree.map(np.testing.assert_array_equal, state_of(tmp_path / "whole"), state_of(tmp_path / "killed"))


def test_averages_begin_a_stage_too(tmp_path):
    config = dataclasses.replace(TINY, epochs=2, steps_per_epoch=1, lr_schedule="alternate", ema=0.9)
    assert run(tmp_path, config=config).train_images == 2 * TINY.batch_size


@pytest.mark.slow
def test_small_task_is_learned(tmp_path):
    config = Config(
        backbone="light", hidden=32, epochs=3, steps_per_epoch=60, batch_size=32, workers=0, validation_examples=200
    )
    assert run(tmp_path, config=config).exact_match > 0.97


def test_validation_that_is_no_number_is_not_saved(tmp_path):
    """The step that spoils the parameters reports the last good loss: only the validation shows it."""
    short = Config(**{**vars(TINY), "steps_per_epoch": 1, "lr_schedule": "constant", "clip_norm": None})
    run(tmp_path, config=Config(**{**vars(short), "epochs": 1}))
    with pytest.raises(UserError, match="not a number at step 2"):
        run(tmp_path, config=Config(**{**vars(short), "learning_rate": 1e30}))
    assert newest_step(tmp_path) == 1
    assert [row["step"] for row in metrics_of(tmp_path)] == [1]


def test_blanks_and_few_columns_are_explained_once(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(loop, "_BLANK_STEPS", 3)
    run(
        tmp_path,
        bars_task(Blank, max_length=5),
        Config(**{**vars(TINY), "learning_rate": 0.05, "lr_schedule": "constant", "steps_per_epoch": 20}),
    )
    assert caplog.text.count("nothing but blanks is read so far: that is normal") == 1
    assert "still nothing but blanks" in caplog.text
    assert caplog.text.count("8 columns for texts of up to 5 characters") == 1


def test_loss_that_is_no_number_stops_the_run_and_keeps_the_checkpoint(tmp_path):
    run(tmp_path, config=Config(**{**vars(TINY), "epochs": 1}))
    wild = Config(**{**vars(TINY), "learning_rate": 1e30, "lr_schedule": "constant", "clip_norm": None})
    with pytest.raises(UserError, match=r"not a number at step [567].*the checkpoint of step 4 is kept"):
        run(tmp_path, config=wild)
    assert state_of(tmp_path)[0] == 4


@pytest.mark.parametrize(
    ("task", "config", "message"),
    [
        (bars_task(alphabet=crnn_jax.Alphabet("012")), TINY, "alphabet is '01', not '012'"),
        (bars_task(), Config(**{**vars(TINY), "hidden": 8}), "config.hidden is 16, not 8"),
        (bars_task(), Config(**{**vars(TINY), "seed": 3}), "config.seed is 0, not 3"),
    ],
)
def test_directory_of_another_run_is_refused(unbroken, task, config, message):
    with pytest.raises(UserError, match=message):
        run(unbroken[0], task, config)
    assert state_of(unbroken[0])[0] == 8


def test_resume_never_refuses_a_started_run(unbroken):
    with pytest.raises(UserError, match="holds a run already"):
        run(unbroken[0], resume=False)


def test_a_refused_start_leaves_its_directory_to_others(tmp_path):
    with pytest.raises(UserError, match="nowhere: there is no such directory"):
        run(tmp_path, config=dataclasses.replace(TINY, init_from="nowhere"))
    run(tmp_path, config=dataclasses.replace(TINY, epochs=1))
    assert json.loads((tmp_path / "config.json").read_text())["config"]["init_from"] is None


@pytest.mark.parametrize("text", ["[]", "{"])
def test_a_config_that_is_of_something_else_is_refused(unbroken, tmp_path, text):
    shutil.copytree(unbroken[0], tmp_path / "run")
    (tmp_path / "run" / "config.json").write_text(text)
    with pytest.raises(UserError, match=r"config\.json: isn't of a run"):
        run(tmp_path / "run")


def test_the_first_picture_that_can_be_prepared_is_plotted(tmp_path):
    class Unlocated(Bars):
        """The first two pictures of the test can't be prepared."""

        def __getitem__(self, index):
            example = super().__getitem__(index)
            return example._replace(image=example.image * (index > 1)) if self.key[0] == "test" else example

    model = crnn_jax.load("level2-light")
    prepare = Recognizer.prepare

    def refuse_black(self, image):
        if not image.any():
            raise NoFormula("nothing in it")
        return prepare(self, image)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Recognizer, "prepare", refuse_black)
        picture = report._exhibit(bars_task(Unlocated), 0, model)
    np.testing.assert_array_equal(picture.image, model.prepare(Bars("test", 0)[2].image).image)


def test_directory_that_can_t_be_written(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="can't be written"):
        run(tmp_path / "file" / "run")


def test_batch_that_can_t_be_shared_out(tmp_path):
    with pytest.raises(UserError, match="batch_size 8 can't be spread evenly over 3 devices"):
        run(tmp_path, devices=jax.devices()[:3])


def test_texts_longer_than_the_columns_are_refused_before_training(tmp_path):
    with pytest.raises(UserError, match="texts of 9 characters need 9, and light gives 8"):
        run(tmp_path, bars_task(max_length=9))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("preparation", "config", "told"),
    [
        (tasks.LEVEL2_STRIPS, Config(backbone="vgg346", drop_columns=2), None),
        (tasks.LEVEL2_STRIPS, Config(backbone="vgg2222", drop_columns=2), "66 columns for texts of up to 46 characters"),
        (tasks.LEVEL2_STRIPS, Config(backbone="vgg2222", head="attention"), None),
        (tasks.LEVEL2_LINES, Config(), None),  # 88 in each of three lines
    ],
)
def test_how_many_columns_are_few(preparation, config, told):
    said = scarce_columns(dataclasses.replace(tasks.level2(), preparation=preparation), config)
    assert said is None if told is None else said.startswith(told)


def test_pictures_too_low_for_a_backbone_are_refused(tmp_path):
    with pytest.raises(UserError, match="vgg222 leaves nothing of a height of 16 pixels"):
        run(tmp_path, bars_task(max_length=1), dataclasses.replace(TINY, backbone="vgg222"))


def test_training_in_another_thread_leaves_signals_alone(tmp_path):
    reports = []
    thread = threading.Thread(target=lambda: reports.append(run(tmp_path, config=Config(**{**vars(TINY), "epochs": 1}))))
    thread.start()
    thread.join()
    assert reports[0].examples == 10


def test_full_disk_gives_one_line_and_keeps_what_was_saved(tmp_path, monkeypatch):
    run(tmp_path, config=Config(**{**vars(TINY), "epochs": 1}))
    monkeypatch.setattr("orbax.checkpoint.CheckpointManager.save", full_disk)
    with pytest.raises(UserError, match=r"could not be saved.*No space left"):
        run(tmp_path)
    assert state_of(tmp_path)[0] == 4


def test_a_folder_with_a_corrupt_picture_is_learned_from(tmp_path, caplog):
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    texts = []
    for i in range(120):
        example = Bars("train", 0)[i]
        texts.append(example.text)
        Image.fromarray(example.image).save(pictures / f"{i}.png")
    broken = [i for i in range(120) if split_of(f"{i}.png") == "train"][:2]
    for i in broken:
        (pictures / f"{i}.png").write_bytes(b"no picture")
    (pictures / "labels.txt").write_text("".join(f"{text}\n" for text in texts))
    task = from_folder(bars_task(), pictures)
    report = run(tmp_path / "run", task, dataclasses.replace(TINY, epochs=1, steps_per_epoch=16))
    assert report.examples == len(task.source("test", 0)) < TINY.eval_examples
    row = metrics_of(tmp_path / "run")[-1]
    assert row["unreadable"] == 2
    for i in broken:
        assert caplog.text.count(f"left out: {pictures / f'{i}.png'}") == 1  # though every epoch meets it


def test_a_run_does_not_go_on_with_other_data(tmp_path):
    run(tmp_path, bars_task(data={"folder": "a", "digest": "1"}), dataclasses.replace(TINY, epochs=1))
    with pytest.raises(UserError, match=r"holds another run \(data.digest is '1', not '2'\)"):
        run(tmp_path, bars_task(data={"folder": "a", "digest": "2"}))


def test_a_run_from_before_an_option_was_there_goes_on(tmp_path):
    run(tmp_path, config=dataclasses.replace(TINY, epochs=1))
    config = json.loads((tmp_path / "config.json").read_text())
    del config["preparation"]["enlarge"], config["preparation"]["widths"]
    del config["config"]["init_from"], config["config"]["head"], config["config"]["positions"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    run(tmp_path)
    assert len(metrics_of(tmp_path)) == TINY.epochs


def test_a_split_without_a_readable_picture_ends_the_run(tmp_path):
    with pytest.raises(UserError, match=r"no picture to judge by: 0.png"):
        run(tmp_path, bars_task(Broken))


@pytest.mark.slow
def test_steps_are_recorded_on_request(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(profiling, "_UNPROFILED_STEPS", 1)
    run(tmp_path, config=dataclasses.replace(TINY, profile_steps=2))
    assert list((tmp_path / "profile").rglob("*.xplane.pb"))
    assert "steps recorded: tensorboard --logdir" in caplog.text
    run(tmp_path / "again", config=dataclasses.replace(TINY, profile_steps=100))  # more than there are
    assert list((tmp_path / "again" / "profile").rglob("*.xplane.pb"))


@pytest.mark.slow
def test_epochs_of_one_step(tmp_path):
    run(tmp_path, config=dataclasses.replace(TINY, epochs=21, steps_per_epoch=1, rnn="none"))
    assert len(metrics_of(tmp_path)) == 21
