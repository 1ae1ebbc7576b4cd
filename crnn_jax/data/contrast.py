"""Bringing out texts that can hardly be told from their background. Runs in data workers."""

from __future__ import annotations

from typing import Literal, get_args

import cv2
import numpy as np

Equalize = Literal["never", "faint", "always"]
EQUALIZE: tuple[Equalize, ...] = get_args(Equalize)
_CLEAR = 32  # levels from the background, from which on a pixel can be seen well
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
    if which == "always":
        levels = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    else:
        distance = _distance(image)
        marked = cv2.countNonZero(distance)
        if np.count_nonzero(distance > _CLEAR) >= _CLEAR_SHARE * marked:
            return image
        levels = cv2.bitwise_not(distance)
    return cv2.cvtColor(cv2.equalizeHist(levels), cv2.COLOR_GRAY2RGB)


def _distance(image: np.ndarray) -> np.ndarray:
    """The largest difference of a channel from its most frequent level, (H, W) uint8."""
    background = [int(np.bincount(image[..., channel].ravel(), minlength=256).argmax()) for channel in range(3)]
    difference = cv2.absdiff(image, np.array([*background, 0], np.float64))
    return difference.max(axis=2)
