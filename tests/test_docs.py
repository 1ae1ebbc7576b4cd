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


@pytest.mark.parametrize(("page", "module"), [("running", "captcha"), ("folder", "folder")])
def test_training_in_python_is_the_quick_recipe(page, module):
    text = (DOCS / f"{page}.md").read_text(encoding="utf-8")
    (config,) = re.findall(r"config = (crnn_jax\.Config\(.*?\n    \))", text, re.DOTALL)
    recipe = importlib.import_module(f"experiments.{module}").RECIPES["quick"]
    assert eval(config) == recipe.config
    tasks = [eval(task) for task in re.findall(r"task = (crnn_jax\.tasks\..*)", text)]
    wanted = [recipe.task] if recipe.task else []
    assert [(task.data, task.preparation) for task in tasks] == [(task.data, task.preparation) for task in wanted]


def test_every_public_name_is_documented():
    for name in crnn_jax.__all__:
        assert name == "__version__" or f"crnn_jax.{name}" in TEXT, name


@pytest.mark.parametrize("name", ["tasks", "grammar", "ctc", "locate", "vote", "export"])
def test_every_name_of_a_public_module_is_documented(name):
    page = (DOCS / "api.md").read_text(encoding="utf-8")
    module = importlib.import_module(f"crnn_jax.{name}")
    if re.search(rf"automodule:: crnn_jax.{name}\n +:members:$", page, re.MULTILINE):  # all of them
        return
    for public, what in vars(module).items():
        if not public.startswith("_") and getattr(what, "__module__", "") == module.__name__ and hasattr(what, "__name__"):
            assert re.search(rf"\b{public}\b", page), public


def test_every_command_is_documented_with_its_options():
    from crnn_jax.cli import _parser

    commands = next(action.choices for action in _parser()._actions if action.choices)
    pages = (DOCS / "commands.md").read_text(encoding="utf-8").split("\n## ")
    for name, command in commands.items():
        page = next(page for page in pages if f"crnn-jax {name}" in page.splitlines()[0])
        for option in (option for action in command._actions for option in action.option_strings if option.startswith("--")):
            assert option == "--help" or f"`{option}" in page, f"{name} {option}"


def test_every_option_of_the_benchmark_is_documented():
    from experiments.benchmark import __main__ as benchmark

    page = (DOCS / "commands.md").read_text(encoding="utf-8").split("\n## ")[-1]
    for option in (option for action in benchmark._parser()._actions for option in action.option_strings):
        assert option in ("-h", "--help") or f"`{option}" in page, option
    for suite in benchmark.SUITES:
        assert f"`{suite}`" in page, suite


def test_every_link_leads_somewhere():
    for path in [*DOCS.glob("*.md"), DOCS.parent / "README.md", DOCS.parent / "CONTRIBUTING.md"]:
        for target in re.findall(r"\]\(([^)#:]+)\)", path.read_text(encoding="utf-8")):
            assert (path.parent / target).exists(), f"{path.name}: {target}"


@pytest.mark.slow
def test_the_pages_are_built_without_a_warning(tmp_path):
    pytest.importorskip("furo")
    subprocess.run([sys.executable, "-m", "sphinx", "-W", "-q", str(DOCS), str(tmp_path)], check=True)
