"""Drawing, against the unmodified ``captcha`` package: one core each."""

from __future__ import annotations

from collections.abc import Iterator

from captcha.image import ImageCaptcha

from crnn_jax import tasks
from crnn_jax.data.examples import Source
from crnn_jax.drawing.random import Draws
from experiments.benchmark.report import Row, in_turns, row

_ROUNDS = 5
_PICTURES = {"captchas": 400, "level 1": 400, "level 2, strips": 100, "level 2, whole canvases": 40}  # of a round
_CHARACTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def rows(count: int | None, seed: int) -> Iterator[Row]:
    """Pictures a second of one core; those of levels 1 and 2 against captchas too, for want of a package that draws them."""
    generator = ImageCaptcha(170, 80)
    texts = ["".join(Draws(seed, "generate", i).choice(_CHARACTERS) for _ in range(4)) for i in range(max(_PICTURES.values()))]
    sources = (
        tasks.captcha().source("train", seed),
        tasks.level1().source("train", seed),
        tasks.level2().source("train", seed),
        tasks.level2().source("test", seed),
    )
    for (name, pictures), source in zip(_PICTURES.items(), sources, strict=True):

        def ours(source: Source = source, pictures: int = pictures) -> None:
            for i in range(pictures):
                source[i]

        def peer(pictures: int = pictures) -> None:
            for text in texts[:pictures]:
                generator.generate_image(text)

        a, b = in_turns(ours, peer, count or _ROUNDS, warm_up=1)
        yield row("draw", f"{name}, one core", pictures / a, pictures / b, "images/s")
