"""The exceptions that are meant for the user's eyes, and what others become for them."""

from __future__ import annotations


class UserError(ValueError):
    """Something that the user can mend: its message is one line that says what is wrong, where, and what to do."""


class Interrupted(Exception):
    """Ctrl-C or SIGTERM ended a run, and its state was saved: the same call goes on from there."""


def in_one_line(error: Exception) -> str:
    """An exception of someone else's, its kind and what it says, cut short, to go into a message."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]
