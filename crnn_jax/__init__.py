"""Readers of text in pictures, trained in JAX.

Names are resolved when they are first used: a data worker that imports a part of this package must not import jax.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from crnn_jax import ctc, tasks
    from crnn_jax.alphabet import Alphabet
    from crnn_jax.ensemble import Ensemble
    from crnn_jax.errors import UserError
    from crnn_jax.grammar import Grammar
    from crnn_jax.loading import load
    from crnn_jax.models.config import Architecture
    from crnn_jax.recognizer import Reading, Recognizer
    from crnn_jax.regular import Regular
    from crnn_jax.training.config import Config
    from crnn_jax.training.loop import train
    from crnn_jax.training.report import Report

__version__ = "0.1.0"

_HOMES = {
    "Alphabet": "crnn_jax.alphabet",
    "Architecture": "crnn_jax.models.config",
    "Config": "crnn_jax.training.config",
    "Ensemble": "crnn_jax.ensemble",
    "Grammar": "crnn_jax.grammar",
    "Reading": "crnn_jax.recognizer",
    "Recognizer": "crnn_jax.recognizer",
    "Report": "crnn_jax.training.report",
    "UserError": "crnn_jax.errors",
    "Regular": "crnn_jax.regular",
    "load": "crnn_jax.loading",
    "train": "crnn_jax.training.loop",
}
_MODULES = ("ctc", "tasks")

__all__ = [
    "Alphabet",
    "Architecture",
    "Config",
    "Ensemble",
    "Grammar",
    "Reading",
    "Recognizer",
    "Regular",
    "Report",
    "UserError",
    "__version__",
    "ctc",
    "load",
    "tasks",
    "train",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    if name in _MODULES:
        return importlib.import_module(f"crnn_jax.{name}")
    raise AttributeError(f"module 'crnn_jax' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
