"""The loss and its gradient: their time against PyTorch's, and the memory that they need on the way against the logits' own."""

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
_ALPHABETS = (36, 1000, 10_000)  # with which memory is compared
_MEASURED = (8, 112, 40)  # likewise: batch, columns, characters of a label


def rows(count: int | None, seed: int) -> Iterator[Row]:
    """Milliseconds of the loss of a batch and its gradient in the logits, and megabytes."""
    rng = np.random.default_rng(seed)
    for name, (batch, columns, characters, classes) in _SHAPES.items():
        logits = rng.normal(size=(batch, columns, classes)).astype(np.float32)
        labels = rng.integers(0, classes - 1, (batch, characters))
        ours, peer = _ours(logits, labels), _peer(logits, labels)
        a, b = in_turns(ours, peer, count or _ROUNDS)
        yield row("ctc", f"{name}: {batch} x {columns} x {classes}", 1000 * a, 1000 * b, "ms", "less")
    batch, columns, characters = _MEASURED
    for size in _ALPHABETS:
        shape = jax.ShapeDtypeStruct((batch, columns, size + 1), jnp.float32)
        used = _temporary_megabytes(_loss(rng.integers(0, size, (batch, characters))), shape)
        yield row("ctc", f"alphabet of {size:,}, memory, peer: the logits", used, 4 * shape.size / 1e6, "MB", "less")


def _ours(logits: np.ndarray, labels: np.ndarray) -> Callable[[], object]:
    both, given = jax.jit(jax.value_and_grad(_loss(labels))), jnp.asarray(logits)
    return lambda: jax.block_until_ready(both(given))


def _loss(labels: np.ndarray) -> Callable[[jax.Array], jax.Array]:
    def loss(logits: jax.Array) -> jax.Array:
        lengths, label_lengths = jnp.full(len(logits), logits.shape[1]), jnp.full(len(labels), labels.shape[1])
        return ctc.loss(logits, lengths, jnp.asarray(labels), label_lengths)[0].sum()

    return loss


def _temporary_megabytes(loss: Callable[[jax.Array], jax.Array], logits: jax.ShapeDtypeStruct) -> float:
    """What the compiled loss and its gradient need besides the logits and the results."""
    compiled = jax.jit(jax.value_and_grad(loss)).lower(logits).compile()
    analysis = compiled.memory_analysis()
    assert analysis is not None
    return analysis.temp_size_in_bytes / 1e6


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
