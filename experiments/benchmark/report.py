"""Rows of a benchmark: how they are measured and shown."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

import jax

Better = Literal["more", "less"]
_REST = 0.02  # seconds in which the threads of the other's work, which wait for more with the processor in hand, fall asleep


@dataclass(frozen=True)
class Row:
    """A figure of ours beside a peer's.

    Attributes:
        suite: that it belongs to.
        name: what was measured.
        ours: our figure.
        peer: the other's.
        ratio: ours over the peer's, for times the peer's over ours: above 1, ours is better.
        unit: of both.
    """

    suite: str
    name: str
    ours: float
    peer: float
    ratio: float
    unit: str


def row(suite: str, name: str, ours: float, peer: float, unit: str, better: Better = "more") -> Row:
    """A row with its ratio, 1 where both are the same."""
    over, under = (ours, peer) if better == "more" else (peer, ours)
    return Row(suite, name, ours, peer, 1.0 if over == under else over / max(under, 1e-12), unit)


def in_turns(ours: Callable[[], object], peer: Callable[[], object], rounds: int, warm_up: int = 2) -> tuple[float, float]:
    """Medians of the `seconds_in_turns`."""
    ours_seconds, peer_seconds = map(statistics.median, seconds_in_turns(ours, peer, rounds, warm_up))
    return ours_seconds, peer_seconds


def seconds_in_turns(
    ours: Callable[[], object], peer: Callable[[], object], rounds: int, warm_up: int = 2
) -> tuple[list[float], list[float]]:
    """The seconds that each takes in each round; in turns, so that a machine's changes of speed hit both.

    Args:
        ours: returns when its work is done.
        peer: likewise.
        rounds: that count.
        warm_up: rounds before, in which things are compiled.
    """
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(warm_up + rounds):
        for work, kept in zip((ours, peer), seconds, strict=True):
            time.sleep(_REST)
            began = time.perf_counter()
            work()
            kept.append(time.perf_counter() - began)
    return seconds[0][warm_up:], seconds[1][warm_up:]


def machine() -> str:
    """What this runs on, in a line."""
    name = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            name = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), name)
    except OSError:
        pass  # not a Linux
    cores = len(os.sched_getaffinity(0))
    about = [name, f"{cores} cores", platform.system(), f"Python {platform.python_version()}", f"jax {jax.__version__}"]
    if jax.default_backend() != "cpu":
        about.append(f"{jax.local_device_count()} x {jax.devices()[0].device_kind}")
    return ", ".join(about)


def print_table(rows: Iterable[Row], keep: Callable[[list[Row]], object] = lambda rows: None) -> list[Row]:
    """Prints one line a row, each as soon as it is there, and has them kept so far."""
    print(f"{'':52} {'ours':>11} {'peer':>11} {'ratio':>7}  unit", flush=True)
    printed = []
    for r in rows:
        print(f"{r.name:52} {r.ours:11.2f} {r.peer:11.2f} {r.ratio:7.2f}  {r.unit}", flush=True)
        printed.append(r)
        keep(printed)
    return printed
