"""The network: convolutions, columns, recurrent layers, logits."""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from crnn_jax.alphabet import Alphabet
from crnn_jax.data.examples import STEP, Preparation
from crnn_jax.grammar import SEPARATOR
from crnn_jax.models.attention import IMPOSSIBLE, Attention, positions_in_a_row
from crnn_jax.models.backbones import VGG, DenseNet, Fine, Geometry, Light, Normalization, Padding, ResNet
from crnn_jax.models.config import Architecture
from crnn_jax.models.recurrent import Bidirectional, BidirectionalGRU, BidirectionalLSTM
from crnn_jax.models.temporal import TemporalConvolutions

_VGG: dict[str, tuple[tuple[int, ...], Padding]] = {
    "vgg222": ((2, 2, 2), "VALID"),
    "vgg2222": ((2, 2, 2, 2), "VALID"),  # leaves 900 pixels 52 columns: the source document had some 50 before it took vgg346
    "vgg346": ((3, 4, 6), "SAME"),
}
_OTHERS: dict[str, type[Light | ResNet | DenseNet]] = {"light": Light, "fine": Fine, "resnet": ResNet, "densenet": DenseNet}
_RECURRENT: dict[str, type[Bidirectional]] = {"gru": BidirectionalGRU, "lstm": BidirectionalLSTM}


Columns = tuple[jax.Array, jax.Array]  # logits (B, T, K + 1) and lengths (B,)


