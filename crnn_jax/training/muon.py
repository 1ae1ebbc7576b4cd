"""Muon (Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024), its work shared out among devices.

`optax.contrib.muon` does the same on every device anew, which takes a quarter of a step of `light` on two CPU cores.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax

_MOMENTUM = 0.95
_RMS = 0.2  # of an update, for a learning rate of 1: as large as Adam's
_COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of each step's odd polynomial, Jordan et al.
_STEPS = 5


def muon(
    learning_rate: optax.Schedule, weight_decay: float = 0.0, axis_name: str | None = None, devices: int = 1
) -> optax.GradientTransformation:
    """Momentum whose matrices are made orthogonal; vectors and the classifier are left to Adam.

    Updates are scaled to the size of Adam's, so that one rate suits both (Liu et al., "Muon is scalable for LLM training",
    2025, section 2.2).

    Args:
        learning_rate: of the step.
        weight_decay: share of each matrix that is taken away in a step, for a learning rate of 1.
        axis_name: pmap axis of the devices; None: there is one.
        devices: how many share the work.
    """
    matrices = optax.chain(
        optax.trace(_MOMENTUM, nesterov=True),
        optax.stateless(lambda updates, params: _orthogonalize_shared(updates, axis_name, devices)),
        optax.add_decayed_weights(weight_decay),
        optax.scale_by_learning_rate(learning_rate),
    )
    adam = optax.nadamw(learning_rate, weight_decay=0.0)
    return optax.partition({"matrix": matrices, "other": adam}, _kinds)


def is_kernel(path: tuple[Any, ...]) -> bool:
    """Whether a parameter is multiplied with what passes through: no bias, and no scale of BatchNorm."""
    return path[-1].key.endswith("kernel")


def _kinds(params: Any) -> Any:
    def kind(path: tuple[Any, ...], leaf: jax.Array) -> str:
        return "matrix" if is_kernel(path) and path[0].key != "classifier" else "other"

    return jax.tree_util.tree_map_with_path(kind, params)


def _orthogonalize_shared(updates: Any, axis_name: str | None, devices: int) -> Any:
    leaves, tree = jax.tree.flatten(updates)
    if axis_name is None or devices == 1:
        return jax.tree.unflatten(tree, [_update(leaf) for leaf in leaves])
    shares = shared_out([leaf.size * min(_as_matrices(leaf).shape[1:]) for leaf in leaves], devices)

    def do(share: frozenset[int]) -> list[jax.Array]:
        return [_update(leaf) if i in share else jnp.zeros_like(leaf) for i, leaf in enumerate(leaves)]

    done = jax.lax.switch(jax.lax.axis_index(axis_name), [lambda share=share: do(share) for share in shares])
    return jax.tree.unflatten(tree, jax.lax.psum(done, axis_name))


def shared_out(costs: Sequence[int], workers: int) -> list[frozenset[int]]:
    """Numbers of the jobs of each worker: the largest first, to the one that has least to do."""
    shares: list[set[int]] = [set() for _ in range(workers)]
    for job in sorted(range(len(costs)), key=lambda job: -costs[job]):
        min(shares, key=lambda share: sum(costs[i] for i in share)).add(job)
    return [frozenset(share) for share in shares]


def _update(kernel: jax.Array) -> jax.Array:
    matrices = _as_matrices(kernel)
    scale = _RMS * math.sqrt(max(matrices.shape[1:]))
    # Gram matrices have the squares of the singular values: of the small ones little is left in the ten bits of which GPUs
    # make a product by default.
    with jax.default_matmul_precision("highest"):
        return scale * jnp.stack([orthogonalize(matrix) for matrix in matrices]).reshape(kernel.shape)


def _as_matrices(kernel: jax.Array) -> jax.Array:
    """(N, fan in, fan out): a recurrent kernel has a matrix for each direction; a convolution is one from all that it sees."""
    return kernel if kernel.ndim == 3 else kernel.reshape(1, -1, kernel.shape[-1])


def orthogonalize(matrix: jax.Array) -> jax.Array:
    """The matrix with singular values of about 1 (0.7 to 1.2) in place of its own, by Newton-Schulz steps.

    Each step multiplies with a polynomial of the matrix's Gram matrix. As those commute, the steps are done on the Gram matrix
    alone, the smaller side squared, and the matrix is multiplied once at the end.

    Args:
        matrix: (m, n) float.

    Returns:
        (m, n).
    """
    if matrix.shape[0] > matrix.shape[1]:
        return orthogonalize(matrix.T).T
    matrix = matrix / (jnp.linalg.norm(matrix) + 1e-8)
    gram = matrix @ matrix.T
    identity = jnp.eye(len(gram), dtype=matrix.dtype)
    first, third, fifth = _COEFFICIENTS
    product = identity
    for _ in range(_STEPS):
        factor = first * identity + third * gram + fifth * (gram @ gram)
        product = factor @ product
        gram = factor @ gram @ factor
    return product @ matrix
