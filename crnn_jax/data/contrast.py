"""Bringing out texts that can hardly be told from their background. Runs in data workers."""

from __future__ import annotations

from typing import Literal, get_args

import cv2
import numpy as np

Equalize = Literal["never", "grey", "faint", "always", "stretch", "stretch_grey"]
EQUALIZE: tuple[Equalize, ...] = get_args(Equalize)
_CLEAR = 32  # levels from the background, from which on a pixel can be seen well
_CLEAR_SHARE = 0.4  # of the marked pixels of a picture that isn't faint; on a faint one the dots alone are clear
# Stretching: all but this share of the pixels are no further from the background than a text's strokes, though dots and arcs
# may be; and how far these strokes then are, which leaves room for what is further.
STROKES, REACH = 0.95, 170
_SPARSE = 16  # every which row and column is looked at for a guess


def equalize(image: np.ndarray, which: Equalize) -> np.ndarray:
    """Makes the contrasts of pictures more alike.

    Args:
        image: (H, W, 3) uint8 RGB.
        which: how: ``never``: not at all. ``grey``: neither, but colours are taken away. ``always``, as the source document
            does: histogram equalisation of the levels of grey; what differs by a single level becomes black on white, and
            strokes lose the shades of their edges. ``faint``: only where nearly all that there is is near the background, and
            then of the distance from it, whichever channel differs. ``stretch_grey``: that distance in proportion, so that the
            strokes of all pictures are about equally dark; for pictures whose colours tell nothing. ``stretch``: likewise the
            distance of each channel. What is black doesn't count: it fills a strip.

    Returns:
        (H, W, 3) uint8.
    """
    if which == "never":
        return image
    if which == "grey":
        return _grey(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))
    if which == "always":
        return _grey(cv2.equalizeHist(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)))
    distances = cv2.absdiff(image, np.array([*_background(image), 0], np.float64))
    distance = brightest(distances)
    if which == "faint":
        marked = cv2.countNonZero(distance)
        if np.count_nonzero(distance > _CLEAR) >= _CLEAR_SHARE * marked:
            return image
        return _grey(cv2.equalizeHist(cv2.bitwise_not(distance)))
    counts = np.cumsum(_histogram(distance, 0, mask=cv2.bitwise_not(_where(image, (0, 0, 0)))))
    strokes = max(1, int(np.argmax(counts >= STROKES * counts[-1])))
    levels = (255 - np.minimum(255, np.arange(256) * REACH // strokes)).astype(np.uint8)
    return _grey(cv2.LUT(distance, levels)) if which == "stretch_grey" else cv2.LUT(distances, levels)


def brightest(image: np.ndarray) -> np.ndarray:
    """The largest channel of each pixel, (H, W, 3) to (H, W) uint8."""
    red, green, blue = cv2.split(image)
    return cv2.max(cv2.max(red, green), blue)


def _background(image: np.ndarray) -> tuple[int, ...]:
    """The most frequent level of each channel."""
    some = np.sort(image[::_SPARSE, ::_SPARSE].reshape(-1, 3), axis=0)
    middle = tuple(some[len(some) // 2].tolist())
    if 2 * cv2.countNonZero(_where(image, middle)) > image.shape[0] * image.shape[1]:
        return middle  # told without histograms, which take longer
    return tuple(int(_histogram(image, channel).argmax()) for channel in range(3))


def _where(image: np.ndarray, levels: tuple[int, ...]) -> np.ndarray:
    """255 where a pixel is just that, 0 elsewhere, (H, W) uint8."""
    return cv2.inRange(image, levels, levels)


def _grey(levels: np.ndarray) -> np.ndarray:
    """(H, W) as (H, W, 3) uint8."""
    return cv2.cvtColor(levels, cv2.COLOR_GRAY2RGB)


def _histogram(image: np.ndarray, channel: int, mask: np.ndarray | None = None) -> np.ndarray:
    """Pixels of each level, those where the mask isn't 0, (256,) float32."""
    return cv2.calcHist([image], [channel], mask, [256], [0, 256]).ravel()
