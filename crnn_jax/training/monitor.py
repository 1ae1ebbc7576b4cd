"""Telling how a run goes, while it trains."""

from __future__ import annotations

from typing import Any

from tqdm import tqdm

from crnn_jax.training.config import Config
from crnn_jax.training.log import MetricsFile, TensorBoard, duration, logger
from crnn_jax.training.meters import Clock, EpochSums
from crnn_jax.training.rundir import RunDirectory
from crnn_jax.training.status import StatusFile

_ESTIMATE_STEPS = 20  # steps until the log says how long the run will take


class Monitor:
    """Tells how a run goes by log lines alone, as processes other than the main one do."""

    def __init__(self, config: Config) -> None:
        self._config = config

    def after_step(self, bar: tqdm, step: int, epoch: EpochSums, clock: Clock) -> None:
        """Tells of a step, with the sums of the epoch so far."""

    def after_epoch(self, row: dict[str, Any], clock: Clock, *, blank: bool) -> None:
        """Tells of an epoch: its row of ``metrics.jsonl``, and whether for long nothing but blanks has been read."""
        logger.info(
            "epoch %d of %d: loss %.4f, validation loss %.4f, exact match %.2f%%, CER %.3f%%, %.0f images/s",
            row["epoch"],
            self._config.epochs,
            row["loss"],
            row["val_loss"],
            100 * row["exact_match"],
            100 * row["cer"],
            clock.rate,
        )
        if blank:
            logger.info("still nothing but blanks is read: if that lasts for many epochs, try another --learning_rate")
        if row["infeasible"]:
            logger.warning("%d labels are too long for their columns and were left out", row["infeasible"])


class MainMonitor(Monitor):
    """Tells it by a bar, ``status.json``, ``metrics.jsonl`` (see `MetricsFile` for ``after``) and TensorBoard too."""

    def __init__(self, config: Config, directory: RunDirectory, tensorboard: TensorBoard, after: int) -> None:
        super().__init__(config)
        self._status = StatusFile(directory.status, config.total_steps, config.batch_size)
        self._metrics = MetricsFile(directory.metrics, after)
        self._tensorboard, self._steps = tensorboard, 0

    def after_step(self, bar: tqdm, step: int, epoch: EpochSums, clock: Clock) -> None:
        """Tells of a step, with the sums of the epoch so far."""
        if epoch.steps:  # metrics come a step late
            bar.set_postfix_str(f"loss {epoch.mean_loss:.3f}, {clock.rate:.0f} images/s", refresh=False)
        bar.update()
        if epoch.steps:
            self._status.note(step, epoch.mean_loss, clock.rate)
        self._steps += 1
        if self._steps == _ESTIMATE_STEPS and clock.rate:
            left = (self._config.total_steps - step) * self._config.batch_size / clock.rate
            logger.info("%.0f images/s: about %s of training to go", clock.rate, duration(left))

    def after_epoch(self, row: dict[str, Any], clock: Clock, *, blank: bool) -> None:
        """Tells of an epoch, and writes its row."""
        super().after_epoch(row, clock, blank=blank)
        self._metrics.write(row)
        self._tensorboard.write(row["step"], row)
