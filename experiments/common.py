"""What the experiments share: their flags, and from flags to a run. Imports no jax: data workers import it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

from absl import app, flags

import crnn_jax
from crnn_jax.data.contrast import EQUALIZE, Equalize
from crnn_jax.errors import Interrupted, UserError
from crnn_jax.host import keep_compilations, prepare_cpu, prepare_gpu
from crnn_jax.models.config import BACKBONES, HEADS, INITIALIZATIONS, RECURRENCES
from crnn_jax.tasks import BAD_EXAMPLES, BadExamples, Task, from_folder
from crnn_jax.training.config import BATCH_NORMS, DRAWINGS, DTYPES, ON_NAN, OPTIMIZERS, SCHEDULES, Config
from crnn_jax.training.log import log_to_stderr, logger

INTERRUPTED = 130

_WORKDIR = flags.DEFINE_string(
    "workdir", None, "directory of the run; the default is runs/TASK-RECIPE, with --data_dir runs/TASK-RECIPE-FOLDER"
)
_RECIPE = flags.DEFINE_enum(
    "recipe",
    "document",
    ["document", "quick"],
    "document: the source document's; quick: a useful model on two cores in minutes",
)
_DATA_DIR = flags.DEFINE_string(
    "data_dir", None, "folder of pictures and labels to learn from, instead of pictures that we draw"
)
_BAD_EXAMPLES = flags.DEFINE_enum(
    "bad_examples",
    "refuse",
    BAD_EXAMPLES,
    "labels in --data_dir that don't suit the task: refuse to start, or skip and count them",
)
_LEARN_ALL = flags.DEFINE_bool(
    "learn_all", False, "learn from all of --data_dir, also what it is validated and judged on: the figures then say little"
)
_EQUALIZE = flags.DEFINE_enum(
    "equalize", None, EQUALIZE, "which pictures' contrasts to spread before they are read, and how; the default is the task's"
)
_RESUME = flags.DEFINE_enum(
    "resume", "auto", ["auto", "never"], "auto: go on with a run in --workdir; never: refuse if there is one"
)
_COORDINATOR = flags.DEFINE_string(
    "coordinator", None, "several processes train together: HOST:PORT of process 0, or auto under SLURM and Open MPI"
)
_PROCESSES = flags.DEFINE_integer("processes", None, "how many processes there are, for --coordinator=HOST:PORT", lower_bound=1)
_PROCESS = flags.DEFINE_integer("process", None, "number of this one, from 0", lower_bound=0)

# Flags that override a field of the recipe's `Config`; None leaves it.
_OVERRIDES: dict[str, flags.FlagHolder[Any]] = {
    "backbone": flags.DEFINE_enum("backbone", None, BACKBONES, "convolutions"),
    "rnn": flags.DEFINE_enum("rnn", None, RECURRENCES, "what lets columns see each other"),
    "head": flags.DEFINE_enum("head", None, HEADS, "what makes characters of the columns"),
    "dropout": flags.DEFINE_float(
        "dropout", None, "share of the features dropped after the dense layer and before the classifier; 0: none", lower_bound=0
    ),
    "dropout_dense": flags.DEFINE_bool("dropout_dense", None, "drop features after the dense layer too"),
    "initialization": flags.DEFINE_enum("initialization", None, INITIALIZATIONS, "of convolutions and the dense layer"),
    "rnn_initialization": flags.DEFINE_enum(
        "rnn_initialization", None, INITIALIZATIONS, "of what recurrent layers make of their input"
    ),
    "epochs": flags.DEFINE_integer("epochs", None, "validations of a run", lower_bound=1),
    "steps_per_epoch": flags.DEFINE_integer("steps_per_epoch", None, "batches of an epoch", lower_bound=1),
    "batch_size": flags.DEFINE_integer("batch_size", None, "pictures of a batch, over all devices", lower_bound=1),
    "optimizer": flags.DEFINE_enum("optimizer", None, OPTIMIZERS, "rule of the steps"),
    "learning_rate": flags.DEFINE_float("learning_rate", None, "the largest", lower_bound=0),
    "lr_schedule": flags.DEFINE_enum("lr_schedule", None, SCHEDULES, "learning rate over the run"),
    "weight_decay": flags.DEFINE_float("weight_decay", None, "share of each matrix that a step takes away", lower_bound=0),
    "ema": flags.DEFINE_float("ema", None, "share of the weights' moving average that a step keeps; 0: none", lower_bound=0),
    "l2": flags.DEFINE_float("l2", None, "weight of the squares of the parameters in the loss", lower_bound=0),
    "keep_all": flags.DEFINE_bool("keep_all", None, "keep the weights of every epoch"),
    "clip_norm": flags.DEFINE_float("clip_norm", None, "largest norm of a step's gradients", lower_bound=0),
    "batch_norm": flags.DEFINE_enum("batch_norm", None, BATCH_NORMS, "statistics over all devices, or of each alone"),
    "dtype": flags.DEFINE_enum("dtype", None, DTYPES, "of the activations"),
    "candidates": flags.DEFINE_integer(
        "candidates", None, "pictures of which the hardest is learned, and the others aren't; 1: learn all", lower_bound=1
    ),
    "chooser": flags.DEFINE_string(
        "chooser", None, "run, file or packaged network to which --candidates are hard; the default is the one in training"
    ),
    "init_from": flags.DEFINE_string("init_from", None, "run, file or packaged network whose weights a new run begins with"),
    "seed": flags.DEFINE_integer("seed", None, "of parameters, dropout and examples", lower_bound=0),
    "on_nan": flags.DEFINE_enum("on_nan", None, ON_NAN, "a step whose loss is no number ends the run, or is left out"),
    "drawing": flags.DEFINE_enum("drawing", None, DRAWINGS, "draw on the host, or on each device before its step"),
    "profile_steps": flags.DEFINE_integer("profile_steps", None, "steps to record for a profiler; 0: none", lower_bound=0),
    "workers": flags.DEFINE_integer("workers", None, "processes that draw or read pictures; 0: none", lower_bound=0),
    "validation_examples": flags.DEFINE_integer("validation_examples", None, "pictures read after each epoch", lower_bound=1),
    "eval_examples": flags.DEFINE_integer("eval_examples", None, "pictures read at the end", lower_bound=1),
}


@dataclass(frozen=True)
class Recipe:
    """What to learn, and how.

    Attributes:
        task: what; None: what --data_dir holds.
        config: how.
        schedule_epochs: as many epochs as suit another schedule than the config's, where --epochs doesn't say.
        name: of the experiment, where there is no task to have one.
    """

    task: Task | None
    config: Config
    schedule_epochs: Mapping[str, int] = field(default_factory=dict)
    name: str = ""


# From a task, --data_dir, --bad_examples and --learn_all to the task with these pictures.
FromFolder = Callable[[Any, str, BadExamples, bool], Task]


def main(
    recipes: Mapping[str, Recipe], from_folder: FromFolder = from_folder, adapt: Callable[[Task], Task] = lambda task: task
) -> None:
    """Parses the flags, trains, and exits: 0, 1 with one line for what the user can mend, or 130 when interrupted.

    Args:
        recipes: by name.
        from_folder: what becomes of --data_dir.
        adapt: changes the recipe's task as flags of the experiment's own say.
    """
    app.run(lambda argv: sys.exit(_run(recipes[_RECIPE.value], from_folder, adapt, argv)))


def _run(recipe: Recipe, from_folder: FromFolder, adapt: Callable[[Task], Task], argv: list[str]) -> int:
    log_to_stderr()
    folder = f"-{Path(_DATA_DIR.value).resolve().name}" if _DATA_DIR.value else ""
    name = recipe.task.name if recipe.task else recipe.name
    workdir = _WORKDIR.value or f"runs/{name}-{_RECIPE.value}{folder}"
    try:
        task, config = _chosen(recipe, from_folder, adapt, argv)
        prepare_cpu()  # before `_hint` asks jax where it runs
        prepare_gpu()
        keep_compilations()
        with _together():
            _hint(config)
            crnn_jax.train(task, config, workdir, resume=_RESUME.value == "auto")
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except OSError as error:  # a full disk, a folder that went away
        print(f"error: {error.filename or workdir}: {error.strerror or error}", file=sys.stderr)
        return 1
    except Interrupted as error:
        logger.info("%s", error)
        return INTERRUPTED
    except KeyboardInterrupt:
        print("stopped; the last checkpoint is kept", file=sys.stderr)
        return INTERRUPTED
    except Exception as error:
        if not _is_out_of_memory(error):
            raise
        print("error: out of memory: a smaller --batch_size takes less, on a GPU also --dtype=bfloat16", file=sys.stderr)
        return 1
    return 0


def _chosen(recipe: Recipe, from_folder: FromFolder, adapt: Callable[[Task], Task], argv: list[str]) -> tuple[Task, Config]:
    """What the flags make of a recipe."""
    if argv[1:]:
        raise UserError(f"what is {argv[1]!r}? options are written --name=value; --help lists them")
    for flag in (_WORKDIR, _DATA_DIR, _COORDINATOR, _OVERRIDES["chooser"], _OVERRIDES["init_from"]):
        if flag.value == "":  # a variable that isn't set, say
            raise UserError(f"--{flag.name} is empty: name one, or leave it out")
    overrides = {name: flag.value for name, flag in _OVERRIDES.items() if flag.value is not None}
    epochs = recipe.schedule_epochs.get(overrides.get("lr_schedule", ""), recipe.config.epochs)
    config = replace(recipe.config, **{"epochs": epochs, **overrides})
    task = adapt(recipe.task) if recipe.task else None
    if _DATA_DIR.value:
        task = from_folder(task, _DATA_DIR.value, cast(BadExamples, _BAD_EXAMPLES.value), _LEARN_ALL.value)
    elif _LEARN_ALL.value:
        raise UserError("--learn_all goes with --data_dir: of what we draw nothing is kept back")
    if task is None:
        raise UserError("--data_dir must name the folder of pictures to learn from")
    if _EQUALIZE.value:
        task = replace(task, preparation=replace(task.preparation, equalize=cast(Equalize, _EQUALIZE.value)))
    return task, config


def _is_out_of_memory(error: Exception) -> bool:
    """Of the host, or of a device, for which XLA has a status and no class."""
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and "RESOURCE_EXHAUSTED" in str(error))


def _together() -> AbstractContextManager[None]:
    if not _COORDINATOR.value:
        if _PROCESSES.value is not None or _PROCESS.value is not None:
            raise UserError("--processes and --process go with --coordinator, the address of the first process")
        return nullcontext()
    from crnn_jax.training.hosts import connected  # imports jax

    return connected(_COORDINATOR.value, _PROCESSES.value, _PROCESS.value)


def _hint(config: Config) -> None:
    import jax

    if _RECIPE.value == "document" and jax.default_backend() == "cpu":
        pictures = config.total_steps * config.batch_size
        logger.info(
            "this recipe trains on %s pictures, which is meant for a GPU; --recipe=quick takes minutes on a CPU",
            f"{pictures:,}",
        )
