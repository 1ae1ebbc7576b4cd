"""What is told of a picture: its reading, and pictures of how it came about."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any, BinaryIO, TypeVar

import cv2
import numpy as np
from pydantic import BaseModel

from crnn_jax.data.images import readable
from crnn_jax.errors import UserError
from crnn_jax.locate import is_strip, locate
from crnn_jax.recognizer import Reader, Reading

P = TypeVar("P")

_ROW = 18  # pixels of a character in the heat map
_LIKELY = 0.02  # the least probability in some column for a character to have a row there
_GREEN = (0, 160, 0)
_SHOWN = 1600  # pixels, the width to which stages are made smaller


class Character(BaseModel):
    """A character: its columns ``x0`` to ``x1`` in the picture that the network saw, and ``box``, from ``[x0, y0]`` to
    ``[x1, y1]``, in the picture that was sent, as it is shown; ``null`` where it stands nowhere in it.
    """

    character: str
    confidence: float
    x0: float
    x1: float
    box: tuple[int, int, int, int] | None


class Shown(BaseModel):
    """A picture to show: ``data:image/png;base64,...``; ``rows`` names its rows, from above."""

    name: str
    image: str
    width: int
    height: int
    rows: list[str] = []


class Other(BaseModel):
    """A text that was not read, but is likely too."""

    text: str
    confidence: float
    value: str | None


class Answer(BaseModel):
    """What was read; ``note`` says what was wrong with the picture, though it was read."""

    text: str
    value: str | None
    valid: bool
    confidence: float
    characters: list[Character]
    model: str
    alternatives: list[Other] = []
    note: str | None = None
    pictures: list[Shown] = []


def answer(reading: Reading, model: str, pictures: Sequence[Shown], note: str | None) -> Answer:
    """A reading as it is sent."""
    characters = [Character(**vars(character)) for character in reading.characters]
    return Answer(
        text=reading.text,
        value=reading.value,
        valid=reading.valid,
        confidence=reading.confidence,
        characters=characters,
        model=model,
        alternatives=[Other(**vars(other)) for other in reading.alternatives],
        note=note,
        pictures=list(pictures),
    )


def explain(model: Reader[P], image: np.ndarray, picture: P) -> list[Shown]:
    """What the network, of several the first, saw, its columns' probabilities, and how lines were found where they were sought.

    Args:
        model: that reads.
        image: that was sent, (H, W, 3) uint8.
        picture: what its ``prepare`` made of that.
    """
    shown = []
    if any(member.preparation.locate for member in model.members) and not is_strip(image):
        located = locate(image)
        boxes = image.copy()
        for box in located.boxes:
            cv2.rectangle(boxes, (box.x0, box.y0), (box.x1 - 1, box.y1 - 1), _GREEN, 3)
        shown += [_show(name, stage) for name, stage in located.stages.items()] + [_show("boxes", boxes)]
    seen, probabilities, places = model.columns(picture)
    shown.append(_show("seen", seen))
    if not len(probabilities):  # the picture is too narrow for a column
        return shown
    largest = probabilities.max(axis=0)
    rows = np.flatnonzero(largest >= min(_LIKELY, largest.max()))
    names = [*model.alphabet.characters, "(blank)"]
    columns = _show("columns", _heat_map(probabilities[:, rows], places))
    return [*shown, columns.model_copy(update={"rows": [names[row] for row in rows]})]


def count_pixels(file: BinaryIO, most: int) -> int:
    """How many pixels a picture's file says that it has.

    Raises:
        UserError: it can't be read, or has more than ``most``.
    """
    with readable(file) as image:
        width, height = image.size
    if width * height > most:
        raise UserError(f"the picture has {width}x{height} pixels, {most} are the most")
    return width * height


def _heat_map(probabilities: np.ndarray, places: list[tuple[float, float]]) -> np.ndarray:
    """A row for each character, its columns where they lie in the picture; dark is likely."""
    levels = (255 * (1 - probabilities.T)).astype(np.uint8).repeat(_ROW, axis=0)
    map_ = np.full((len(levels), round(places[-1][1]) if places else 1), 255, np.uint8)
    for column, (start, end) in enumerate(places):
        map_[:, round(start) : round(end)] = levels[:, column, None]
    return cv2.cvtColor(map_, cv2.COLOR_GRAY2RGB)


def _show(name: str, image: np.ndarray) -> Shown:
    if image.shape[1] > _SHOWN:
        height = max(1, round(image.shape[0] * _SHOWN / image.shape[1]))
        image = cv2.resize(image, (_SHOWN, height), interpolation=cv2.INTER_AREA)
    data = image[..., ::-1] if image.ndim == 3 else image
    encoded: Any = cv2.imencode(".png", data)[1]
    text = base64.b64encode(encoded.tobytes()).decode()
    return Shown(name=name, image=f"data:image/png;base64,{text}", width=image.shape[1], height=image.shape[0])
