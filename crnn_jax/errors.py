"""The one exception that is meant for the user's eyes."""


class UserError(ValueError):
    """Something that the user can mend: its message is one line that says what is wrong, where, and what to do."""
