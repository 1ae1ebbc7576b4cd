"""Convolutional networks that turn a picture into columns of features, and the geometry of those columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from crnn_jax.models.config import Initialization
from crnn_jax.models.convolution import convolution

Padding = Literal["VALID", "SAME"]
Number = TypeVar("Number", int, jax.Array)


@dataclass(frozen=True)
class Geometry:
    """Where the columns of a backbone lie: column t is centred on the pixels [offset + stride t, offset + stride (t + 1)).

    Attributes:
        stride: pixels from one column to the next.
        offset: first pixel of column 0.
        margin: pixels that the unpadded convolutions take from a picture's width, all in all.
    """

    stride: int
    offset: int = 0
    margin: int = 0

    def columns(self, width: Number) -> Number:
        """Number of columns of a picture of some width."""
        return divided(width - self.margin, self.stride)


class Normalization(nn.Module):
    """BatchNorm (Ioffe and Szegedy 2015), in float32, then ReLU.

    Attributes:
        train: use and collect the statistics of the batch.
        momentum: of the running statistics.
        epsilon: added to the variance.
        axis_name: pmap axis over which the statistics are averaged; None: each device has its own.
    """

    train: bool
    momentum: float
    epsilon: float
    axis_name: str | None

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """(..., C) to (..., C); the statistics are those of the last axis."""
        collect = self.train and x.size > 0  # of nothing there are no statistics
        norm = nn.BatchNorm(
            use_running_average=not collect,
            momentum=self.momentum,
            epsilon=self.epsilon,
            axis_name=self.axis_name if collect else None,
            dtype=x.dtype,
            name="norm",
        )
        return nn.relu(norm(x))


class VGG(nn.Module):
    """Blocks of 3x3 convolutions with BatchNorm and ReLU, each block closed by a 2x2 pooling and twice as wide as the last.

    Attributes:
        depths: convolutions of each block.
        features: channels of the first block.
        padding: ``VALID`` or ``SAME``.
        initialization: of the kernels (He et al. 2015).
        normalization: arguments of `Normalization`.
    """

    depths: tuple[int, ...]
    padding: Padding
    initialization: Initialization
    normalization: dict[str, Any]
    features: int = 32

    @nn.compact
    def __call__(self, x: jax.Array, widths: jax.Array | None = None) -> jax.Array:
        """(B, H, W, 3) to (B, H', T, C); past the widths, (B,) int, nothing is seen."""
        x = blank_out(x, widths)
        for block, depth in enumerate(self.depths):
            for _ in range(depth):
                x = convolution(self.features * 2**block, self.padding, self.initialization, x.dtype)(x)
                x = Normalization(**self.normalization)(x)
                widths = None if widths is None else widths - (2 if self.padding == "VALID" else 0)
                x = blank_out(x, widths)
            x = max_pool(x, 2, 2)
            widths = None if widths is None else divided(widths, 2)
        return x

    @staticmethod
    def geometry(depths: tuple[int, ...], padding: Padding) -> Geometry:
        """Each unpadded convolution takes a pixel of its own scale from either side."""
        lost = [depth * 2**block if padding == "VALID" else 0 for block, depth in enumerate(depths)]
        return Geometry(stride=2 ** len(depths), offset=sum(lost), margin=2 * sum(lost))


Masked = tuple[jax.Array, jax.Array | None]  # (B, H, W, C), and the widths that count, (B,); None: all of it
# Channels of each layer, and the pooling after it.
Layers = tuple[tuple[int, tuple[int, int]], ...]


class Light(nn.Module):
    """A small network for CPUs: the picture is folded 4x4 into channels, so that no layer runs at its full size.

    Four 3x3 convolutions with BatchNorm and ReLU. Heights are halved after the first and the third, widths after the
    second. A column spans 8 pixels.

    Attributes:
        initialization: of the kernels (He et al. 2015).
        normalization: arguments of `Normalization`.
    """

    initialization: Initialization
    normalization: dict[str, Any]

    GEOMETRY = Geometry(stride=8)
    FOLD: ClassVar[tuple[int, int]] = (4, 4)  # rows and columns of a patch
    LAYERS: ClassVar[Layers] = ((48, (2, 1)), (64, (1, 2)), (96, (2, 1)), (128, (1, 1)))

    @nn.compact
    def __call__(self, x: jax.Array, widths: jax.Array | None = None) -> jax.Array:
        """(B, H, W, 3) to (B, H', T, C); past the widths, (B,) int, nothing is seen."""
        rows, columns = self.FOLD
        x = space_to_depth(blank_out(x, widths), rows, columns)
        widths = None if widths is None else divided(widths + columns - 1, columns)
        for features, (height, width) in self.LAYERS:
            x = convolution(features, "SAME", self.initialization, x.dtype)(x)
            x = blank_out(Normalization(**self.normalization)(x), widths)
            x = max_pool(x, height, width)
            widths = None if widths is None else divided(widths, width)
        return x


class Fine(Light):
    """`Light` with twice as many rows, for characters that are low in their picture, such as those of a fraction.

    The picture is folded 2x4. Heights are halved after each layer but the third, widths after the second.
    """

    FOLD = (2, 4)
    LAYERS = ((32, (2, 1)), (64, (2, 2)), (96, (1, 1)), (128, (2, 1)))


# After each stage of a residual or dense network, whose first convolution has halved the picture before.
_STAGES = ((2, 2), (2, 2), (2, 1))


def _stem(x: jax.Array, widths: jax.Array | None, features: int, initialization: Initialization) -> Masked:
    """A convolution that halves the picture, as residual and dense networks begin: all that follows costs a quarter."""
    x = space_to_depth(blank_out(x, widths), 2, 2)
    x = convolution(features, "SAME", initialization, x.dtype)(x)
    return x, None if widths is None else widths - divided(widths, 2)  # rounded up; a converter takes (w + 1) / 2 for a mean


class ResNet(nn.Module):
    """Residual blocks in three stages, each closed by a pooling and twice as wide as the last.

    Normalisation comes before each convolution (He et al., "Identity mappings in deep residual networks", 2016, figure 4e).

    Attributes:
        initialization: of the kernels (He et al. 2015).
        normalization: arguments of `Normalization`.
        blocks: of each stage.
        features: channels of the first stage.
    """

    initialization: Initialization
    normalization: dict[str, Any]
    blocks: int = 2
    features: int = 32

    GEOMETRY = Geometry(stride=8)

    @nn.compact
    def __call__(self, x: jax.Array, widths: jax.Array | None = None) -> jax.Array:
        """(B, H, W, 3) to (B, H', T, C); past the widths, (B,) int, nothing is seen."""
        x, widths = _stem(x, widths, self.features, self.initialization)
        for stage, (height, width) in enumerate(_STAGES):
            features = self.features * 2**stage
            for _ in range(self.blocks):
                y = blank_out(Normalization(**self.normalization)(x), widths)
                if x.shape[-1] != features:
                    x = convolution(features, "SAME", self.initialization, x.dtype, size=1)(y)
                y = convolution(features, "SAME", self.initialization, x.dtype)(y)
                y = blank_out(Normalization(**self.normalization)(y), widths)
                x = x + convolution(features, "SAME", self.initialization, x.dtype)(y)
            x = max_pool(x, height, width)
            widths = None if widths is None else divided(widths, width)
        return blank_out(Normalization(**self.normalization)(x), widths)


class _DenseLayer(nn.Module):
    """Adds channels to those that came before."""

    growth: int
    initialization: Initialization
    normalization: dict[str, Any]

    @nn.compact
    def __call__(self, x: jax.Array, widths: jax.Array | None) -> jax.Array:
        y = blank_out(Normalization(**self.normalization)(x), widths)
        y = convolution(4 * self.growth, "SAME", self.initialization, x.dtype, size=1)(y)
        y = blank_out(Normalization(**self.normalization)(y), widths)
        y = convolution(self.growth, "SAME", self.initialization, x.dtype)(y)
        return jnp.concatenate([x, y], axis=-1)


class DenseNet(nn.Module):
    """Two dense blocks, whose layers see all that came before; after each, half the channels and a pooling (Huang et al.,
    "Densely connected convolutional networks", 2017, section 3: DenseNet-BC). As there, a convolution and a pooling make the
    picture a quarter of its size first. What a layer computes is computed once more for the gradients, or its normalised inputs
    would fill the memory (Pleiss et al., "Memory-efficient implementation of DenseNets", 2017).

    Attributes:
        initialization: of the kernels (He et al. 2015).
        normalization: arguments of `Normalization`.
        layers: of each block.
        growth: channels that a layer adds.
    """

    initialization: Initialization
    normalization: dict[str, Any]
    layers: int = 8
    growth: int = 8

    GEOMETRY = Geometry(stride=8)

    @nn.compact
    def __call__(self, x: jax.Array, widths: jax.Array | None = None) -> jax.Array:
        """(B, H, W, 3) to (B, H', T, C); past the widths, (B,) int, nothing is seen."""
        x, widths = _stem(x, widths, 2 * self.growth, self.initialization)
        layer = nn.remat(_DenseLayer)
        for stage, (height, width) in enumerate(_STAGES):
            if stage:
                for _ in range(self.layers):
                    x = layer(self.growth, self.initialization, self.normalization)(x, widths)
                y = blank_out(Normalization(**self.normalization)(x), widths)
                x = convolution(x.shape[-1] // 2, "SAME", self.initialization, x.dtype, size=1)(y)
            x = max_pool(x, height, width)
            widths = None if widths is None else divided(widths, width)
        return blank_out(Normalization(**self.normalization)(x), widths)


def divided(number: Number, divisor: int) -> Number:
    """Rounded towards zero: for arrays a single operation, which converters to other formats know."""
    if isinstance(number, int):
        return int(number / divisor)
    array = jnp.asarray(number)
    return jax.lax.div(array, jnp.asarray(divisor, array.dtype))


def blank_out(x: jax.Array, widths: jax.Array | None) -> jax.Array:
    """Zeros past the width of each picture.

    Args:
        x: (B, H, W, C).
        widths: (B,) int; None: x as it is.
    """
    if widths is None:
        return x
    inside = jnp.arange(x.shape[2])[None, :] < widths[:, None]
    return jnp.where(inside[:, None, :, None], x, jnp.zeros((), x.dtype))


def max_pool(x: jax.Array, height: int, width: int) -> jax.Array:
    """Takes the largest value of each window; a rest at the lower or right edge is dropped.

    Written as maxima of slices: the gradient of XLA's windowed reduction is many times slower on a CPU.

    Args:
        x: (B, H, W, C).
        height: of a window.
        width: likewise.

    Returns:
        (B, H // height, W // width, C).
    """
    rows, columns = x.shape[1] // height, x.shape[2] // width
    x = x[:, : rows * height, : columns * width]
    for axis, size in ((1, height), (2, width)):
        length = x.shape[axis]  # perhaps 0
        parts = [jax.lax.slice_in_dim(x, min(i, length), None, stride=size, axis=axis) for i in range(size)]
        x = parts[0]
        for part in parts[1:]:
            x = jnp.maximum(x, part)
    return x


def space_to_depth(x: jax.Array, rows: int, columns: int) -> jax.Array:
    """Folds each patch of some rows and columns into channels; a rest at the lower or right edge is filled with zeros.

    Args:
        x: (B, H, W, C).
        rows: of a patch.
        columns: likewise.

    Returns:
        (B, ceil(H / rows), ceil(W / columns), C rows columns).
    """
    x = jnp.pad(x, ((0, 0), (0, -x.shape[1] % rows), (0, -x.shape[2] % columns), (0, 0)))
    batch, height, width, channels = x.shape
    x = x.reshape(batch, height // rows, rows, width // columns, columns, channels).transpose(0, 1, 3, 2, 4, 5)
    return x.reshape(batch, height // rows, width // columns, rows * columns * channels)
