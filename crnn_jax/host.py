"""What makes jax fast on a machine, above all one without an accelerator. Nothing in here changes a result but by rounding."""

from __future__ import annotations

import ctypes
import hashlib
import importlib.util
import os
import platform
import sys
from collections.abc import Iterable
from contextlib import suppress
from itertools import takewhile
from pathlib import Path

# On two cores, two devices take a step in about 0.7 of the time of one: between matrix products, much of XLA's CPU code runs
# on one core a device. More than two devices were not measured.
_CPU_DEVICES = 2

_LEAST_PART = 16  # pictures

# On two cores most training steps of jaxlib 0.10.2 are faster without its newer code for fused operations, up to a third, and
# several compile sooner (docs/speed.md). Later versions have no other; reading a single picture takes longer without it.
_CPU_FLAG, _CPU_FLAG_BEFORE = "--xla_cpu_use_fusion_emitters=false", (0, 11)  # of jaxlib; XLA ends a process at an unknown flag

# XLA tries kernels for each part of a program before its first step. On an H100 a step of `resnet` on level 2 compiled in 57
# seconds with these, and steps of other networks were 1.2 to 2.9 times as fast as PyTorch's; with XLA's defaults `vgg222` had
# not compiled after 70. Convolutions are still tried: without that they are a hundred times slower.
_GPU_FLAGS = (
    "--xla_gpu_experimental_enable_fusion_autotuner=false",  # fused operations: there are hundreds
    "--xla_gpu_enable_triton_gemm=false",  # matrix products by Triton, which compiles each that it tries
    "--xla_gpu_autotune_level=2",  # without comparing what the kernels compute
)
_FEWER_PRODUCTS = "--xla_gpu_blas_max_algorithms=8"  # of the 128 that cuBLAS may offer
_FEWER_PRODUCTS_SINCE = (0, 11, 2)  # of jaxlib
_GPU_PLUGINS = ("jax_cuda12_plugin", "jax_cuda13_plugin")

_M_TRIM_THRESHOLD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -4, -8  # of glibc's malloc.h


def prepare_cpu() -> None:
    """Lets a process that trains on its CPU use the cores and keep its memory; to be called before jax is first used.

    Also gives XLA the flags for it. What the user set by ``JAX_NUM_CPU_DEVICES`` or ``XLA_FLAGS`` stays as it is.
    """
    import jax  # not above: experiments import this module in data workers too

    keep_freed_memory()
    _give(flags_for_training())
    by_flag = "xla_force_host_platform_device_count" in os.environ.get("XLA_FLAGS", "")
    chosen = by_flag or jax.config.jax_num_cpu_devices != -1  # type: ignore[attr-defined]
    if not chosen and (os.cpu_count() or 1) >= _CPU_DEVICES:
        try:
            jax.config.update("jax_num_cpu_devices", _CPU_DEVICES)
        except RuntimeError:
            return  # jax has been used already, with the devices that it has


def flags_for_training() -> list[str]:
    """XLA's flags with which a CPU trains faster, as far as jaxlib knows them."""
    import jaxlib

    return [_CPU_FLAG] if _numbers(jaxlib.__version__) < _CPU_FLAG_BEFORE else []


def prepare_gpu() -> None:
    """Lets XLA try fewer kernels for a GPU, so that programs compile in a minute; to be called before jax is first used.

    What the user set by ``XLA_FLAGS`` stays as it is.
    """
    if not any(map(importlib.util.find_spec, _GPU_PLUGINS)):
        return
    import jaxlib

    newer = _numbers(jaxlib.__version__) >= _FEWER_PRODUCTS_SINCE
    _give([*_GPU_FLAGS, _FEWER_PRODUCTS] if newer else _GPU_FLAGS)


_given: list[str] = []  # XLA's flags, by this process


def _give(flags: Iterable[str]) -> None:
    """Gives XLA flags, unless the user has set some."""
    if os.environ.get("XLA_FLAGS") != (" ".join(_given) if _given else None):
        return
    _given.extend(flag for flag in flags if flag not in _given)
    if _given:
        os.environ["XLA_FLAGS"] = " ".join(_given)


def _numbers(version: str) -> tuple[int, ...]:
    """Of a version; a release candidate's lack the last, so that it is older than what it is to become."""
    return tuple(map(int, takewhile(str.isdecimal, version.split("."))))


def keep_freed_memory() -> None:
    """Makes glibc keep what is freed.

    XLA asks for its buffers anew in each step. By default glibc gets large blocks from the kernel and gives them back, so that
    each step touches gigabytes of fresh pages: that was half of the time of a step of `vgg222`.
    """
    if sys.platform != "linux":
        return
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library
        return
    mallopt(_M_MMAP_MAX, 0)
    mallopt(_M_TRIM_THRESHOLD, -1)
    mallopt(_M_ARENA_MAX, 1)


def parts_at_once(pictures: int) -> int:
    """In how many equal parts to read a batch at the same time.

    On a CPU between matrix products much of XLA's code runs on one core: a part for each, if it has enough to do. On two cores
    that reads captchas 1.4 times as fast.
    """
    import jax

    if jax.default_backend() != "cpu":
        return 1
    most = min(os.cpu_count() or 1, max(1, pictures // _LEAST_PART))
    return max(parts for parts in range(1, most + 1) if pictures % parts == 0)


def keep_compilations() -> None:
    """Lets jax keep what it compiles for the next process, in ``crnn_jax`` of the user's cache, where that can be written.

    What the user set by ``JAX_COMPILATION_CACHE_DIR`` or ``JAX_ENABLE_COMPILATION_CACHE`` stays as it is.
    """
    import jax

    if jax.config.jax_compilation_cache_dir is not None:  # type: ignore[attr-defined]
        return
    with suppress(OSError, RuntimeError):  # no place, or nobody's home
        home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        folder = Path(home) / "crnn_jax" / f"compiled-{_processor()}"
        # For nobody else: jax runs what it finds there.
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        jax.config.update("jax_compilation_cache_dir", str(folder))


def _processor() -> str:
    """Short, and another one for a CPU with other instructions: homes are shared, and programs may not run on both."""
    about = [platform.machine(), platform.processor()]
    with suppress(OSError):  # on Linux
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        about += next(([line] for line in lines if line.startswith(("flags", "Features"))), [])
    return hashlib.sha256("\n".join(about).encode()).hexdigest()[:12]
