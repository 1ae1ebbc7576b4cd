"""What a network is made of, as plain data: it goes into every checkpoint. Free of jax, so that flags can use it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from crnn_jax.errors import UserError

Backbone = Literal["vgg222", "vgg2222", "vgg346", "light", "fine", "resnet", "densenet"]
Recurrence = Literal["gru", "lstm", "conv", "none"]
Head = Literal["ctc", "attention"]
Initialization = Literal["he_uniform", "he_normal", "lecun_normal", "glorot_uniform"]
BACKBONES: tuple[Backbone, ...] = get_args(Backbone)
RECURRENCES: tuple[Recurrence, ...] = get_args(Recurrence)
HEADS: tuple[Head, ...] = get_args(Head)
INITIALIZATIONS: tuple[Initialization, ...] = get_args(Initialization)


@dataclass(frozen=True)
class Architecture:
    """A network's structure.

    Attributes:
        backbone: convolutions; see `crnn_jax.models.backbones`. A column of ``vgg2222`` spans 16 pixels, of the others 8.
        rnn: what lets the columns see each other: recurrent layers, convolutions (`crnn_jax.models.temporal`), or nothing.
        hidden: size of the dense layer and of each direction of the recurrent layers.
        dropout: share of features dropped after the dense layer and before the classifier.
        dropout_dense: whether the first of these two is there.
        initialization: of convolutions and the dense layer.
        rnn_initialization: of what the recurrent layers make of their input.
        momentum: of BatchNorm's running statistics.
        epsilon: BatchNorm's.
        drop_columns: columns at the left that are read by the recurrent layers but give no output.
        head: what makes characters of the columns: ``ctc``: each column gives one or none; ``attention``: a decoder looks for
            them one after another (`crnn_jax.models.attention`).
        positions: how often the attention head looks; 0: as often as the longest text of the task has characters, which
            training fills in.

    Raises:
        UserError: a value is out of range.
    """

    backbone: Backbone = "light"
    rnn: Recurrence = "gru"
    hidden: int = 128
    dropout: float = 0.0
    dropout_dense: bool = True
    initialization: Initialization = "he_uniform"
    rnn_initialization: Initialization = "lecun_normal"
    momentum: float = 0.9
    epsilon: float = 1e-3
    drop_columns: int = 0
    head: Head = "ctc"
    positions: int = 0

    def __post_init__(self) -> None:
        initializations = dict.fromkeys(("initialization", "rnn_initialization"), INITIALIZATIONS)
        check_choices(self, {"backbone": BACKBONES, "rnn": RECURRENCES, "head": HEADS, **initializations})
        if self.hidden < 1:
            raise UserError(f"hidden must be at least 1, not {self.hidden}")
        if not 0 <= self.dropout < 1:
            raise UserError(f"dropout must be at least 0 and below 1, not {self.dropout}")
        if not 0 <= self.momentum < 1:
            raise UserError(f"momentum must be at least 0 and below 1, not {self.momentum}")
        if not self.epsilon > 0:
            raise UserError(f"epsilon must be above 0, not {self.epsilon}")
        for name in ("drop_columns", "positions"):
            if getattr(self, name) < 0:
                raise UserError(f"{name} must be at least 0, not {getattr(self, name)}")


def check_choices(config: Any, choices: Mapping[str, Sequence[str]]) -> None:
    """Checks fields that take one of a few values.

    Raises:
        UserError: one has another value.
    """
    for name, values in choices.items():
        if getattr(config, name) not in values:
            raise UserError(f"{name} must be one of {', '.join(values)}, not {getattr(config, name)!r}")
