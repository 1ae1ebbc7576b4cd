"""Sources of examples that are drawn: pure functions of (seed, split, index), but for what a task's judge draws."""

from __future__ import annotations

import functools
import re
import string
from dataclasses import dataclass, replace

import numpy as np

from crnn_jax.alphabet import Alphabet
from crnn_jax.data.augment import copied
from crnn_jax.data.examples import ENDLESS, Example
from crnn_jax.drawing import captcha, level1, level2, line
from crnn_jax.drawing.random import Draws, Split
from crnn_jax.grammar import SEPARATOR, Level1, Level2
from crnn_jax.locate import STRIP_HEIGHT, join

CAPTCHA_ALPHABET = Alphabet(string.digits + string.ascii_uppercase)
CAPTCHA_LENGTH = 4
CAPTCHA_WIDTH, CAPTCHA_HEIGHT = 170, 80
CAPTCHA_HARD = "0O"  # nearly all the mistakes of a network that has learned the rest
LEVEL1_HARD = "17", "+*"  # likewise, in place of other digits and operators
_NUMBERS = re.compile(r"(?<![/\d])\d+")  # of level 2 that aren't below a bar


@dataclass(frozen=True)
class CaptchaSource:
    """Captchas that we draw.

    Attributes:
        split: of the examples.
        seed: likewise.
        emphasis: share of the characters that are 0 or O, besides those that chance brings.
        older: share of the pictures that are drawn as version 0.6 of the package did.
    """

    split: Split
    seed: int
    emphasis: float = 0.0
    older: float = 0.0

    def __len__(self) -> int:
        return ENDLESS

    def __getitem__(self, index: int) -> Example:
        draws = Draws(self.seed, self.split, index)
        text, older = _captcha_text(draws, self.emphasis), self.older > 0 and draws.uniform() < self.older
        return Example(captcha.draw(text, CAPTCHA_WIDTH, CAPTCHA_HEIGHT, draws, older=older), text)


@dataclass(frozen=True)
class PackageCaptchaSource:
    """Captchas drawn by the ``captcha`` package as it is; only the texts can be repeated."""

    seed: int

    def __len__(self) -> int:
        return ENDLESS

    def __getitem__(self, index: int) -> Example:
        return package_captcha(_captcha_text(Draws(self.seed, "test", index)))


def captcha_source(split: Split, seed: int, emphasis: float = 0.0, older: float = 0.0) -> CaptchaSource | PackageCaptchaSource:
    """Our captchas for training, with some emphasis, and validation; the package's own to be judged on."""
    if split == "test":
        return PackageCaptchaSource(seed)
    return CaptchaSource(split, seed, emphasis, older) if split == "train" else CaptchaSource(split, seed)


def package_captcha(text: str) -> Example:
    """A picture by the unmodified package."""
    return Example(np.asarray(_package_generator().generate_image(text)), text)


def _captcha_text(draws: Draws, emphasis: float = 0.0) -> str:
    def character() -> str:
        hard = draws.uniform() < emphasis
        return draws.choice(CAPTCHA_HARD if hard else CAPTCHA_ALPHABET.characters)

    return "".join(character() for _ in range(CAPTCHA_LENGTH))


@functools.cache
def _package_generator():  # type: ignore[no-untyped-def]
    from captcha.image import ImageCaptcha

    return ImageCaptcha(width=CAPTCHA_WIDTH, height=CAPTCHA_HEIGHT)


@dataclass(frozen=True)
class Level1Source:
    """Arithmetic of level 1.

    Three pictures in a million would show no text. In training they count as empty, so that a network says so instead of
    guessing; elsewhere there always is a trace of the text.

    Attributes:
        split: of the examples.
        seed: likewise.
        style: of the pictures.
        faint: share of the training pictures whose text is nearly as bright as the background, besides those of chance.
        emphasis: share of the training pictures in the faces that are misread most often, besides those of chance.
        hard: share of the characters in training that are 1, 7, + or *, besides those of chance.
    """

    split: Split
    seed: int
    style: level1.Style
    faint: float = 0.0
    emphasis: float = 0.0
    hard: float = 0.0

    def __len__(self) -> int:
        return ENDLESS

    def __getitem__(self, index: int) -> Example:
        draws = Draws(self.seed, self.split, index)
        text = Level1().sample(draws)
        if self.split == "train":
            text = "".join(_level1_character(c, self.hard, draws) for c in text)
        ink = _choose_ink(draws, self.split, self.style.darkest, self.faint)
        hard = self.split == "train" and draws.uniform() < self.emphasis
        style = replace(self.style, fonts=level1.HARD_FONTS) if hard else self.style
        image = level1.draw(text, ink, style, draws)
        return Example(image, text if ink.visible else "")


def _level1_character(character: str, hard: float, draws: Draws) -> str:
    for kind, difficult in zip((Level1.DIGITS, Level1.OPERATORS), LEVEL1_HARD, strict=True):
        if character in kind and draws.uniform() < hard:
            return draws.choice(difficult)
    return character


@dataclass(frozen=True)
class Level2Source:
    """Formulas of level 2: strips of their lines for training, whole canvases elsewhere, in which they must be located.

    A training picture that shows no text has the empty text; elsewhere there always is a trace of it.

    Attributes:
        split: of the examples.
        seed: likewise.
        style: of the pictures.
        variety: share of the training pictures that are drawn in many faces and weights instead.
        faint: share of the training pictures whose text is nearly as bright as the background, besides those of chance.
        copied: share of the training pictures that someone took from a page, see `crnn_jax.data.augment.copied`.
        fractions: share of the numbers in training that stand below a bar, besides the one that does in each text: most of
            what a network gets wrong are these small digits.
    """

    split: Split
    seed: int
    style: level2.Style
    variety: float = 0.0
    faint: float = 0.0
    copied: float = 0.0
    fractions: float = 0.0

    def __len__(self) -> int:
        return ENDLESS

    def __getitem__(self, index: int) -> Example:
        draws = Draws(self.seed, self.split, index)
        text = Level2().sample(draws)
        ink = _choose_ink(draws, self.split, self.style.darkest, self.faint)
        if self.split != "train":
            return Example(level2.draw(text, ink, self.style, draws).image, text)
        text = _with_fractions(text, self.fractions, draws)
        style = level2.VARIED if draws.uniform() < self.variety else self.style
        crops = level2.draw_crops(text, ink, style, draws)
        if draws.uniform() < self.copied:
            crops = copied(crops, STRIP_HEIGHT, draws)
        return Example(join(crops), text if ink.visible else "")


def _with_fractions(text: str, share: float, draws: Draws) -> str:
    """Level 2's text with more fractions than its grammar has."""
    *assignments, expression = text.split(SEPARATOR)
    room = (Level2.MAX_LENGTH - len(text)) // 2

    def number_or_fraction(number: re.Match[str]) -> str:
        nonlocal room
        if room <= 0 or draws.uniform() >= share:
            return number[0]
        room -= 1
        return f"{draws.choice(Level2.POEMS[0])}/{number[0]}"

    return SEPARATOR.join([*assignments, _NUMBERS.sub(number_or_fraction, expression)])


def _choose_ink(draws: Draws, split: Split, darkest: bool, faint: float) -> line.Ink:
    """Colours by chance; outside training they always leave a trace of the text."""
    darkest = darkest or (split == "train" and draws.uniform() < faint)
    ink = line.choose_ink(draws, darkest=darkest)
    while split != "train" and not ink.visible:
        ink = line.choose_ink(draws, darkest=darkest)
    return ink
