"""The batches of a run, and the processes that make them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack

import grain
import jax

from crnn_jax.data.examples import Batch, BatchMaker
from crnn_jax.data.pipeline import evaluation_batches, example_numbers, training_batches
from crnn_jax.data.workers import BatchWorkers
from crnn_jax.drawing.random import Split
from crnn_jax.tasks import Task
from crnn_jax.training import hosts
from crnn_jax.training.config import Config
from crnn_jax.training.log import logger

_SPLITS: tuple[Split, ...] = ("train", "validation", "test")


class Feed:
    """A run's batches, this process's part. The processes that make them are ended by the stack that it is given.

    Attributes:
        sizes: examples of each split.
        training: batches without end; its state (``get_state``, ``set_state``) is a position.
        unreadable: what is wrong with pictures that could not be read so far.
    """

    def __init__(self, task: Task, config: Config, devices: Sequence[jax.Device], stack: ExitStack) -> None:
        # Hosts don't know how wide the pictures of the others are. And before the first batch of each width, XLA tries kernels
        # on a GPU for a minute or more, where large batches mostly are as wide as they may be in any case.
        widest = hosts.count() > 1 or devices[0].platform != "cpu"
        makers = {
            split: BatchMaker(task.source(split, config.seed), task.preparation, task.alphabet, task.max_length, widest=widest)
            for split in _SPLITS
        }
        self._batch_size = config.batch_size
        self._workers = stack.enter_context(BatchWorkers(makers, config.worker_count))
        self.sizes = {split: len(maker.source) for split, maker in makers.items()}
        self.training = self._training_batches(config)
        self.unreadable: set[str] = set()

    def _training_batches(self, config: Config) -> grain.DatasetIterator:
        drawn = config.batch_size * config.candidates
        if config.drawing == "device":
            return example_numbers(drawn, host=hosts.number(), hosts=hosts.count())
        makers = max(1, config.worker_count)
        return training_batches(
            self._workers,
            self.sizes["train"],
            drawn,
            seed=config.seed,
            host=hosts.number(),
            hosts=hosts.count(),
            # Batches with candidates are large: a few less of them, yet work for all.
            ahead=max(1 + makers, 2 * makers // config.candidates),
        )

    def evaluation(self, split: Split, examples: int) -> Iterator[Batch]:
        """The first examples of a split, each once."""
        return evaluation_batches(self._workers, split, examples, self._batch_size, host=hosts.number(), hosts=hosts.count())

    def note_unreadable(self, messages: Iterable[str]) -> None:
        """Warns of pictures that could not be read, of each once."""
        for message in messages:
            if message not in self.unreadable:
                self.unreadable.add(message)
                logger.warning("left out: %s", message)
