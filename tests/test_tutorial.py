"""``docs/tutorial.md``: its blocks run, in their order, in an empty folder."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(python|sh|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
EXACT = re.compile(r"exact match +([\d.]+)% \(95%: ([\d.]+)% to ([\d.]+)%\)")

FEW = "--recipe=quick --epochs=1 --steps_per_epoch=1 --batch_size=4 --validation_examples=2 --eval_examples=2 --workers=0"
SMALLER = {
    '"numbers", 4000': '"numbers", 80',
    '"numbers-judge", 1000': '"numbers-judge", 16',
    "numbers-judge/519.png": "numbers-judge/5.png",
    "numbers-judge/988.png": "numbers-judge/9.png",
    "--recipe=quick": FEW,
}


def blocks(page=PAGE, changes=None):
    """What the page has people run, as commands; changes must be of something that is there."""
    for old, new in (changes or {}).items():
        assert old in page, old
        page = page.replace(old, new)
    shells = {"python": [sys.executable, "-c"], "sh": ["bash", "-euo", "pipefail", "-c"]}
    return [[*shells[language], code] for language, code in BLOCK.findall(page) if language in shells]


def run(commands, folder, **environment):
    """Runs commands, each in a process of its own, up to one that fails; what they write to stdout, each."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), **environment}
    return [
        subprocess.run(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout
        for command in commands
    ]


@pytest.mark.slow
def test_every_block_runs_with_few_pictures_and_steps(tmp_path):
    written = run(blocks(changes=SMALLER), tmp_path)
    assert any(text.startswith("80 labels, 10 characters (0123456789)") for text in written)
    assert any(EXACT.search(text) for text in written)


@pytest.mark.parametrize("page", ["```sh\nfalse\ntrue\n```\n", "```sh\nfalse | cat\n```\n", "```python\n1 / 0\n```\n"])
def test_a_block_that_fails_is_noticed(tmp_path, page):
    with pytest.raises(subprocess.CalledProcessError):
        run(blocks(page), tmp_path)


@pytest.mark.slow
def test_the_page_s_figures(tmp_path):
    written = "".join(run(blocks(), tmp_path, JAX_DISABLE_MOST_OPTIMIZATIONS="0"))
    _, stated_low, _ = EXACT.search(PAGE).groups()
    measured, _, _ = EXACT.search(written).groups()
    assert float(measured) > float(stated_low) - 5  # where sums are rounded otherwise, another network comes of it
    first, *_ = (text for language, text in BLOCK.findall(PAGE) if language == "text")
    assert first in written  # what `check` says of the folder hangs on nothing else
