"""The command line: ``crnn-jax read``, ``vote``, ``evaluate``, ``generate``, ``check``, ``locate``, ``describe``, ``status``,
``compare``, ``export``, ``average`` and ``serve``.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Sequence

from crnn_jax import __version__
from crnn_jax.cli import describing, evaluating, folders, reading, runs
from crnn_jax.errors import UserError

INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command.

    Returns:
        The exit status: 0; 1 where something could not be read or done, with a line on stderr; 130 when interrupted.
    """
    arguments = _parser().parse_args(argv)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names of files need not be text
    try:
        status = arguments.run(arguments)
        if sys.stdout is not None:  # closed, as by >&-
            sys.stdout.flush()
        return status
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # the reader of our output has gone, as in `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:  # a full disk, a folder that can't be opened
        print(f"error: {error.filename or 'output'}: {error.strerror or error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="crnn-jax", description="Reads text in pictures with a trained network.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for group in (reading, evaluating, folders, describing, runs):
        group.add(commands)
    return parser
