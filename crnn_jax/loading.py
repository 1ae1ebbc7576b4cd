"""Trained networks from where they lie: in the package, in a run's directory, or in a file of weights."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import jax
from flax.errors import FlaxError

from crnn_jax import grammar as grammars
from crnn_jax import weights
from crnn_jax.alphabet import Alphabet
from crnn_jax.data.examples import Preparation
from crnn_jax.errors import UserError
from crnn_jax.grammar import Grammar
from crnn_jax.models.config import Architecture
from crnn_jax.recognizer import Recognizer
from crnn_jax.training.checkpoint import Checkpoints
from crnn_jax.training.config import Dtype
from crnn_jax.training.rundir import RunDirectory


def load(name: str | Path, *, grammar: Grammar | None = None, step: int | None = None, dtype: Dtype = "float32") -> Recognizer:
    """A trained network.

    Args:
        name: of one that comes with the package (``captcha``, ``level1``, ``level2``, ``captcha-light``, ``level1-light``,
            ``level2-light``, ``level2-quick``, ``level2-drawn``), a run's directory, which may be followed by ``@`` and a
            step, or a file that ``crnn-jax export --to weights`` wrote.
        grammar: of its texts, if it was trained with one of your own; those of this library are in the checkpoint.
        step: whose weights to take, of those that a run kept; None: those with the least validation loss.
        dtype: of the activations, see `Recognizer`.

    Raises:
        UserError: it is none of these, or can't be read, or there is no such dtype.
    """
    variables, description = stored(name, step)
    try:
        network = _recognizer(variables, description, grammar, dtype)
    except (AttributeError, KeyError, TypeError) as error:
        raise _unsuitable(name, error) from None
    if Path(name).suffix == weights.SUFFIX:  # perhaps from elsewhere
        _check_arrays(name, network)
    return network


def stored(name: str | Path, step: int | None = None) -> tuple[dict[str, Any], dict[str, Any]]:
    """A trained network's variables, ``params`` and ``batch_stats``, and its description; as of `load`, which says the rest.

    Raises:
        UserError: there is none, or it can't be read.
    """
    name, step = _at_step(name, step)
    path = Path(name)
    run = RunDirectory(path)
    file = path if path.suffix == weights.SUFFIX else weights.packaged(str(name))
    if run.checkpoints.is_dir() or (path.is_dir() and file is None):
        variables, description = _from_run(run, step)
    elif file is not None:  # perhaps beside a folder of its name that holds something else
        if step is not None:
            raise UserError(f"{name}: is a single network; steps are those of a run that keeps the weights of every epoch")
        variables, description = weights.load(file)
    else:
        known = ", ".join(weights.names()) or "there are none"
        raise UserError(
            f"{name}: there is no such directory; give that of a run, such as runs/captcha-quick, or the name of a network that"
            f" comes with the package ({known})"
        )
    if "alphabet" not in description:
        raise _unsuitable(name, "it has no alphabet")
    return variables, description


def _at_step(name: str | Path, step: int | None) -> tuple[str | Path, int | None]:
    """A name such as ``runs/captcha-quick@1600``, taken apart."""
    run, _, number = str(name).rpartition("@")
    apart = step is None and run and number.isdecimal() and not Path(name).exists()
    return (run, int(number)) if apart else (name, step)


def _unsuitable(name: str | Path, why: object) -> UserError:
    return UserError(f"{name}: its description doesn't suit this version of the library ({why})")


def _check_arrays(name: str | Path, network: Recognizer) -> None:
    """Refuses a network whose arrays aren't those of its architecture: flax would say so of some, at the first picture."""
    try:
        expected = _shapes(network.fresh_shapes())
    except (ArithmeticError, FlaxError, TypeError, ValueError) as error:  # a low picture may have no row
        raise _unsuitable(name, str(error).partition("\n")[0]) from None
    wrong = sorted(expected.items() ^ _shapes(network.variables).items())
    if wrong:
        raise _unsuitable(name, f"arrays of other places or shapes than {wrong[0][0]}, and {len(wrong) - 1} more")


def _shapes(variables: Any) -> dict[str, tuple[int, ...]]:
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): x.shape
        for path, x in jax.tree_util.tree_leaves_with_path(variables)
    }


def _recognizer(variables: dict[str, Any], description: dict[str, Any], grammar: Grammar | None, dtype: Dtype) -> Recognizer:
    alphabet = Alphabet(description["alphabet"])
    if grammar is None and description.get("grammar"):
        grammar = grammars.by_name(description["grammar"], alphabet)
    config = description["config"]
    return Recognizer(
        Architecture(**{field.name: config[field.name] for field in fields(Architecture) if field.name in config}),
        alphabet,
        Preparation(**description["preparation"]),
        variables,
        grammar,
        description,
        dtype=dtype,
    )


def _from_run(directory: RunDirectory, step: int | None) -> tuple[dict[str, Any], dict[str, Any]]:
    if not directory.checkpoints.is_dir():
        raise UserError(f"{directory.path}: holds no checkpoints/; give the directory of a run, such as runs/captcha-quick")
    checkpoints = Checkpoints(directory.checkpoints, writable=False)
    try:
        best = checkpoints.best if step is None else checkpoints.validated(step)
        if best is None:
            raise UserError(f"{directory.checkpoints}: holds no checkpoint yet")
        return checkpoints.weights(best), checkpoints.describe(best)
    finally:
        checkpoints.close()
