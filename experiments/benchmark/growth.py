"""How the cost of a training step grows: images a second of `light` over batch size, width, alphabet and devices.

The peer of a figure is the first point of its curve, timed in turns with it. Widths are of strips 81 pixels high, in batches
of 16, with a character for each 32 pixels; all else is of captchas, 170x80, in batches of 64 where nothing else is said. All
curves but the last are of one device. Virtual CPU devices share the machine's cores, and each number of them has a process of
its own.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import jax
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from crnn_jax import tasks
from crnn_jax.alphabet import Alphabet
from crnn_jax.host import keep_freed_memory
from crnn_jax.training.config import Config
from experiments.benchmark.report import Row, in_turns, row
from experiments.benchmark.step import Case, Step, random_batch

_ROUNDS, _IMAGES = 7, 64  # a round has at least so many images
_UNIT = "images/s"
_NETWORK = Config(backbone="light", batch_size=64)
_FIRST_CHINESE = 0x4E00


class _Curve(NamedTuple):
    """Where a curve is measured, of what, and a straight line to compare with: what it says, and the power of x that it is."""

    points: tuple[int, ...]
    of: str
    line: str
    power: int


BATCH, WIDTH, ALPHABET, DEVICES = "batch size", "width in pixels", "characters of the alphabet", "virtual CPU devices"
_CURVES = {
    BATCH: _Curve((1, 2, 4, 8, 16, 32, 64, 128, 256), "captchas, 170x80", "if each step took the same time", 1),
    WIDTH: _Curve((128, 256, 512, 1024, 2048), "strips, 81 high, batches of 16", "if each pixel took the same time", -1),
    ALPHABET: _Curve((36, 100, 300, 1000, 3000, 10_000), "captchas, batches of 64", "if the alphabet cost nothing", 0),
    DEVICES: _Curve((1, 2, 4), "captchas, batches of 64", "if each device had cores of its own", 1),
}


def rows(count: int | None, seed: int) -> Iterator[Row]:
    """Images a second along each curve, and how many cores are busy with each number of devices."""
    rounds = count or _ROUNDS
    for name in (BATCH, WIDTH, ALPHABET):
        points = _CURVES[name].points
        first = Timed(case_of(name, points[0]), seed)
        for x in points:
            ours = first if x == points[0] else Timed(case_of(name, x), seed)
            a, b = in_turns(ours, first, rounds)
            yield row("growth", f"{name} {x}", ours.images / a, first.images / b, _UNIT)
    yield from _over_devices(rounds, seed)


def case_of(name: str, x: int) -> Case:
    """What a point of a curve is timed on."""
    task, config = tasks.captcha(), _NETWORK
    if name == WIDTH:
        return Case(name, tasks.level2(), replace(config, batch_size=16), x, x // 32)
    if name == BATCH:
        config = replace(config, batch_size=x)
    if name == ALPHABET:
        task = replace(task, alphabet=Alphabet("".join(map(chr, range(_FIRST_CHINESE, _FIRST_CHINESE + x)))))
    return Case(name, task, config, task.preparation.width, task.max_length)


class Timed:
    """Steps of a case on the same batch, as many as a round takes.

    Attributes:
        images: of all these steps.
    """

    def __init__(self, case: Case, seed: int, devices: int = 1) -> None:
        self._step = Step(case, jax.local_devices()[:devices]).on(random_batch(case, seed))
        self._steps = math.ceil(_IMAGES / case.config.batch_size)
        self.images = self._steps * case.config.batch_size

    def __call__(self) -> None:
        """Takes the steps."""
        for _ in range(self._steps):
            self._step()


def _over_devices(rounds: int, seed: int) -> Iterator[Row]:
    counts, images = _CURVES[DEVICES].points, case_of(DEVICES, 1).config.batch_size
    with ExitStack() as stack:
        works = [stack.enter_context(_process(count, seed)) for count in counts]
        for count, work in zip(counts, works, strict=True):
            a, b = in_turns(work, works[0], rounds)
            yield row("growth", f"{DEVICES} {count}", images / a, images / b, _UNIT)
            a, b = (statistics.median(each() for _ in range(rounds)) for each in (work, works[0]))
            yield row("growth", f"{DEVICES} {count}, busy", a, b, "cores")


@contextmanager
def _process(devices: int, seed: int) -> Iterator[Callable[[], float]]:
    """What takes a step in a process with some number of CPU devices, and tells how many cores were busy with it."""
    with ProcessPoolExecutor(1, get_context("spawn"), _prepare, (devices, seed)) as process:
        yield lambda: process.submit(_cores_of_a_round).result()


_timed: list[Timed] = []  # of a process with devices of its own


def _prepare(devices: int, seed: int) -> None:
    keep_freed_memory()
    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_num_cpu_devices", devices)
    _timed[:] = [Timed(case_of(DEVICES, devices), seed, devices)]


def _cores_of_a_round() -> float:
    began, used = time.perf_counter(), time.process_time()
    _timed[0]()
    return (time.process_time() - used) / (time.perf_counter() - began)


def plot(rows: Sequence[Row], path: Path) -> None:
    """A panel for each curve; logarithmic axes.

    Each point is its ratio to the curve's first one, times the median of all that the first one was timed at: the two are timed
    in turns, so that a machine that has other work for a while does not bend the curve.

    Args:
        rows: of this suite.
        path: of the PNG file.
    """
    figure = Figure(figsize=(10.5, 6.2), layout="constrained")
    for axes, (name, curve) in zip(figure.subplots(2, 2).flat, _CURVES.items(), strict=True):
        points = [r for r in rows if r.name.startswith(name) and r.unit == _UNIT]
        first = statistics.median(r.peer for r in points)
        xs, rates = [int(r.name.rsplit(" ", 1)[1]) for r in points], [first * r.ratio for r in points]
        axes.plot(xs, rates, "o-", ms=4, color="#1f4e9c", label="measured")
        axes.plot(xs, [rates[0] * (x / xs[0]) ** curve.power for x in xs], "--", lw=1, color="grey", label=curve.line)
        axes.set(
            title=curve.of, xlabel=name, ylabel=_UNIT, xscale="log", yscale="log", ylim=(0.8 * min(rates), 1.25 * max(rates))
        )
        axes.set_xticks(xs, [f"{x:,}" for x in xs])
        axes.xaxis.minorticks_off()
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 1.5, 2, 3, 5, 7)))
        axes.yaxis.set_major_formatter("{x:,.0f}")
        axes.yaxis.minorticks_off()
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=80)
