"""The pictures of `crnn_jax.drawing` as functions of a random key that jax compiles: devices draw their own batches."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import numpy as np

from crnn_jax.data.drawn import CAPTCHA_HARD, CAPTCHA_LENGTH
from crnn_jax.data.examples import Example
from crnn_jax.device_drawing import captcha, level1, level2
from crnn_jax.device_drawing.contrast import stretch
from crnn_jax.device_drawing.drawn import Draw, Drawn, draw_all
from crnn_jax.device_drawing.fit import fit
from crnn_jax.device_drawing.fraction import in_a_row
from crnn_jax.device_drawing.integers import over_channels
from crnn_jax.errors import UserError
from crnn_jax.tasks import LEVEL1_STYLES, LEVEL2_STYLES, Task

_AT_ONCE = 64  # pictures of `examples` that are drawn together

_CONTRASTS: dict[str, Callable[[Drawn], Drawn]] = {
    "never": lambda drawn: drawn,
    "stretch": stretch,
    "stretch_grey": functools.partial(stretch, grey=True),
}


def make_draw(task: Task) -> Draw:
    """Draws the training pictures of a task, prepared, by the chances of its source on the host.

    Raises:
        UserError: it can't be drawn on a device: its pictures come from a folder, or are prepared in another way.
    """
    draw = make_plain_draw(task)
    preparation = task.preparation
    if preparation.equalize not in _CONTRASTS or preparation.lines > 1:
        raise UserError(f"drawing on the device: there is no equalize={preparation.equalize}, lines={preparation.lines}")
    contrast = _CONTRASTS[preparation.equalize]

    def draw_prepared(key: jax.Array) -> Drawn:
        plain = draw(key)
        drawn = contrast(plain)
        if preparation.in_a_row:  # where it was black tells where a line ends
            drawn = drawn._replace(image=jnp.where(over_channels(jnp.logical_or, plain.image > 0)[..., None], drawn.image, 0))
            drawn = in_a_row(drawn, preparation.height if task.data["copied"] else None)
        return fit(drawn, preparation) if preparation.widths else drawn

    return draw_prepared


def examples(task: Task, seed: int, count: int) -> Iterator[Example]:
    """Training pictures of a task as they are drawn, not prepared, and their texts.

    Args:
        task: one that `make_plain_draw` draws.
        seed: of the pictures.
        count: of them.
    """
    draw = jax.jit(functools.partial(draw_all, make_plain_draw(task)))
    for first in range(0, count, _AT_ONCE):
        # As many each time, so that it is compiled once and a picture doesn't depend on the count.
        keys = jax.vmap(functools.partial(jax.random.fold_in, jax.random.key(seed)))(first + jnp.arange(_AT_ONCE))
        drawn = jax.tree.map(np.asarray, draw(keys))
        for i in range(min(_AT_ONCE, count - first)):
            width, height = drawn.size[i]
            text = task.alphabet.decode(drawn.ids[i, : drawn.length[i]].tolist())
            yield Example(drawn.image[i, :height, :width], text)


def make_plain_draw(task: Task) -> Draw:
    """Draws the training pictures of a task as they are, before any preparation.

    Raises:
        UserError: see `make_draw`.
    """
    data = task.data
    match task.name:
        case "captcha" if "emphasis" in data:
            size = task.preparation.width, task.preparation.height
            return captcha.make_draw(task.alphabet, CAPTCHA_LENGTH, *size, CAPTCHA_HARD, data["emphasis"], data["older"])
        case "level1" if "emphasis" in data:
            return level1.make_draw(LEVEL1_STYLES[data["variant"]], data["faint"], data["emphasis"], data["hard"])
        case "level2" if "variety" in data:
            shares = (data[name] for name in ("variety", "faint", "copied", "fractions"))
            return level2.make_draw(LEVEL2_STYLES[data["variant"]], *shares)
    raise UserError(f"{task.name}: only captchas and levels 1 and 2 are drawn on the device, and no pictures from a folder")
