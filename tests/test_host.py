"""In processes of their own: what is prepared must be prepared before jax is used."""

import os
import stat
import subprocess
import sys

import pytest

from crnn_jax import host

SCRIPT = """
import resource
from crnn_jax.host import prepare_cpu
prepare_cpu()
import jax
print(jax.device_count())
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    bytearray(b"x") * 2**28
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print(faults(), faults())
"""


def run(**environment):
    kept = {name: value for name, value in os.environ.items() if name not in ("XLA_FLAGS", "JAX_NUM_CPU_DEVICES")}
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT], env={**kept, **environment}, capture_output=True, text=True, check=True, timeout=120
    )
    devices, faults = result.stdout.splitlines()
    return int(devices), [int(count) for count in faults.split()]


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="one core")
def test_two_cores_are_two_devices():
    assert run()[0] == 2


def test_what_the_user_chose_stays():
    assert run(JAX_NUM_CPU_DEVICES="3")[0] == 3
    assert run(XLA_FLAGS="--xla_force_host_platform_device_count=4")[0] == 4


@pytest.mark.skipif(sys.platform != "linux", reason="glibc")
def test_freed_memory_is_kept():
    first, second = run()[1]
    assert first > 2**15  # 256 MiB in pages of 4 KiB
    assert second < first / 100


KEEPING = """
from crnn_jax.host import keep_compilations
keep_compilations()
import jax
print(jax.config.jax_compilation_cache_dir)
jax.jit(lambda x: x @ x + 1)(jax.numpy.ones((3, 3)))
"""


def kept(tmp_path, **environment):
    """Where programs are kept, and how many files are there after a process that compiles one."""
    given = {name: value for name, value in os.environ.items() if name != "JAX_COMPILATION_CACHE_DIR"}
    given |= {"XDG_CACHE_HOME": str(tmp_path), "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0", **environment}
    result = subprocess.run([sys.executable, "-c", KEEPING], env=given, capture_output=True, text=True, check=True, timeout=120)
    return result.stdout.strip(), sorted(path.name for path in tmp_path.rglob("*-cache"))


def test_programs_are_compiled_once(tmp_path):
    folder, first = kept(tmp_path)
    assert folder.startswith(f"{tmp_path}/crnn_jax/compiled-")
    assert stat.S_IMODE(os.stat(folder).st_mode) == 0o700
    assert first
    assert kept(tmp_path) == (folder, first)


def test_where_programs_are_kept_is_the_user_s_choice(tmp_path):
    chosen = tmp_path / "elsewhere"
    assert kept(tmp_path, JAX_COMPILATION_CACHE_DIR=str(chosen))[0] == str(chosen)
    (tmp_path / "crnn_jax").write_text("a file, so that there is no place")
    assert kept(tmp_path)[0] == "None"


FLAGS = """
from crnn_jax import host
host.flags_for_training = list  # none, as of newer versions
host.prepare_cpu()
host._GPU_PLUGINS = ("no_such_plugin",)
host.prepare_gpu()
import os
print(os.environ.get("XLA_FLAGS"))
host._GPU_PLUGINS = ("json",)  # as if this were one
host.prepare_gpu()
import jax
jax.jit(lambda x: x @ x + 1)(jax.numpy.ones((3, 3)))
print(os.environ["XLA_FLAGS"])
"""


def flags(**environment):
    """XLA's, where there is no GPU and where there is one, in a process that has compiled something with the latter."""
    given = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"} | environment
    return subprocess.run(
        [sys.executable, "-c", FLAGS], env=given, capture_output=True, text=True, check=True, timeout=120
    ).stdout.splitlines()


def test_xla_tries_fewer_kernels_for_a_gpu_and_knows_the_flags():
    without, with_one = flags()  # an unknown flag ends the process
    assert without == "None"
    assert "--xla_gpu_enable_triton_gemm=false" in with_one


TRAINING = """
from crnn_jax.host import flags_for_training, prepare_cpu
prepare_cpu()
prepare_cpu()
import os
import jax
jax.jit(lambda x: x @ x + 1)(jax.numpy.ones((3, 3)))
assert os.environ.get("XLA_FLAGS", "") == " ".join(flags_for_training())
"""


def test_xla_knows_the_flags_for_training():
    given = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    subprocess.run([sys.executable, "-c", TRAINING], env=given, check=True, timeout=120)


def test_flags_for_a_cpu_and_a_gpu_are_both_given(monkeypatch):
    monkeypatch.setattr("jaxlib.__version__", "0.10.2")
    monkeypatch.setattr(host, "_GPU_PLUGINS", ("json",))
    monkeypatch.setattr(host, "_given", [])
    monkeypatch.setattr(os, "environ", {})
    host._give(host.flags_for_training())
    host.prepare_gpu()
    assert os.environ["XLA_FLAGS"].split() == [host._CPU_FLAG, *host._GPU_FLAGS]


@pytest.mark.parametrize(
    ("version", "knows"),
    [("0.11.1", False), ("0.11.2rc1", False), ("0.11.2", True), ("0.11.2.dev20260401+abc", True), ("0.12.0rc1", True)],
)
def test_a_flag_is_given_to_versions_that_know_it(monkeypatch, version, knows):
    monkeypatch.setattr("jaxlib.__version__", version)
    monkeypatch.setattr(host, "_GPU_PLUGINS", ("json",))
    monkeypatch.setattr(host, "_given", [])
    monkeypatch.setattr(os, "environ", {})
    host.prepare_gpu()
    assert (host._FEWER_PRODUCTS in os.environ["XLA_FLAGS"]) == knows


def test_flags_for_a_gpu_are_the_user_s_choice():
    assert flags(XLA_FLAGS="--xla_gpu_autotune_level=4") == ["--xla_gpu_autotune_level=4"] * 2
    assert flags(XLA_FLAGS="") == [""] * 2  # none at all
