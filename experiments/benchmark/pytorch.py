"""The same networks in PyTorch, as its users write them: the peer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from crnn_jax.data.examples import Batch, BatchMaker
from crnn_jax.models.config import Architecture
from experiments.benchmark.report import in_turns
from experiments.benchmark.step import Case

AHEAD = 2  # batches that each worker of a DataLoader has in hand
_VGG: dict[str, tuple[tuple[int, ...], int]] = {"vgg222": ((2, 2, 2), 0), "vgg346": ((3, 4, 6), 1)}
_LIGHT = ((48, (2, 1)), (64, (1, 2)), (96, (2, 1)), (128, (1, 1)))


class TorchCRNN(nn.Module):
    """`crnn_jax.models.crnn.CRNN` with cuDNN's or oneDNN's layers.

    Args:
        architecture: vgg222, vgg346 or light, with GRUs.
        classes: K + 1.
        height: of the pictures.
        grey: they have one channel, not three.

    Attributes:
        architecture: as given.
        channels: of the pictures.
    """

    def __init__(self, architecture: Architecture, classes: int, height: int, *, grey: bool = False) -> None:
        super().__init__()
        a = self.architecture = architecture
        layers: list[nn.Module] = []
        self.channels = 1 if grey else 3
        if a.backbone == "light":
            channels = 16 * self.channels
            layers.append(nn.PixelUnshuffle(4))
            for features, pool in _LIGHT:
                layers += _convolution(channels, features, 1, a)
                layers.append(nn.MaxPool2d(pool))
                channels = features
        else:
            channels, (depths, padding) = self.channels, _VGG[a.backbone]
            for block, depth in enumerate(depths):
                for _ in range(depth):
                    layers += _convolution(channels, 32 * 2**block, padding, a)
                    channels = 32 * 2**block
                layers.append(nn.MaxPool2d(2))
        self.backbone = nn.Sequential(*layers)
        self.pad = -height % 4 if a.backbone == "light" else 0
        with torch.no_grad():
            rows = self.backbone(torch.zeros(1, self.channels, height + self.pad, 192)).shape[2]
        self.columns = nn.Linear(channels * rows, a.hidden, bias=False)
        self.norm = nn.BatchNorm1d(a.hidden, a.epsilon, 1 - a.momentum)
        self.first = nn.GRU(a.hidden, a.hidden, bidirectional=True, batch_first=True)
        self.second = nn.GRU(a.hidden, a.hidden, bidirectional=True, batch_first=True)
        self.dropout = nn.Dropout(a.dropout)
        self.classifier = nn.Linear(2 * a.hidden, classes)

    def laid_out(self, channels_last: bool) -> TorchCRNN:
        """The same network in a memory format."""
        to: Any = self.to  # its overloads lack the one with memory_format alone
        return cast(TorchCRNN, to(memory_format=_memory_format(channels_last)))

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, H, W) uint8 to logits (B, T, K + 1)."""
        width = -images.shape[3] % 4 if self.pad or self.architecture.backbone == "light" else 0
        x = functional.pad((images.float() - 127.5) / 127.5, (0, width, 0, self.pad))
        x = self.backbone(x)
        x = x.permute(0, 3, 2, 1).flatten(2)
        x = self.norm(self.columns(x).transpose(1, 2)).relu().transpose(1, 2)
        if self.architecture.dropout_dense:
            x = self.dropout(x)
        x, _ = self.first(x)
        x = x[..., : self.architecture.hidden] + x[..., self.architecture.hidden :]
        x, _ = self.second(x)
        logits: Tensor = self.classifier(self.dropout(x))
        return logits[:, self.architecture.drop_columns :]


def _convolution(channels: int, features: int, padding: int, a: Architecture) -> list[nn.Module]:
    return [
        nn.Conv2d(channels, features, 3, padding=padding, bias=False),
        nn.BatchNorm2d(features, a.epsilon, 1 - a.momentum),
        nn.ReLU(inplace=True),
    ]


