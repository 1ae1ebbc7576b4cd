"""Reading a split of a task with the network in training, and counting what is right."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from crnn_jax import ctc
from crnn_jax.data.examples import Batch
from crnn_jax.decoding import Decoder
from crnn_jax.errors import UserError
from crnn_jax.metrics import Score
from crnn_jax.training import hosts, steps
from crnn_jax.training.state import TrainState


class Judged(NamedTuple):
    """A picture, (H, W, 3) uint8, its text, what was read, and the probability of that."""

    image: np.ndarray
    text: str
    reading: str
    confidence: float


@dataclass
class Evaluation:
    """What came of reading a split.

    Attributes:
        score: counts of all processes.
        loss: mean of the losses.
        right: some pictures that this process read right.
        wrong: some that it didn't.
        unreadable: what is wrong with pictures that it could not read.
    """

    score: Score = field(default_factory=Score)
    loss: float = 0.0
    right: list[Judged] = field(default_factory=list)
    wrong: list[Judged] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)


def evaluate(
    eval_step: steps.EvalStep,
    state: TrainState,
    batches: Iterable[Batch],
    decoder: Decoder,
    devices: int,
    *,
    samples: int = 24,
    after_batch: Callable[[int], None] = lambda examples: None,
) -> Evaluation:
    """Reads batches, each process its part; empty places don't count.

    Args:
        eval_step: from `steps.make_eval_step`.
        state: replicated.
        batches: of host arrays.
        decoder: from columns to texts.
        devices: of this process, that its part of the batches is spread over.
        samples: right and wrong pictures to keep, each.
        after_batch: called with the number of examples of each batch.

    Raises:
        UserError: no picture can be read.
    """
    result, total, fitting = Evaluation(), 0.0, 0
    for batch in batches:
        read = steps.gather(eval_step(state, steps.shard(batch, devices)))
        places = np.flatnonzero(batch["weights"])
        decoded = decoder(read.logits[places], read.lengths[places], ctc.Greedy(*(field[places] for field in read.greedy)))
        texts = [decoder.alphabet.decode(batch["labels"][i, : batch["label_lengths"][i]]) for i in places]
        judged = [
            Judged(batch["images"][i, :, : batch["widths"][i] or None], text, reading.text, reading.confidence)
            for i, text, reading in zip(places, texts, decoded, strict=True)
        ]
        result.score += Score.of((j.reading for j in judged), texts, decoder.grammar)
        result.unreadable += batch["unreadable"]
        total += float(read.losses[places].sum(dtype=np.float64))
        fitting += int(read.feasible[places].sum())
        for j in judged:
            kept = result.right if j.reading == j.text else result.wrong
            if len(kept) < samples:
                kept.append(j._replace(image=j.image.copy()))  # a view would keep its whole batch
        after_batch(len(judged))
    parts = hosts.gather([result.score.to_json(), total, fitting])
    result.score = sum((Score.from_json(score) for score, _, _ in parts), Score())
    total, fitting = sum(loss for _, loss, _ in parts), sum(count for _, _, count in parts)
    if not result.score.examples:
        raise UserError(f"there is no picture to judge by: {'; '.join(result.unreadable[:3])}")
    result.loss = total / max(1, fitting)
    return result
