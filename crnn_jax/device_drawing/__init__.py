"""The pictures of `crnn_jax.drawing` as functions of a random key that jax compiles: a training step draws its own batch."""

from __future__ import annotations

from collections.abc import Callable

import jax

from crnn_jax.device_drawing import level1
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
    if task.name != "level1" or "variant" not in task.data:
        raise UserError(
            f"{task.name}: pictures from a folder, and those of other tasks than level1, are not drawn on the device"
        )
    if task.preparation.equalize not in _PREPARATIONS:
        raise UserError(f"equalize={task.preparation.equalize} is not done on the device")
    prepare = _PREPARATIONS[task.preparation.equalize]
    draw = level1.make_draw(LEVEL1_STYLES[task.data["variant"]], task.data["faint"], task.data["emphasis"])

    def draw_prepared(key: jax.Array) -> Drawn:
        return prepare(draw(key))

    return draw_prepared