class TorchStep:
    """A training step with its state, as `experiments.benchmark.step.Step`: with Adam, on a GPU under bfloat16 autocast.

    Args:
        case: that it is for.
        channels_last: the memory format of network and pictures.

    Attributes:
        model: the network.
        optimizer: its optimiser.
        channels_last: as given.
    """

    def __init__(self, case: Case, channels_last: bool) -> None:
        preparation = case.task.preparation
        model = TorchCRNN(case.config.architecture, case.task.alphabet.size, preparation.height, grey=preparation.grey)
        self.model = model.laid_out(channels_last).to(device()).train()
        self.optimizer = torch.optim.Adam(self.model.parameters(), case.config.learning_rate)
        self.channels_last = channels_last

    def __call__(self, images: Tensor, labels: Tensor, label_lengths: Tensor) -> float:
        """Takes a step, waits until it is done, and gives its loss.

        Args:
            images: (B, C, H, W) uint8, laid out as the network.
            labels: (B, L) int64.
            label_lengths: (B,) int64.
        """
        images, labels = images.to(device()), labels.to(device())
        self.optimizer.zero_grad(set_to_none=True)
        with torch.autocast(images.device.type, torch.bfloat16, enabled=images.is_cuda):
            logits = self.model(images)
        log_probabilities = logits.float().log_softmax(2).transpose(0, 1)
        lengths = torch.full((len(images),), logits.shape[1], dtype=torch.long)
        loss = functional.ctc_loss(log_probabilities, labels, lengths, label_lengths, blank=logits.shape[2] - 1)
        loss.backward()
        self.optimizer.step()
        return float(loss.detach())

    def on(self, batch: Batch) -> Callable[[], object]:
        """What takes a step on a batch that lies on the device already, and waits until it is done."""
        channels = self.model.channels
        images = as_tensor(batch["images"][..., :channels], self.channels_last).to(device())
        labels = torch.from_numpy(batch["labels"]).long().to(device())
        lengths = torch.from_numpy(batch["label_lengths"]).long()
        return lambda: self(images, labels, lengths)


def fastest_step(case: Case, batch: Batch) -> TorchStep:
    """A step of a case, not taken yet, in the memory format that is faster on a batch."""
    return TorchStep(case, is_faster_channels_last(lambda channels_last: TorchStep(case, channels_last).on(batch)))


def is_faster_channels_last(work: Callable[[bool], Callable[[], object]]) -> bool:
    """Whether channels_last is the faster memory format; in turns.

    Args:
        work: what is timed, with channels_last or without.
    """
    without, channels_last = in_turns(work(False), work(True), 3, warm_up=1)
    return channels_last < without


class Examples(torch.utils.data.Dataset[Batch]):
    """Examples one by one, prepared, for a DataLoader.

    Args:
        maker: of the batches, here of one example each.
        channels_last: the memory format of the pictures.
    """

    def __init__(self, maker: BatchMaker, channels_last: bool) -> None:
        self._maker, self._channels_last = maker, channels_last

    def __len__(self) -> int:
        return len(self._maker.source)

    def __getitem__(self, index: int) -> Batch:
        return self._maker(np.array([index]))

    def collate(self, examples: Sequence[Batch]) -> tuple[Tensor, Tensor, Tensor]:
        """The arguments of `TorchStep`; pictures as wide as a batch needs them."""
        preparation = self._maker.preparation
        images = preparation.stack([example["images"][0] for example in examples])[..., : 1 if preparation.grey else 3]
        labels, lengths = (np.concatenate([e[name] for e in examples]) for name in ("labels", "label_lengths"))
        return as_tensor(images, self._channels_last), torch.from_numpy(labels).long(), torch.from_numpy(lengths).long()


def load_batches(maker: BatchMaker, size: int, workers: int, channels_last: bool) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Batches by a DataLoader, the arguments of `TorchStep`; the examples come in order.

    Args:
        maker: of the examples.
        size: of a batch.
        workers: processes that draw them, `AHEAD` batches each.
        channels_last: the memory format of the pictures.
    """
    examples = Examples(maker, channels_last)
    return iter(
        torch.utils.data.DataLoader(
            examples,
            size,
            num_workers=workers,
            collate_fn=examples.collate,
            pin_memory=torch.cuda.is_available(),
            multiprocessing_context="spawn" if workers else None,
            prefetch_factor=AHEAD if workers else None,
        )
    )


def as_tensor(images: np.ndarray, channels_last: bool) -> Tensor:
    """(B, H, W, C) uint8 to (B, C, H, W), in a memory format."""
    return torch.from_numpy(images).permute(0, 3, 1, 2).contiguous(memory_format=_memory_format(channels_last))


def _memory_format(channels_last: bool) -> torch.memory_format:
    return torch.channels_last if channels_last else torch.contiguous_format


def device() -> torch.device:
    """Where the peer runs: on a GPU if there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
