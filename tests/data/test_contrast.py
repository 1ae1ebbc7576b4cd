"""Contrast against what its description says, in plain numpy."""

import numpy as np
import pytest

from crnn_jax.data.contrast import REACH, STROKES, equalize


def stretched(image):
    """(H, W, 3) uint8 as `equalize` says of ``stretch``: each channel's distance from the commonest level, in proportion."""
    background = [np.bincount(image[..., channel].ravel(), minlength=256).argmax() for channel in range(3)]
    distances = np.abs(image.astype(int) - background)
    counts = np.cumsum(np.bincount(distances.max(axis=2)[image.any(axis=2)], minlength=256))
    strokes = max(1, np.argmax(counts >= STROKES * counts[-1]))
    return (255 - np.minimum(255, distances * REACH // strokes)).astype(np.uint8)


@pytest.mark.parametrize("background", [0.0, 0.3, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("black", [0.0, 0.2])
def test_stretched_is_the_distance_from_the_commonest_level_of_each_channel(background, black):
    rng = np.random.default_rng(round(10 * background))
    for _ in range(20):
        height, width = rng.integers(1, 60, 2)
        image = rng.integers(0, rng.integers(2, 256), (height, width, 3)).astype(np.uint8)
        image[rng.random((height, width)) < background] = rng.integers(0, 256, 3)
        image[rng.random((height, width)) < black] = 0
        expected = stretched(image)
        np.testing.assert_array_equal(equalize(image, "stretch"), expected)
        grey = equalize(image, "stretch_grey")
        np.testing.assert_array_equal(grey, np.repeat(expected.min(axis=2, keepdims=True), 3, axis=2))
