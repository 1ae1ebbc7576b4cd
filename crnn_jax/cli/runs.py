"""``crnn-jax status``, ``compare``, ``export``, ``average`` and ``serve``."""

from __future__ import annotations

import argparse
import contextlib
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from crnn_jax import tasks
from crnn_jax.cli.arguments import Commands, add_dtype, add_grammar, load_all, load_one, networks, port, positive
from crnn_jax.data.examples import BATCH_SIZE
from crnn_jax.errors import UserError
from crnn_jax.training.compare import compare, curves, table
from crnn_jax.training.log import progress_bar
from crnn_jax.training.status import describe_run

if TYPE_CHECKING:
    from crnn_jax.export import Format
    from crnn_jax.recognizer import Recognizer

_SUFFIXES: dict[Format, str] = {"weights": ".safetensors", "stablehlo": ".stablehlo", "onnx": ".onnx"}
_CONNECTIONS = 256  # to the server, at a time


def add(commands: Commands) -> None:
    """Adds the commands."""
    status = commands.add_parser("status", help="say how far a run is")
    status.set_defaults(run=_status)
    status.add_argument("run_directory", type=Path, metavar="RUN", help="directory of a run")

    compared = commands.add_parser("compare", help="tables and plots several runs side by side")
    compared.set_defaults(run=_compare_runs)
    compared.add_argument("run_directories", type=Path, nargs="+", metavar="RUN", help="directories of runs")
    compared.add_argument("--plots", type=Path, metavar="FOLDER", help="where to save their curves as compared.png")

    export = commands.add_parser("export", help="write a trained network for other programs")
    export.set_defaults(run=_export)
    export.add_argument(
        "model", metavar="MODEL", help="a run's directory, a file, or the name of one that comes with the package"
    )
    export.add_argument("--to", choices=sorted(_SUFFIXES), required=True, help="format")
    add_grammar(export)
    export.add_argument("--out", type=Path, help="file; the default is MODEL with the format's ending, in this folder")
    export.add_argument(
        "--check", type=positive, default=1000, help="pictures on which the result is compared with the network"
    )

    average = commands.add_parser("average", help="write the mean of several networks that began with the same weights")
    average.set_defaults(run=_average)
    average.add_argument("models", nargs="+", metavar="MODEL", help="as of export")
    add_grammar(average)
    average.add_argument("--out", type=Path, required=True, help="file, .safetensors")

    serve = commands.add_parser("serve", help="a web page and an HTTP endpoint that read pictures")
    serve.set_defaults(run=_serve)
    serve.add_argument(
        "models", nargs="*", metavar="MODEL", help="as of read --model; the default is all that come with the package"
    )
    add_dtype(serve)
    add_grammar(serve)
    serve.add_argument("--host", default="127.0.0.1", help="address to listen on; 0.0.0.0 for all")
    serve.add_argument("--port", type=port, default=8000, help="0: any that is free")


def _status(arguments: argparse.Namespace) -> int:
    for name, value in describe_run(arguments.run_directory).items():
        print(f"{name:<18} {value}")
    return 0


def _compare_runs(arguments: argparse.Namespace) -> int:
    paths: list[Path] = arguments.run_directories
    print(table(compare(paths)))
    if arguments.plots:
        from crnn_jax import plots

        plots.compared(curves(paths), arguments.plots / "compared.png")
    return 0


def _export(arguments: argparse.Namespace) -> int:
    import jax

    from crnn_jax import export

    suffix = _SUFFIXES[arguments.to]
    out: Path = arguments.out or Path(Path(arguments.model).resolve().name + suffix)
    if out.suffix != suffix:
        raise UserError(f"--out={out}: the name must end in {suffix}")
    model = load_one(arguments.model, arguments.grammar)
    export.export(model, arguments.to, out)
    print(f"{out}: {out.stat().st_size:,} bytes")
    written = arguments.to == "weights"
    network = jax.jit(load_one(str(out), arguments.grammar).logits) if written else export.load_exported(out)
    return _compare(model, network, arguments.check)


