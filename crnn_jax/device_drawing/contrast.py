"""`crnn_jax.data.contrast` in jax."""

from __future__ import annotations

import jax.numpy as jnp

from crnn_jax.data.contrast import REACH, STROKES
from crnn_jax.device_drawing.drawn import Drawn
from crnn_jax.device_drawing.integers import over_channels


def stretch(drawn: Drawn, *, grey: bool = False) -> Drawn:
    """`crnn_jax.data.contrast.equalize` by ``stretch``, or by ``stretch_grey``; the background is known here."""
    image = drawn.image.astype(jnp.int32)
    distances = jnp.abs(image - drawn.background[None, None])
    distance = over_channels(jnp.maximum, distances)
    counts = over_channels(jnp.logical_or, image > 0)
    enough = STROKES * jnp.sum(counts)
    # The least level that so many pixels are at or below, by bisection.
    strokes = jnp.zeros((), jnp.int32)
    for bit in (128, 64, 32, 16, 8, 4, 2, 1):
        below = jnp.sum((distance < strokes + bit) & counts)
        strokes = jnp.where(below >= enough, strokes, strokes + bit)
    shown = jnp.broadcast_to(distance[..., None], image.shape) if grey else distances
    levels = 255 - jnp.minimum(255, shown * REACH // jnp.maximum(1, strokes))
    return drawn._replace(image=levels.astype(jnp.uint8))