class CRNN(nn.Module):
    """Reads a picture from left to right (after Shi, Bai and Yao, "An end-to-end trainable neural network for image-based
    sequence recognition", 2015, with GRUs).

    With the attention head, its output is columns too: a position, a certain blank, a position, and so on.

    Attributes:
        architecture: its structure.
        classes: ids of the alphabet, the blank included, K + 1.
        dtype: of the activations; parameters, statistics and logits are float32.
        axis_name: pmap axis over which BatchNorm averages its statistics in training; None: each device alone.
        masked: pictures may be narrower than the batch: what lies past their width is kept from the rest in every layer, so
            that a reading doesn't depend on the width of the batch.
        lines: that a picture holds one below the other, as `crnn_jax.data.examples.Preparation` puts them; they are read each
            alone, and their columns put in a row.
        separator: the id that stands between the lines of a text.
        channels: of a picture that are looked at, the first ones: one is enough where all three are the same.
    """

    architecture: Architecture
    classes: int
    dtype: Any = jnp.float32
    axis_name: str | None = None
    masked: bool = False
    lines: int = 1
    separator: int = 0
    channels: int = 3

    @classmethod
    def of(cls, architecture: Architecture, alphabet: Alphabet, preparation: Preparation, **options: Any) -> CRNN:
        """The network for some pictures and texts."""
        lines = {"lines": preparation.lines, "separator": alphabet.encode(SEPARATOR).item()} if preparation.lines > 1 else {}
        channels = 1 if preparation.grey else 3
        return cls(architecture, alphabet.size, masked=bool(preparation.widths), channels=channels, **lines, **options)

    @nn.compact
    def __call__(
        self, images: jax.Array, widths: jax.Array, train: bool = False, dropout_keys: jax.Array | None = None
    ) -> Columns:
        """Computes the logits of each column.

        Args:
            images: (B, H, W, 3) uint8.
            widths: (B,) int, pixels of each picture that count; the rest is padding.
            train: use the batch's statistics, and dropout.
            dropout_keys: (B,) random keys, one for each example, so that what is dropped doesn't depend on how a batch is
                spread over devices; needed only for training with dropout.

        Returns:
            Logits (B, T, K + 1) float32 and the number of columns of each example, (B,) int32.
        """
        if self.lines == 1:
            return self._read(images, widths, train, dropout_keys)
        batch, height, width, _ = images.shape
        lines = images.reshape(batch * self.lines, height // self.lines, width, 3)
        if dropout_keys is not None:
            dropout_keys = jax.vmap(lambda key: jax.random.split(key, self.lines))(dropout_keys).reshape(-1)
        logits, lengths = self._read(lines, used_widths(lines), train, dropout_keys)
        logits, lengths = logits.reshape(batch, self.lines, *logits.shape[1:]), lengths.reshape(batch, self.lines)
        return in_a_row(logits, lengths, self.separator)

    def _read(self, images: jax.Array, widths: jax.Array, train: bool, dropout_keys: jax.Array | None) -> Columns:
        a = self.architecture
        normalization: dict[str, Any] = {
            "train": train,
            "momentum": a.momentum,
            "epsilon": a.epsilon,
            "axis_name": None if self.is_initializing() else self.axis_name,
        }
        x = (images[..., : self.channels].astype(self.dtype) - 127.5) / 127.5
        x = self._backbone(normalization)(x, widths if self.masked else None)
        batch, rows, columns, channels = x.shape
        normalization["train"] = train and columns > 0  # the column that is put there has no statistics
        x = _with_a_column(x.transpose(0, 2, 1, 3).reshape(batch, columns, rows * channels))
        init = getattr(nn.initializers, a.initialization)()
        x = nn.Dense(a.hidden, kernel_init=init, use_bias=False, dtype=self.dtype, name="columns")(x)
        x = Normalization(**normalization)(x)
        first_keys, second_keys = _split(dropout_keys) if train and a.dropout else (None, None)
        if a.dropout_dense:
            x = dropout(x, a.dropout, first_keys)
        lengths = jnp.minimum(geometry(a).columns(widths), columns)
        if a.rnn == "conv":
            x = TemporalConvolutions(a.hidden, a.initialization, normalization)(x, lengths)
        elif a.rnn != "none":
            layer = _RECURRENT[a.rnn]
            x = layer(a.hidden, merge="sum", initialization=a.rnn_initialization)(x, lengths)
            x = layer(a.hidden, merge="concat", initialization=a.rnn_initialization)(x, lengths)
        if a.head == "attention":
            lengths = jnp.maximum(lengths - a.drop_columns, 0)
            x = Attention(a.positions, a.hidden, a.rnn_initialization)(x[:, a.drop_columns :], lengths)
        x = dropout(x, a.dropout, second_keys)
        logits = nn.Dense(self.classes, dtype=self.dtype, name="classifier")(x).astype(jnp.float32)
        if a.head == "attention":
            return positions_in_a_row(logits, lengths > 0)
        return _with_a_column(logits[:, a.drop_columns :]), jnp.maximum(lengths - a.drop_columns, 0)

    def _backbone(self, normalization: dict[str, Any]) -> nn.Module:
        a = self.architecture
        if a.backbone in _OTHERS:
            return _OTHERS[a.backbone](a.initialization, normalization)
        depths, padding = _VGG[a.backbone]
        return VGG(depths, padding, a.initialization, normalization)


def _with_a_column(x: jax.Array) -> jax.Array:
    """(B, T, C), of pictures that are too narrow for a column with one that doesn't count: of none nothing can be made."""
    return x if x.shape[1] else jnp.pad(x, ((0, 0), (0, 1), (0, 0)))


def used_widths(images: jax.Array | np.ndarray) -> jax.Array:
    """Where pictures end that are black from there on, as multiples of `STEP`.

    Args:
        images: (B, H, W, 3) uint8.

    Returns:
        (B,) int32.
    """
    used = jnp.any(jnp.asarray(images) != 0, axis=(1, 3))
    last = jnp.max(jnp.where(used, jnp.arange(1, images.shape[2] + 1)[None], 0), axis=1)
    return jnp.minimum(-(-last // STEP) * STEP, images.shape[2])


def in_a_row(logits: jax.Array, lengths: jax.Array, separator: int) -> Columns:
    """The columns of lines one after another, and between two lines one that is certain to be a separator.

    Args:
        logits: (B, L, T, K + 1).
        lengths: (B, L) int; lines without columns come last.
        separator: id.

    Returns:
        Logits (B, L T + L - 1, K + 1) and how many of these columns there are, (B,).
    """
    batch, lines, columns, classes = logits.shape
    room = lines * columns + lines - 1
    ends = jnp.cumsum(lengths + (lengths > 0), axis=1)  # past the separator after each line
    starts = ends - lengths - (lengths > 0)
    column = jnp.arange(columns)[None, None]
    places = jnp.where(column < lengths[..., None], starts[..., None] + column, room)
    row = jnp.full((batch, room, classes), IMPOSSIBLE).at[:, :, separator].set(0.0)
    rows = jnp.arange(batch)[:, None, None]
    return row.at[rows, places].set(logits, mode="drop"), jnp.maximum(ends[:, -1] - 1, 0)


def geometry(architecture: Architecture) -> Geometry:
    """Where the columns of a network lie in the picture, before `Architecture.drop_columns` are cut off."""
    if architecture.backbone in _OTHERS:
        return _OTHERS[architecture.backbone].GEOMETRY
    return VGG.geometry(*_VGG[architecture.backbone])


def output_columns(architecture: Architecture, width: int) -> int:
    """Columns that give an output, or are attended to, for a picture of some width in pixels."""
    return max(0, geometry(architecture).columns(width) - architecture.drop_columns)


def dropout(x: jax.Array, rate: float, keys: jax.Array | None) -> jax.Array:
    """Drops a share of the values and scales up the rest (Srivastava et al. 2014), each example by its own key.

    Args:
        x: (B, ...).
        rate: share that is dropped.
        keys: (B,) random keys; None: x as it is.
    """
    if keys is None:
        return x
    keep = jax.vmap(lambda key: jax.random.bernoulli(key, 1 - rate, x.shape[1:]))(keys)
    return jnp.where(keep, x / (1 - rate), 0)


def _split(keys: jax.Array | None) -> tuple[jax.Array, jax.Array]:
    if keys is None:
        raise ValueError("training with dropout needs dropout_keys, one for each example")
    pairs = jax.vmap(jax.random.split)(keys)
    return pairs[:, 0], pairs[:, 1]
