"""What a source of examples is, how a picture is prepared, and how examples become a batch. Runs in data workers."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypedDict

import cv2
import numpy as np

from crnn_jax import fraction
from crnn_jax.alphabet import Alphabet
from crnn_jax.box import Part, Traced, resized
from crnn_jax.data.contrast import EQUALIZE, Equalize, brightest, equalize
from crnn_jax.data.images import UnreadableImage
from crnn_jax.errors import UserError
from crnn_jax.locate import NoFormula, find_strip, split

PADDING = -1  # stands for an index where a batch holds no example
BATCH_SIZE = 64  # pictures read at a time, where nobody asks for another number
ENDLESS = 2**40  # examples of a source that draws as many as one asks for
STEP = 8  # pixels: widths that vary are multiples of it, so that no column of a padded backbone is lost at the right
_LOW = 0.75  # share of the height that there is for a picture; one that is too wide for more is told


class Example(NamedTuple):
    """A picture, (H, W, 3) uint8 RGB of any size, and its text."""

    image: np.ndarray
    text: str


class Source(Protocol):
    """Examples by number: a pure function of the number, on any machine and in any process (so it can be pickled)."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Example: ...


class Fitted(NamedTuple):
    """What becomes of a picture, or of a line of one, that keeps its proportions; in pixels.

    Attributes:
        height: that it is brought to.
        width: likewise.
        full: the height that it would be brought to if there were room for any width.
    """

    height: int
    width: int
    full: int

    @property
    def squeezed(self) -> bool:
        """Whether it is too wide: clearly lower than others."""
        return self.height < _LOW * self.full

    def __str__(self) -> str:
        seen = f"the network saw it {self.height} pixels high instead of {self.full}"
        return f"is too wide: {seen}; cut it into parts, or train with such pictures"


