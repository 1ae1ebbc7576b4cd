"""What a run came to: figures and plots."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

from crnn_jax import plots
from crnn_jax.box import Traced
from crnn_jax.data.images import UnreadableImage
from crnn_jax.metrics import Score, wilson_interval
from crnn_jax.recognizer import Recognizer
from crnn_jax.tasks import Task
from crnn_jax.training import hosts
from crnn_jax.training.config import Config
from crnn_jax.training.evaluation import Evaluation
from crnn_jax.training.log import logger, read_metrics, write_json
from crnn_jax.training.meters import Clock
from crnn_jax.training.rundir import RunDirectory

_EXHIBITS = 10  # test pictures, of which the first that can be read is plotted


@dataclass(frozen=True)
class Report:
    """What a run came to.

    Attributes:
        exact_match: share of readings that equal their text, whole.
        exact_match_document: the same with readings cut to the text's length.
        cer: character error rate.
        loss: the mean; CTC's, or the cross-entropy of the attention head.
        examples: that were read for these figures.
        interval: of ``exact_match``, 95%.
        judge: who drew the pictures.
        step: whose weights were judged: those with the least validation loss.
        parameters: of the network.
        train_images: trained on.
        train_seconds: that this took, drawing included; compilation, validation and saving left out.
        train_images_per_second: one over the other.
        devices: trained on.
        waited_for_batches: share of these seconds in which it waited for the next batch.
        exact_value: share of readings that come to the same as their text; None for a task that computes nothing.
        computable: share of readings that are texts of the grammar; None for a task without one.
    """

    exact_match: float
    exact_match_document: float
    cer: float
    loss: float
    examples: int
    interval: tuple[float, float]
    judge: str
    step: int
    parameters: int
    train_images: int
    train_seconds: float
    train_images_per_second: float
    devices: str
    waited_for_batches: float = 0.0
    exact_value: float | None = None
    computable: float | None = None


def summary(task: Task, score: Score) -> dict[str, float]:
    """Those figures that come of reading alone."""
    return score.summary() | score.grammar_summary(task.grammar)


def judge(
    task: Task,
    config: Config,
    directory: RunDirectory,
    evaluation: Evaluation,
    weights: dict[str, Any],
    clock: Clock,
    *,
    step: int,
    trained: int,
    parameters: int,
    devices: str,
) -> Report:
    """Reports in ``result.json``, plots and the log how the weights of a step read the test split.

    Of the training it tells the time, the steps in all, the number of parameters and the devices.
    """
    score = evaluation.score
    report = Report(
        **summary(task, score),  # type: ignore[arg-type]
        loss=evaluation.loss,
        interval=wilson_interval(score.exact, score.examples),
        judge=task.judge,
        step=step,
        parameters=parameters,
        train_images=trained * config.batch_size,
        train_seconds=round(clock.seconds, 1),
        train_images_per_second=round(clock.rate, 1),
        waited_for_batches=round(clock.share_waited, 4),
        devices=devices,
    )
    if hosts.is_main():
        write_json(directory.result, asdict(report))
        save_plots(task, config, directory, evaluation, weights)
    low, high = report.interval
    logger.info(
        "exact match %.2f%% (%.2f to %.2f), cut to length %.2f%%, CER %.3f%%; see %s",
        *(100 * x for x in (report.exact_match, low, high, report.exact_match_document, report.cer)),
        directory.path,
    )
    return report


def save_plots(task: Task, config: Config, directory: RunDirectory, evaluation: Evaluation, weights: dict[str, Any]) -> None:
    """Plots the curves of a run, readings, confusions and the columns of a picture.

    Args:
        task: what was learned.
        config: how.
        directory: of the run.
        evaluation: of the test split.
        weights: ``params`` and ``batch_stats``, in host memory.
    """
    folder = directory.plots
    plots.curves(read_metrics(directory.metrics), folder / "curves.png")
    plots.readings(evaluation.right[:12] + evaluation.wrong[:12], folder / "readings.png")
    plots.confusions(evaluation.score.confusions, folder / "confusions.png")
    model = Recognizer(config.architecture, task.alphabet, task.preparation, weights, task.grammar)
    if (picture := _exhibit(task, config.seed, model)) is not None:
        plots.columns(*model.columns(picture), task.alphabet, folder / "columns.png")


def _exhibit(task: Task, seed: int, model: Recognizer) -> Traced | None:
    """A picture that the network can be shown, prepared."""
    source = [task.exhibit()] if task.exhibit else task.source("test", seed)
    for i in range(min(_EXHIBITS, len(source))):
        with suppress(UnreadableImage):  # of level 2 also a canvas in which no formula is found
            return model.prepare(source[i].image)
    return None
