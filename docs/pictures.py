"""Draws the pictures of these pages anew: ``python docs/pictures.py``, from the networks that come with the package.

``python docs/pictures.py FOLDER RUN`` draws the tutorial's, from its second folder and its run.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

import crnn_jax
from crnn_jax import plots, tasks
from crnn_jax.cli import main as command
from crnn_jax.data.folder import read_labels
from crnn_jax.data.images import read_image
from crnn_jax.training.evaluation import Judged

IMAGES = Path(__file__).parent / "images"
SHOWN = {"captcha": 4, "level1": 4, "level2": 4}
SHOWN_NUMBERS, COLOURS = 12, 32
CANVAS, GAP = 6, 8  # the number of a small canvas; pixels between pictures


def judged(name: str, count: int) -> list[Judged]:
    """Some pictures that nobody trained on, and what is read in them."""
    model, source = crnn_jax.load(name), tasks.by_name(name).source("generate", 1)
    examples = [source[i] for i in range(count)]
    readings = model.read([example.image for example in examples])
    return [
        Judged(model.prepare(example.image).image, example.text, reading.text, reading.confidence)
        for example, reading in zip(examples, readings, strict=True)
    ]


def judged_folder(folder: str, run: str, count: int) -> list[Judged]:
    """The first pictures of a folder, and what a run reads in them."""
    model, labels = crnn_jax.load(run), read_labels(folder)[:count]
    readings = model.read([label.path for label in labels])
    return [
        Judged(read_image(label.path), label.text, reading.text, reading.confidence)
        for label, reading in zip(labels, readings, strict=True)
    ]


def located(folder: Path) -> None:
    """How the lines of a canvas are found, and the fraction in the last one written in a row."""
    command(["generate", "level2", f"--count={CANVAS + 1}", "--seed=1", f"--out={folder / 'level2'}"])
    canvas, stages = folder / "level2" / f"{CANVAS}.png", folder / "stages"
    command(["locate", str(canvas), f"--out={stages}"])
    opened = [Image.open(path).convert("RGB") for path in (canvas, stages / "1-marked.png", stages / "boxes.png")]
    halves = [picture.resize((picture.width // 2, picture.height // 2)) for picture in opened]
    save(below([beside(halves), Image.open(stages / "strip.png")]), IMAGES / "locating.png", 4 * COLOURS)
    last = max(stages.glob("line-*.png"))
    row = Image.fromarray(tasks.LEVEL2_ROWS(read_image(last)))
    save(below([Image.open(last), row]), IMAGES / "fraction.png", 4 * COLOURS)


def beside(pictures: Sequence[Image.Image]) -> Image.Image:
    """Pictures side by side on grey."""
    width = sum(picture.width for picture in pictures) + GAP * (len(pictures) - 1)
    sheet, x = Image.new("RGB", (width, max(picture.height for picture in pictures)), "lightgrey"), 0
    for picture in pictures:
        sheet.paste(picture, (x, 0))
        x += picture.width + GAP
    return sheet


def below(pictures: Sequence[Image.Image]) -> Image.Image:
    """Pictures one below the other."""
    return beside([picture.transpose(Image.Transpose.TRANSPOSE) for picture in pictures]).transpose(Image.Transpose.TRANSPOSE)


def save(picture: Image.Image, path: Path, colours: int) -> None:
    """Saves a picture in few colours."""
    picture.convert("RGB").quantize(colours, Image.Quantize.MAXCOVERAGE).save(path, optimize=True)


def main(*arguments: str) -> None:
    """Draws."""
    if arguments:
        folder, run = arguments
        path = IMAGES / "numbers.png"
        plots.readings(judged_folder(folder, run, SHOWN_NUMBERS), path)
        save(Image.open(path), path, COLOURS)
        return
    with tempfile.TemporaryDirectory() as folder:
        located(Path(folder))
    plots.readings([sample for name, count in SHOWN.items() for sample in judged(name, count)], IMAGES / "readings.png")
    level2 = crnn_jax.load("level2")
    picture = tasks.level2().source("generate", 1)[0].image
    plots.columns(*level2.columns(level2.prepare(picture)), level2.alphabet, IMAGES / "columns.png")


if __name__ == "__main__":
    main(*sys.argv[1:])
