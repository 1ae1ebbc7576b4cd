"""Ours against what else there is, in turns in one run.

    python -m experiments.benchmark --suite=train --out=train.json

``train``: a training step against PyTorch's of the same network, and captcha training with its drawing.
``read``: reading pictures in memory, one picture's latency, and a folder of files, against PyTorch.
``draw``: captchas against the unmodified ``captcha`` package, one core each.
``ctc``: loss and gradient against `torch.nn.functional.ctc_loss`.
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

import importlib
import json
import sys
from dataclasses import asdict
from pathlib import Path

from absl import app, flags

from crnn_jax.errors import UserError
from crnn_jax.host import prepare_cpu
from crnn_jax.training.log import log_to_stderr
from experiments.benchmark.report import Row, machine, print_table

SUITES = ("train", "read", "draw", "ctc", "locate", "readers", "serve", "growth", "parts", "floor", "learn")


def main(argv: list[str]) -> None:
    """Runs a suite and prints its table."""
    if argv[1:]:
        sys.exit(f"error: what is {argv[1]!r}? options are written --name=value; --help lists them")
    log_to_stderr()
    prepare_cpu()
    try:
        suite = importlib.import_module(f"experiments.benchmark.{flags.FLAGS.suite}")
        if flags.FLAGS.plots and not hasattr(suite, "plot"):
            raise UserError(f"--plots: nothing is drawn of the suite {flags.FLAGS.suite}")
        _keep([])  # or says at once that it can't be written
        print(machine())
        rows = print_table(suite.rows(flags.FLAGS.count, flags.FLAGS.seed), _keep)
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        sys.exit("error: this suite compares with PyTorch, which is not installed: pip install 'crnn-jax[bench]'")
    except UserError as error:
        sys.exit(f"error: {error}")
    except OSError as error:
        sys.exit(f"error: {error.filename or flags.FLAGS.out}: {error.strerror or error}")
    if flags.FLAGS.plots:
        suite.plot(rows, Path(flags.FLAGS.plots) / f"{flags.FLAGS.suite}.png")


def _keep(rows: list[Row]) -> None:
    if flags.FLAGS.out:
        Path(flags.FLAGS.out).write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    flags.DEFINE_enum("suite", "train", SUITES, "what to measure")
    flags.DEFINE_integer("count", None, "rounds, or pictures where a suite counts them; each suite has its own", lower_bound=1)
    flags.DEFINE_integer("seed", 0, "of the pictures", lower_bound=0)
    flags.DEFINE_string("out", None, "file for the rows, JSON")
    flags.DEFINE_string("plots", None, "directory for a picture of the rows, of suites that have one")
    app.run(main)
