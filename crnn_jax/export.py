"""A trained network in formats that other programs run.

What is exported takes prepared pictures, (B, H, W, 3) uint8, and the widths that count of them, (B,) int32, for any B; it gives
logits (B, T, K + 1) and how many columns count, (B,) int32. Beside it lies a JSON file with the alphabet (the blank is the last
class), the preparation and the rest of the description; `crnn_jax.data.examples.Preparation` does the preparation without jax.
"""

from __future__ import annotations

import importlib
import json
import logging
import warnings
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from crnn_jax import weights
from crnn_jax.errors import UserError, in_one_line
from crnn_jax.files import writing
from crnn_jax.recognizer import Recognizer

Format = Literal["weights", "stablehlo", "onnx"]
Network = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
_PLATFORMS = ("cpu", "cuda")


def export(model: Recognizer, to: Format, path: Path) -> None:
    """Writes a network to a file, and a description beside it; ``weights`` holds its own.

    Args:
        model: the network.
        to: ``weights``: float16 in a safetensors file, for `crnn_jax.load`; ``stablehlo``: a serialised `jax.export.Exported`
            for CPUs and CUDA; ``onnx``: by ``jax2onnx``, for onnxruntime and others.
        path: of the file.

    Raises:
        UserError: it can't be written, what the format needs isn't installed, or ``jax2onnx`` can't convert it.
    """
    if to == "weights":
        weights.save(path, jax.tree.map(np.asarray, model.variables), model.description)
        return
    data = _stablehlo(model) if to == "stablehlo" else _onnx(model)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        path.with_name(path.stem + ".json").write_text(_describe(model), encoding="utf-8")


def load_exported(path: Path) -> Network:
    """Runs what `export` wrote, in either format.

    Raises:
        UserError: it can't be read, or what the format needs isn't installed.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: can't be read ({error.strerror or error})") from None
    try:
        if path.suffix == ".onnx":
            return _onnxruntime(data)
        _extra("flatbuffers")
        exported = jax.export.deserialize(bytearray(data))
    except UserError:
        raise
    except Exception as error:  # each library has kinds of its own for what it can't understand
        raise UserError(f"{path}: can't be read as a network ({in_one_line(error)})") from None

    def network(images: np.ndarray, widths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        logits, lengths = exported.call(images, widths)
        return np.asarray(logits), np.asarray(lengths)

    return network


def _shapes(model: Recognizer, batch: Any) -> tuple[jax.ShapeDtypeStruct, jax.ShapeDtypeStruct]:
    size = model.preparation.height, model.preparation.width, 3
    return jax.ShapeDtypeStruct((batch, *size), jnp.uint8), jax.ShapeDtypeStruct((batch,), jnp.int32)


def _stablehlo(model: Recognizer) -> bytes:
    _extra("flatbuffers")  # jax serialises with it
    (batch,) = jax.export.symbolic_shape("b")
    exported = jax.export.export(jax.jit(model.logits), platforms=_PLATFORMS)(*_shapes(model, batch))
    return bytes(exported.serialize())


def _onnx(model: Recognizer) -> bytes:
    if model.preparation.lines > 1:
        raise UserError("a network that reads each line alone can't be exported to onnx: --to=stablehlo can")
    jax2onnx = _extra("jax2onnx")
    logging.getLogger("onnx_ir").setLevel(logging.ERROR)  # it names each value whose shape it can't tell
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it asks for float64 in passing
        try:
            proto = jax2onnx.to_onnx(
                model.logits,
                list(_shapes(model, "B")),
                model_name="crnn_jax",
                input_names=["images", "widths"],
                output_names=["logits", "lengths"],
            )
            data = bytes(proto.SerializeToString())
            _onnxruntime(data)  # or says that it isn't valid
        except UserError:
            raise
        except Exception as error:  # of many kinds
            raise UserError(f"jax2onnx can't convert this network ({in_one_line(error)}): --to=stablehlo can") from None
    return data


def _onnxruntime(data: bytes) -> Network:
    onnxruntime = _extra("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # it tells every number that it doesn't need
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])

    def network(images: np.ndarray, widths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        logits, lengths = session.run(None, {"images": images, "widths": widths.astype(np.int32)})
        return logits, lengths

    return network


def _extra(module: str) -> ModuleType:
    """A module that only some users need."""
    try:
        return importlib.import_module(module)
    except ImportError:
        raise UserError(f"{module} is not installed: pip install 'crnn-jax[export]'") from None


def _describe(model: Recognizer) -> str:
    return json.dumps(model.description, indent=2, ensure_ascii=False) + "\n"
