"""What a source of examples is, how a picture is prepared, and how examples become a batch. Runs in data workers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypedDict

import cv2
import numpy as np

from crnn_jax.alphabet import Alphabet
from crnn_jax.data.images import UnreadableImage
from crnn_jax.errors import UserError

PADDING = -1  # stands for an index where a batch holds no example
BATCH_SIZE = 64  # pictures read at a time, where nobody asks for another number
ENDLESS = 2**40  # examples of a source that draws as many as one asks for


class Example(NamedTuple):
    """A picture, (H, W, 3) uint8 RGB of any size, and its text."""

    image: np.ndarray
    text: str


class Source(Protocol):
    """Examples by number: a pure function of the number, on any machine and in any process (so it can be pickled)."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Example: ...


@dataclass(frozen=True)
class Preparation:
    """How a picture of any size becomes one that a network takes; goes into the checkpoint.

    Attributes:
        height: of the network's pictures, in pixels.
        width: likewise.
        equalize: turn the picture to grey and spread its levels evenly (histogram equalisation), which shows what differs from
            the background by a single level.
    """

    height: int
    width: int
    equalize: bool = False

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Stretches a picture to the network's size; one that has it already keeps its pixels.

        Args:
            image: (H, W, 3) uint8 RGB.

        Returns:
            (height, width, 3) uint8 RGB.
        """
        if self.equalize:  # before the levels are mixed
            grey = cv2.equalizeHist(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))
            image = np.repeat(grey[..., None], 3, axis=2)
        if image.shape[:2] == (self.height, self.width):
            return image
        smaller = image.shape[0] > self.height and image.shape[1] > self.width
        interpolation = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
        return cv2.resize(image, (self.width, self.height), interpolation=interpolation).astype(np.uint8)


class Batch(TypedDict):
    """Examples as arrays, and what could not be read.

    Attributes:
        images: (B, H, W, 3) uint8.
        widths: (B,) int32, pixels of each picture that count.
        labels: (B, L) int32, padded with the blank.
        label_lengths: (B,) int32.
        weights: (B,) float32, 0 where there is no example.
        positions: (B,) int32, place in the batch of all hosts.
        unreadable: what is wrong with pictures that can't be read; their places are empty.
    """

    images: np.ndarray
    widths: np.ndarray
    labels: np.ndarray
    label_lengths: np.ndarray
    weights: np.ndarray
    positions: np.ndarray
    unreadable: list[str]


@dataclass(frozen=True)
class BatchMaker:
    """Makes the batch of some example numbers.

    Attributes:
        source: of the examples.
        preparation: of their pictures.
        alphabet: of their texts.
        max_length: L, characters of the longest text.
    """

    source: Source
    preparation: Preparation
    alphabet: Alphabet
    max_length: int

    def __call__(self, indices: np.ndarray, first_position: int = 0) -> Batch:
        """Reads or draws the examples.

        Args:
            indices: (B,) int; `PADDING` leaves a place empty.
            first_position: place of the first one in the batch of all hosts.

        Raises:
            UserError: a text is longer than ``max_length`` or holds a character that isn't in the alphabet.
        """
        size, height, width = len(indices), self.preparation.height, self.preparation.width
        batch = Batch(
            images=np.zeros((size, height, width, 3), np.uint8),
            widths=np.full(size, width, np.int32),
            labels=np.full((size, self.max_length), self.alphabet.blank, np.int32),
            label_lengths=np.zeros(size, np.int32),
            weights=np.zeros(size, np.float32),
            positions=np.arange(first_position, first_position + size, dtype=np.int32),
            unreadable=[],
        )
        for place, index in enumerate(indices.tolist()):
            if index == PADDING:
                continue
            try:
                image, text = self.source[index]
            except UnreadableImage as error:
                batch["unreadable"].append(str(error))
                continue
            if len(text) > self.max_length:
                raise UserError(f"example {index}: the text {text!r} is longer than {self.max_length} characters")
            batch["images"][place] = self.preparation(image)
            batch["labels"][place, : len(text)] = self.alphabet.encode(text)
            batch["label_lengths"][place] = len(text)
            batch["weights"][place] = 1
        if batch["unreadable"] and batch["weights"].any():
            # BatchNorm sees the places that don't count too: pictures there are better than black.
            batch["images"][batch["weights"] == 0] = batch["images"][np.argmax(batch["weights"])]
        return batch
