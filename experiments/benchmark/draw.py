"""Drawing, against the unmodified ``captcha`` package: one core each."""

from __future__ import annotations

from collections.abc import Iterator

from captcha.image import ImageCaptcha

from crnn_jax import tasks
from crnn_jax.drawing.random import Draws
from experiments.benchmark.report import Row, in_turns, row

_ROUNDS, _PICTURES = 5, 400
_CHARACTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def rows(count: int | None, seed: int) -> Iterator[Row]:
    """Pictures a second of one core."""
    generator = ImageCaptcha(170, 80)
    texts = ["".join(Draws(seed, "generate", i).choice(_CHARACTERS) for _ in range(4)) for i in range(_PICTURES)]
    source = tasks.captcha().source("train", seed)

    def ours() -> None:
        for i in range(_PICTURES):
            source[i]

    def peer() -> None:
        for text in texts:
            generator.generate_image(text)

    a, b = in_turns(ours, peer, count or _ROUNDS, warm_up=1)
    yield row("draw", "captchas, one core", _PICTURES / a, _PICTURES / b, "images/s")
