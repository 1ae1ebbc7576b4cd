"""Reading pictures with a trained network."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from itertools import chain, pairwise
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

import jax
import numpy as np

from crnn_jax import ctc
from crnn_jax import grammar as grammars
from crnn_jax.ahead import ahead
from crnn_jax.alphabet import Alphabet
from crnn_jax.box import Box, Part, Traced
from crnn_jax.data.examples import BATCH_SIZE, Fitted, Preparation
from crnn_jax.data.images import check_array, read_image
from crnn_jax.decoding import Alternative, Decode, Decoded, Decoder
from crnn_jax.errors import UserError
from crnn_jax.grammar import SEPARATOR, Grammar
from crnn_jax.host import parts_at_once
from crnn_jax.locate import NoFormula, find_strip
from crnn_jax.looks import FEW, batched, read_together
from crnn_jax.models.config import Architecture, check_choices
from crnn_jax.models.crnn import CRNN, geometry, output_columns, used_widths
from crnn_jax.training.config import DTYPES, Dtype

T = TypeVar("T")
P = TypeVar("P")

_PREPARED_AT_ONCE = 8  # pictures


@dataclass(frozen=True)
class Character:
    """A character of a reading.

    Attributes:
        character: itself.
        confidence: its largest probability in the columns that it was read from.
        x0: first pixel of these columns, in the picture that the network saw; lines that it reads alone are counted as if they
            stood in a row. With the attention head the columns are the one that it attended to most, and those beside it
            that it attended to at least half as much.
        x1: the pixel after the last.
        box: of these columns in the picture that was given: as high as that, for level 2 as its line, and for a number that was
            read from above or below a fraction's bar as what stands there; the ``/`` is the bar. Of columns between two parts
            of the picture those of one of them count. None for the ``;`` between lines of level 2, which stands nowhere, and
            where the columns show nothing of the picture.
    """

    character: str
    confidence: float
    x0: float
    x1: float
    box: Box | None


@dataclass(frozen=True)
class Reading:
    """What was read from a picture.

    Attributes:
        text: all of it.
        confidence: the probability that the network gives the text, over all its alignments; of several looks at a picture
            (`crnn_jax.looks`) the geometric mean.
        value: what the text comes to, for tasks that compute.
        valid: whether the text can be one of the task's, is likelier than that there is none, and not quite unlikely.
        characters: one by one.
        alternatives: the likeliest other texts, as many as were asked for, or as a search found; the likeliest first.
    """

    text: str
    confidence: float
    value: str | None
    valid: bool
    characters: tuple[Character, ...]
    alternatives: tuple[Alternative, ...] = ()


NOTHING_READ = Reading("", 0.0, None, False, ())  # stands for a picture that can't be read


class Reader(Protocol[P]):
    """What reads pictures: a `Recognizer`, or a `crnn_jax.ensemble.Ensemble`; P is a prepared picture."""

    @property
    def members(self) -> tuple[Recognizer, ...]:
        """The networks: itself, or several."""

    @property
    def alphabet(self) -> Alphabet:
        """Of its texts."""

    @property
    def grammar(self) -> Grammar | None:
        """Of its texts; None: any will do."""

    def read(
        self,
        images: Iterable[str | Path | np.ndarray],
        *,
        decode: Decode = "auto",
        batch_size: int = BATCH_SIZE,
        alternatives: int = 0,
    ) -> list[Reading]:
        """See `Recognizer.read`."""

    def prepare(self, image: str | Path | np.ndarray) -> P:
        """See `Recognizer.prepare`."""

    def read_prepared(
        self, images: Iterable[P], *, decode: Decode = "auto", batch_size: int = BATCH_SIZE, alternatives: int = 0
    ) -> Iterator[Reading]:
        """See `Recognizer.read_prepared`."""

    def squeezed(self, picture: P) -> Fitted | None:
        """See `Recognizer.squeezed`; of several networks the first that squeezes it."""

    def columns(self, picture: P) -> Columns:
        """See `Recognizer.columns`; of several networks the first one's."""

    def warm_up(self, pictures: int) -> None:
        """See `Recognizer.warm_up`."""


class Seen(NamedTuple):
    """What a network makes of a picture.

    Attributes:
        picture: that it saw.
        columns: logits, (T, K + 1).
        greedy: the best path of these.
        attended: what the attention head attended to, (lines, L, T); None without one.
        weight: the power to which its probabilities count among several looks.
    """

    picture: Traced
    columns: np.ndarray
    greedy: ctc.Greedy
    attended: np.ndarray | None
    weight: float = 1.0


