"""``crnn-jax describe``."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from crnn_jax.cli.arguments import Commands, add_grammar, load_one

if TYPE_CHECKING:
    from crnn_jax.recognizer import Recognizer

_WIDTH, _LABEL = 120, 12  # columns of a terminal, and of what stands before a text
_CHARACTERS = 60  # of an alphabet that are shown
_RECIPE = (
    *("optimizer", "learning_rate", "lr_schedule", "epochs", "steps_per_epoch", "batch_size", "l2", "weight_decay", "ema"),
    *("clip_norm", "batch_norm", "dtype", "candidates", "chooser", "init_from", "seed"),
)


def add(commands: Commands) -> None:
    """Adds the command."""
    describe = commands.add_parser("describe", help="say what a trained network is: its task, its recipe, its layers")
    describe.set_defaults(run=_describe)
    describe.add_argument(
        "model", metavar="MODEL", help="a run's directory, a file, or the name of one that comes with the package"
    )
    add_grammar(describe)


def _describe(arguments: argparse.Namespace) -> int:
    network = load_one(arguments.model, arguments.grammar)
    for label, text in _told(network):
        print(textwrap.fill(f"{label:<{_LABEL}}{text}", _WIDTH, subsequent_indent=" " * _LABEL, break_on_hyphens=False))
    print()
    print("\n".join(_table(network)))
    return 0


def _told(network: Recognizer) -> Iterator[tuple[str, str]]:
    """What the checkpoint says, by name."""
    description = network.description
    characters = network.alphabet.characters
    more = " and others" if len(characters) > _CHARACTERS else ""
    yield "task", f"{description.get('task', 'unknown')}; grammar: {description.get('grammar') or 'none'}"
    yield "characters", f"{len(characters)}: {characters[:_CHARACTERS]!r}{more}"
    yield "pictures", _listed({name: value for name, value in asdict(network.preparation).items() if value})
    yield "network", _listed(asdict(network.architecture))
    config = description["config"]
    yield "recipe", _listed({name: config[name] for name in _RECIPE if config.get(name) is not None})
    if data := description.get("data"):
        yield "data", _listed(data)
    if averaged := description.get("averaged"):
        yield "mean", f"of {len(averaged)} networks; the recipe is that of the first"
    if metrics := description.get("metrics"):
        yield "validation", _listed(metrics)


def _listed(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value:.6g}" if isinstance(value, float) else f"{name}={value}" for name, value in values.items())


def _table(network: Recognizer) -> list[str]:
    """Lines with each layer's name, kind, output and number of parameters."""
    from crnn_jax.models.crnn import CRNN
    from crnn_jax.models.layers import layers

    model = CRNN.of(network.architecture, network.alphabet, network.preparation)
    height, width = network.preparation.height, network.preparation.width
    found = layers(model, height, width)
    rows = [
        ("layer", "kind", "output", "parameters"),
        ("a picture", "", f"{height} x {width} x {model.channels}", ""),
        *((layer.name, layer.kind, " x ".join(map(str, layer.output)), f"{layer.parameters:,}") for layer in found),
        ("all", "", "", f"{sum(layer.parameters for layer in found):,}"),
    ]
    name, kind, output, count = (max(map(len, column)) for column in zip(*rows, strict=True))
    return [f"{row[0]:<{name}}  {row[1]:<{kind}}  {row[2]:<{output}}  {row[3]:>{count}}".rstrip() for row in rows]
