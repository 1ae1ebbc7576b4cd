"""Formulas of two or three lines, found on a noisy canvas of up to 4000x1000, read and computed.

python -m experiments.level2 --recipe=quick
"""

from __future__ import annotations

from absl import flags

from crnn_jax import tasks
from crnn_jax.training.config import Config
from experiments import common
from experiments.common import Recipe

RECIPES = {
    "quick": Recipe(
        tasks.level2(variety=0.25, faint=0.01),
        Config(
            backbone="light",
            epochs=10,
            steps_per_epoch=400,
            batch_size=32,
            optimizer="muon",
            learning_rate=6e-3,
            lr_schedule="onecycle",
            validation_examples=500,
            eval_examples=1000,
        ),
    ),
}


if __name__ == "__main__":
    flags.adopt_module_key_flags(common)  # --help lists them
    common.main(RECIPES)
