"""Formulas of two or three lines, found on a noisy canvas of up to 4000x1000, read and computed.

    python -m experiments.level2 --recipe=quick

``quick`` trains the `light` network on 97,920 strips that we draw. On two cores of an AMD EPYC, beside other work and in two
sittings, that took some 49 minutes (44 of them training), and read 95.6% of 1,000 whole canvases right (95%: 94.1 to 96.7). One
run.

From the competition's own pictures (``0.png ...`` and ``labels.txt``), whose lines are best found once and for all, and perhaps
put together anew:

    crnn-jax locate image_contest_level_2 --out strips
    python -m experiments.level2 --recipe=quick --data_dir=strips
    python -m experiments.level2 --lr_schedule=step --data_dir=strips --recombine

The document's own steps find them with ``crnn-jax locate --way=document``.

``document``, the default, is the source document's recipe, which reads 99.77% there; it is meant for a GPU. Its other schedule:

    python -m experiments.level2 --lr_schedule=alternate
"""

from __future__ import annotations

from dataclasses import replace

from absl import flags

from crnn_jax import tasks
from crnn_jax.errors import UserError
from crnn_jax.tasks import BadExamples, Task
from crnn_jax.training.config import Config
from experiments import common
from experiments.common import Recipe

_LINES = flags.DEFINE_enum("lines", "joined", ["joined", "separate"], "read all in one strip, or each alone")
_FRACTIONS = flags.DEFINE_enum(
    "fractions", None, ["drawn", "in_a_row"], "read them as they are drawn, or with their small digits enlarged, in a row"
)
_VARIETY = flags.DEFINE_float(
    "variety",
    None,
    "share of the strips that we draw in many faces and weights, others are in Song faces; the default is the recipe's",
    lower_bound=0,
    upper_bound=1,
)
_RECOMBINE = flags.DEFINE_bool("recombine", False, "put the lines of --data_dir, which crnn-jax locate made, together anew")
_TRAIN = flags.DEFINE_integer("recombine_train", 89_600, "pictures that give their lines, the first ones", lower_bound=1)
_VALIDATION = flags.DEFINE_integer("recombine_validation", 10_240, "pictures to validate on, the next ones", lower_bound=1)

RECIPES = {
    # 50 epochs at each of 1e-3, 1e-4 and 1e-5. The document names 350 * 256 examples an epoch. docs/tasks.md lists what
    # differs.
    "document": Recipe(
        replace(tasks.level2(), preparation=replace(tasks.LEVEL2_STRIPS, equalize="never")),
        Config(
            backbone="vgg346",
            rnn_initialization="glorot_uniform",
            momentum=0.99,
            epsilon=1e-3,
            drop_columns=2,
            epochs=150,
            steps_per_epoch=350,
            batch_size=256,
            learning_rate=1e-3,
            lr_schedule="step",
            lr_stages=3,
            l2=1e-5,
            clip_norm=None,
            keep_all=True,
            validation_examples=10_240,
            eval_examples=10_000,
        ),
        schedule_epochs={"alternate": 100},
    ),
    "quick": Recipe(
        tasks.level2(variety=0.4, faint=0.01, copied=0.1, fractions=0.3, in_a_row=True),
        Config(
            backbone="light",
            epochs=9,
            steps_per_epoch=340,
            batch_size=32,
            optimizer="muon",
            learning_rate=6e-3,
            weight_decay=0.1,
            lr_schedule="onecycle",
            validation_examples=500,
            eval_examples=1000,
        ),
    ),
}


def _adapt(task: Task) -> Task:
    if _RECOMBINE.value and not flags.FLAGS.data_dir:
        raise UserError("--recombine puts together the lines of --data_dir: name the folder that crnn-jax locate made")
    if _VARIETY.value is not None:
        if flags.FLAGS.data_dir:
            raise UserError("--variety is a share of the strips that we draw: leave it out with --data_dir")
        task = replace(tasks.level2(**{**task.data, "variety": _VARIETY.value}), preparation=task.preparation)
    if _LINES.value == "separate":
        if _FRACTIONS.value == "in_a_row":
            raise UserError("--lines=separate reads fractions as they are drawn: leave out --fractions=in_a_row")
        preparation = replace(tasks.LEVEL2_LINES, equalize=task.preparation.equalize)
    elif _FRACTIONS.value == "drawn":
        preparation = replace(tasks.LEVEL2_STRIPS, equalize=task.preparation.equalize)
    else:
        preparation = tasks.LEVEL2_ROWS if _FRACTIONS.value else task.preparation
    return replace(task, preparation=preparation)


def _from_folder(task: Task, folder: str, bad_examples: BadExamples, learn_all: bool) -> Task:
    if not _RECOMBINE.value:
        return tasks.from_folder(task, folder, bad_examples, learn_all=learn_all)
    return tasks.recombined(task, folder, _TRAIN.value, _VALIDATION.value, bad_examples, learn_all=learn_all)


if __name__ == "__main__":
    flags.adopt_module_key_flags(common)  # --help lists them
    common.main(RECIPES, _from_folder, _adapt)
