"""Reading, against programs that people would pick instead, on the same pictures: exact match, and images a second.

Each reads with what it comes with: none was trained on these very pictures, and ours was trained on nothing but such as
these. What a peer can't tell apart counts for it: letters of either case are the same, and a cross is a ``*``.
"""

from __future__ import annotations

import functools
import io
import logging
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import crnn_jax
from crnn_jax import tasks
from crnn_jax.data.examples import Example
from experiments.benchmark.report import Row, row

logger = logging.getLogger("crnn_jax")

_PICTURES = 500
Read = Callable[[Sequence[np.ndarray], str], list[str]]  # pictures and the characters that they may have, to texts


def rows(count: int | None, seed: int) -> Iterator[Row]:
    """Captchas by the unmodified package, and arithmetic of level 1."""
    for name in ("captcha", "level1"):
        task, model = tasks.by_name(name), crnn_jax.load(name)
        source = task.source("test", seed)
        examples = [source[i] for i in range(count or _PICTURES)]
        model.read([example.image for example in examples])  # compiles
        ours, our_speed = _judge(functools.partial(_read, model), examples, task.alphabet.characters)
        for peer, read in _peers():
            theirs, their_speed = _judge(read, examples, task.alphabet.characters)
            yield row("readers", f"{name}, exact match, {peer}", ours, theirs, "share")
            yield row("readers", f"{name}, {peer}", our_speed, their_speed, "images/s")


def _read(model: crnn_jax.Recognizer, pictures: Sequence[np.ndarray], _: str) -> list[str]:
    return [reading.text for reading in model.read(pictures)]


def _judge(read: Read, examples: Sequence[Example], characters: str) -> tuple[float, float]:
    pictures = [example.image for example in examples]
    begun = time.perf_counter()
    texts = [_plain(text) for text in read(pictures, characters)]
    seconds = time.perf_counter() - begun
    return float(np.mean([text == e.text for text, e in zip(texts, examples, strict=True)])), len(examples) / seconds


def _plain(text: str) -> str:
    text = text.upper().replace(" ", "")
    return text.replace("×", "*").replace("X", "*") if any(c in text for c in "+-*()") else text


def _peers() -> Iterator[tuple[str, Read]]:
    try:
        import ddddocr
    except ImportError:
        logger.info("ddddocr is not installed: pip install ddddocr")
    else:
        engine = ddddocr.DdddOcr(show_ad=False)
        yield "ddddocr", lambda pictures, _: [engine.classification(_png(picture)) for picture in pictures]
    try:
        from rapidocr_onnxruntime import RapidOCR
    except ImportError:
        logger.info("RapidOCR is not installed: pip install rapidocr-onnxruntime")
    else:
        yield "RapidOCR", functools.partial(_rapidocr, RapidOCR())
    if shutil.which("tesseract"):
        yield "tesseract", _tesseract
    else:
        logger.info("tesseract is not installed: apt-get install tesseract-ocr")


def _rapidocr(engine: Any, pictures: Sequence[np.ndarray], _: str) -> list[str]:
    """Each picture as a line of text: nothing needs to be found first."""
    results = (engine(picture[..., ::-1], use_det=False, use_cls=False)[0] for picture in pictures)
    return ["".join(text for text, _ in result or []) for result in results]


def _tesseract(pictures: Sequence[np.ndarray], characters: str) -> list[str]:
    """As a line of text, in one process, held to the characters."""
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / f"{i}.png" for i in range(len(pictures))]
        for file, picture in zip(files, pictures, strict=True):
            file.write_bytes(_png(picture))
        listed = Path(folder) / "files.txt"
        listed.write_text("\n".join(map(str, files)))
        command = ["tesseract", str(listed), "-", "--psm", "7", "-c", f"tessedit_char_whitelist={characters.strip()}"]
        pages = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("\f")
    return [page.strip() for page in pages[: len(pictures)]]


def _png(picture: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG")
    return buffer.getvalue()
