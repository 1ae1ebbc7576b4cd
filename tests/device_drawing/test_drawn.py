"""How pictures are drawn many at a time."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from crnn_jax.device_drawing import drawn
from crnn_jax.device_drawing.drawn import Drawn, draw_all, for_some


def draw(key):
    """A picture of four pixels."""
    levels = jax.random.randint(key, (2, 2, 3), 0, 256)
    return Drawn(levels.astype(jnp.uint8), levels[0, 0], levels[0, 0, 0], levels[0, 0], jnp.array([2, 2]))


@pytest.mark.parametrize("count", [1, 7, 12])
@pytest.mark.parametrize("at_once", [1, 5, 100])
def test_parts_of_a_batch_are_drawn_as_the_whole(monkeypatch, count, at_once):
    keys = jax.random.split(jax.random.key(count), count)
    one_by_one = jax.jit(functools.partial(draw_all, draw))(keys)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(drawn, "_PIXELS_AT_ONCE", 4 * at_once)
    in_parts = jax.jit(lambda keys: draw_all(draw, keys))(keys)
    jax.tree.map(np.testing.assert_array_equal, in_parts, one_by_one)


@pytest.mark.parametrize("count", [1, 7, 33])
@pytest.mark.parametrize("share", [0, 0.1, 0.5, 1])
def test_some_of_a_batch_are_changed(count, share):
    rng = np.random.default_rng(count)
    chosen, numbers = jnp.asarray(rng.random(count) < share), jnp.asarray(rng.integers(0, 100, (count, 3)))

    def change(operand):
        numbers, factor = operand
        return {"numbers": numbers * factor}

    def keep(operand):
        return {"numbers": operand[0]}

    either = jax.vmap(lambda chosen, numbers: for_some(chosen, change, keep, (numbers, jnp.array(7))))
    expected = jnp.where(chosen[:, None], 7 * numbers, numbers)
    np.testing.assert_array_equal(jax.jit(either)(chosen, numbers)["numbers"], expected)
    alone = for_some(chosen[0], change, keep, (numbers[0], jnp.array(7)))
    np.testing.assert_array_equal(alone["numbers"], expected[0])
