"""The pictures of `crnn_jax.drawing` as functions of a random key that jax compiles: a training step draws its own batch."""

from __future__ import annotations

from collections.abc import Callable

import jax

from crnn_jax.data.drawn import CAPTCHA_HARD, CAPTCHA_LENGTH
from crnn_jax.device_drawing import captcha, level1
from crnn_jax.device_drawing.contrast import stretch_grey
from crnn_jax.device_drawing.drawn import Draw, Drawn
from crnn_jax.errors import UserError
from crnn_jax.tasks import LEVEL1_STYLES, Task

_PREPARATIONS: dict[str, Callable[[Drawn], Drawn]] = {"never": lambda drawn: drawn, "stretch_grey": stretch_grey}


def make_draw(task: Task) -> Draw:
    """Draws the training pictures of a task, prepared, by the chances of its source on the host.

    Raises:
        UserError: it can't be drawn on a device: its pictures come from a folder, or nobody has written that yet.
    """
    draw = _make_draw(task)
    if task.preparation.equalize not in _PREPARATIONS:
        raise UserError(f"equalize={task.preparation.equalize} is not done on the device")
    prepare = _PREPARATIONS[task.preparation.equalize]

    def draw_prepared(key: jax.Array) -> Drawn:
        return prepare(draw(key))

    return draw_prepared


def _make_draw(task: Task) -> Draw:
    data = task.data
    match task.name:
        case "captcha" if "emphasis" in data:
            size = task.preparation.width, task.preparation.height
            return captcha.make_draw(task.alphabet, CAPTCHA_LENGTH, *size, CAPTCHA_HARD, data["emphasis"])
        case "level1" if "emphasis" in data:
            return level1.make_draw(LEVEL1_STYLES[data["variant"]], data["faint"], data["emphasis"])
    raise UserError(f"{task.name}: only captchas and level 1 are drawn on the device, and no pictures from a folder")
