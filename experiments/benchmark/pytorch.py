"""The same networks in PyTorch, as its users write them: the peer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from crnn_jax.models.config import Architecture

_VGG: dict[str, tuple[tuple[int, ...], int]] = {"vgg222": ((2, 2, 2), 0), "vgg346": ((3, 4, 6), 1)}
_LIGHT = ((48, (2, 1)), (64, (1, 2)), (96, (2, 1)), (128, (1, 1)))


class TorchCRNN(nn.Module):
    """`crnn_jax.models.crnn.CRNN` with cuDNN's or oneDNN's layers.

    Args:
        architecture: vgg222, vgg346 or light, with GRUs.
        classes: K + 1.
        height: of the pictures.
        grey: they have one channel, not three.
    """

    def __init__(self, architecture: Architecture, classes: int, height: int, *, grey: bool = False) -> None:
        super().__init__()
        a = self.architecture = architecture
        layers: list[nn.Module] = []
        colours = 1 if grey else 3
        if a.backbone == "light":
            channels = 16 * colours
            layers.append(nn.PixelUnshuffle(4))
            for features, pool in _LIGHT:
                layers += _convolution(channels, features, 1, a)
                layers.append(nn.MaxPool2d(pool))
                channels = features
        else:
            channels, (depths, padding) = colours, _VGG[a.backbone]
            for block, depth in enumerate(depths):
                for _ in range(depth):
                    layers += _convolution(channels, 32 * 2**block, padding, a)
                    channels = 32 * 2**block
                layers.append(nn.MaxPool2d(2))
        self.backbone = nn.Sequential(*layers)
        self.pad = -height % 4 if a.backbone == "light" else 0
        with torch.no_grad():
            rows = self.backbone(torch.zeros(1, colours, height + self.pad, 192)).shape[2]
        self.columns = nn.Linear(channels * rows, a.hidden, bias=False)
        self.norm = nn.BatchNorm1d(a.hidden, a.epsilon, 1 - a.momentum)
        self.first = nn.GRU(a.hidden, a.hidden, bidirectional=True, batch_first=True)
        self.second = nn.GRU(a.hidden, a.hidden, bidirectional=True, batch_first=True)
        self.dropout = nn.Dropout(a.dropout)
        self.classifier = nn.Linear(2 * a.hidden, classes)

    def channels_last(self) -> TorchCRNN:
        """The same network in the other memory format."""
        to: Any = self.to  # its overloads lack the one with memory_format alone
        return cast(TorchCRNN, to(memory_format=torch.channels_last))

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) uint8 to logits (B, T, K + 1)."""
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


def train_step(
    model: TorchCRNN, images: Tensor, labels: Tensor, label_lengths: Tensor, optimizer: torch.optim.Optimizer
) -> Callable[[], object]:
    """A step on one batch, which returns its loss; on a GPU under bfloat16 autocast."""
    device = images.device.type

    def step() -> float:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
            logits = model(images)
        log_probabilities = logits.float().log_softmax(2).transpose(0, 1)
        lengths = torch.full((len(images),), logits.shape[1], dtype=torch.long)
        loss = functional.ctc_loss(log_probabilities, labels, lengths, label_lengths, blank=logits.shape[2] - 1)
        loss.backward()
        optimizer.step()
        return float(loss.detach())

    return step


def device() -> torch.device:
    """Where the peer runs: on a GPU if there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
