"""Four characters of 0-9A-Z at 170x80, as the ``captcha`` package draws them.

    python -m experiments.captcha --recipe=quick

``quick`` trains the `light` network on 206,400 pictures. On two cores of an AMD EPYC that took 12.7 minutes, all in all, and
read 98.36% of 10,000 pictures by the unmodified package whole (95%: 98.09 to 98.59; ``--eval_examples=10000``). One run.
With more time, from there on:

    python -m experiments.captcha --recipe=quick --seed=1 --init_from=runs/captcha-quick --epochs=18 --learning_rate=4e-3 \
        --workdir=runs/captcha-long

``document``, the default, is the source document's recipe, which reads 99.46% there; it is meant for a GPU.
"""

from __future__ import annotations

from absl import flags

from crnn_jax import tasks
from crnn_jax.training.config import Config
from experiments import common
from experiments.common import Recipe

RECIPES = {
    # Batches of 128, 400 an epoch, 20 epochs at 1e-3 and 20 at 1e-4, with Keras's defaults for BatchNorm. docs/tasks.md lists
    # what differs.
    "document": Recipe(
        tasks.captcha(),
        Config(
            backbone="vgg222",
            dropout=0.2,
            rnn_initialization="he_uniform",
            momentum=0.99,
            epsilon=1e-3,
            drop_columns=2,
            epochs=40,
            steps_per_epoch=400,
            batch_size=128,
            learning_rate=1e-3,
            lr_schedule="step",
            lr_stages=2,
            clip_norm=None,
            validation_examples=2560,
            eval_examples=10_000,
        ),
    ),
    "quick": Recipe(
        tasks.captcha(emphasis=0.25, equalize="stretch_grey"),
        Config(
            backbone="light",
            epochs=15,
            steps_per_epoch=215,
            batch_size=64,
            optimizer="muon",
            learning_rate=6e-3,
            weight_decay=0.1,
            lr_schedule="onecycle",
            validation_examples=1000,
            eval_examples=2000,
        ),
    ),
}


if __name__ == "__main__":
    flags.adopt_module_key_flags(common)  # --help lists them
    common.main(RECIPES)
