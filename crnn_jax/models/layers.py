"""A network's layers, to be shown."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import numpy as np
from flax import traverse_util

from crnn_jax.models.crnn import CRNN


class Layer(NamedTuple):
    """A layer that has parameters of its own.

    Attributes:
        name: where it stands, and its parameters in ``params``, such as ``Light_0/Conv_0``.
        kind: its class.
        output: what it gives for one picture, or one line that is read alone, (H, W, C) or (T, C).
        parameters: numbers that training changes.
    """

    name: str
    kind: str
    output: tuple[int, ...]
    parameters: int


def layers(model: CRNN, height: int, width: int) -> list[Layer]:
    """The layers of a network in the order in which they compute, told from shapes alone.

    Flax's `nn.tabulate` shows more of them than fits on a screen: inputs, each array, layers without parameters.

    Args:
        model: the network.
        height: of a prepared picture, in pixels.
        width: likewise.
    """
    seen: dict[str, tuple[str, tuple[int, ...]]] = {}

    def note(call: Callable[..., Any], arguments: Any, options: Any, context: nn.module.InterceptorContext) -> Any:
        output = call(*arguments, **options)
        if context.method_name == "__call__":
            shape = jax.tree.leaves(output)[0].shape
            seen["/".join(context.module.path)] = type(context.module).__name__, shape[1:]
        return output

    image, used = jax.ShapeDtypeStruct((1, height, width, 3), np.uint8), jax.ShapeDtypeStruct((1,), np.int32)
    with nn.intercept_methods(note):
        params = jax.eval_shape(model.init, jax.random.key(0), image, used)["params"]
    sizes = dict.fromkeys(seen, 0)
    for path, array in traverse_util.flatten_dict(params).items():
        sizes["/".join(path[:-1])] += array.size
    return [Layer(name, *seen[name], size) for name, size in sizes.items() if size]
