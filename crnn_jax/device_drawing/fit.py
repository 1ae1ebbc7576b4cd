"""How a picture of any size becomes one that a network takes: `crnn_jax.data.examples.Preparation` in jax."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from crnn_jax.data.examples import STEP, Preparation
from crnn_jax.device_drawing.drawn import Drawn


def fit(drawn: Drawn, preparation: Preparation) -> Drawn:
    """Made smaller, in its proportions, until it is neither too high nor too wide; black around it."""
    limits = jnp.array([preparation.width, preparation.height])
    factor = jnp.minimum(1.0, jnp.min(limits / drawn.size))
    size = jnp.maximum(1, jnp.round(drawn.size * factor)).astype(jnp.int32)
    width = jnp.minimum(preparation.width, -(-size[0] // STEP) * STEP)
    image = resized(drawn, size, preparation.height, preparation.width)
    return drawn._replace(image=image, size=jnp.stack([width, jnp.array(preparation.height)]))


def resized(drawn: Drawn, size: jax.Array, height: int, width: int) -> jax.Array:
    """The picture in a smaller size, (2,) int32, as (height, width, 3) uint8, black around it."""
    image = drawn.image.astype(jnp.float32)
    for axis, room in ((0, height), (1, width)):
        image = averaged(image, drawn.size[1 - axis], size[1 - axis], room, axis)
    return jnp.round(image).astype(jnp.uint8)


def averaged(image: jax.Array, before: jax.Array, after: jax.Array, room: int, axis: int) -> jax.Array:
    """An axis whose first ``before`` pixels become ``after`` means of what they cover, and then zeros up to ``room``."""
    total = jnp.moveaxis(jnp.cumsum(image, axis=axis), axis, 0)
    total = jnp.concatenate([jnp.zeros_like(total[:1]), total])
    edges = jnp.minimum(jnp.arange(room + 1), after) * (before / after)
    first = jnp.minimum(edges.astype(jnp.int32), len(total) - 2)
    share = (edges - first)[:, None, None]
    at_edges = (1 - share) * total[first] + share * total[first + 1]
    return jnp.moveaxis((at_edges[1:] - at_edges[:-1]) * (after / before), 0, axis)