class Columns(NamedTuple):
    """The columns that a network makes of a picture, to be shown.

    Attributes:
        image: (H, W, 3) uint8, as the network takes it; lines that it reads alone stand in a row.
        probabilities: of each character, and the blank, in each column, (T, K + 1).
        spans: the first pixel of each column in the image and the one after its last, T pairs from left to right. With the
            attention head, which may look back, a column begins where the one before it ends.
    """

    image: np.ndarray
    probabilities: np.ndarray
    spans: list[tuple[float, float]]


class _Output(NamedTuple):
    """What a network makes of a batch; `Seen` for each picture.

    Attributes:
        logits: (B, T, K + 1).
        lengths: (B,) int, columns that count.
        greedy: the best paths.
        attended: (B, lines, L, T), or None.
    """

    logits: Any
    lengths: Any
    greedy: ctc.Greedy
    attended: Any


class Recognizer:
    """A trained network with all that reading needs.

    Args:
        architecture: of the network.
        alphabet: of its texts.
        preparation: of the pictures.
        variables: ``params`` and ``batch_stats``.
        grammar: of its texts; None: any will do.
        description: of the checkpoint that it came from.
        dtype: of the activations, whatever it was trained with; parameters, logits and all that is made of these are float32.

    Attributes:
        variables: as given, on the device.

    Raises:
        UserError: the grammar doesn't suit the alphabet, or there is no such dtype.
    """

    def __init__(
        self,
        architecture: Architecture,
        alphabet: Alphabet,
        preparation: Preparation,
        variables: dict[str, Any],
        grammar: Grammar | None = None,
        description: dict[str, Any] | None = None,
        *,
        dtype: Dtype = "float32",
    ) -> None:
        self.architecture = architecture
        self.alphabet = alphabet
        self.preparation = preparation
        self.grammar = grammar
        if grammar is not None:
            grammars.check_grammar(grammar, alphabet)
        self.description = description or {}
        self.dtype = dtype
        check_choices(self, {"dtype": DTYPES})
        self.variables = jax.device_put(variables)
        self._model = CRNN.of(architecture, alphabet, preparation, dtype=jax.numpy.dtype(dtype))

    @property
    def members(self) -> tuple[Recognizer, ...]:
        """The network itself, where there may be several (`crnn_jax.Ensemble`)."""
        return (self,)

    def read(
        self,
        images: Iterable[str | Path | np.ndarray],
        *,
        decode: Decode = "auto",
        batch_size: int = BATCH_SIZE,
        alternatives: int = 0,
    ) -> list[Reading]:
        """Reads pictures.

        Args:
            images: paths, or (H, W, 3) uint8 RGB arrays, of any size.
            decode: ``auto``, ``once``, ``greedy`` or ``beam``; see `crnn_jax.decoding.Decoder`. With ``auto``, what is read
                with a confidence below 0.95 is looked at once more, moved by half a column, see `crnn_jax.looks`.
            batch_size: pictures that are read at a time.
            alternatives: how many other texts to tell of each picture, `Reading.alternatives`. They take a search for each
                look at it.

        Returns:
            One reading a picture, in their order.

        Raises:
            UserError: a picture can't be read, or no formula is found in it, and then nothing is given of the others either:
                `prepare` tells the bad ones, and `read_prepared` reads the rest. Or it is no list, there is no such
                ``decode``, ``batch_size`` is below 1, or ``alternatives`` below 0.
        """
        return read_all(self, images, decode, batch_size, alternatives)

    def prepare(self, image: str | Path | np.ndarray) -> Traced:
        """A picture as the network takes it, (height, W, 3) uint8, and what it shows of the one that was given.

        Raises:
            UserError: it can't be read, or no formula is found in it.
        """
        return prepared(image, self.preparation)[0]

    def read_prepared(
        self, images: Iterable[Traced], *, decode: Decode = "auto", batch_size: int = BATCH_SIZE, alternatives: int = 0
    ) -> Iterator[Reading]:
        """Reads pictures that `prepare` gave, a batch at a time; see `read`.

        The next batch is taken before a batch's readings are given.

        Raises:
            UserError: there is no such ``decode``, ``batch_size`` is below 1, ``alternatives`` below 0, or a picture is wider
                than prepared ones are.
        """
        decoder = Decoder(self.alphabet, self.grammar, decode, alternatives)
        return read_together((self,), (1.0,), ((image,) for image in images), decoder, batch_size)

    def squeezed(self, picture: Traced) -> Fitted | None:
        """What became of a picture that `prepare` gave, if that is clearly lower than others because it is too wide."""
        return self.preparation.squeezed(picture)

    def columns(self, picture: Traced) -> Columns:
        """The columns of a picture that `prepare` gave."""
        (seen,) = self.see([picture], 1)
        probabilities = np.exp(ctc.log_probabilities(seen.columns))
        row = self._row(picture.image)
        places = self._places(row, seen.attended)[: len(probabilities)]
        edges = np.maximum.accumulate([*(start for start, _ in places[:1]), *(end for _, end in places)])
        image = np.concatenate([part.shows.cut(picture.image) for part in row], axis=1)
        return Columns(image, probabilities, list(pairwise(edges.tolist())))

    def warm_up(self, pictures: int) -> None:
        """Compiles what reading that many pictures of any width needs, in batches of the usual size."""
        for width in self.preparation.widths or (self.preparation.width,):
            blank = Traced(np.zeros((self.preparation.height, width, 3), np.uint8))
            for batch, room in batched([blank] * min(pictures, BATCH_SIZE), BATCH_SIZE):
                list(self.see(batch, room))
                list(self.see(batch[:1], min(room, FEW)))

    def see(self, pictures: Sequence[Traced], room: int) -> Iterator[Seen]:
        """What the network makes of prepared pictures, computed for a batch of ``room`` pictures."""
        images = [picture.image for picture in pictures]
        widths = np.array([image.shape[1] for image in images] + [self.preparation.width] * (room - len(images)))
        logits, lengths, greedy, attended = self._run(self.preparation.stack(images, room), widths)
        for i, picture in enumerate(pictures):
            best = ctc.Greedy(*(field[i] for field in greedy))
            yield Seen(picture, logits[i, : lengths[i]], best, None if attended is None else attended[i])

    def reading(self, read: Decoded, seen: Seen) -> Reading:
        """A decoded text, with the places of its characters."""
        row = self._row(seen.picture.image)
        places = self._places(row, seen.attended)
        source = seen.picture if len(row) == 1 else seen.picture.then(lambda image: Traced(image, (row,)))

        def box(character: str, x0: float, x1: float) -> Box | None:
            nowhere = character == SEPARATOR and self.preparation.locate
            return None if nowhere else source.source(Box(math.floor(x0), 0, math.ceil(x1), row[0].place.y1))

        characters = []
        for character, span in zip(read.text, read.spans, strict=True):
            x0, x1 = places[span.start][0], places[span.end - 1][1]
            characters.append(Character(character, round(span.confidence, 6), x0, x1, box(character, x0, x1)))
        return Reading(read.text, round(read.confidence, 6), read.value, read.valid, tuple(characters))

    def _row(self, image: np.ndarray) -> tuple[Part, ...]:
        """The lines that are read alone, as if they stood in a row; or the whole picture."""
        if self.preparation.lines == 1:
            return (Part(Box.of(image), Box.of(image)),)
        lines = np.stack(np.split(image, self.preparation.lines))
        widths, height = used_widths(lines).tolist(), lines.shape[1]
        shown = [Box(0, i * height, width, (i + 1) * height) for i, width in enumerate(widths)]
        return tuple(Part(box.moved(sum(widths[:i]), -box.y0), box) for i, box in enumerate(shown))

    def _places(self, row: Sequence[Part], seen: np.ndarray | None) -> list[tuple[float, float]]:
        """The first pixel in the row of each column, and the one after its last.

        ``seen`` is what the attention head attended to, (lines, L, T).
        """
        places: list[tuple[float, float]] = []
        for number, (place, _) in enumerate(row):
            if number and place.x1 > place.x0:
                places.append((float(place.x0), float(place.x0)))  # the separator
            edges = _edges(self.architecture, place.x0, place.x1)
            places += pairwise(edges if seen is None else _attended(edges, seen[number]))
        return places

    def logits(self, images: jax.Array | np.ndarray, widths: jax.Array | np.ndarray) -> tuple[jax.Array, jax.Array]:
        """What the network makes of prepared pictures, for `jax.jit`.

        Args:
            images: (B, H, W, 3) uint8.
            widths: (B,) int, pixels that count.

        Returns:
            Logits (B, T, K + 1), the blank last, and how many columns count, (B,) int32.
        """
        return self._model.apply(self.variables, images, widths)  # type: ignore[return-value]

    def fresh_shapes(self) -> dict[str, Any]:
        """The shapes that the architecture's arrays have, `jax.ShapeDtypeStruct` in the place of each."""
        size = self.preparation.height, min(self.preparation.widths, default=self.preparation.width)
        image, used = jax.ShapeDtypeStruct((1, *size, 3), np.uint8), jax.ShapeDtypeStruct((1,), np.int32)
        return jax.eval_shape(self._model.init, jax.random.key(0), image, used)

    @cached_property
    def _run(self) -> Callable[[np.ndarray, np.ndarray], _Output]:
        """What the network makes of prepared pictures, (B, H, W, 3) uint8, of which widths, (B,) int, count; on the host."""

        @jax.jit
        def run(variables: dict[str, Any], images: jax.Array, widths: jax.Array) -> _Output:
            (logits, lengths), kept = self._model.apply(variables, images, widths, mutable=["intermediates"])
            attended = [x.reshape(len(images), self.preparation.lines, *x.shape[1:]) for x in jax.tree.leaves(kept)]
            return _Output(logits, lengths, ctc.greedy(logits, lengths), attended[0] if attended else None)

        def run_part(images: np.ndarray, widths: np.ndarray) -> _Output:
            return jax.tree.map(np.asarray, run(self.variables, images, widths))

        known: set[tuple[int, ...]] = set()

        def run_all(images: np.ndarray, widths: np.ndarray) -> _Output:
            count = parts_at_once(len(images))
            parts = np.split(images, count), np.split(widths, count)
            shape = parts[0][0].shape
            with ThreadPoolExecutor(count if shape in known else 1) as pool:  # one after another first: each would compile
                outputs = list(pool.map(run_part, *parts))
            known.add(shape)
            return jax.tree.map(lambda *arrays: np.concatenate(arrays), *outputs)

        return run_all


