"""What is done to each pixel of a drawing, as loops that numba compiles."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numba
import numpy as np


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of arrays and numbers, compiled when it is first called, and kept on disk where that can be written."""
    try:
        return numba.njit(function, cache=True)
    except RuntimeError:  # there is no place to keep what was compiled
        return numba.njit(function)


@compiled
def rotate_and_warp(
    ink: np.ndarray,
    turned: tuple[int, int],
    cos: float,
    sin: float,
    size: tuple[int, int],
    corners: tuple[int, int, int, int],
    out: np.ndarray,
) -> None:
    """Rotates a picture, moves its corners and resizes it.

    As Pillow does it: ``rotate`` with ``BILINEAR`` and ``expand``, then ``resize``, ``QUAD``, and ``resize`` again, each to the
    nearest pixel.

    Args:
        ink: (h + 2, w + 2, 2) uint8, see `crnn_jax.drawing.line.framed_ink`.
        turned: width and height of the rotated picture.
        cos: of the angle.
        sin: of the angle.
        size: width and height after the corners have been moved.
        corners: how far they are moved: x1, y1, x2, y2 of the ``captcha`` package.
        out: (h', w') uint8, becomes the coverage.
    """
    width, height = size
    x1, y1, x2, y2 = corners
    resized_width, resized_height = width + abs(x1) + abs(x2), height + abs(y1) + abs(y2)
    half_width, half_height = (ink.shape[1] - 2) / 2, (ink.shape[0] - 2) / 2
    for i in range(out.shape[0]):
        y = math.floor((i + 0.5) * height / out.shape[0]) + 0.5
        # Coefficients of 1 and of x that take a rectangle's pixels to those of a quadrilateral, in this row.
        ax = x1 - 2 * x1 * y / height
        bx = (resized_width - x2 - x1 + 2 * (x1 + x2) * y / height) / width
        ay = y1 + (resized_height - y2 - y1) * y / height
        by = (-2 * y1 + 2 * (y1 + y2) * y / height) / width
        for j in range(out.shape[1]):
            x = math.floor((j + 0.5) * width / out.shape[1]) + 0.5
            across = math.floor((math.floor(ax + bx * x) + 0.5) * turned[0] / resized_width) + 0.5 - turned[0] / 2
            down = math.floor((math.floor(ay + by * x) + 0.5) * turned[1] / resized_height) + 0.5 - turned[1] / 2
            u, v = cos * across - sin * down, sin * across + cos * down
            if abs(u) >= half_width or abs(v) >= half_height:
                out[i, j] = 0
                continue
            u += half_width + 0.5  # from pixels' corners to their centres, and one for the frame
            v += half_height + 0.5
            column, row = int(u), int(v)
            right, low = u - column, v - row
            top, bottom = ink[row], ink[row + 1]
            product = (1 - low) * ((1 - right) * top[column, 0] + right * top[column + 1, 0]) + low * (
                (1 - right) * bottom[column, 0] + right * bottom[column + 1, 0]
            )
            alpha = (1 - low) * ((1 - right) * top[column, 1] + right * top[column + 1, 1]) + low * (
                (1 - right) * bottom[column, 1] + right * bottom[column + 1, 1]
            )
            # Pillow weighs colours by alpha when it interpolates, and divides by it afterwards.
            out[i, j] = min(255, int(product + 0.5) * 255 // max(1, int(alpha + 0.5)))


@compiled
def paste(
    canvas: np.ndarray,
    coverage: np.ndarray,
    x: int,
    y: int,
    free: int,
    transparency: np.ndarray,
    colour: np.ndarray,
    on_background: np.ndarray,
) -> None:
    """Lays a character on a canvas, in place; what is outside of it is cut off.

    Args:
        canvas: (H, W, 3) uint8.
        coverage: (h, w) uint8.
        x: its left edge.
        y: its top.
        free: from this column on, the canvas shows nothing but background.
        transparency: (256,) uint16, see `crnn_jax.drawing.line`; as the next two.
        colour: (256, 3) uint16.
        on_background: (256, 3) uint8.
    """
    for i in range(max(0, y), min(canvas.shape[0], y + coverage.shape[0])):
        for j in range(x, min(canvas.shape[1], x + coverage.shape[1])):
            level = coverage[i - y, j - x]
            for k in range(3):
                if j >= free:
                    canvas[i, j, k] = on_background[level, k]
                else:
                    value = int(canvas[i, j, k]) * int(transparency[level]) + int(colour[level, k]) + 128
                    canvas[i, j, k] = (value + (value >> 8)) >> 8


@compiled
def draw_dots(picture: np.ndarray, places: np.ndarray, pixels: np.ndarray, colours: np.ndarray) -> None:
    """See `crnn_jax.drawing.line.draw_dots`."""
    for d in range(len(places)):
        colour = colours[d if len(colours) > 1 else 0]
        for pixel in pixels[d if len(pixels) > 1 else 0]:
            y, x = places[d, 0] + pixel[0], places[d, 1] + pixel[1]
            if 0 <= y < picture.shape[0] and 0 <= x < picture.shape[1]:
                picture[y, x] = colour


@compiled
def smooth(picture: np.ndarray) -> np.ndarray:
    """See `crnn_jax.drawing.line.smooth`."""
    height, width, channels = picture.shape
    rows = picture.reshape(height, width * channels)
    out = rows.copy()
    inner = (width - 2) * channels
    columns = np.empty(width * channels, np.int32)
    for i in range(1, height - 1):
        for j in range(len(columns)):
            columns[j] = np.int32(rows[i - 1, j]) + rows[i, j] + rows[i + 1, j]
        left, middle, right = columns[:inner], columns[channels : channels + inner], columns[2 * channels :]
        centre, target = rows[i, channels : channels + inner], out[i, channels : channels + inner]
        for j in range(inner):  # the weights are 5 in the centre and 1 around it
            total = left[j] + middle[j] + right[j] + 4 * centre[j]
            target[j] = np.uint32(2 * total + 13) // np.uint32(26)
    return out.reshape(height, width, channels)
