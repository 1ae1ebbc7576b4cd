"""Drawing, against the unmodified ``captcha`` package: one core each; and as JAX functions, on the device that there is, whose
pictures are compared with the host's.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator

import jax
import numpy as np
from captcha.image import ImageCaptcha

from crnn_jax import tasks
from crnn_jax.data.examples import Example, Source
from crnn_jax.device_drawing import examples, make_plain_draw
from crnn_jax.device_drawing.drawn import draw_all
from crnn_jax.drawing.random import Draws
from experiments.benchmark.report import Row, in_turns, row
from experiments.level2 import RECIPES as LEVEL2_RECIPES

_ROUNDS = 5
_PICTURES = {"captchas": 400, "level 1": 400, "level 2, strips": 100, "level 2, whole canvases": 40}  # of a round
_CHARACTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def rows(count: int | None, seed: int) -> Iterator[Row]:
    """Pictures a second of one core; those of levels 1 and 2 against captchas too, for want of a package that draws them."""
    generator = ImageCaptcha(170, 80)
    most = max(_PICTURES.values())
    texts = ["".join(Draws(seed, "generate", i).choice(_CHARACTERS) for _ in range(4)) for i in range(most)]

    def peer(pictures: int) -> None:
        for text in texts[:pictures]:
            generator.generate_image(text)

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

        a, b = in_turns(ours, functools.partial(peer, pictures), count or _ROUNDS, warm_up=1)
        yield row("draw", f"{name}, one core", pictures / a, pictures / b, "images/s")
    more = 1 if jax.default_backend() == "cpu" else _TIMES_MORE
    for name, (task, some) in _ON_DEVICE.items():
        at_once = some * more
        draw = jax.jit(functools.partial(draw_all, make_plain_draw(task)))
        keys = jax.random.split(jax.random.key(seed), at_once)
        a, b = in_turns(
            lambda draw=draw, keys=keys: jax.block_until_ready(draw(keys)),  # type: ignore[misc]
            functools.partial(peer, at_once),
            count or _ROUNDS,
        )
        yield row("draw", f"{name}, {jax.devices()[0].device_kind}", at_once / a, at_once / b, "images/s")
        host, device = task.source("train", seed), [*examples(task, seed, _COMPARED)]
        for what, statistic in _STATISTICS.items():
            a, b = (
                float(np.mean([statistic(example) for example in of])) for of in (device, (host[i] for i in range(_COMPARED)))
            )
            yield row("draw", f"{name}, device and host: {what}", a, b, "")


def _ink(example: Example) -> float:
    """Percentage of pixels that haven't the most frequent colour."""
    colours = example.image.reshape(-1, 3).astype(np.int64) @ [1 << 16, 1 << 8, 1]
    return 100 * (1 - np.unique(colours, return_counts=True)[1].max() / len(colours))


_RECIPE = LEVEL2_RECIPES["quick"].task
assert _RECIPE is not None
_TIMES_MORE = 8  # a GPU draws at a time
# Each with how many pictures a CPU draws at a time.
_ON_DEVICE = {
    "captchas": (tasks.captcha(), 256),
    "level 1": (tasks.level1(), 256),
    "level 2, strips": (tasks.level2(), 64),
    "level 2, the recipe's strips": (_RECIPE, 32),  # some as if taken from a page
}
_STATISTICS: dict[str, Callable[[Example], float]] = {
    "mean level": lambda example: float(example.image.mean()),
    "levels' deviation": lambda example: float(example.image.std()),
    "pixels that aren't background, %": _ink,
    "width": lambda example: example.image.shape[1],
    "characters": lambda example: len(example.text),
}
_COMPARED = 500  # pictures
