"""Writing files, so that what was there before isn't lost."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from crnn_jax.errors import UserError, in_one_line


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


def write_whole(path: Path, text: str) -> None:
    """Writes a text file that is either whole or as it was before."""
    temporary = path.with_name(path.name + ".part")
    # Bytes of a path that are no UTF-8 are written as JSON's escapes, which give the same path again.
    temporary.write_text(text, encoding="utf-8", errors="backslashreplace")
    temporary.replace(path)
