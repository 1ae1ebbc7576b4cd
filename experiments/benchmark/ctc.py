"""The loss and its gradient, against PyTorch's."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import numpy as np
import torch
from torch.nn import functional

from crnn_jax import ctc
from experiments.benchmark.pytorch import device
from experiments.benchmark.report import Row, in_turns, row

_ROUNDS = 20
_SHAPES = {  # batch, columns, characters of a label, K + 1
    "captcha": (128, 17, 4, 37),
    "level 1": (64, 22, 7, 17),
    "level 2": (32, 112, 40, 46),
    "level 2, alphabet of 1,000": (32, 112, 40, 1001),
    "level 2, alphabet of 10,000": (8, 112, 40, 10_001),
}


def rows(count: int | None, seed: int) -> Iterator[Row]:
    """Milliseconds of the loss of a batch and its gradient in the logits."""
    rng = np.random.default_rng(seed)
    for name, (batch, columns, characters, classes) in _SHAPES.items():
        logits = rng.normal(size=(batch, columns, classes)).astype(np.float32)
        labels = rng.integers(0, classes - 1, (batch, characters))
        ours, peer = _ours(logits, labels), _peer(logits, labels)
        a, b = in_turns(ours, peer, count or _ROUNDS)
        yield row("ctc", f"{name}: {batch} x {columns} x {classes}", 1000 * a, 1000 * b, "ms", "less")


def _ours(logits: np.ndarray, labels: np.ndarray) -> Callable[[], object]:
    lengths = jnp.full(len(logits), logits.shape[1])
    label_lengths = jnp.full(len(labels), labels.shape[1])

    @jax.jit
    @jax.value_and_grad
    def loss(logits: jax.Array) -> jax.Array:
        return ctc.loss(logits, lengths, jnp.asarray(labels), label_lengths)[0].sum()

    given = jnp.asarray(logits)
    return lambda: jax.block_until_ready(loss(given))


def _peer(logits: np.ndarray, labels: np.ndarray) -> Callable[[], object]:
    given = torch.tensor(logits, device=device(), requires_grad=True)
    targets = torch.tensor(labels, device=device())
    lengths = torch.full((len(logits),), logits.shape[1])
    label_lengths = torch.full((len(labels),), labels.shape[1])

    def loss() -> float:
        given.grad = None
        log_probabilities = given.log_softmax(2).transpose(0, 1)
        total = functional.ctc_loss(
            log_probabilities, targets, lengths, label_lengths, blank=logits.shape[2] - 1, reduction="sum"
        )
        total.backward()
        return float(total.detach())

    return loss