@dataclass(frozen=True)
class Preparation:
    """How a picture of any size becomes one that a network takes; goes into the checkpoint.

    Attributes:
        height: of the network's pictures, in pixels.
        width: likewise; the largest one where it varies.
        equalize: which pictures' levels to spread, see `crnn_jax.data.contrast.equalize`.
        widths: that a batch may have, rising up to ``width``: pictures keep their proportions, and are made smaller where
            they are too high or too wide; empty: every picture is stretched to ``width``.
        locate: find the lines of a formula and join them first (`crnn_jax.locate`).
        lines: more than one: the lines of such a strip are put one below the other instead, to be read each alone.
        in_a_row: write drawn fractions as their numerator and denominator side by side, both enlarged (`crnn_jax.fraction`);
            for strips whose contrast is stretched.
        enlarge: pictures that are lower than ``height`` are made as high, where ``widths`` leaves them their proportions.

    Raises:
        UserError: a size is below 1, a flag is none, ``lines`` don't share out the height, the widths don't rise up to
            ``width``, there is no such ``equalize``, or it doesn't suit ``in_a_row``.
    """

    height: int
    width: int
    equalize: Equalize = "never"
    widths: tuple[int, ...] = ()
    locate: bool = False
    lines: int = 1
    enlarge: bool = False
    in_a_row: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "widths", tuple(self.widths))  # JSON has lists
        for name in ("height", "width", "lines"):
            if getattr(self, name) < 1:
                raise UserError(f"{name} must be at least 1, not {getattr(self, name)}")
        for name in ("locate", "enlarge", "in_a_row"):
            if not isinstance(getattr(self, name), bool):
                raise UserError(f"{name} must be true or false, not {getattr(self, name)!r}")
        if self.height % self.lines:
            raise UserError(f"the height {self.height} can't be shared out among {self.lines} lines")
        if self.equalize not in EQUALIZE:
            raise UserError(f"equalize must be one of {', '.join(EQUALIZE)}, not {self.equalize!r}")
        if self.in_a_row and self.equalize != "stretch":
            raise UserError(f"fractions in a row need equalize=stretch, not {self.equalize}: read them as they are drawn")
        if self.widths and (list(self.widths) != sorted(self.widths) or self.widths[0] < 1 or self.widths[-1] != self.width):
            raise UserError(f"widths must rise from at least 1 up to the width {self.width}, not {self.widths}")

    @property
    def grey(self) -> bool:
        """Whether the three channels of a prepared picture are always the same."""
        return self.equalize in ("grey", "always", "stretch_grey")

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """A picture of the network's height, and of its width or one up to it.

        Args:
            image: (H, W, 3) uint8 RGB.

        Returns:
            (height, W', 3) uint8 RGB.

        Raises:
            NoFormula: it should be located, and there is none.
        """
        return self.traced(image).image

    def traced(self, image: np.ndarray) -> Traced:
        """The same, and what it shows of the picture that was given."""
        picture = Traced(image)
        if self.locate:
            picture = picture.then(find_strip)
        # Levels are spread before a change of size mixes them, and after the black between lines has told where these end.
        if self.lines > 1:
            return picture.then(self._page)
        levelled = picture._replace(image=equalize(picture.image, self.equalize))
        if self.in_a_row:  # where it was black tells where a line ends
            masked = levelled._replace(image=cv2.copyTo(levelled.image, brightest(picture.image)))
            levelled = masked.then(lambda strip: fraction.in_a_row(strip, self.height))
        return levelled.then(lambda strip: self._in_proportion(strip) if self.widths else self._stretched(strip))

    def fitted(self, height: int, width: int) -> Fitted:
        """What becomes of a picture of some size, in pixels, where proportions are kept; with ``lines``, of a line."""
        full = self._line_height / height
        full = full if self.enlarge else min(1.0, full)
        factor = min(full, self.width / width)
        return Fitted(*(max(1, round(size)) for size in (height * factor, width * factor, height * full)))

    def squeezed(self, picture: Traced) -> Fitted | None:
        """What became of a picture that was prepared, or of its first such line, if it is too wide; None: it isn't.

        Args:
            picture: that `traced` gave.
        """
        if not self._keeps_proportions:
            return None
        shown = (part.shows for part in picture.steps[-1])
        fitted = (self.fitted(box.y1 - box.y0, box.x1 - box.x0) for box in shown)
        return next((each for each in fitted if each.squeezed), None)

    @property
    def _keeps_proportions(self) -> bool:
        return bool(self.widths) or self.lines > 1

    @property
    def _line_height(self) -> int:
        return self.height // self.lines

    def _page(self, strip: np.ndarray) -> Traced:
        """The lines of a strip one below the other."""
        boxes, height = split(strip)[: self.lines], self._line_height
        lines = [self._in_proportion(equalize(box.cut(strip), self.equalize)) for box in boxes]
        page = np.zeros((self.lines, height, max(line.image.shape[1] for line in lines), 3), np.uint8)
        for room, line in zip(page, lines, strict=False):
            room[:, : line.image.shape[1]] = line.image
        parts = (
            Part(part.place.moved(0, i * height), box)
            for i, (box, line) in enumerate(zip(boxes, lines, strict=True))
            for (part,) in line.steps
        )
        return Traced(page.reshape(self.height, -1, 3), (tuple(parts),))

    def _in_proportion(self, image: np.ndarray) -> Traced:
        """In its proportions, black around it."""
        height, width, _ = self.fitted(image.shape[0], image.shape[1])
        smaller = _resized(image, height, width)
        room = np.zeros((self._line_height, min(self.width, -(-width // STEP) * STEP), 3), np.uint8)
        room[:height, :width] = smaller
        return Traced(room, resized(smaller, image).steps)

    def _stretched(self, image: np.ndarray) -> Traced:
        """In the network's size."""
        fitted = _resized(image, self.height, self.width)
        return Traced(image) if fitted is image else resized(fitted, image)

    def stack(self, images: Sequence[np.ndarray], count: int | None = None, *, widest: bool = False) -> np.ndarray:
        """Prepared pictures as one array, black where there is nothing.

        Args:
            images: (height, W', 3) uint8.
            count: B, places; None: as many as pictures.
            widest: be as wide as the widest picture that there may be.

        Returns:
            (B, height, W, 3) uint8, where W is the smallest of ``widths`` that holds them all.

        Raises:
            UserError: a picture is wider than ``width``: it wasn't prepared.
        """
        widths = self.widths or (self.width,)
        needed = self.width if widest else max((image.shape[1] for image in images), default=0)
        if needed > self.width:
            raise UserError(f"a picture is {needed} pixels wide, {self.width} are the most: it must be prepared first")
        width = widths[bisect_left(widths, needed)]
        stacked = np.zeros((len(images) if count is None else count, self.height, width, 3), np.uint8)
        for place, image in zip(stacked, images, strict=False):
            place[:, : image.shape[1]] = image
        return stacked


def _resized(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Stretched to a size; a picture that has it already keeps its pixels."""
    if image.shape[:2] == (height, width):
        return image
    smaller = image.shape[0] >= height and image.shape[1] >= width
    interpolation = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    return cv2.resize(image, (width, height), interpolation=interpolation).astype(np.uint8)


class Batch(TypedDict):
    """Examples as arrays, and what could not be read.

    Attributes:
        images: (B, H, W, 3) uint8.
        widths: (B,) int32, pixels of each picture that count; 0 where nothing was located in it.
        labels: (B, L) int32, padded with the blank.
        label_lengths: (B,) int32.
        weights: (B,) float32, 0 where there is no example.
        positions: (B,) int32, place in the batch of all hosts.
        indices: (B,) int64, numbers of the examples.
        unreadable: what is wrong with pictures that can't be read; their places are empty.
    """

    images: np.ndarray
    widths: np.ndarray
    labels: np.ndarray
    label_lengths: np.ndarray
    weights: np.ndarray
    positions: np.ndarray
    indices: np.ndarray
    unreadable: list[str]


@dataclass(frozen=True)
class BatchMaker:
    """Makes the batch of some example numbers.

    Attributes:
        source: of the examples.
        preparation: of their pictures.
        alphabet: of their texts.
        max_length: L, characters of the longest text.
        widest: all batches are as wide as the widest picture that there may be.
    """

    source: Source
    preparation: Preparation
    alphabet: Alphabet
    max_length: int
    widest: bool = False

    def __call__(self, indices: np.ndarray, first_position: int = 0) -> Batch:
        """Reads or draws the examples.

        Args:
            indices: (B,) int; `PADDING` leaves a place empty.
            first_position: place of the first one in the batch of all hosts.

        Raises:
            UserError: a text is longer than ``max_length`` or holds a character that isn't in the alphabet.
        """
        size = len(indices)
        images = [_nothing(self.preparation)] * size
        batch = Batch(
            images=np.zeros(0, np.uint8),
            widths=np.zeros(size, np.int32),
            labels=np.full((size, self.max_length), self.alphabet.blank, np.int32),
            label_lengths=np.zeros(size, np.int32),
            weights=np.zeros(size, np.float32),
            positions=np.arange(first_position, first_position + size, dtype=np.int32),
            indices=np.asarray(indices),
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
            with suppress(NoFormula):  # that is a mistake of reading, as is nothing instead of a text
                images[place] = self.preparation(image)
            batch["labels"][place, : len(text)] = self.alphabet.encode(text)
            batch["label_lengths"][place] = len(text)
            batch["weights"][place] = 1
        if batch["unreadable"] and batch["weights"].any():
            # BatchNorm sees the places that don't count too: pictures there are better than black.
            first = images[int(np.argmax(batch["weights"]))]
            images = [image if weight else first for image, weight in zip(images, batch["weights"], strict=True)]
        batch["images"] = self.preparation.stack(images, widest=self.widest)
        batch["widths"][:] = [image.shape[1] for image in images]
        return batch


def _nothing(preparation: Preparation) -> np.ndarray:
    """What stands where a batch holds no picture, (height, W, 3) uint8."""
    return np.zeros((preparation.height, 0 if preparation.widths else preparation.width, 3), np.uint8)