def _average(arguments: argparse.Namespace) -> int:
    from crnn_jax import export
    from crnn_jax.averaging import average

    out: Path = arguments.out
    if out.suffix != _SUFFIXES["weights"]:
        raise UserError(f"--out={out}: the name must end in {_SUFFIXES['weights']}")
    export.export(average([load_one(model, arguments.grammar) for model in arguments.models]), "weights", out)
    print(f"{out}: {out.stat().st_size:,} bytes")
    return 0


def _serve(arguments: argparse.Namespace) -> int:
    try:
        import uvicorn

        from crnn_jax.serve.app import make_app
    except ImportError as error:
        raise UserError(f"{error.name} is not installed: pip install 'crnn-jax[serve]'") from None
    from crnn_jax import weights

    # A network that reads alone too is there twice: it is small.
    models = arguments.models or dict.fromkeys((*weights.names(), *weights.BEST.values()))
    names = {",".join(Path(network).resolve().name for network in networks(model)): model for model in models}
    if len(names) < len(arguments.models):
        raise UserError(f"two models have the same name: {', '.join(arguments.models)}")
    family = socket.AF_INET6 if ":" in arguments.host else socket.AF_INET
    try:
        listening = socket.create_server((arguments.host, arguments.port), family=family)
    except OSError as error:
        raise UserError(f"{arguments.host}:{arguments.port}: can't listen there ({error.strerror or error})") from None
    with listening, contextlib.suppress(KeyboardInterrupt):
        loaded = load_all(list(names.values()), arguments.grammar, arguments.dtype)
        app = make_app({name: loaded[model] for name, model in names.items()})
        host = f"[{arguments.host}]" if family == socket.AF_INET6 else arguments.host
        print(f"http://{host}:{listening.getsockname()[1]}, until Ctrl-C", file=sys.stderr)
        config = uvicorn.Config(app, log_level="warning", limit_concurrency=_CONNECTIONS)
        uvicorn.Server(config).run(sockets=[listening])
    return 0


def _compare(model: Recognizer, network: Callable[..., Any], count: int) -> int:
    """Says how far a network that was written differs from the model, and how fast it is."""
    import jax

    from crnn_jax import ctc

    pictures, expect = _pictures(model, count), jax.jit(model.logits)
    differs, largest, seconds, timed = 0, 0.0, 0.0, 0
    with progress_bar(count, unit="image", description="check", leave=False) as bar:
        for first in range(0, count, BATCH_SIZE):
            batch = pictures[first : first + BATCH_SIZE]
            images = model.preparation.stack(batch, widest=True)
            widths = np.array([picture.shape[1] for picture in batch], np.int32)
            begun = time.perf_counter()
            logits, lengths = map(np.asarray, network(images, widths))
            if first and len(batch) == BATCH_SIZE:  # others are compiled anew
                seconds, timed = seconds + time.perf_counter() - begun, timed + len(batch)
            expected, expected_lengths = map(np.asarray, expect(images, widths))
            inside = np.arange(logits.shape[1])[None] < expected_lengths[:, None]
            largest = max(largest, float(np.abs(logits - expected)[inside].max(initial=0)))
            theirs, ours = (ctc.greedy(*answer).ids for answer in ((logits, lengths), (expected, expected_lengths)))
            differs += int(np.sum(np.any(theirs != ours, axis=1)))
            bar.update(len(batch))
    print(f"{differs} of {count} pictures are read in another way; the largest difference of a logit is {largest:.2g}")
    if timed:
        print(f"{timed / seconds:.0f} images/s in batches of {BATCH_SIZE}")
    if differs > count // 100:
        raise UserError("that is more than one in a hundred: the file is there, but don't rely on it")
    return 0


def _pictures(model: Recognizer, count: int) -> list[np.ndarray]:
    """Prepared pictures of the model's task, or noise where we can't draw them."""
    name = model.description.get("task", "")
    if name not in tasks.TASKS:
        rng = np.random.default_rng(0)
        size = model.preparation.height, model.preparation.width, 3
        return [rng.integers(0, 256, size, np.uint8) for _ in range(count)]
    # Of level 2 strips: finding lines takes time, and is no part of the network.
    source = tasks.by_name(name).source("train", 1)
    return [model.preparation(source[i].image) for i in range(count)]
