"""What the ``captcha`` package lets Pillow do to a character, byte for byte, as loops that numba compiles.

The package rotates, resizes and warps a picture of four channels, most of which is empty. Pillow computes all of each stage;
here the last stage asks for the pixels that it needs, and where there is no ink nothing is computed.
"""

from __future__ import annotations

import math

import numpy as np

from crnn_jax.drawing.pixels import compiled

_PRECISION = 22  # bits after the point of Pillow's weights in ``resize``
_SUPPORT = 2.0  # pixels to either side that ``BICUBIC`` looks at


def rotation(width: int, height: int, degrees: float) -> tuple[np.ndarray, int, int]:
    """``Image.rotate`` with ``expand``: where pixels come from, and how large the picture becomes.

    Returns:
        (6,) float64, an affine map from the new picture to the old one; width; height.
    """
    angle = -math.radians(degrees % 360.0)
    a, b, c, d = round(math.cos(angle), 15), round(math.sin(angle), 15), round(-math.sin(angle), 15), round(math.cos(angle), 15)

    def mapped(x: float, y: float, dx: float, dy: float) -> tuple[float, float]:
        return a * x + b * y + dx, c * x + d * y + dy

    dx, dy = mapped(-(width / 2), -(height / 2), 0.0, 0.0)
    dx, dy = dx + width / 2, dy + height / 2
    xs, ys = zip(*(mapped(x, y, dx, dy) for x, y in ((0, 0), (width, 0), (width, height), (0, height))), strict=True)
    new_width, new_height = (math.ceil(max(values)) - math.floor(min(values)) for values in (xs, ys))
    dx, dy = mapped(-(new_width - width) / 2.0, -(new_height - height) / 2.0, dx, dy)
    return np.array([a, b, dx, c, d, dy]), new_width, new_height


@compiled
def rotate_resize_and_warp(
    coverage: np.ndarray,
    colour: np.ndarray,
    affine: np.ndarray,
    turned: tuple[int, int],
    resized: tuple[int, int],
    corners: np.ndarray,
    out: np.ndarray,
) -> None:
    """``rotate`` with ``BILINEAR`` and ``expand``, ``resize``, and ``transform`` with ``QUAD``.

    Args:
        coverage: (h, w) uint8, of a character that was pasted, in a colour, on a transparent picture of its size.
        colour: (4,) int64, its red, green, blue and alpha.
        affine: of the rotation, see `rotation`.
        turned: width and height of the rotated picture.
        resized: width and height after ``resize``.
        corners: (8,) float64, what ``QUAD`` takes: upper left, lower left, lower right, upper right.
        out: (h', w', 4) uint8, becomes the picture.
    """
    rotated = _rotated(coverage, colour, affine, turned)
    _divide_by_alpha(rotated)  # Pillow weighs colours by alpha in each of the first two stages
    same = turned == resized  # ``resize`` does nothing
    across = _packed(rotated) if same else _resized_across(_packed(_weighed_by_alpha(rotated)), resized[0])
    starts, counts, weights = _bicubic(turned[1], resized[1])
    pixels = _packed(out)
    height, width = pixels.shape
    x0, y0 = corners[0], corners[1]
    x_of_j, x_of_i = (corners[6] - x0) * (1.0 / width), (corners[2] - x0) * (1.0 / height)
    y_of_j, y_of_i = (corners[7] - y0) * (1.0 / width), (corners[3] - y0) * (1.0 / height)
    x_of_both = (corners[4] - corners[2] - corners[6] + x0) * (1.0 / width) * (1.0 / height)
    y_of_both = (corners[5] - corners[3] - corners[7] + y0) * (1.0 / width) * (1.0 / height)
    for i in range(height):
        for j in range(width):
            x = x0 + x_of_j * (j + 0.5) + x_of_i * (i + 0.5) + x_of_both * (j + 0.5) * (i + 0.5)
            y = y0 + y_of_j * (j + 0.5) + y_of_i * (i + 0.5) + y_of_both * (j + 0.5) * (i + 0.5)
            if x < 0 or y < 0 or int(x) >= resized[0] or int(y) >= resized[1]:
                pixels[i, j] = 0
            elif same:
                pixels[i, j] = across[int(y), int(x)]
            else:
                row = int(y)
                pixels[i, j] = _mixed(across[starts[row] : starts[row] + counts[row], int(x)], weights[row])
    if not same:
        _divide_by_alpha(out)


