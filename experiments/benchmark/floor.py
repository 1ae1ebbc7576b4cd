"""How near training steps are to the least that they could take: the products of convolutions, dense and recurrent layers over
the rate of a large matrix product, and what these products read and write over the bandwidth of the memory.

The peer's figure is that of the floor, its matrix product or copy timed in turns with the step; the ratio is the share of the
floor that is reached. Less than all bytes need pass through the memory where a cache holds some, so that ratio may exceed 1.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from experiments.benchmark.report import Row, in_turns, row
from experiments.benchmark.step import Step, random_batch, recipes

_ROUNDS = 7
_SIDE = 2048  # of the matrices
_COPIED = 1 << 26  # numbers


def rows(count: int | None, seed: int) -> Iterator[Row]:
    """Images a second of each network's step, and at either floor."""
    for case in recipes():
        batch, size = random_batch(case, seed), case.config.batch_size
        step, work = Step(case).on(batch), count_work(Step(case, jax.local_devices()[:1]).jaxpr(batch))
        matrix = jnp.ones((_SIDE, _SIDE), case.config.dtype)
        numbers = jnp.ones(_COPIED, case.config.dtype)
        multiply, copy = jax.jit(lambda x: x @ x), jax.jit(lambda x: x + 1)
        name = f"{case.name}, {case.config.backbone}"
        for what, amount, done, peer in (
            ("operations", work.operations, 2 * _SIDE**3, lambda: jax.block_until_ready(multiply(matrix))),  # noqa: B023
            ("bytes", work.bytes, 2 * numbers.nbytes, lambda: jax.block_until_ready(copy(numbers))),  # noqa: B023
        ):
            a, b = in_turns(step, peer, count or _ROUNDS)
            floor = amount / (done / b)
            yield row(
                "floor", f"{name}: {amount / size / 1e6:,.0f} million {what} an image", size / a, size / floor, "images/s"
            )


class Work(NamedTuple):
    """Of products.

    Attributes:
        operations: multiplications and additions.
        bytes: of what they read and write.
    """

    operations: int
    bytes: int


def count_work(jaxpr: Any) -> Work:
    """What the products of a jaxpr come to, those of loops as often as they run."""
    operations, moved = 0, 0
    for equation in jaxpr.eqns:
        times = equation.params.get("length", 1) if equation.primitive.name == "scan" else 1
        for work, often in [(_product(equation), 1), *((count_work(inner), times) for inner in _inner(equation))]:
            operations, moved = operations + often * work.operations, moved + often * work.bytes
    return Work(operations, moved)


def _product(equation: Any) -> Work:
    shapes = [variable.aval for variable in (*equation.invars, *equation.outvars)]
    match equation.primitive.name:
        case "dot_general":
            (contracted, _), _ = equation.params["dimension_numbers"]
            summed = math.prod(shapes[0].shape[axis] for axis in contracted)
        case "conv_general_dilated":
            kernel, (outputs, *_) = shapes[1].shape, equation.params["dimension_numbers"].rhs_spec
            summed = math.prod(kernel) // kernel[outputs]
        case _:
            return Work(0, 0)
    return Work(2 * math.prod(shapes[-1].shape) * summed, sum(shape.size * shape.dtype.itemsize for shape in shapes))


def _inner(equation: Any) -> Iterator[Any]:
    """The jaxprs that an equation calls."""
    for value in equation.params.values():
        for part in value if isinstance(value, tuple | list) else (value,):
            jaxpr = getattr(part, "jaxpr", part)
            if hasattr(jaxpr, "eqns"):
                yield jaxpr
