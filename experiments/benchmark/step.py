"""A training step on random pictures that stay in memory: what the suites that time it share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np

from crnn_jax import tasks
from crnn_jax.data.examples import Batch
from crnn_jax.device_drawing.drawn import Draw
from crnn_jax.models.crnn import CRNN
from crnn_jax.tasks import Task
from crnn_jax.training import steps
from crnn_jax.training.config import Config, Dtype
from crnn_jax.training.schedules import make_optimizer
from crnn_jax.training.state import create_state


@dataclass(frozen=True)
class Case:
    """What a step is timed on.

    Attributes:
        name: of the row.
        task: its alphabet and the height of its pictures count.
        config: network, batch size, optimiser.
        width: of the pictures, in pixels.
        length: characters of each text.
    """

    name: str
    task: Task
    config: Config
    width: int
    length: int


_BATCHES = {"cpu": {"light": 64, "vgg222": 32, "vgg346": 8}, "gpu": {"light": 512, "vgg222": 256, "vgg346": 256}}


# As in the recipes, but for what is the same for both sides: Adam, and no clipping.
_NETWORKS = (
    ("captcha", tasks.captcha, 170, 4, Config(backbone="vgg222", dropout=0.2, drop_columns=2)),
    ("captcha", tasks.captcha, 170, 4, Config(backbone="light")),
    ("level 1", tasks.level1, 180, 7, Config(backbone="light")),
    ("level 2", tasks.level2, 896, 35, Config(backbone="vgg346", drop_columns=2)),
    ("level 2", tasks.level2, 896, 35, Config(backbone="light")),
)


def recipes() -> list[Case]:
    """The networks of the recipes, in batches that suit the device."""
    batches = _BATCHES["cpu" if jax.default_backend() == "cpu" else "gpu"]
    return [
        Case(name, task(), replace(config, batch_size=batches[config.backbone], dtype=device_dtype(), clip_norm=None), *size)
        for name, task, *size, config in _NETWORKS
    ]


def device_dtype() -> Dtype:
    """Of our activations: bfloat16 on a GPU, where the peer has it too."""
    return "float32" if jax.default_backend() == "cpu" else "bfloat16"


def random_batch(case: Case, seed: int) -> Batch:
    """Noise and random texts: a step on them costs the same as on others."""
    rng = np.random.default_rng(seed)
    size, height = case.config.batch_size, case.task.preparation.height
    return {
        "images": rng.integers(0, 256, (size, height, case.width, 3), np.uint8),
        "widths": np.full(size, case.width, np.int32),
        "labels": rng.integers(0, case.task.alphabet.blank, (size, case.length)).astype(np.int32),
        "label_lengths": np.full(size, case.length, np.int32),
        "weights": np.ones(size, np.float32),
        "positions": np.arange(size, dtype=np.int32),
        "indices": np.arange(size),
        "unreadable": [],
    }


class Step:
    """Our step, with its state.

    Args:
        case: that it is for.
        devices: that share a batch; None: all.
        draw: makes the pictures, on the device; None: they are in the batch.
    """

    def __init__(self, case: Case, devices: Sequence[jax.Device] | None = None, draw: Draw | None = None) -> None:
        self.devices = devices or jax.local_devices()
        model, tx = network(case), make_optimizer(case.config, steps.AXIS, len(self.devices))
        self._step = steps.make_train_step(model, tx, self.devices, draw=draw)
        state = create_state(model, tx, jax.random.key(0), case.task.preparation.height, case.width)
        self._state = steps.replicate(state, self.devices)
        self._key = jax.random.key(1)

    def jaxpr(self, batch: Batch) -> Any:
        """What a step computes."""
        return jax.make_jaxpr(self._step)(self._state, steps.shard(batch, len(self.devices)), self._key).jaxpr

    def __call__(self, batch: Batch) -> None:
        """Takes a step on a batch in host memory, and waits until it is done."""
        self._take(steps.shard(batch, len(self.devices)))

    def on(self, batch: Batch) -> Callable[[], None]:
        """What takes a step on a batch that lies on the devices already, and waits until it is done."""
        sharding = self._state.step.sharding
        placed = jax.block_until_ready(jax.device_put(steps.shard(batch, len(self.devices)), sharding))
        return lambda: self._take(placed)

    def _take(self, parts: dict[str, Any]) -> None:
        self._state, metrics = self._step(self._state, parts, self._key)
        jax.block_until_ready(metrics)


def network(case: Case) -> CRNN:
    """The network of a case, as it is trained."""
    dtype = jax.numpy.dtype(case.config.dtype)
    return CRNN.of(case.config.architecture, case.task.alphabet, case.task.preparation, dtype=dtype, axis_name=steps.AXIS)
