"""Networks for tests that train none."""

from typing import Any

import flax.linen as nn
import jax
import numpy as np


def fresh(model: nn.Module, *inputs: Any) -> dict[str, Any]:
    """Variables for a model, drawn by NumPy: to compile a model's own initialisation takes longer than most tests.

    Its biases are zero, which would hide a misplaced one; these aren't.
    """
    rng = np.random.default_rng(9)

    def draw(path, shape):
        name, noise = path[-1].key, rng.normal(size=shape.shape)
        if name in ("mean", "var"):
            values = np.full(shape.shape, float(name == "var"))
        elif len(shape.shape) == 1:
            values = (name == "scale") + 0.2 * noise
        else:
            values = noise / np.sqrt(np.prod(shape.shape[:-1]))
        return values.astype(shape.dtype)

    return jax.tree_util.tree_map_with_path(draw, jax.eval_shape(model.init, jax.random.key(0), *inputs))
