"""Sources of examples that are drawn: pure functions of (seed, split, index), but for what a task's judge draws."""

from __future__ import annotations

import functools
import string
from dataclasses import dataclass

import numpy as np

from crnn_jax.alphabet import Alphabet
from crnn_jax.data.examples import ENDLESS, Example
from crnn_jax.drawing import captcha, level1
from crnn_jax.drawing.random import Draws, Split
from crnn_jax.grammar import Level1

CAPTCHA_ALPHABET = Alphabet(string.digits + string.ascii_uppercase)
CAPTCHA_LENGTH = 4
CAPTCHA_WIDTH, CAPTCHA_HEIGHT = 170, 80


@dataclass(frozen=True)
class CaptchaSource:
    """Captchas that we draw."""

    split: Split
    seed: int

    def __len__(self) -> int:
        return ENDLESS

    def __getitem__(self, index: int) -> Example:
        draws = Draws(self.seed, self.split, index)
        text = _captcha_text(draws)
        return Example(captcha.draw(text, CAPTCHA_WIDTH, CAPTCHA_HEIGHT, draws), text)


@dataclass(frozen=True)
class PackageCaptchaSource:
    """Captchas drawn by the ``captcha`` package as it is; only the texts can be repeated."""

    seed: int

    def __len__(self) -> int:
        return ENDLESS

    def __getitem__(self, index: int) -> Example:
        return package_captcha(_captcha_text(Draws(self.seed, "test", index)))


def captcha_source(split: Split, seed: int) -> CaptchaSource | PackageCaptchaSource:
    """Our captchas for training and validation, the package's own to be judged on."""
    return PackageCaptchaSource(seed) if split == "test" else CaptchaSource(split, seed)


def package_captcha(text: str) -> Example:
    """A picture by the unmodified package."""
    return Example(np.asarray(_package_generator().generate_image(text)), text)


def _captcha_text(draws: Draws) -> str:
    return "".join(draws.choice(CAPTCHA_ALPHABET.characters) for _ in range(CAPTCHA_LENGTH))


@functools.cache
def _package_generator():  # type: ignore[no-untyped-def]
    from captcha.image import ImageCaptcha

    return ImageCaptcha(width=CAPTCHA_WIDTH, height=CAPTCHA_HEIGHT)


@dataclass(frozen=True)
class Level1Source:
    """Arithmetic of level 1.

    Three pictures in a million show no text. For training they count as empty, so that a network says so instead of guessing;
    in validation and test pictures there always is a trace of the text.

    Attributes:
        split: of the examples.
        seed: likewise.
        style: of the pictures.
        faint: share of the training pictures whose text is nearly as bright as the background, besides those of chance.
    """

    split: Split
    seed: int
    style: level1.Style
    faint: float = 0.0

    def __len__(self) -> int:
        return ENDLESS

    def __getitem__(self, index: int) -> Example:
        draws = Draws(self.seed, self.split, index)
        text = Level1().sample(draws)
        darkest = self.split == "train" and draws.uniform() < self.faint
        ink = level1.choose_ink(draws, darkest=darkest)
        while self.split in ("validation", "test") and not ink.visible:
            ink = level1.choose_ink(draws)
        image = level1.draw(text, ink, self.style, draws)
        return Example(image, "" if self.split == "train" and not ink.visible else text)
