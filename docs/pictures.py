"""Draws the pictures of these pages anew: ``python docs/pictures.py``, from the networks that come with the package."""

from __future__ import annotations

from pathlib import Path

import crnn_jax
from crnn_jax import plots, tasks
from crnn_jax.training.evaluation import Judged

IMAGES = Path(__file__).parent / "images"
SHOWN = {"captcha": 4, "level1": 4, "level2": 4}


def judged(name: str, count: int) -> list[Judged]:
    """Some pictures that nobody trained on, and what is read in them."""
    model, source = crnn_jax.load(name), tasks.by_name(name).source("generate", 1)
    examples = [source[i] for i in range(count)]
    readings = model.read([example.image for example in examples])
    return [
        Judged(model.prepare(example.image), example.text, reading.text, reading.confidence)
        for example, reading in zip(examples, readings, strict=True)
    ]


if __name__ == "__main__":
    plots.readings([sample for name, count in SHOWN.items() for sample in judged(name, count)], IMAGES / "readings.png")
    level2 = crnn_jax.load("level2")
    picture = tasks.level2().source("generate", 1)[0].image
    plots.columns(level2.prepare(picture), *level2.probabilities(picture), level2.alphabet, IMAGES / "columns.png")
