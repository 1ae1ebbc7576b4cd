"""The training loop: the same for every task."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import NoReturn

import jax
import numpy as np
from tqdm import tqdm

from crnn_jax.decoding import Decoder
from crnn_jax.drawing.random import Split
from crnn_jax.errors import Interrupted, UserError
from crnn_jax.host import prepare_cpu, prepare_gpu
from crnn_jax.recognizer import Recognizer
from crnn_jax.tasks import Task
from crnn_jax.training import hosts, steps
from crnn_jax.training.checkpoint import Checkpoints, Progress
from crnn_jax.training.config import Config
from crnn_jax.training.evaluation import Evaluation, evaluate
from crnn_jax.training.feed import Feed
from crnn_jax.training.finetune import begin_with
from crnn_jax.training.heartbeat import heartbeat
from crnn_jax.training.log import TensorBoard, logger, progress_bar
from crnn_jax.training.meters import Clock, EpochSums, Health
from crnn_jax.training.monitor import MainMonitor, Monitor
from crnn_jax.training.profiling import Profile
from crnn_jax.training.report import Report, judge, summary
from crnn_jax.training.rundir import RunDirectory, describe
from crnn_jax.training.schedules import make_schedule, without_memory
from crnn_jax.training.setup import build, check, default_devices, name_devices, scarce_columns
from crnn_jax.training.signals import stop_signals
from crnn_jax.training.state import TrainState, parameter_count
from crnn_jax.weights import digest

_SAVE_SECONDS = 300.0  # a kill loses five minutes at most
_MOST_SKIPPED = 20  # steps in a row whose loss is no number, after which a run ends in any case
_BLANK_STEPS = 50  # steps with nothing but blanks until the log explains it


def train(
    task: Task,
    config: Config,
    workdir: str | Path,
    *,
    resume: bool = True,
    devices: Sequence[jax.Device] | None = None,
) -> Report:
    """Trains a network on a task, or goes on with a run that ended before its end.

    The run's directory then holds ``config.json``, ``metrics.jsonl``, ``checkpoints/``, ``plots/*.png`` and ``result.json``.

    Args:
        task: what to read.
        config: how to learn it.
        workdir: the run's directory.
        resume: go on where a run in that directory stands; False: refuse if there is one.
        devices: to train on; None: all of all processes, or of a single one's CPU as many as divide the batch.

    Returns:
        Figures on the task's test split.

    Raises:
        UserError: something that the user can mend; what was saved before is still there.
        Interrupted: Ctrl-C or SIGTERM.
    """
    prepare_cpu()
    prepare_gpu()
    if config.head == "attention" and not config.positions:
        config = replace(config, positions=task.max_length)  # into the checkpoint: reading knows no task
    devices = list(devices or default_devices(config.batch_size))
    directory = RunDirectory(Path(workdir))
    wanted, chooser = check(task, config, directory, devices, resume=resume)
    with ExitStack() as stack:
        with hosts.all_or_none():
            if hosts.is_main():
                stack.enter_context(directory.claim(wanted))
            else:
                logger.setLevel(logging.WARNING)
        if hosts.count() > 1:
            stack.enter_context(heartbeat(directory.hosts, hosts.number(), hosts.count()))
        run = _Run(task, config, directory, devices, chooser, stack)
        run.train()
        return run.judge()


class _Run:
    """A run in memory. Resources are closed by the stack that it is given."""

    def __init__(
        self,
        task: Task,
        config: Config,
        directory: RunDirectory,
        devices: list[jax.Device],
        chooser: Recognizer | None,
        stack: ExitStack,
    ) -> None:
        self._task, self._config, self._directory, self._devices = task, config, directory, devices
        self._local = sum(device.process_index == hosts.number() for device in devices)
        self._alone = hosts.count() == 1
        self._stop = stack.enter_context(stop_signals())
        self._checkpoints = stack.enter_context(closing(Checkpoints(directory.checkpoints, keep_all=config.keep_all)))
        tensorboard = stack.enter_context(closing(TensorBoard(directory.path / "tensorboard" if hosts.is_main() else None)))
        self._train_step, self._eval_step, self._key, state = build(task, config, devices, chooser)
        self._parameters = parameter_count(state.params)
        self._feed = Feed(task, config, devices, stack)
        self._step, self._epoch, self._clock, self._health = 0, EpochSums(), Clock(), Health()
        # A step whose metrics are still on the devices, and the numbers of its pictures.
        self._pending: tuple[int, dict[str, jax.Array], np.ndarray] | None = None
        self._requests: set[str] = set()
        self._saved = time.monotonic()
        state = self._begin(state)
        self._state = steps.replicate(state, devices)
        # The row of a step is written before its validated checkpoint.
        after = self._step - bool(self._epoch.steps)
        with hosts.all_or_none():
            self._monitor = MainMonitor(config, directory, tensorboard, after) if hosts.is_main() else Monitor(config)

    def _begin(self, fresh: TrainState) -> TrainState:
        """The state to begin with; all else goes on where the newest checkpoint stands, if there is one."""
        with hosts.all_or_none():
            restored = self._checkpoints.restore_newest(fresh)
        if len(set(hosts.gather(restored and restored[0]))) > 1:
            where = self._directory.checkpoints
            raise UserError(f"the processes see different checkpoints in {where}: do all see the same disk?")
        if not self._alone:
            self._checkpoints.reload()  # one process may have put damaged ones aside
        if restored is None:
            return self._begin_with(fresh, self._config.init_from) if self._config.init_from else fresh
        number, state, progress = restored
        self._step, self._epoch = self._checkpoints.step(number), EpochSums(**progress.sums)
        self._clock = Clock(progress.seconds, progress.images, progress.waited)
        before = self._checkpoints.describe(number)["data"]
        if before.get("folder") == self._task.data.get("folder"):  # or they have other names now, and are told again
            self._feed.unreadable = set(progress.unreadable)
        self._feed.training.set_state(progress.data)
        logger.info("going on from step %d of %d in %s", self._step, self._config.total_steps, self._directory.path)
        return state

    def _begin_with(self, fresh: TrainState, source: str) -> TrainState:
        with hosts.all_or_none():
            state = begin_with(fresh, source, self._task.alphabet)
        if len(set(hosts.gather(digest(state.weights)))) > 1:
            raise UserError(f"the processes find different weights in {source}: do all see the same, and is it trained on now?")
        return state

    def train(self) -> None:
        """Epoch by epoch: trains, validates, logs, saves."""
        config = self._config
        if self._finished:
            logger.info("%s: all %d steps are done", self._directory.path, config.total_steps)
            return
        if hosts.is_main():
            self._directory.result.unlink(missing_ok=True)  # of a shorter run
        network = f"{config.backbone}, {self._parameters:,} parameters, on {name_devices(self._devices)}"
        work = f"{config.epochs} epochs of {config.steps_per_epoch} batches of {config.batch_size} pictures"
        logger.info("%s: %s", network, work)
        if scarce := scarce_columns(self._task, config):
            logger.info("%s", scarce)
        bar = progress_bar(config.total_steps, self._step, description=self._task.name, shown=hosts.is_main())
        with closing(Profile(self._directory.profile, config.profile_steps)) as profile, bar:
            while not self._finished:
                if self._step in config.restarts and not self._epoch.steps:
                    self._restart()
                self._train_epoch(bar, profile)
                self._end_epoch()

    def _restart(self) -> None:
        """Goes on from the best weights, the optimiser's memory of gradients forgotten."""
        best = self._checkpoints.best
        assert best is not None  # a stage has ended, with a save
        logger.info("a new stage, from the weights of step %d", self._checkpoints.step(best))
        state = steps.unreplicate(self._state)
        state = state.replace(opt_state=without_memory(state.opt_state)).with_weights(self._checkpoints.weights(best))
        self._state = steps.replicate(state, self._devices)

    @property
    def _finished(self) -> bool:
        # The sums of an epoch that was trained but not validated are still there.
        return self._step >= self._config.total_steps and self._epoch.steps == 0

    def _train_epoch(self, bar: tqdm, profile: Profile) -> None:
        """Takes the steps that the epoch lacks."""
        self._clock.pause()
        for _ in range(self._config.steps_per_epoch - self._epoch.steps):
            with self._minding_signals(), self._clock.waiting():
                made = next(self._feed.training)
            self._feed.note_unreadable(made.get("unreadable", ()))
            save = hosts.is_main() and time.monotonic() - self._saved > _SAVE_SECONDS
            batch = steps.shard(made, self._local, stop=self._stop.is_set(), save=save)
            self._state, metrics = self._train_step(self._state, batch, self._key)
            self._step += 1
            # A step's metrics are fetched when the next one is under way, so that the device never waits for the host.
            self._collect()
            self._pending = self._step, metrics, made["indices"]
            self._clock.lap(self._config.batch_size)
            self._monitor.after_step(bar, self._step, self._epoch, self._clock)
            profile.after_step()
            self._heed_requests()
        self._collect()
        self._heed_requests()

    def _heed_requests(self) -> None:
        """Saves or stops where a process asked for it: all of them learn of that from the same step, and do it together."""
        if "stop" in self._requests or (self._alone and self._stop.is_set()):
            self._interrupt()
        if "save" in self._requests:
            self._save(None)
            self._clock.pause()

    def _collect(self) -> None:
        """Adds the metrics of the step before, and stops where they are no numbers."""
        if self._pending is None:
            return
        step, arrays, indices = self._pending
        self._pending = None
        metrics = {name: float(value) for name, value in steps.unreplicate(arrays).items()}
        self._requests = {name for name in ("stop", "save") if metrics[name]}
        self._health = self._health.after(metrics)
        if metrics["skipped"]:
            logger.warning("step %d was left out, its loss is not a number: %s", step, self._pictures(indices))
        if self._health.skipped == _MOST_SKIPPED:
            metrics["loss"] = math.nan  # no batch is to blame, but the parameters
        self._check_finite(step, metrics["loss"], metrics["gradient_norm"], indices=indices)
        self._epoch = self._epoch.add(metrics)
        if self._health.blank == _BLANK_STEPS:
            logger.info("nothing but blanks is read so far: that is normal at first, characters appear later")

    def _check_finite(self, step: int, *values: float, indices: np.ndarray | None = None) -> None:
        if not all(map(math.isfinite, values)):
            newest = self._checkpoints.newest
            kept = "nothing was saved" if newest is None else f"the checkpoint of step {self._checkpoints.step(newest)} is kept"
            pictures = "" if indices is None else f" ({self._pictures(indices)})"
            skip = "" if self._config.on_nan == "skip" else ", or --on_nan=skip"
            raise UserError(
                f"the loss is not a number at step {step}{pictures}: try a smaller --learning_rate or --clip_norm{skip}; {kept}"
            )

    def _pictures(self, indices: np.ndarray, most: int = 8) -> str:
        """The pictures of a batch; with candidates it doesn't say which of them were learned."""
        listed = ", ".join(map(str, indices[:most].tolist())) + (" ..." if len(indices) > most else "")
        return f"{'pictures' if self._config.candidates == 1 else 'some of the pictures'} {listed}"

    def _end_epoch(self) -> None:
        evaluation = self._evaluate("validation", self._config.validation_examples)
        self._check_finite(self._step, evaluation.loss)
        row = {
            "step": self._step,
            "epoch": self._step // self._config.steps_per_epoch,
            "loss": self._epoch.mean_loss,
            "val_loss": evaluation.loss,
            **summary(self._task, evaluation.score),
            "infeasible": int(self._epoch.infeasible),
            "unreadable": len(self._unreadable()),
            "skipped": int(self._epoch.skipped),
            "learning_rate": float(make_schedule(self._config)(self._step - 1)),
            "images_per_second": round(self._clock.rate, 1),
            "waited_for_batches": round(self._clock.share_waited, 4),
        }
        self._epoch = EpochSums()
        # The row before the checkpoint: a kill between the two repeats the epoch, and its row is dropped then.
        self._monitor.after_epoch(row, self._clock, blank=self._health.blank >= _BLANK_STEPS)
        self._save({name: row[name] for name in ("val_loss", "exact_match", "exact_match_document", "cer")})

    def _unreadable(self) -> list[str]:
        """Pictures that could not be read, by any process."""
        return sorted(set().union(*hosts.gather(sorted(self._feed.unreadable))))

    def _save(self, metrics: dict[str, float] | None) -> None:
        self._collect()
        self._requests.discard("save")  # the step after the one that asked for it asked too
        clock, data = self._clock, self._feed.training.get_state()
        progress = Progress(data, asdict(self._epoch), clock.seconds, clock.images, self._unreadable(), clock.waited)
        description = {**describe(self._task), "config": asdict(self._config)}
        self._checkpoints.save(self._step, steps.unreplicate(self._state), progress, description, metrics)
        self._saved = time.monotonic()

    @contextmanager
    def _minding_signals(self) -> Iterator[None]:
        """A signal to all of a process group ends the workers too, which must not look like a fault of theirs."""
        try:
            yield
        except UserError:
            if self._stop.is_set() and self._alone:  # the others would wait for this one in another place
                self._interrupt()
            raise

    def _interrupt(self) -> NoReturn:
        self._collect()
        if not self._finished:
            self._save(None)
        raise Interrupted(f"stopped at step {self._step}, all saved: the same command goes on from there")

    def judge(self) -> Report:
        """Reads the test split with the best weights; writes ``result.json`` and the plots."""
        best = self._checkpoints.best
        assert best is not None  # training ends with a save
        step, weights = self._checkpoints.step(best), self._checkpoints.weights(best)
        self._state = self._state.with_weights(steps.replicate(weights, self._devices))
        examples = min(self._config.eval_examples, self._feed.sizes["test"])
        logger.info("judging the weights of step %d on %d pictures by %s", step, examples, self._task.judge)
        evaluation = self._evaluate("test", examples)
        return judge(
            self._task,
            self._config,
            self._directory,
            evaluation,
            weights,
            self._clock,
            step=step,
            trained=self._step,
            parameters=self._parameters,
            devices=name_devices(self._devices),
        )

    def _evaluate(self, split: Split, examples: int) -> Evaluation:
        examples = min(examples, self._feed.sizes[split])
        bar = progress_bar(examples, unit="image", description=split, leave=False, shown=hosts.is_main())

        def after_batch(count: int) -> None:
            bar.update(count)
            if self._stop.is_set() and self._alone:  # the others would wait for this one's part
                self._interrupt()

        with self._minding_signals(), bar:
            batches = self._feed.evaluation(split, examples)
            decoder = Decoder(self._task.alphabet, self._task.grammar)
            evaluation = evaluate(self._eval_step, self._state, batches, decoder, self._local, after_batch=after_batch)
        self._feed.note_unreadable(evaluation.unreadable)
        return evaluation
