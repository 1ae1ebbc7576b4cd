"""The processes of one run, on one host or several: `jax.distributed`, which a run on one process never touches."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from crnn_jax.errors import Interrupted, UserError, in_one_line

_CONNECT_SECONDS = 300  # that processes wait for each other at the start
AUTO = "auto"


@contextmanager
def connected(coordinator: str, processes: int | None, number: int | None) -> Iterator[None]:
    """Makes this process one of several that train together; to be entered before jax is first used.

    Who is done waits at the end for the others: if one closed its connections while another was still receiving what it
    sent last, that one would fail.

    Args:
        coordinator: ``HOST:PORT`` of process 0; ``auto``: as SLURM or Open MPI say.
        processes: how many there are; None: likewise.
        number: of this one, from 0; None: likewise.

    Raises:
        UserError: something is missing, or the others can't be reached.
    """
    try:
        jax.distributed.initialize(
            None if coordinator == AUTO else coordinator,
            processes,
            number,
            cluster_detection_method=None if coordinator == AUTO else "deactivate",
            initialization_timeout=_CONNECT_SECONDS,
        )
    except (ValueError, TypeError, RuntimeError) as error:
        raise UserError(f"the processes of this run can't be brought together at {coordinator}: {in_one_line(error)}") from None
    signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGTERM))  # jax has taken it, and wouldn't end
    try:
        yield
    except Interrupted:
        jax.distributed.shutdown()
        raise
    jax.distributed.shutdown()


def count() -> int:
    """How many processes there are."""
    return jax.process_count()


def number() -> int:
    """Which of them this one is, from 0."""
    return jax.process_index()


def is_main() -> bool:
    """Whether this is the one that writes files and tells how it goes."""
    return number() == 0


@contextmanager
def all_or_none() -> Iterator[None]:
    """What is done inside is done by all processes, or what one raises ends all of them: none waits for one that left.

    Raises:
        UserError: it failed in another process.
    """
    try:
        yield
    except Exception as error:  # of any kind, a full disk's too: the others wait to hear of it
        gather(str(error) if isinstance(error, UserError) else in_one_line(error))
        raise
    if failures := [message for message in gather(None) if message is not None]:
        raise UserError(failures[0])


def gather(value: Any) -> list[Any]:
    """The values of all processes, of JSON types, in their order."""
    if count() == 1:
        return [value]
    data = np.frombuffer(json.dumps(value).encode(), np.uint8)
    lengths = multihost_utils.process_allgather(np.array([len(data)], np.int32)).ravel()
    room = np.zeros(lengths.max(), np.uint8)
    room[: len(data)] = data
    rows = multihost_utils.process_allgather(room)
    return [json.loads(row[:length].tobytes()) for row, length in zip(rows, lengths.tolist(), strict=True)]
