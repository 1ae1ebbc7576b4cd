"""What is drawn on a device."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
from jax import lax
from jax.custom_batching import custom_vmap

T = TypeVar("T")
R = TypeVar("R")


class Drawn(NamedTuple):
    """A picture and its text.

    Attributes:
        image: (H, W, 3) uint8.
        ids: (L,) int32, of its text, padded with the blank.
        length: () int32, of the text.
        background: (3,) int32, its colour.
        size: (2,) int32, width and height of what counts of the picture; the rest, to the right and below, is black.
        bars: (F, 3) int32, left end, right end and middle row of the fractions' bars, from left to right, -1 after the last;
            None: pictures have none.
    """

    image: jax.Array
    ids: jax.Array
    length: jax.Array
    background: jax.Array
    size: jax.Array
    bars: jax.Array | None = None


Draw = Callable[[jax.Array], Drawn]  # of a random key

_PIXELS_AT_ONCE = 1 << 23  # that a GPU draws: enough work for all of it, while level 2 needs gigabytes, not tens of them
_SHARE_AT_ONCE = 8  # of a batch, one in so many


def draw_all(draw: Draw, keys: jax.Array) -> Drawn:
    """A picture for each of (B,) keys, all arrays with an axis of B before theirs.

    On CPUs one is drawn after the other: what it needs stays in the cache, and what chance doesn't ask for isn't computed.
    """
    # By default GPUs keep ten bits of what they multiply: too few to tell pixels apart.
    with jax.default_matmul_precision("highest"):
        if jax.default_backend() == "cpu":
            return lax.map(draw, keys)
        rows, columns, _ = jax.eval_shape(draw, keys[0]).image.shape
        parts = -(-len(keys) * rows * columns // _PIXELS_AT_ONCE)
        return jax.vmap(draw)(keys) if parts == 1 else lax.map(draw, keys, batch_size=-(-len(keys) // parts))


def for_some(chosen: jax.Array, change: Callable[[T], R], keep: Callable[[T], R], operand: T) -> R:
    """`lax.cond`, whose ``change`` costs a batch as much as there are pictures that are chosen.

    `jax.vmap` of `lax.cond` computes both for all. Here those that are chosen are gathered, and changed some at a time.

    Args:
        chosen: () bool.
        change: what becomes of a picture's arrays if it is chosen; of arguments alone, not of tracers around it.
        keep: likewise if it isn't, cheaper.
        operand: these arrays.
    """

    @custom_vmap
    def either(chosen: jax.Array, operand: T) -> R:
        return lax.cond(chosen, change, keep, operand)

    @either.def_vmap
    def batch(size: int, batched: Any, *arguments: Any) -> tuple[R, Any]:
        whole = jax.tree.map(lambda there, x: x if there else jnp.broadcast_to(x, (size, *x.shape)), batched, list(arguments))
        chosen, operand = whole
        at_once, count = -(-size // _SHARE_AT_ONCE), jnp.sum(chosen)
        first_ones = jnp.pad(jnp.argsort(~chosen, stable=True), (0, at_once))

        def change_some(state: tuple[jax.Array, R]) -> tuple[jax.Array, R]:
            done, results = state
            places = lax.dynamic_slice(first_ones, (done,), (at_once,))
            changed = jax.vmap(change)(jax.tree.map(lambda x: x[places], operand))
            targets = jnp.where(done + jnp.arange(at_once) < count, places, size)  # those past the end are dropped
            return done + at_once, jax.tree.map(lambda x, y: x.at[targets].set(y, mode="drop"), results, changed)

        none = jnp.zeros((), count.dtype)
        _, results = lax.while_loop(lambda state: state[0] < count, change_some, (none, jax.vmap(keep)(operand)))
        return results, jax.tree.map(lambda _: True, results)

    return either(chosen, operand)
