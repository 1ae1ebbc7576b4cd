"""A run of the small task as a program of its own, saving after each step: ``python bars_run.py WORKDIR``."""

import sys

from sources import bars_task

from crnn_jax.errors import Interrupted
from crnn_jax.training.config import Config


def main(workdir):
    from crnn_jax.training import loop
    from crnn_jax.training.log import log_to_stderr

    log_to_stderr()
    loop._SAVE_SECONDS = 0
    config = Config(
        hidden=16, dropout=0.1, epochs=2, steps_per_epoch=8, batch_size=8, workers=2, validation_examples=10, eval_examples=10
    )
    try:
        loop.train(bars_task(), config, workdir)
    except Interrupted:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
