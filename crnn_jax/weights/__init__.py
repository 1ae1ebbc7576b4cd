"""Trained networks as single files, and those that come with the package.

A file is in the safetensors format: arrays and a JSON header, so that loading one runs no code. The header holds the
description that a checkpoint has too: alphabet, grammar, architecture, preparation and recipe.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as to_bytes

from crnn_jax.errors import UserError
from crnn_jax.files import writing

SUFFIX = ".safetensors"
FORMAT = 1
# What reads the pictures of a task, by the task's name: a network, or with commas between them some that read together, which
# is more accurate where they are unlike each other; after a colon the weight of one that errs more often.
BEST = {"captcha": "captcha,captcha-light", "level1": "level1,level1-light", "level2": "level2,level2-light:0.5"}
_FOLDER = Path(__file__).parent
_LARGEST = float(np.finfo(np.float16).max)


def names() -> tuple[str, ...]:
    """Of the networks that come with the package."""
    return tuple(sorted(path.stem for path in _FOLDER.glob(f"*{SUFFIX}")))


def packaged(name: str) -> Path | None:
    """The file of a network that comes with the package; None where there is none of that name."""
    return _FOLDER / f"{name}{SUFFIX}" if name in names() else None


def save(path: Path, variables: dict[str, Any], description: dict[str, Any]) -> None:
    """Writes a network, its numbers rounded to float16.

    Args:
        path: of the file.
        variables: ``params`` and ``batch_stats``, nested dictionaries of arrays.
        description: JSON types.

    Raises:
        UserError: a number is too large, or the file can't be written.
    """
    arrays = _flatten(variables)
    if any(not np.all(np.abs(array) <= _LARGEST) for array in arrays.values()):
        raise UserError(f"{path}: the network holds numbers that float16 can't")
    halves = {name: np.ascontiguousarray(array, np.float16) for name, array in arrays.items()}
    header = {"description": json.dumps({"format": FORMAT, **description})}
    data = to_bytes(halves, header)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def load(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Reads a network: its variables, float32, and its description.

    Raises:
        UserError: the file can't be read, isn't one of ours, or is of a newer version of this library.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            description = json.loads((file.metadata() or {})["description"])
            keys = file.keys()  # it is no dictionary
            arrays = {name: file.get_tensor(name).astype(np.float32) for name in keys}
        variables = _nest(arrays)
    # numpy has no bfloat16; and an array may stand where others make a folder, or JSON be nested too deep.
    except (OSError, SafetensorError, KeyError, ValueError, TypeError, AttributeError, IndexError, RecursionError) as error:
        raise UserError(f"{path}: can't be read as a network ({type(error).__name__}: {error})") from None
    if not isinstance(description, dict):
        raise UserError(f"{path}: can't be read as a network (its description is no object)")
    if description.get("format") != FORMAT:
        raise UserError(f"{path}: has format {description.get('format')}, this version reads format {FORMAT}")
    if lacking := {"params", "batch_stats"} - variables.keys():
        raise UserError(f"{path}: can't be read as a network (it has no {min(lacking)})")
    if any(not np.all(np.isfinite(array)) for array in arrays.values()):
        raise UserError(f"{path}: can't be read as a network (it holds what is no number)")
    return variables, description


def digest(variables: dict[str, Any]) -> str:
    """Short, and another one for other numbers."""
    sha = hashlib.sha256()
    for name, array in sorted(_flatten(variables).items()):
        sha.update(f"{name} {array.shape} {array.dtype}".encode())
        sha.update(array.tobytes())
    return sha.hexdigest()[:12]


def _flatten(tree: dict[str, Any], prefix: str = "") -> dict[str, np.ndarray]:
    flat: dict[str, np.ndarray] = {}
    for key, value in tree.items():
        flat |= _flatten(value, f"{prefix}{key}/") if isinstance(value, dict) else {f"{prefix}{key}": np.asarray(value)}
    return flat


def _nest(flat: dict[str, np.ndarray]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for name, array in flat.items():
        *folders, leaf = name.split("/")
        place = tree
        for folder in folders:
            place = place.setdefault(folder, {})
        place[leaf] = array
    return tree
