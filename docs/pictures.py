"""Draws the pictures of these pages anew: ``python docs/pictures.py``, from the networks that come with the package.

``python docs/pictures.py FOLDER RUN`` draws the tutorial's, from its second folder and its run.
"""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image

import crnn_jax
from crnn_jax import plots, tasks
from crnn_jax.data.folder import read_labels
from crnn_jax.data.images import read_image
from crnn_jax.training.evaluation import Judged

IMAGES = Path(__file__).parent / "images"
SHOWN = {"captcha": 4, "level1": 4, "level2": 4}
SHOWN_NUMBERS, COLOURS = 12, 32


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


def main(*arguments: str) -> None:
    """Draws."""
    if arguments:
        folder, run = arguments
        path = IMAGES / "numbers.png"
        plots.readings(judged_folder(folder, run, SHOWN_NUMBERS), path)
        Image.open(path).convert("RGB").quantize(COLOURS, Image.Quantize.MAXCOVERAGE).save(path, optimize=True)
        return
    plots.readings([sample for name, count in SHOWN.items() for sample in judged(name, count)], IMAGES / "readings.png")
    level2 = crnn_jax.load("level2")
    picture = tasks.level2().source("generate", 1)[0].image
    plots.columns(level2.prepare(picture).image, *level2.probabilities(picture), level2.alphabet, IMAGES / "columns.png")


if __name__ == "__main__":
    main(*sys.argv[1:])