@lru_cache(maxsize=1024)
def _edges(architecture: Architecture, left: int, right: int) -> tuple[float, ...]:
    """Where each of the columns that a network makes of a line begins, and where the last one ends, T + 1 pixels."""
    geometric = geometry(architecture)
    columns = np.arange(output_columns(architecture, right - left) + 1) + architecture.drop_columns
    return tuple(np.minimum(left + geometric.offset + geometric.stride * columns, right).astype(float).tolist())


def _attended(edges: Sequence[float], seen: np.ndarray) -> list[float]:
    """Where each position begins and ends, 2 L pixels; the blanks, from an end to the next beginning, may have a width below 0.

    Args:
        edges: of the columns, T + 1 pixels.
        seen: (L, T or more) float, how much each position attended to each column; 0 past the last.
    """
    pixels: list[float] = []
    for shares in seen if len(edges) > 1 else ():
        most = shares.argmax()
        low = np.flatnonzero(shares < shares[most] / 2)
        pixels += [edges[low[low < most].max(initial=-1) + 1], edges[low[low > most].min(initial=len(shares))]]
    return pixels


def read_all(
    reader: Reader[P], images: Iterable[str | Path | np.ndarray], decode: Decode, batch_size: int, alternatives: int
) -> list[Reading]:
    """See `Recognizer.read`."""
    if isinstance(images, (str, Path, np.ndarray)):
        raise UserError("read takes a list of pictures: [picture] for one")
    # A few at a time: handing over single ones to a thread takes longer than preparing small ones.
    few = batched(images, _PREPARED_AT_ONCE)
    some = ahead(lambda batch: [*map(reader.prepare, batch[0])], few, batch_size // _PREPARED_AT_ONCE)
    pictures = chain.from_iterable(some)
    return list(reader.read_prepared(pictures, decode=decode, batch_size=batch_size, alternatives=alternatives))


def prepared(image: str | Path | np.ndarray, *preparations: Preparation) -> tuple[Traced, ...]:
    """A picture, prepared in several ways; ways that are equal give the same object.

    Raises:
        UserError: it can't be read, or no formula is found in it.
    """
    array = check_array(image) if isinstance(image, np.ndarray) else read_image(image)
    try:
        picture = Traced(array)
        strip = picture.then(find_strip) if any(preparation.locate for preparation in preparations) else picture  # once for all
        made = {
            way: strip.then(replace(way, locate=False).traced) if way.locate else picture.then(way.traced)
            for way in set(preparations)
        }
        return tuple(made[way] for way in preparations)
    except NoFormula as error:
        raise error if isinstance(image, np.ndarray) else NoFormula(f"{image}: {error}") from None
