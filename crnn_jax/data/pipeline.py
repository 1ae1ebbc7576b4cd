"""The grain chain: example numbers, shuffled, batched, shared out over hosts, made into batches ahead of time."""

from __future__ import annotations

from collections.abc import Iterator

import grain
import numpy as np

from crnn_jax.data.examples import ENDLESS, PADDING, Batch
from crnn_jax.data.workers import BatchWorkers
from crnn_jax.drawing.random import Split


def training_batches(
    workers: BatchWorkers,
    examples: int,
    batch_size: int,
    *,
    seed: int = 0,
    host: int = 0,
    hosts: int = 1,
    ahead: int = 4,
) -> grain.DatasetIterator:
    """Batches without end, in an order that depends on nothing but the arguments.

    The state of the iterator (``get_state``, ``set_state``) is a position: it doesn't depend on the number of workers.

    Args:
        workers: make the batches.
        examples: in the source, which are shuffled anew each epoch; `ENDLESS` for one that draws: they come in order.
        batch_size: of all hosts together; a multiple of ``hosts``.
        seed: of the shuffling.
        host: number of this host, from 0.
        hosts: how many there are; each gets its own part of every batch.
        ahead: batches that are made before they are asked for.
    """
    numbers = grain.MapDataset.range(examples)
    if examples != ENDLESS:
        numbers = numbers.shuffle(seed).repeat()
    share = batch_size // hosts

    def make(indices: np.ndarray) -> Batch:
        return workers("train", indices[host * share : (host + 1) * share], host * share)

    batches = numbers.batch(batch_size, drop_remainder=True).map(make)
    return iter(batches.to_iter_dataset(grain.ReadOptions(num_threads=ahead, prefetch_buffer_size=ahead)))


def example_numbers(batch_size: int, *, host: int = 0, hosts: int = 1) -> grain.DatasetIterator:
    """Batches of pictures that a device draws itself: their ``numbers`` and ``positions``, (B,) int32 each, and
    ``indices``, the numbers again for people.

    Args:
        batch_size: of all hosts together; a multiple of ``hosts``.
        host: number of this host, from 0.
        hosts: how many there are.
    """
    positions = np.array_split(np.arange(batch_size), hosts)[host]

    def numbers(batch: int) -> dict[str, np.ndarray]:
        indices = (batch * batch_size + positions) % 2**31
        return {"numbers": indices.astype(np.int32), "positions": positions.astype(np.int32), "indices": indices}

    return iter(grain.MapDataset.range(ENDLESS // batch_size).map(numbers).to_iter_dataset(grain.ReadOptions(num_threads=0)))


def evaluation_batches(
    workers: BatchWorkers,
    split: Split,
    examples: int,
    batch_size: int,
    *,
    host: int = 0,
    hosts: int = 1,
    ahead: int = 4,
) -> Iterator[Batch]:
    """The first ``examples`` examples of a split, each once; the last batch is filled up with empty places (weight 0)."""
    count = -(-examples // batch_size)
    share = batch_size // hosts

    def make(number: int) -> Batch:
        first = number * batch_size + host * share
        indices = np.arange(first, first + share)
        return workers(split, np.where(indices < examples, indices, PADDING), host * share)

    batches = grain.MapDataset.range(count).map(make)
    return iter(batches.to_iter_dataset(grain.ReadOptions(num_threads=ahead, prefetch_buffer_size=ahead)))
