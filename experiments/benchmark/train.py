"""Training, against PyTorch: the step alone, on a batch that lies on the device, and with drawing.

The peer has channels_last or not, whichever is faster. Drawing included, a DataLoader of as many workers feeds it: with
captchas by the unmodified package, and with the very strips of level 2 that ours learns from. Ours has as many workers, and on
GPUs it also draws on the device.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace

import jax

from crnn_jax.data.drawn import PackageCaptchaSource
from crnn_jax.data.examples import Batch, BatchMaker, Source
from crnn_jax.data.pipeline import example_numbers, training_batches
from crnn_jax.data.workers import BatchWorkers
from crnn_jax.device_drawing import make_draw
from experiments import level2
from experiments.benchmark import pytorch
from experiments.benchmark.report import Row, in_turns, row
from experiments.benchmark.step import Case, Step, random_batch, recipes

_ROUNDS, _ROUNDS_WITH_DRAWING = 7, 5


def rows(count: int | None, seed: int) -> Iterator[Row]:
    """Images a second."""
    cases = recipes()
    for case in cases:
        batch = random_batch(case, seed)
        a, b = in_turns(Step(case).on(batch), pytorch.fastest_step(case, batch).on(batch), count or _ROUNDS)
        size = case.config.batch_size
        yield row("train", f"{case.name}, {case.config.backbone}, batches of {size}", size / a, size / b, "images/s")
    light = {case.name: case for case in cases if case.config.backbone == "light"}
    rounds = count or _ROUNDS_WITH_DRAWING
    more = 1 if jax.default_backend() == "cpu" else 4  # batches: more are in hand there when a round begins
    yield from _with_drawing(light["captcha"], PackageCaptchaSource(seed), 8 * more, rounds, seed)
    strips = level2.RECIPES["quick"].task
    assert strips is not None
    yield from _with_drawing(replace(light["level 2"], task=strips), strips.source("train", seed), 4 * more, rounds, seed)


def _with_drawing(case: Case, theirs: Source, batches: int, rounds: int, seed: int) -> Iterator[Row]:
    """Steps on pictures as they are drawn.

    Args:
        case: of the steps.
        theirs: what the peer learns from.
        batches: of a round.
        rounds: that count.
        seed: of our examples.
    """
    task, size, count = case.task, case.config.batch_size, case.config.worker_count
    maker = BatchMaker(task.source("train", seed), task.preparation, task.alphabet, task.max_length)
    peer_step = pytorch.fastest_step(case, random_batch(case, seed))
    loaded = pytorch.load_batches(replace(maker, source=theirs), size, count, peer_step.channels_last)

    def peer() -> None:
        for batch in itertools.islice(loaded, batches):
            peer_step(*batch)

    with BatchWorkers({"train": maker}, count) as workers:
        # As many batches are in hand as of the peer's: either's are drawn on in the other's turn.
        made = training_batches(workers, len(maker.source), size, ahead=pytorch.AHEAD * max(1, count))
        ways = {"drawing included": (Step(case), made)}
        if jax.default_backend() != "cpu":
            ways["drawing on the device"] = Step(case, draw=make_draw(task)), example_numbers(size)
        for way, (step, numbered) in ways.items():

            def ours(step: Step = step, numbered: Iterator[Batch] = numbered) -> None:
                for batch in itertools.islice(numbered, batches):
                    step(batch)

            a, b = in_turns(ours, peer, rounds, warm_up=1)
            pictures = size * batches
            yield row("train", f"{case.name}, {case.config.backbone}, {way}", pictures / a, pictures / b, "images/s")
