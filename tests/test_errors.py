"""What can't be written is told in one line, and only that."""

import errno
import os
from pathlib import Path

import pytest

from crnn_jax import UserError
from crnn_jax.cli.arguments import output
from crnn_jax.files import writing


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), "No space left on device"),
        (OSError("encoder error -2 when writing image file"), "OSError: encoder error -2 when writing image file"),
        (OSError(), "OSError:"),
    ],
)
def test_path_and_reason_are_told(error, reason):
    with pytest.raises(UserError) as told, writing(Path("a.png")):
        raise error
    assert str(told.value) == f"a.png: can't be written ({reason})"


def test_lines_go_to_a_file_at_once_or_to_stdout(tmp_path, capsys):
    with output(tmp_path / "lines.txt") as write:
        write("图 \udcff")
        assert (tmp_path / "lines.txt").read_text(encoding="utf-8") == "图 \\udcff\n"
    with output(None) as write:
        write("a")
    assert capsys.readouterr().out == "a\n"


def test_what_fails_while_a_file_of_lines_is_open_is_not_its_fault(tmp_path):
    with pytest.raises(OSError, match="Connection refused"), output(tmp_path / "lines.txt"):
        raise OSError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))


@pytest.mark.parametrize("path", ["/dev/full", "/proc/nothing/here"])
def test_a_file_that_can_t_be_written_is_named(path):
    with pytest.raises(UserError, match=f"{path}: can't be written"), output(Path(path)) as write:
        write("a")
