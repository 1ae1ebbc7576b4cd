"""A run of a small task as a program of its own, saving after each step: ``python bars_run.py WORKDIR [OPTIONS]``."""

import argparse
import sys
from contextlib import nullcontext

from sources import bars_task

from crnn_jax import tasks
from crnn_jax.errors import Interrupted, UserError
from crnn_jax.training.config import Config


def main(options):
    import jax

    from crnn_jax.training import hosts, loop
    from crnn_jax.training.log import log_to_stderr

    log_to_stderr()
    loop._SAVE_SECONDS = options.save_seconds
    if options.devices:
        jax.config.update("jax_num_cpu_devices", options.devices)
    config = Config(
        rnn=options.rnn,
        hidden=16,
        dropout=0.1,
        epochs=options.epochs,
        steps_per_epoch=options.steps,
        batch_size=8,
        workers=options.workers,
        validation_examples=10,
        eval_examples=10,
        drawing=options.drawing,
    )
    task = bars_task() if options.drawing == "host" else tasks.level1()
    try:
        together = hosts.connected(options.coordinator, options.processes, options.process)
        with together if options.processes > 1 else nullcontext():
            loop.train(task, config, options.workdir)
    except Interrupted:
        return 130
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("workdir")
    parser.add_argument("--coordinator")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--process", type=int, default=0)
    parser.add_argument("--devices", type=int)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--drawing", default="host")
    parser.add_argument("--rnn", default="gru")
    parser.add_argument("--save_seconds", type=float, default=0)
    sys.exit(main(parser.parse_args()))
