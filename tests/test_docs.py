"""The pages in ``docs/``: complete, and built without a warning."""

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest
from absl import flags

import crnn_jax

DOCS = Path(__file__).parent.parent / "docs"
TEXT = "\n".join(path.read_text(encoding="utf-8") for path in DOCS.glob("*.md"))


@pytest.mark.parametrize("module", ["common", "level2", "folder"])
def test_every_flag_is_documented(module):
    for flag in flags.FLAGS.get_key_flags_for_module(importlib.import_module(f"experiments.{module}")):
        assert f"`--{flag.name}" in TEXT, flag.name


def test_every_public_name_is_documented():
    for name in crnn_jax.__all__:
        assert name == "__version__" or f"crnn_jax.{name}" in TEXT, name


def test_every_command_is_documented():
    from crnn_jax.cli import _parser

    commands = next(action.choices for action in _parser()._actions if action.choices)
    for name in commands:
        assert f"crnn-jax {name}" in TEXT, name


def test_every_link_leads_somewhere():
    for path in [*DOCS.glob("*.md"), DOCS.parent / "README.md", DOCS.parent / "CONTRIBUTING.md"]:
        for target in re.findall(r"\]\(([^)#:]+)\)", path.read_text(encoding="utf-8")):
            assert (path.parent / target).exists(), f"{path.name}: {target}"


@pytest.mark.slow
def test_the_pages_are_built_without_a_warning(tmp_path):
    pytest.importorskip("furo")
    subprocess.run([sys.executable, "-m", "sphinx", "-W", "-q", str(DOCS), str(tmp_path)], check=True)
