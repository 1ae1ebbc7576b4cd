"""The exceptions that are meant for the user's eyes, and what others become for them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class UserError(ValueError):
    """Something that the user can mend: its message is one line that says what is wrong, where, and what to do."""


class Interrupted(Exception):
    """Ctrl-C or SIGTERM ended a run, and its state was saved: the same call goes on from there."""


def in_one_line(error: Exception) -> str:
    """An exception of someone else's, its kind and what it says, cut short, to go into a message."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """What is done inside writes a file or a folder, and nothing else.

    Raises:
        UserError: it can't be written.
    """
    try:
        yield
    except OSError as error:
        raise UserError(f"{path}: can't be written ({error.strerror or in_one_line(error)})") from None
