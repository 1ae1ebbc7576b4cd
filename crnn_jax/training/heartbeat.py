"""How the processes of a run know of each other that they are alive: each writes a file in the run's directory now and then.

A collective operation may wait for ever for a process that died, and what ``jax.distributed`` does about that takes longer and
ends in a stack trace. (Only if process 0 dies, which serves it, is it faster: the others then end with a stack trace that says
that the leader died.)
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from crnn_jax.errors import Interrupted
from crnn_jax.files import write_whole

_INTERVAL = 2.0  # seconds
PATIENCE = 20.0  # seconds without a sign of life, after which a process counts as missing
_BEATS = round(PATIENCE / _INTERVAL)


@contextlib.contextmanager
def heartbeat(directory: Path, number: int, count: int) -> Iterator[None]:
    """Tells the other processes of a run that this one lives, and ends it with one line when one of them is missing.

    Where an operation fails because the other side is gone, the exception is held back until it is known who that is.

    Args:
        directory: of all processes, for the files ``0.json``, ``1.json``, ...
        number: of this process.
        count: of all.
    """
    directory.mkdir(parents=True, exist_ok=True)
    ending, done = threading.Event(), threading.Event()
    thread = threading.Thread(target=_beat, args=(directory, number, count, ending, done), daemon=True)
    thread.start()
    try:
        yield
        done.set()  # the others needn't wait for this one; after an error of its own they should
    except Interrupted:  # all of them together, everything saved
        done.set()
        raise
    except RuntimeError:  # of jax, such as a connection that was closed
        time.sleep(PATIENCE + 2 * _INTERVAL)
        raise
    finally:
        ending.set()
        thread.join()


def signs_of_life(directory: Path) -> dict[int, dict[str, Any]]:
    """What the processes of a run wrote last: ``host``, ``pid``, ``beats`` and ``done``, by number."""
    signs = {}
    for path in sorted(directory.glob("*.json")):
        with contextlib.suppress(OSError, ValueError):  # it is being written
            signs[int(path.stem)] = json.loads(path.read_text(encoding="utf-8"))
    return signs


def _beat(directory: Path, number: int, count: int, ending: threading.Event, done: threading.Event) -> None:
    sign = {"host": socket.gethostname(), "pid": os.getpid()}
    # How long the others are silent is counted in beats of this process: a disk or a machine that stands still, for all, is no
    # death of anybody.
    beats, silent = 0, dict.fromkeys(range(count), 0)
    last: dict[int, dict[str, Any]] = {}
    ended = False
    while not ended:
        ended = ending.wait(_INTERVAL)
        try:
            write_whole(directory / f"{number}.json", json.dumps(sign | {"beats": beats + 1, "done": done.is_set()}))
        except OSError:
            continue
        beats += 1
        seen = signs_of_life(directory)
        for other in range(count):
            alive = other in seen and (seen[other] != last.get(other) or seen[other]["done"])
            silent[other] = 0 if alive else silent[other] + 1
        last |= seen
        missing = [other for other in range(count) if other != number and silent[other] > _BEATS]
        if missing and not ended:
            _give_up(missing, last)


def _give_up(missing: list[int], last: dict[int, dict[str, Any]]) -> None:
    names = " and ".join(f"process {other} ({last.get(other, {}).get('host', 'never heard of')})" for other in missing)
    print(
        f"error: {names} gave no sign of life for {PATIENCE:.0f} s; this process ends too, and the same commands go on from"
        " the last checkpoint",
        file=sys.stderr,
        flush=True,
    )
    os._exit(1)  # the main thread may wait for ever for what the other should send
