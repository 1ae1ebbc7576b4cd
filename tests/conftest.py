import gc
import logging
import os
import sys
from pathlib import Path

import jax
import pytest
from hypothesis import settings

from crnn_jax.host import flags_for_training

# The same examples each time, so that a test that passes goes on passing; HYPOTHESIS_PROFILE=search looks for others.
settings.register_profile("default", derandomize=True, deadline=None)
settings.register_profile("search", max_examples=20_000, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

# Four virtual devices, so that what pmap spreads is really spread; strict where silence would hide a mistake.
jax.config.update("jax_num_cpu_devices", 4)
jax.config.update("jax_numpy_rank_promotion", "raise")
# Most of the suite's time is compilation of the same few programs: each is compiled once, for all tests and processes, and
# without optimisation, which costs more than it gains in a few steps.
FOR_ALL_PROCESSES = {
    "jax_compilation_cache_dir": str(Path(__file__).parent.parent / ".pytest_cache" / "jax"),
    "jax_disable_most_optimizations": True,
    "jax_persistent_cache_min_compile_time_secs": 0,
    "jax_persistent_cache_min_entry_size_bytes": -1,
}
# One thread compiles, since there are as many processes as cores.
os.environ.setdefault("XLA_FLAGS", " ".join(["--xla_cpu_parallel_codegen_split_count=1", *flags_for_training()]))
for name, value in FOR_ALL_PROCESSES.items():
    jax.config.update(name, value)
    os.environ[name.upper()] = str(value)

# Tracing makes many objects that all live on; to look through them over and over takes a twentieth of the time.
gc.set_threshold(50_000, 50, 50)

sys.path.insert(0, str(Path(__file__).parent))  # data workers import the sources that tests define


def pytest_addoption(parser):
    parser.addoption("--slow", action="store_true", help="run the slow tests too")


def pytest_collection_modifyitems(config, items):
    if not config.getoption("--slow"):
        for item in items:
            if "slow" in item.keywords:
                item.add_marker(pytest.mark.skip(reason="slow: run with --slow"))


@pytest.fixture(autouse=True, scope="module")
def _room_for_programs():
    """Each compiled program takes some memory mappings, of which Linux gives a process 65,530: past that XLA crashes."""
    yield
    mappings = Path("/proc/self/maps")
    if mappings.exists() and len(mappings.read_bytes().splitlines()) > 25_000:
        jax.clear_caches()


@pytest.fixture(autouse=True)
def _no_plots(monkeypatch):
    """Plots take a third of a short run. Those of runs that fixtures of a larger scope make are drawn, and looked at."""
    monkeypatch.setattr("crnn_jax.training.report.save_plots", lambda *_: None)


@pytest.fixture(autouse=True)
def _log(caplog):
    logger = logging.getLogger("crnn_jax")
    logger.propagate = True
    caplog.set_level(logging.INFO, "crnn_jax")


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """Directory of a run that has learned to read bars."""
    from sources import bars_task

    from crnn_jax import Config, train

    config = Config(
        rnn="none", hidden=32, epochs=2, steps_per_epoch=70, batch_size=32, workers=0, validation_examples=50, eval_examples=50
    )
    workdir = tmp_path_factory.mktemp("trained")
    jax.config.update("jax_disable_most_optimizations", False)  # here there are enough steps
    assert train(bars_task(), config, workdir, devices=jax.devices()[:1]).exact_match > 0.9
    jax.config.update("jax_disable_most_optimizations", True)
    return workdir
