"""Ours against what else there is, in turns in one run.

    python -m experiments.benchmark --suite=train --out=train.json

``train``: a training step against PyTorch's of the same network, and training of captchas and level 2 with its drawing.
``read``: reading pictures in memory, one picture's latency, and a folder of files, against PyTorch.
``draw``: captchas against the unmodified ``captcha`` package, one core each.
``ctc``: loss and gradient against `torch.nn.functional.ctc_loss`, and the memory that they need against the logits' own.
``locate``: finding the lines of level 2 canvases of all sizes, against the source document's OpenCV steps; on ordinary canvases
and on faint ones. OpenCV is held to one thread.
``readers``: exact match and speed of the networks that come with the package, against ddddocr, RapidOCR and Tesseract, where
installed.
``serve``: ``crnn-jax serve`` with many requests at once, against the same server asked one after another.
``learn``: what is read whole after the same time of training, against the document's network in PyTorch; half an hour.
``growth``: how the cost of a training step grows with batch size, width, alphabet and devices, against the first point of each
curve; ``--plots=DIR`` draws the curves.
``parts``: what a training step spends its time on, each part alone against the whole step.
``floor``: how near training steps are to what their products, and the bytes of these, take at least.

``train``, ``read``, ``ctc`` and ``learn`` need PyTorch: ``pip install 'crnn-jax[bench]'``.
"""

from __future__ import annotations

import argparse
import functools
import importlib
import json
import sys
from dataclasses import asdict
from pathlib import Path

from crnn_jax.cli.arguments import positive, seed
from crnn_jax.errors import UserError
from crnn_jax.host import keep_freed_memory, prepare_cpu, prepare_gpu
from crnn_jax.training.log import log_to_stderr
from experiments.benchmark.report import Row, machine, print_table

SUITES = ("train", "read", "draw", "ctc", "locate", "readers", "serve", "growth", "parts", "floor", "learn")
_READING = ("read", "readers", "serve")  # their processes are prepared as that of `crnn-jax read`


def main() -> None:
    """Runs a suite and prints its table."""
    arguments = _parser().parse_args()
    keep = functools.partial(_keep, arguments.out)
    log_to_stderr()
    if arguments.suite in _READING:
        keep_freed_memory()
    else:
        prepare_cpu()
    prepare_gpu()
    try:
        suite = importlib.import_module(f"experiments.benchmark.{arguments.suite}")
        if arguments.plots and not hasattr(suite, "plot"):
            raise UserError(f"--plots: nothing is drawn of the suite {arguments.suite}")
        keep([])  # or says at once that it can't be written
        print(machine())
        rows = print_table(suite.rows(arguments.count, arguments.seed), keep)
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        sys.exit("error: this suite compares with PyTorch, which is not installed: pip install 'crnn-jax[bench]'")
    except UserError as error:
        sys.exit(f"error: {error}")
    except OSError as error:
        sys.exit(f"error: {error.filename or arguments.out}: {error.strerror or error}")
    if arguments.plots:
        suite.plot(rows, arguments.plots / f"{arguments.suite}.png")


def _parser() -> argparse.ArgumentParser:
    # No flags of absl: suites import experiments, which have theirs.
    parser = argparse.ArgumentParser(
        prog="python -m experiments.benchmark",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--suite", choices=SUITES, default="train", help="what to measure")
    parser.add_argument("--count", type=positive, help="rounds, or pictures where a suite counts them; each suite has its own")
    parser.add_argument("--seed", type=seed, default=0, help="of the pictures")
    parser.add_argument("--out", type=Path, help="file for the rows, JSON")
    parser.add_argument("--plots", type=Path, help="directory for a picture of the rows, of suites that have one")
    return parser


def _keep(out: Path | None, rows: list[Row]) -> None:
    if out:
        out.write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
