"""3x3 convolutions with fewer multiplications, for CPUs.

Lavin and Gray, "Fast algorithms for convolutional neural networks" (2016), section 4: F(m x m, 3x3). The input is taken in
tiles of m + 2 rows and columns that overlap by two. Of each tile (m + 2)^2 sums are taken, each is multiplied by a matrix made
of the kernel, and of these products m x m numbers of the output are summed up. With m = 2, that is 4 products for what a direct
convolution takes 9; with m = 4 it is 2.25, for more sums and more rounding, which here only gradients of kernels have. They are
plain matrix products, which XLA's CPU backend runs faster than convolutions, above all than these gradients.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from operator import add
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

Grid = list[list[jax.Array]]  # a matrix of arrays


class Transform(NamedTuple):
    """The matrices of F(m x m, 3x3), by the paper's names: input tiles are d, outputs A^T [(G g G^T) (B^T d B)] A.

    Attributes:
        b: (m + 2, m + 2), B^T.
        g: (m + 2, 3), G.
        a: (m, m + 2), A^T.
    """

    b: np.ndarray
    g: np.ndarray
    a: np.ndarray


# Section 4.1.
_TWO = Transform(
    b=np.array([[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]]),
    g=np.array([[1, 0, 0], [1 / 2, 1 / 2, 1 / 2], [1 / 2, -1 / 2, 1 / 2], [0, 0, 1]]),
    a=np.array([[1, 1, 1, 0], [0, 1, -1, -1]]),
)
# Section 4.3.
_FOUR = Transform(
    b=np.array(
        [
            [4, 0, -5, 0, 1, 0],
            [0, -4, -4, 1, 1, 0],
            [0, 4, -4, -1, 1, 0],
            [0, -2, -1, 2, 1, 0],
            [0, 2, -1, -2, 1, 0],
            [0, 4, 0, -5, 0, 1],
        ]
    ),
    g=np.array(
        [
            [1 / 4, 0, 0],
            [-1 / 6, -1 / 6, -1 / 6],
            [-1 / 6, 1 / 6, -1 / 6],
            [1 / 24, 1 / 12, 1 / 6],
            [1 / 24, -1 / 12, 1 / 6],
            [0, 0, 1],
        ]
    ),
    a=np.array([[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]]),
)


def convolve(x: jax.Array, kernel: jax.Array, padding: int, parts: int) -> jax.Array:
    """`jax.lax.conv_general_dilated` for 3x3 kernels, up to rounding.

    Args:
        x: (B, H, W, C) float.
        kernel: (3, 3, C, C') float.
        padding: zeros around each picture: 1 for ``SAME``, 0 for ``VALID``.
        parts: of the batch, convolved one after the other, so that what is computed on the way stays small; B is a multiple.

    Returns:
        (B, H + 2 padding - 2, W + 2 padding - 2, C').
    """
    height, width = (size + 2 * padding - 2 for size in x.shape[1:3])
    matrices = _both_sides(_TWO.g, kernel)

    def part(x: jax.Array) -> jax.Array:
        inputs = _inputs(_TWO, _pad(x, padding, 2))
        return _outputs(_TWO, [[v @ u for v, u in zip(*row, strict=True)] for row in zip(inputs, matrices, strict=True)])

    y = jax.lax.map(part, _split(x, parts)) if parts > 1 else part(x)
    return y.reshape(x.shape[0], *y.shape[-3:])[:, :height, :width]


def kernel_gradient(x: jax.Array, g: jax.Array, padding: int, parts: int) -> jax.Array:
    """The gradient of `convolve` in its kernel.

    Args:
        x: (B, H, W, C) float.
        g: (B, H', W', C'), the gradient in the output.
        padding: of `convolve`.
        parts: likewise.

    Returns:
        (3, 3, C, C').
    """

    def part(x: jax.Array, g: jax.Array) -> jax.Array:
        inputs, outputs = _inputs(_FOUR, _pad(x, padding, 4)), _outputs_transposed(_FOUR, _pad(g, 0, 4, overlap=0))
        pairs = [zip(*row, strict=True) for row in zip(inputs, outputs, strict=True)]
        return jnp.stack([jnp.stack([_flat(v).T @ _flat(m) for v, m in row]) for row in pairs])

    if parts == 1:
        return _both_sides(_FOUR.g.T, part(x, g))
    nothing = jnp.zeros((6, 6, x.shape[-1], g.shape[-1]), x.dtype)
    total, _ = jax.lax.scan(lambda total, both: (total + part(*both), None), nothing, (_split(x, parts), _split(g, parts)))
    return _both_sides(_FOUR.g.T, total)


def _inputs(transform: Transform, x: jax.Array) -> Grid:
    """B^T d B of all tiles: (B, m h + 2, m w + 2, C) to (m + 2)^2 of (B, h, w, C)."""
    m, n = transform.a.shape
    return _both_axes(transform.b, x, lambda x, i, axis: jax.lax.slice_in_dim(x, i, x.shape[axis] - n + 1 + i, m, axis))


def _outputs_transposed(transform: Transform, y: jax.Array) -> Grid:
    """A y A^T of all tiles: (B, m h, m w, C) to (m + 2)^2 of (B, h, w, C)."""
    m = len(transform.a)
    return _both_axes(transform.a.T, y, lambda y, i, axis: jax.lax.slice_in_dim(y, i, None, m, axis))


def _both_axes(matrix: np.ndarray, x: jax.Array, tiles: Callable[[jax.Array, int, int], jax.Array]) -> Grid:
    """Sums of rows, and of their columns: both written out, since XLA would put them into one formula, slower to compile."""
    terms = range(matrix.shape[1])
    rows = jax.lax.optimization_barrier(_sums(matrix, [tiles(x, i, 1) for i in terms]))
    return [_sums(matrix, [tiles(row, i, 2) for i in terms]) for row in rows]


def _outputs(transform: Transform, products: Grid) -> jax.Array:
    """A^T m A of all tiles: (m + 2)^2 of (B, h, w, C) to (B, m h, m w, C)."""
    m = len(transform.a)
    columns = zip(*[_sums(transform.a, row) for row in products], strict=True)
    y = jnp.stack([jnp.stack(_sums(transform.a, column), 2) for column in columns], 4)
    batch, height, _, width, _, channels = y.shape
    return y.reshape(batch, m * height, m * width, channels)


def _sums(matrix: np.ndarray, arrays: Sequence[jax.Array]) -> list[jax.Array]:
    """The product of a matrix and a vector of arrays, without the terms that are 0."""

    def total(row: np.ndarray) -> jax.Array:
        return reduce(add, [x if factor == 1 else float(factor) * x for factor, x in zip(row, arrays, strict=True) if factor])

    return [total(row) for row in matrix]


def _both_sides(matrix: np.ndarray, kernel: jax.Array) -> jax.Array:
    """Times a matrix on the left and its transpose on the right, along the first two axes."""
    matrix = matrix.astype(kernel.dtype)
    return jnp.einsum("ai,bj,ijcd->abcd", matrix, matrix, kernel)


def _pad(x: jax.Array, padding: int, m: int, overlap: int = 2) -> jax.Array:
    """With zeros around, and as many more at the lower and right edge as whole tiles need."""
    sides = [(padding, padding + (overlap - 2 * padding - size) % m) for size in x.shape[1:3]]
    return jnp.pad(x, ((0, 0), *sides, (0, 0)))


def _split(x: jax.Array, parts: int) -> jax.Array:
    return x.reshape(parts, -1, *x.shape[1:])


def _flat(x: jax.Array) -> jax.Array:
    return x.reshape(-1, x.shape[-1])
