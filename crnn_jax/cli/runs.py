"""``crnn-jax status``."""

from __future__ import annotations

import argparse
from pathlib import Path

from crnn_jax.cli.arguments import Commands
from crnn_jax.training.status import describe_run


def add(commands: Commands) -> None:
    """Adds the command."""
    status = commands.add_parser("status", help="say how far a run is")
    status.set_defaults(run=_status)
    status.add_argument("run_directory", type=Path, metavar="RUN", help="directory of a run")


def _status(arguments: argparse.Namespace) -> int:
    for name, value in describe_run(arguments.run_directory).items():
        print(f"{name:<18} {value}")
    return 0
