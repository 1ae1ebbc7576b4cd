"""Reading, against PyTorch: pictures in memory, one at a time, and a folder of files, all greedily and at one look.

The peer has channels_last or not, whichever is faster, for one picture chosen apart. On a GPU both compute in bfloat16.
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import jax
import numpy as np
import torch
from PIL import Image

from crnn_jax import tasks
from crnn_jax.models.config import Architecture, Backbone
from crnn_jax.models.crnn import CRNN
from crnn_jax.recognizer import Recognizer
from experiments.benchmark import pytorch
from experiments.benchmark.report import Row, in_turns, row, seconds_in_turns
from experiments.benchmark.step import device_dtype

_ROUNDS = 5
_SIZES = {"cpu": (512, 64), "gpu": (4096, 512)}  # pictures, and those of a batch
_ALONE, _WARM_UP, _CHOOSING = 195, 5, 20  # pictures that are read one at a time
_BACKBONES: tuple[Backbone, ...] = ("light", "vgg222")


def rows(count: int | None, seed: int) -> Iterator[Row]:
    """Captchas, with freshly initialised networks: what they read costs the same as with trained ones."""
    source = tasks.captcha().source("generate", seed)
    count_of_pictures, batch = _SIZES["cpu" if jax.default_backend() == "cpu" else "gpu"]
    pictures = [source[i].image for i in range(count_of_pictures)]
    for backbone in _BACKBONES:
        yield from _compare(backbone, pictures, batch, count or _ROUNDS)


def _compare(backbone: Backbone, pictures: list[np.ndarray], batch: int, rounds: int) -> Iterator[Row]:
    ours, peer, of_one = (
        _ours(backbone),
        _fastest(backbone, [pictures], batch),
        _fastest(backbone, [[p] for p in pictures[:_CHOOSING]], 1),
    )
    a, b = in_turns(lambda: ours.read(pictures, decode="greedy", batch_size=batch), lambda: peer.read(pictures), rounds)
    yield row("read", f"{backbone}, pictures in memory", len(pictures) / a, len(pictures) / b, "images/s")
    mine, theirs = (([picture] for picture in itertools.cycle(pictures)) for _ in range(2))
    latencies = seconds_in_turns(
        lambda: ours.read(next(mine), decode="greedy"), lambda: of_one.read(next(theirs)), _ALONE, _WARM_UP
    )
    for percent in (50, 99):
        a, b = (1000 * float(np.percentile(seconds, percent)) for seconds in latencies)
        yield row("read", f"{backbone}, one picture, {percent}th percentile", a, b, "ms", "less")
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / f"{i}.png" for i in range(len(pictures))]
        for file, picture in zip(files, pictures, strict=True):
            Image.fromarray(picture).save(file)
        a, b = in_turns(lambda: ours.read(files, decode="greedy", batch_size=batch), lambda: peer.read_files(files), rounds)
    yield row("read", f"{backbone}, a folder of PNG files", len(pictures) / a, len(pictures) / b, "images/s")


def _ours(backbone: Backbone) -> Recognizer:
    task = tasks.captcha()
    architecture = Architecture(backbone=backbone)
    model = CRNN(architecture, task.alphabet.size)
    zeros = jax.numpy.zeros((1, task.preparation.height, task.preparation.width, 3), np.uint8)
    variables = model.init(jax.random.key(0), zeros, jax.numpy.array([task.preparation.width]))
    return Recognizer(architecture, task.alphabet, task.preparation, dict(variables), dtype=device_dtype())


def _fastest(backbone: Backbone, calls: list[list[np.ndarray]], batch: int) -> _Peer:
    """The peer in the memory format in which it reads the pictures of some calls faster."""

    def work(channels_last: bool) -> Callable[[], object]:
        peer = _Peer(backbone, batch, channels_last)
        return lambda: [peer.read(pictures) for pictures in calls]

    return _Peer(backbone, batch, pytorch.is_faster_channels_last(work))


class _Peer:
    """Reads greedily, some pictures at a time."""

    def __init__(self, backbone: Backbone, batch: int, channels_last: bool) -> None:
        task = tasks.captcha()
        self._alphabet = task.alphabet
        model = pytorch.TorchCRNN(Architecture(backbone=backbone), task.alphabet.size, task.preparation.height)
        self._model = model.laid_out(channels_last).to(pytorch.device()).train(False)
        self._batch, self._channels_last = batch, channels_last

    @torch.inference_mode()
    def read(self, pictures: list[np.ndarray]) -> list[str]:
        texts = []
        for first in range(0, len(pictures), self._batch):
            images = pytorch.as_tensor(np.stack(pictures[first : first + self._batch]), self._channels_last).to(
                pytorch.device()
            )
            with torch.autocast(images.device.type, torch.bfloat16, enabled=images.is_cuda):
                best = self._model(images).argmax(2).cpu().numpy()
            for ids in best:
                starts = ids[np.concatenate([[True], ids[1:] != ids[:-1]])]
                texts.append(self._alphabet.decode(starts[starts != self._alphabet.blank]))
        return texts

    def read_files(self, files: list[Path]) -> list[str]:
        return self.read([np.asarray(Image.open(file).convert("RGB")) for file in files])
