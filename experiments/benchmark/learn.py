"""What is learned in the same time: captchas by our ``quick`` recipe, against the source document's network in PyTorch.

Ours is trained first, and PyTorch then for as long as that took, compilation, validation and judging included: on pictures by
the unmodified package, which a DataLoader of as many workers draws, in batches of 128, with Adam, half of the time at 1e-3
and half at 1e-4, as the document did; with channels_last or not, whichever is faster. Both read the same pictures of the
package. ``--count`` is epochs of ours.
"""

from __future__ import annotations

import itertools
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch

import crnn_jax
from crnn_jax.data.drawn import PackageCaptchaSource
from crnn_jax.data.examples import BatchMaker, Example
from crnn_jax.tasks import Task
from crnn_jax.training.config import Config
from experiments import captcha
from experiments.benchmark import pytorch
from experiments.benchmark.report import Row, row
from experiments.benchmark.step import Case, random_batch

_PICTURES, _BATCH = 10_000, 128


def rows(count: int | None, seed: int) -> Iterator[Row]:
    """Share of the pictures that are read whole, and pictures learned from."""
    document, quick = (captcha.RECIPES[name] for name in ("document", "quick"))
    assert document.task is not None
    assert quick.task is not None
    config = replace(quick.config, seed=seed, epochs=count or quick.config.epochs)
    source = quick.task.source("test", seed)
    examples = [source[i] for i in range(_PICTURES)]
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        crnn_jax.train(quick.task, config, folder)
        seconds = time.perf_counter() - began
        readings = crnn_jax.load(folder).read([example.image for example in examples])
    step, seen = _trained(replace(document.config, batch_size=_BATCH), document.task, seconds, config.worker_count, seed)
    texts = _read(step, examples, document.task.alphabet.characters)
    ours, theirs = (
        float(np.mean([text == example.text for text, example in zip(some, examples, strict=True)]))
        for some in ([reading.text for reading in readings], texts)
    )
    yield row("learn", f"captcha, whole, after {seconds / 60:.1f} minutes each", ours, theirs, "share")
    yield row("learn", "captcha, pictures learned from", config.total_steps * config.batch_size, seen, "images")


def _trained(config: Config, task: Task, seconds: float, workers: int, seed: int) -> tuple[pytorch.TorchStep, int]:
    """The document's network after some seconds, and how many pictures it saw."""
    case = Case(task.name, task, config, task.preparation.width, task.max_length)
    step = pytorch.fastest_step(case, random_batch(case, seed))
    # With another seed, so that it learns from other texts than it reads.
    maker = BatchMaker(PackageCaptchaSource(seed + 1), task.preparation, task.alphabet, task.max_length)
    began, seen = time.perf_counter(), 0
    batches = pytorch.load_batches(maker, config.batch_size, workers, step.channels_last)
    while (passed := time.perf_counter() - began) < seconds:
        if passed >= seconds / 2:
            step.optimizer.param_groups[0]["lr"] = config.learning_rate / 10
        step(*next(batches))
        seen += config.batch_size
    return step, seen


def _read(step: pytorch.TorchStep, examples: Sequence[Example], characters: str) -> list[str]:
    """The best character of each column; repeats merged, blanks dropped."""
    model = step.model.train(False)
    texts = []
    for first in range(0, len(examples), _BATCH):
        pictures = np.stack([example.image for example in examples[first : first + _BATCH]])
        images = pytorch.as_tensor(pictures, step.channels_last)
        with torch.no_grad():
            ids = model(images.to(pytorch.device())).argmax(2).cpu().tolist()
        texts += ["".join(characters[i] for i, _ in itertools.groupby(best) if i < len(characters)) for best in ids]
    return texts
