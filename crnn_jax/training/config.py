"""How a network is trained, as plain data. Free of jax, so that flags can use it."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from crnn_jax.errors import UserError
from crnn_jax.models.config import Architecture, check_choices

Schedule = Literal["constant", "step", "alternate", "onecycle"]
SCHEDULES: tuple[Schedule, ...] = get_args(Schedule)
Optimizer = Literal["adam", "muon"]
OPTIMIZERS: tuple[Optimizer, ...] = get_args(Optimizer)
Drawing = Literal["host", "device"]
DRAWINGS: tuple[Drawing, ...] = get_args(Drawing)
Dtype = Literal["float32", "bfloat16"]
OnNan = Literal["stop", "skip"]
ON_NAN: tuple[OnNan, ...] = get_args(OnNan)
DTYPES: tuple[Dtype, ...] = get_args(Dtype)
BatchNormStatistics = Literal["global", "tower"]
BATCH_NORMS: tuple[BatchNormStatistics, ...] = get_args(BatchNormStatistics)
_DECAY = 0.1  # of the learning rate, from stage to stage
_ALTERNATE = (1.0, _DECAY, _DECAY**2, _DECAY, _DECAY**2)  # shares of the learning rate, a stage each


@dataclass(frozen=True)
class Config(Architecture):
    """Everything that a training run depends on besides its task: the network's architecture and how it learns.

    Attributes:
        epochs: how often the network is validated and saved.
        steps_per_epoch: batches of an epoch.
        batch_size: examples of a batch, on all devices and hosts together.
        optimizer: see `crnn_jax.training.schedules.make_optimizer`.
        learning_rate: the largest.
        lr_schedule: ``constant``; ``step``: a tenth from one stage to the next; ``alternate``: after a fifth of the run a tenth
            and a hundredth in turn, twice, each fifth going on from the weights with the least validation loss so far;
            ``onecycle``: up for a fifth of the run, then down to almost nothing (Smith and Topin 2018). A run of fewer epochs
            than ``step`` or ``alternate`` has stages takes the first ones, an epoch each.
        lr_stages: equal parts of the run, for ``step``.
        l2: weight of the sum of the squares of all parameters but the recurrent layers', which is added to each example's loss.
        weight_decay: share of each matrix that a step takes away, for a learning rate of 1; with ``muon`` not of the
            classifier.
        ema: share of a moving average of the network that each step keeps, for validation and reading; 0: no average.
        clip_norm: gradients are scaled down to this norm; None: never.
        batch_norm: ``global`` averages BatchNorm's statistics over all devices, ``tower`` lets each device use its own.
        dtype: of the activations; parameters, statistics and loss are float32.
        seed: of the parameters, the dropout and the examples.
        drawing: where training pictures are drawn: by processes of the ``host``, or by each ``device``, before its step.
        candidates: pictures among which each one that is learned is chosen: the hardest to read; 1: all are learned.
        chooser: a run, file or packaged network (`crnn_jax.load`) to which they are hard; None: the one in training, or its
            average where there is one.
        init_from: a run, file or packaged network (`crnn_jax.load`) whose weights a new run begins with, as far as they fit.
        on_nan: a step whose loss or gradients are no numbers ends the run (``stop``), or is left out and counted (``skip``).
        profile_steps: steps to record for TensorBoard's profiler, a few after the start; 0: none.
        workers: processes that draw or read examples; None: as many as suit the machine.
        keep_all: keep the weights of every epoch; otherwise of the best and the newest.
        validation_examples: read after each epoch.
        eval_examples: read at the end, for ``result.json``.

    Raises:
        UserError: a number is out of range.
    """

    epochs: int = 10
    steps_per_epoch: int = 400
    batch_size: int = 64
    optimizer: Optimizer = "adam"
    learning_rate: float = 3e-3
    lr_schedule: Schedule = "onecycle"
    lr_stages: int = 2
    l2: float = 0.0
    weight_decay: float = 0.0
    ema: float = 0.0
    clip_norm: float | None = 5.0
    batch_norm: BatchNormStatistics = "global"
    dtype: Dtype = "float32"
    seed: int = 0
    drawing: Drawing = "host"
    candidates: int = 1
    chooser: str | None = None
    init_from: str | None = None
    on_nan: OnNan = "stop"
    profile_steps: int = 0
    workers: int | None = None
    keep_all: bool = False
    validation_examples: int = 1000
    eval_examples: int = 2000

    def __post_init__(self) -> None:
        super().__post_init__()
        counts = ("epochs", "steps_per_epoch", "batch_size", "lr_stages", "candidates", "validation_examples", "eval_examples")
        for name in counts:
            if getattr(self, name) < 1:
                raise UserError(f"{name} must be at least 1, not {getattr(self, name)}")
        choices = {"optimizer": OPTIMIZERS, "lr_schedule": SCHEDULES, "dtype": DTYPES, "batch_norm": BATCH_NORMS}
        check_choices(self, {**choices, "drawing": DRAWINGS, "on_nan": ON_NAN})
        if not 0 < self.learning_rate < math.inf:
            raise UserError(f"learning_rate must be above 0, and a number, not {self.learning_rate}")
        if not 0 <= self.l2 < 1:
            raise UserError(f"l2 must be at least 0 and below 1, not {self.l2}")
        if not 0 <= self.ema < 1:
            raise UserError(f"ema must be at least 0 and below 1, not {self.ema}")
        if not 0 <= self.weight_decay < math.inf:
            raise UserError(f"weight_decay must be at least 0, and a number, not {self.weight_decay}")
        if self.clip_norm is not None and not self.clip_norm > 0:
            raise UserError(f"clip_norm must be above 0, not {self.clip_norm}")
        if not 0 <= self.seed < 2**32:
            raise UserError(f"seed must be from 0 to 2**32 - 1, not {self.seed}")
        if self.chooser is not None and self.candidates == 1:
            raise UserError(f"{self.chooser} can't choose from 1 candidate: candidates must be at least 2")
        if self.profile_steps < 0:
            raise UserError(f"profile_steps must be at least 0, not {self.profile_steps}")
        if self.workers is not None and self.workers < 0:
            raise UserError(f"workers must be at least 0, not {self.workers}")

    @property
    def architecture(self) -> Architecture:
        """The network's part."""
        return Architecture(**{field.name: getattr(self, field.name) for field in dataclasses.fields(Architecture)})

    @property
    def total_steps(self) -> int:
        """Batches of the whole run."""
        return self.epochs * self.steps_per_epoch

    @property
    def stages(self) -> list[tuple[int, float]]:
        """Parts of the run, for ``step`` and ``alternate``: the first step of each, and its share of the learning rate."""
        shares: Sequence[float] = [1.0]
        if self.lr_schedule == "step":
            shares = [_DECAY**i for i in range(self.lr_stages)]
        elif self.lr_schedule == "alternate":
            shares = _ALTERNATE
        shares = shares[: self.epochs]  # a short run, such as one to try things out, begins as a long one does
        return [(round(self.epochs * i / len(shares)) * self.steps_per_epoch, share) for i, share in enumerate(shares)]

    @property
    def restarts(self) -> frozenset[int]:
        """Steps at which a run goes on from its best weights."""
        return frozenset(step for step, _ in self.stages[1:]) if self.lr_schedule == "alternate" else frozenset()

    @property
    def worker_count(self) -> int:
        """Processes that make batches: as asked, or half of the processors, eight at most."""
        if self.workers is not None:
            return self.workers
        available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 2
        return max(1, min(8, available // 2))
