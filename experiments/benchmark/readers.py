"""Reading, against programs that people would pick instead, on the same pictures: exact match, and images a second.

Each reads with what it comes with: none was trained on these very pictures, and ours were trained on nothing but such as
these: two networks together, as `crnn-jax read` takes them, and the light one alone. What a peer can't tell apart counts for
it: letters of either case are the same, and a cross is a ``*``. Of level 2's canvases the peers get the lines, found and
joined.
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

from crnn_jax import tasks, weights
from crnn_jax.cli.arguments import load_all
from crnn_jax.data.examples import Example
from crnn_jax.locate import find_strip
from crnn_jax.recognizer import Reader
from experiments.benchmark.report import Row, row

logger = logging.getLogger("crnn_jax")

_PICTURES = 500
_TASKS = {"captcha": 1, "level1": 1, "level2": 10}  # one picture is read of each so many
Read = Callable[[Sequence[np.ndarray], str], list[str]]  # pictures and the characters that they may have, to texts


def rows(count: int | None, seed: int) -> Iterator[Row]:
    """Captchas by the unmodified package, arithmetic of level 1, and formulas of level 2."""
    for name, rarer in _TASKS.items():
        task = tasks.by_name(name)
        source, characters = task.source("test", seed), task.alphabet.characters
        examples = [source[i] for i in range(-(-(count or _PICTURES) // rarer))]
        ours = {}
        for model, reader in load_all([weights.BEST[name], f"{name}-light"], None, "float32").items():
            reader.read([example.image for example in examples])  # compiles
            ours[model] = _judge(functools.partial(_read, reader), examples, characters)
        if task.preparation.locate:
            examples = [Example(find_strip(example.image).image, example.text) for example in examples]
        for peer, read in _peers():
            right, speed = _judge(read, examples, characters)
            for model, (our_right, our_speed) in ours.items():
                yield row("readers", f"{model}: exact match of {len(examples)}, {peer}", our_right, right, "share")
                yield row("readers", f"{model}, {peer}", our_speed, speed, "images/s")


def _read(model: Reader[Any], pictures: Sequence[np.ndarray], _: str) -> list[str]:
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