@compiled
def paste_by_luminance(canvas: np.ndarray, picture: np.ndarray, x: int, y: int, opacities: np.ndarray) -> None:
    """``paste`` with a mask that is made of the picture's own luminance; what lies outside is cut off.

    Args:
        canvas: (H, W, 3) uint8, changed in place.
        picture: (h, w, 4) uint8, whose alpha plays no part.
        x: its left edge.
        y: its upper edge.
        opacities: (256,) uint8, for each luminance.
    """
    for i in range(max(0, -y), min(picture.shape[0], canvas.shape[0] - y)):
        for j in range(max(0, -x), min(picture.shape[1], canvas.shape[1] - x)):
            red, green, blue = int(picture[i, j, 0]), int(picture[i, j, 1]), int(picture[i, j, 2])
            opacity = int(opacities[(red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16])
            if opacity:
                for channel in range(3):
                    below = int(canvas[y + i, x + j, channel])
                    canvas[y + i, x + j, channel] = _by_255(below * (255 - opacity) + int(picture[i, j, channel]) * opacity)


@compiled
def _packed(image: np.ndarray) -> np.ndarray:
    """(h, w, 4) uint8 as (h, w) uint32: the same memory."""
    return image.view(np.uint32)[:, :, 0]


@compiled
def _mixed(pixels: np.ndarray, weights: np.ndarray) -> int:
    """Each channel of some pixels, packed, times weights of `_bicubic`."""
    first = second = third = fourth = 1 << (_PRECISION - 1)
    for k in range(len(pixels)):
        pixel = int(pixels[k])
        if pixel:
            first += weights[k] * (pixel & 255)
            second += weights[k] * (pixel >> 8 & 255)
            third += weights[k] * (pixel >> 16 & 255)
            fourth += weights[k] * (pixel >> 24)
    return _level(first) | _level(second) << 8 | _level(third) << 16 | _level(fourth) << 24


@compiled
def _level(value: int) -> int:
    return min(255, max(0, value >> _PRECISION))


@compiled
def _by_255(value: int) -> int:
    return (value + 128 + ((value + 128) >> 8)) >> 8


@compiled
def _rotated(coverage: np.ndarray, colour: np.ndarray, affine: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(h', w', 4) uint8, colours weighed by alpha."""
    height, width = coverage.shape
    weighed = np.empty((256, 4), np.float64)  # of each coverage
    for level in range(256):
        alpha = _by_255(colour[3] * level)
        for channel in range(3):
            weighed[level, channel] = _by_255(colour[channel] * alpha)
        weighed[level, 3] = alpha
    out = np.zeros((size[1], size[0], 4), np.uint8)
    for i in range(size[1]):
        for j in range(size[0]):
            x = affine[0] * (j + 0.5) + affine[1] * (i + 0.5) + affine[2]
            y = affine[3] * (j + 0.5) + affine[4] * (i + 0.5) + affine[5]
            if x < 0 or y < 0 or x >= width or y >= height:
                continue
            x -= 0.5
            y -= 0.5
            column, row = math.floor(x), math.floor(y)
            dx, dy = x - column, y - row
            left, right, top, bottom = max(column, 0), min(column + 1, width - 1), max(row, 0), min(row + 1, height - 1)
            a, b, c, d = coverage[top, left], coverage[top, right], coverage[bottom, left], coverage[bottom, right]
            if a or b or c or d:
                for channel in range(4):
                    upper = weighed[a, channel] + (weighed[b, channel] - weighed[a, channel]) * dx
                    lower = weighed[c, channel] + (weighed[d, channel] - weighed[c, channel]) * dx
                    out[i, j, channel] = int(upper + (lower - upper) * dy)
    return out


@compiled
def _divide_by_alpha(image: np.ndarray) -> None:
    for i in range(image.shape[0]):
        for j in range(image.shape[1]):
            alpha = int(image[i, j, 3])
            if 0 < alpha < 255:
                for channel in range(3):
                    image[i, j, channel] = min(255, 255 * int(image[i, j, channel]) // alpha)


@compiled
def _weighed_by_alpha(image: np.ndarray) -> np.ndarray:
    for i in range(image.shape[0]):
        for j in range(image.shape[1]):
            alpha = int(image[i, j, 3])
            for channel in range(3):
                image[i, j, channel] = _by_255(int(image[i, j, channel]) * alpha)
    return image


@compiled
def _bicubic(size: int, new_size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What each pixel of a row is made of in ``resize`` with ``BICUBIC``.

    Returns:
        (new_size,) the first pixel; (new_size,) how many; (new_size, K) their weights; all int64.
    """
    scale = size / new_size
    blur = max(1.0, scale)
    support = _SUPPORT * blur
    starts, counts = np.zeros(new_size, np.int64), np.zeros(new_size, np.int64)
    weights = np.zeros((new_size, math.ceil(support) * 2 + 1), np.int64)
    shares = np.zeros(weights.shape[1], np.float64)
    for i in range(new_size):
        centre = (i + 0.5) * scale
        start, end = max(0, int(centre - support + 0.5)), min(size, int(centre + support + 0.5))
        starts[i], counts[i] = start, end - start
        total = 0.0
        for k in range(end - start):
            x = abs((k + start - centre + 0.5) * (1.0 / blur))
            share = 0.0
            if x < 1.0:
                share = (1.5 * x - 2.5) * x * x + 1
            elif x < 2.0:
                share = (((x - 5) * x + 8) * x - 4) * -0.5
            shares[k] = share
            total += share
        for k in range(end - start):
            share = (shares[k] / total if total else shares[k]) * (1 << _PRECISION)
            weights[i, k] = int(share - 0.5) if share < 0 else int(share + 0.5)
    return starts, counts, weights


@compiled
def _resized_across(image: np.ndarray, new_width: int) -> np.ndarray:
    """(h, w) uint32, packed, to (h, new_width)."""
    height, width = image.shape
    if width == new_width:
        return image
    starts, counts, weights = _bicubic(width, new_width)
    out = np.empty((height, new_width), np.uint32)
    for i in range(height):
        for j in range(new_width):
            out[i, j] = _mixed(image[i, starts[j] : starts[j] + counts[j]], weights[j])
    return out
