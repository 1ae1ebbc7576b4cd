"""Bringing out texts that can hardly be told from their background. Runs in data workers."""

from __future__ import annotations

from typing import Literal, get_args

import cv2
import numpy as np

Equalize = Literal["never", "faint", "always", "stretch"]
EQUALIZE: tuple[Equalize, ...] = get_args(Equalize)
_CLEAR = 32  # levels from the background, from which on a pixel can be seen well
# ``stretch``: all but this share of the pixels are no darker than a text's strokes, though dots may be; how dark it makes them,
# which leaves room for what is darker.
_STROKES, _DARKNESS = 0.96, 170
_CLEAR_SHARE = 0.4  # of the marked pixels of a picture that isn't faint; on a faint one the dots alone are clear


def equalize(image: np.ndarray, which: Equalize) -> np.ndarray:
    """Spreads the levels of a picture evenly (histogram equalisation): what differs by a single level becomes black on white.

    That brings faint texts out, and takes from others the shades of their strokes' edges.

    Args:
        image: (H, W, 3) uint8 RGB.
        which: pictures; ``always``, as the source document does it: the levels of grey; ``faint``: only where nearly all that
            there is is near the background, and then the distance from it, whichever channel differs.

    Returns:
        (H, W, 3) uint8.
    """
    if which == "never":
        return image
    if which == "stretch":
        return cv2.cvtColor(_stretched(_distance(image)), cv2.COLOR_GRAY2RGB)
    if which == "always":
        levels = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    else:
        distance = _distance(image)
        marked = cv2.countNonZero(distance)
        if np.count_nonzero(distance > _CLEAR) >= _CLEAR_SHARE * marked:
            return image
        levels = cv2.bitwise_not(distance)
    return cv2.cvtColor(cv2.equalizeHist(levels), cv2.COLOR_GRAY2RGB)


def _stretched(distance: np.ndarray) -> np.ndarray:
    """(H, W) uint8: white where there is the background, and darker in proportion to the distance from it."""
    below = np.cumsum(_histogram(distance, 0))
    strokes = max(1, int(np.argmax(below >= _STROKES * distance.size)))
    levels = 255 - np.minimum(255, np.arange(256) * _DARKNESS // strokes)
    return cv2.LUT(distance, levels.astype(np.uint8))


def _distance(image: np.ndarray) -> np.ndarray:
    """The largest difference of a channel from its most frequent level, (H, W) uint8."""
    background = [int(_histogram(image, channel).argmax()) for channel in range(3)]
    red, green, blue = cv2.split(cv2.absdiff(image, np.array([*background, 0], np.float64)))
    return cv2.max(cv2.max(red, green), blue)


def _histogram(image: np.ndarray, channel: int) -> np.ndarray:
    """Pixels of each level, (256,) float32."""
    return cv2.calcHist([image], [channel], None, [256], [0, 256]).ravel()
