"""Recording some steps of a run for TensorBoard."""

from __future__ import annotations

from pathlib import Path

import jax

from crnn_jax.training.log import logger

_UNPROFILED_STEPS = 5


class Profile:
    """Records so many steps in a directory, once compilation and the first batches are over; to be closed."""

    def __init__(self, directory: Path, steps: int) -> None:
        self._directory, self._wanted = directory, steps
        self._steps, self._recording = 0, False

    def after_step(self) -> None:
        """Begins or ends the recording when it is time."""
        self._steps += 1
        if self._wanted and self._steps == _UNPROFILED_STEPS:
            jax.profiler.start_trace(self._directory)
            self._recording = True
        elif self._steps == _UNPROFILED_STEPS + self._wanted:
            self.close()

    def close(self) -> None:
        """Ends a recording that hasn't ended."""
        if self._recording:
            self._recording = False
            jax.profiler.stop_trace()
            logger.info("steps recorded: tensorboard --logdir %s", self._directory)
