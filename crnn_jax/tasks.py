"""What there is to read: a task's alphabet, picture size and examples. Nothing here imports jax."""

from __future__ import annotations

import functools
import string
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from crnn_jax.alphabet import Alphabet
from crnn_jax.data.examples import ENDLESS, Example, Preparation, Source
from crnn_jax.drawing import captcha as captcha_drawing
from crnn_jax.drawing.random import Draws, Split
from crnn_jax.errors import UserError


@dataclass(frozen=True)
class Task:
    """Something to learn to read.

    Attributes:
        name: as in ``python -m experiments.NAME``.
        alphabet: of its texts.
        preparation: of its pictures.
        max_length: characters of the longest text.
        source: gives the examples of a split, from a seed; those of different splits have nothing in common.
        judge: who drew the pictures of the test split, for reports.
        exhibit: draws the picture whose columns are plotted at the end of a run; None: the first of the test split.
    """

    name: str
    alphabet: Alphabet
    preparation: Preparation
    max_length: int
    source: Callable[[Split, int], Source]
    judge: str
    exhibit: Callable[[], Example] | None = None


CAPTCHA_ALPHABET = Alphabet(string.digits + string.ascii_uppercase)
CAPTCHA_LENGTH = 4
CAPTCHA_WIDTH, CAPTCHA_HEIGHT = 170, 80
_CAPTCHA_HARD = "0O"


def captcha(emphasis: float = 0.0) -> Task:
    """Four characters of 0-9A-Z at 170x80 that look like those of the ``captcha`` package.

    We draw the pictures for training and validation, reproducibly; the package itself, unmodified, draws those of the
    test split, with chance of its own: only their texts depend on the seed.

    Args:
        emphasis: share of the characters in training that are 0 or O, besides those that chance brings: they are the
            hardest to tell apart. Other splits have every character equally often.
    """
    from importlib.metadata import version

    return Task(
        name="captcha",
        alphabet=CAPTCHA_ALPHABET,
        preparation=Preparation(CAPTCHA_HEIGHT, CAPTCHA_WIDTH),
        max_length=CAPTCHA_LENGTH,
        source=functools.partial(_captcha_source, emphasis=emphasis),
        judge=f"the unmodified captcha package {version('captcha')}",
        exhibit=lambda: Example(np.asarray(_package_generator().generate_image("0O0O")), "0O0O"),
    )


@dataclass(frozen=True)
class CaptchaSource:
    """Captchas that we draw: a pure function of (seed, split, index)."""

    split: Split
    seed: int
    emphasis: float = 0.0

    def __len__(self) -> int:
        return ENDLESS

    def __getitem__(self, index: int) -> Example:
        draws = Draws(self.seed, self.split, index)
        text = _captcha_text(draws, self.emphasis)
        return Example(captcha_drawing.draw(text, CAPTCHA_WIDTH, CAPTCHA_HEIGHT, draws), text)


@dataclass(frozen=True)
class PackageCaptchaSource:
    """Captchas drawn by the ``captcha`` package as it is; only the texts can be repeated."""

    seed: int

    def __len__(self) -> int:
        return ENDLESS

    def __getitem__(self, index: int) -> Example:
        text = _captcha_text(Draws(self.seed, "test", index))
        return Example(np.asarray(_package_generator().generate_image(text)), text)


def _captcha_source(split: Split, seed: int, emphasis: float) -> Source:
    if split == "test":
        return PackageCaptchaSource(seed)
    return CaptchaSource(split, seed, emphasis if split == "train" else 0.0)


def _captcha_text(draws: Draws, emphasis: float = 0.0) -> str:
    def character() -> str:
        hard = draws.uniform() < emphasis
        return draws.choice(_CAPTCHA_HARD if hard else CAPTCHA_ALPHABET.characters)

    return "".join(character() for _ in range(CAPTCHA_LENGTH))


@functools.cache
def _package_generator():  # type: ignore[no-untyped-def]
    from captcha.image import ImageCaptcha

    return ImageCaptcha(width=CAPTCHA_WIDTH, height=CAPTCHA_HEIGHT)


TASKS: dict[str, Callable[[], Task]] = {"captcha": captcha}


def by_name(name: str) -> Task:
    """A task that we draw.

    Raises:
        UserError: there is none of that name.
    """
    if name not in TASKS:
        raise UserError(f"there is no task {name!r}; there are: {', '.join(TASKS)}")
    return TASKS[name]()
