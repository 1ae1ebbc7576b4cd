"""What is learned in the same time: captchas by our ``quick`` recipe, against the source document's network in PyTorch.

Ours is trained first, and PyTorch then for as long as that took, compilation, validation and judging included: on pictures by
the unmodified package, which a DataLoader of as many workers draws, in batches of 128, with Adam, half of the time at 1e-3
and half at 1e-4, as the document did. Both read the same pictures of the package. ``--count`` is epochs of ours.
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
from crnn_jax import tasks
from crnn_jax.data.examples import Example
from crnn_jax.training.config import Config
from experiments import captcha
from experiments.benchmark import pytorch
from experiments.benchmark.report import Row, row
from experiments.benchmark.train import PackageCaptchas

_PICTURES, _BATCH = 10_000, 128


def rows(count: int | None, seed: int) -> Iterator[Row]:
    """Share of the pictures that are read whole, and pictures learned from."""
    document, quick = (captcha.RECIPES[name] for name in ("document", "quick"))
    assert quick.task is not None
    config = replace(quick.config, seed=seed, epochs=count or quick.config.epochs)
    source = quick.task.source("test", seed)
    examples = [source[i] for i in range(_PICTURES)]
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        crnn_jax.train(quick.task, config, folder)
        seconds = time.perf_counter() - began
        readings = crnn_jax.load(folder).read([example.image for example in examples])
    model, seen = _trained(document.config, quick.task.alphabet.size, seconds, config.worker_count, seed)
    texts = _read(model, examples, quick.task.alphabet.characters)
    ours, theirs = (
        float(np.mean([text == example.text for text, example in zip(some, examples, strict=True)]))
        for some in ([reading.text for reading in readings], texts)
    )
    yield row("learn", f"captcha, whole, after {seconds / 60:.1f} minutes each", ours, theirs, "share")
    yield row("learn", "captcha, pictures learned from", config.total_steps * config.batch_size, seen, "images")


def _trained(config: Config, classes: int, seconds: float, workers: int, seed: int) -> tuple[pytorch.TorchCRNN, int]:
    """The document's network after some seconds, and how many pictures it saw."""
    loader = torch.utils.data.DataLoader(
        PackageCaptchas(seed), _BATCH, num_workers=workers, multiprocessing_context="spawn" if workers else None
    )
    model = pytorch.TorchCRNN(config.architecture, classes, tasks.captcha().preparation.height)
    model = model.to(pytorch.device()).train()
    optimizer = torch.optim.Adam(model.parameters(), config.learning_rate)
    began, batches = time.perf_counter(), 0
    for images, labels in loader:
        if time.perf_counter() - began >= seconds / 2:
            optimizer.param_groups[0]["lr"] = config.learning_rate / 10
        lengths = torch.full((len(images),), labels.shape[1])
        pytorch.train_step(model, images.to(pytorch.device()), labels.to(pytorch.device()), lengths, optimizer)()
        batches += 1
        if time.perf_counter() - began >= seconds:
            break
    return model.train(False), batches * _BATCH


def _read(model: pytorch.TorchCRNN, examples: Sequence[Example], characters: str) -> list[str]:
    """The best character of each column; repeats merged, blanks dropped."""
    texts = []
    for first in range(0, len(examples), _BATCH):
        images = torch.from_numpy(
            np.stack([example.image for example in examples[first : first + _BATCH]]).transpose(0, 3, 1, 2).copy()
        )
        with torch.no_grad():
            ids = model(images.to(pytorch.device())).argmax(2).cpu().tolist()
        texts += ["".join(characters[i] for i, _ in itertools.groupby(best) if i < len(characters)) for best in ids]
    return texts
