"""Training, against PyTorch: the step alone on a batch in memory, and captchas with their drawing."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import numpy as np
import torch

from crnn_jax import tasks
from crnn_jax.data.drawn import package_captcha
from crnn_jax.data.examples import Batch, BatchMaker
from crnn_jax.data.pipeline import training_batches
from crnn_jax.data.workers import BatchWorkers
from crnn_jax.drawing.random import Draws
from experiments.benchmark import pytorch
from experiments.benchmark.report import Row, in_turns, row
from experiments.benchmark.step import Case, Step, random_batch, recipes

_ROUNDS = 7


def rows(count: int | None, seed: int) -> Iterator[Row]:
    """Images a second."""
    for case in recipes():
        batch = random_batch(case, seed)
        peer = _fastest([_peer(case, batch, channels_last) for channels_last in (False, True)])
        a, b = in_turns(_ours(case, batch), peer, count or _ROUNDS)
        size = case.config.batch_size
        yield row("train", f"{case.name}, {case.config.backbone}, batches of {size}", size / a, size / b, "images/s")
    yield from _with_drawing(count or 5, seed)


def _ours(case: Case, batch: Batch) -> Callable[[], object]:
    step = Step(case)
    return lambda: step(batch)


def _peer(case: Case, batch: Batch, channels_last: bool) -> Callable[[], object]:
    preparation = case.task.preparation
    model = pytorch.TorchCRNN(case.config.architecture, case.task.alphabet.size, preparation.height, grey=preparation.grey)
    model = model.to(pytorch.device()).train()
    channels = batch["images"][..., : 1 if preparation.grey else 3]
    images = torch.from_numpy(channels.transpose(0, 3, 1, 2).copy()).to(pytorch.device())
    if channels_last:
        model, images = model.channels_last(), images.to(memory_format=torch.channels_last)
    labels = torch.from_numpy(batch["labels"]).long().to(pytorch.device())
    lengths = torch.from_numpy(batch["label_lengths"]).long()
    return pytorch.train_step(model, images, labels, lengths, torch.optim.Adam(model.parameters(), 1e-3))


def _fastest(works: list[Callable[[], object]]) -> Callable[[], object]:
    seconds = in_turns(works[0], works[1], 3, warm_up=1)
    return works[int(np.argmin(seconds))]


def _with_drawing(count: int, seed: int) -> Iterator[Row]:
    """`light` on captchas as they are drawn, against PyTorch fed by a DataLoader of the unmodified package."""
    case = next(case for case in recipes() if case.name == "captcha" and case.config.backbone == "light")
    size, batches = case.config.batch_size, 8
    step = Step(case)
    maker = BatchMaker(case.task.source("train", seed), case.task.preparation, case.task.alphabet, case.task.max_length)
    loader = torch.utils.data.DataLoader(
        PackageCaptchas(seed), size, num_workers=case.config.worker_count, multiprocessing_context="spawn"
    )
    drawn = iter(loader)
    model = pytorch.TorchCRNN(case.config.architecture, case.task.alphabet.size, case.task.preparation.height)
    model = model.to(pytorch.device()).train()
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)

    def peer() -> None:
        for images, labels in itertools.islice(drawn, batches):
            lengths = torch.full((size,), labels.shape[1])
            pytorch.train_step(model, images.to(pytorch.device()), labels.to(pytorch.device()), lengths, optimizer)()

    with BatchWorkers({"train": maker}, case.config.worker_count) as workers:
        made = training_batches(workers, len(maker.source), size)

        def ours() -> None:
            for _ in range(batches):
                step(next(made))

        a, b = in_turns(ours, peer, count, warm_up=1)
    pictures = size * batches
    yield row("train", "captcha, light, drawing included", pictures / a, pictures / b, "images/s")


class PackageCaptchas(torch.utils.data.Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """Captchas by the unmodified package."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._alphabet = tasks.captcha().alphabet

    def __len__(self) -> int:
        return 1 << 40

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        draws = Draws(self._seed, "generate", index)
        text = "".join(draws.choice(self._alphabet.characters) for _ in range(4))
        image = package_captcha(text).image
        return torch.from_numpy(image.transpose(2, 0, 1).copy()), torch.from_numpy(self._alphabet.encode(text)).long()
