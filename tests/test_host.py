"""In processes of their own: what is prepared must be prepared before jax is used."""

import os
import subprocess
import sys

import pytest

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
