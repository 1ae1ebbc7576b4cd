"""The exceptions that are meant for the user's eyes."""


class UserError(ValueError):
    """Something that the user can mend: its message is one line that says what is wrong, where, and what to do."""


class Interrupted(Exception):
    """Ctrl-C or SIGTERM ended a run, and its state was saved: the same call goes on from there."""
