"""Pictures of your own with their texts, of any size.

    crnn-jax check MY_FOLDER
    python -m experiments.folder --recipe=quick --data_dir=MY_FOLDER
    crnn-jax read MORE_PICTURES --model runs/folder-quick-MY_FOLDER

The texts stand in ``labels.tsv`` or ``labels.csv`` (columns ``file`` and ``text``), in ``labels.txt`` (line i, from 0, is about
``i.png``), in ``NAME.gt.txt`` beside ``NAME.png``, or are the names of the files (``docs/folder.md``). Texts that follow a
pattern are read better when it is given, and what is read then always follows it:

    python -m experiments.folder --recipe=quick --data_dir=DATES --pattern='\\d{4}-\\d{2}-\\d{2}'

or by a grammar of your own, a class in a module that Python finds from here (``docs/grammar.md``):

    python -m experiments.folder --recipe=quick --data_dir=FRUIT --grammar=fruit:Words

From weights that know something already, also of another alphabet:

    python -m experiments.folder --recipe=quick --data_dir=PLATES --init_from=runs/folder-quick-OTHERS

``quick`` trains the `light` network, on a CPU in minutes; ``document``, the default, the larger `vgg346` for a GPU.
"""

from __future__ import annotations

from absl import flags

from crnn_jax import tasks
from crnn_jax.grammar import imported
from crnn_jax.tasks import BadExamples, Task
from crnn_jax.training.config import Config
from experiments import common
from experiments.common import Recipe

_ALPHABET = flags.DEFINE_string("alphabet", None, "characters of the texts; the default is those that the labels have")
_HEIGHT = flags.DEFINE_integer(
    "height", None, "that pictures are brought to, in pixels; the default suits the texts", lower_bound=16
)
_COLOUR = flags.DEFINE_bool("colour", False, "colours tell something")
_AUGMENT = flags.DEFINE_float("augment", 0.5, "how far training changes pictures: 0 not at all, 1 strongly", lower_bound=0)
_PATTERN = flags.DEFINE_string("pattern", None, "regular expression that all texts match")
_GRAMMAR = flags.DEFINE_string("grammar", None, "package.module:Class of a crnn_jax.Grammar of your own that all texts are of")

RECIPES = {
    "document": Recipe(
        None,
        Config(
            backbone="vgg346",
            epochs=50,
            steps_per_epoch=500,
            batch_size=128,
            learning_rate=1e-3,
            l2=1e-5,
            validation_examples=2000,
            eval_examples=10_000,
        ),
        name="folder",
    ),
    "quick": Recipe(
        None,
        Config(
            backbone="light",
            epochs=20,
            steps_per_epoch=100,
            batch_size=32,
            optimizer="muon",
            learning_rate=6e-3,
            weight_decay=0.1,
            dropout=0.1,
            validation_examples=500,
            eval_examples=2000,
        ),
        name="folder",
    ),
}


def _from_folder(_: Task | None, folder: str, bad_examples: BadExamples, learn_all: bool) -> Task:
    return tasks.folder(
        folder,
        _ALPHABET.value,
        height=_HEIGHT.value,
        colour=_COLOUR.value,
        augment=_AUGMENT.value,
        pattern=_PATTERN.value,
        grammar=None if _GRAMMAR.value is None else imported(_GRAMMAR.value),
        bad_examples=bad_examples,
        learn_all=learn_all,
    )


if __name__ == "__main__":
    flags.adopt_module_key_flags(common)  # --help lists them
    common.main(RECIPES, _from_folder)
