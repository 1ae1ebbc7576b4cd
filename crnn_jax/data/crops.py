"""The lines of located pictures as files: a strip for each picture, and each line alone."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from itertools import count
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from crnn_jax.data.folder import Labelled, has_labels, parse_labels
from crnn_jax.data.images import UnreadableImage, read_image
from crnn_jax.data.processes import serve_parent
from crnn_jax.errors import UserError
from crnn_jax.files import write_whole, writing
from crnn_jax.locate import Locate, Located, NoFormula, join, lines, locate

_TABLE, _COLUMNS = "labels.tsv", ("file", "text", "value")
CROPS = "crops"  # folder of the lines, N_0.png ... for N.png, from top to bottom
_GREEN = (0, 160, 0)


def save_stages(path: Path, out: Path, way: Locate = locate) -> int:
    """Locates one picture and saves how: the stages, the boxes drawn on the picture, the lines and the joined strip.

    Args:
        path: of the picture.
        out: folder.
        way: how lines are found, one of `crnn_jax.locate.WAYS`.

    Returns:
        How many lines there are.

    Raises:
        UnreadableImage: the picture can't be read, or doesn't hold a formula; the stages are saved all the same.
        UserError: the folder can't be written.
    """
    image = read_image(path)
    located = way(image)
    drawn = image.copy()
    for box in located.boxes:
        cv2.rectangle(drawn, (box.x0, box.y0), (box.x1 - 1, box.y1 - 1), _GREEN, 2)
    pictures = {f"{i + 1}-{name}": stage for i, (name, stage) in enumerate(located.stages.items())} | {"boxes": drawn}
    _save(pictures, out)
    crops = _lines(path, image, located)
    _save({f"line-{i + 1}": crop for i, crop in enumerate(crops)} | {"strip": join(crops)}, out)
    return len(crops)


def save_crops(path: Path, name: str, out: Path, way: Locate = locate) -> None:
    """Saves the strip of a picture as ``NAME.png``, and its lines in `CROPS`; ``way`` as of `save_stages`.

    Raises:
        UnreadableImage: the picture can't be read, or doesn't hold a formula.
        UserError: the folder can't be written.
    """
    image = read_image(path)
    crops = _lines(path, image, way(image))
    _save({f"{CROPS}/{name}_{i}": crop for i, crop in enumerate(crops)} | {name: join(crops)}, out)
    crop_path(out, name, len(crops)).unlink(missing_ok=True)  # of another picture of that name, located before


def _lines(path: Path, image: np.ndarray, located: Located) -> list[np.ndarray]:
    try:
        return lines(image, located.boxes)
    except NoFormula as error:
        raise NoFormula(f"{path}: {error}") from None


def save_all_crops(
    paths: Sequence[Path], out: Path, workers: int, after_each: Callable[[], object] = lambda: None, way: Locate = locate
) -> dict[Path, str]:
    """`save_crops` for many pictures, in several processes.

    Args:
        paths: of pictures, with different names.
        out: folder.
        workers: processes.
        after_each: called after each picture.
        way: as of `save_stages`.

    Returns:
        What is wrong with those that have no strip.

    Raises:
        UserError: a process died.
    """
    problems: dict[Path, str] = {}
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), serve_parent)
    try:
        jobs = {pool.submit(save_crops, path, path.stem, out, way): path for path in paths}
        for job in as_completed(jobs):
            error = job.exception()
            if isinstance(error, UnreadableImage):
                problems[jobs[job]] = str(error)
            elif isinstance(error, BrokenProcessPool):
                raise UserError("a process that locates lines died: out of memory? fewer --workers take less") from None
            elif error is not None:
                raise error
            after_each()
    finally:
        pool.shutdown(cancel_futures=True)
    return {path: problems[path] for path in paths if path in problems}


def labels_of_others(paths: Sequence[Path], out: Path) -> list[Labelled]:
    """The labels that a folder of strips holds of other pictures than these.

    Raises:
        UserError: they can't be read, or are not in ``labels.tsv``.
    """
    if not has_labels(out):
        return []
    labels = parse_labels(out)
    ours = labels.file.name == _TABLE and labels.file.read_text(encoding="utf-8").startswith("\t".join(_COLUMNS) + "\n")
    ours &= all(label.path == out / f"{label.path.stem}.png" for label in labels.rows)
    if not ours or any(not problem.harmless for problem in labels.problems):
        raise UserError(f"{labels.file}: holds labels that the new ones can't be added to: name another folder")
    names = {path.stem for path in paths}
    return [label for label in labels.rows if label.path.stem not in names]


def save_labels(labels: Sequence[Labelled], out: Path) -> None:
    """Writes ``labels.tsv`` for the strips of labelled pictures; where there are none, takes an older one away.

    Raises:
        UserError: a name or a text holds a tab or a line end, or the file can't be written.
    """
    table = out / _TABLE
    if not labels:
        table.unlink(missing_ok=True)
        return
    rows = [_COLUMNS]
    for label in labels:
        rows.append((f"{label.path.stem}.png", label.text, label.value or ""))
        if any(character in field for field in rows[-1] for character in "\t\r\n"):
            raise UserError(f"{label.place}: a name or a text with a tab or a line end can't be written")
    with writing(table):
        write_whole(table, "".join("\t".join(row) + "\n" for row in rows))


def lines_of(path: Path, out: Path) -> int:
    """How many lines `save_crops` saved of a picture."""
    return next(i for i in count() if not crop_path(out, path.stem, i).is_file())


def crop_path(out: Path, name: str, line: int) -> Path:
    """Where a line of a picture lies."""
    return out / CROPS / f"{name}_{line}.png"


def _save(pictures: dict[str, np.ndarray], out: Path) -> None:
    for name, picture in pictures.items():
        path = out / f"{name}.png"
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture).save(path)
