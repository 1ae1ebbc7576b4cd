"""What the ``captcha`` package lets Pillow do to a character, byte for byte, as loops that numba compiles.

The package rotates, resizes and warps a picture of four channels, most of whose pixels are empty or of the text's one colour:
what is made of those is computed once. `resized` goes along the first axis, where neighbours in memory share their weights.
"""

from __future__ import annotations

import math

import numpy as np

from crnn_jax.drawing.pixels import compiled

_PRECISION = 22  # bits after the point of Pillow's weights in ``resize``
_SUPPORT = 2.0  # pixels to either side that ``BICUBIC`` looks at


@compiled
def rotate_resize_and_warp(
    coverage: np.ndarray,
    colour: np.ndarray,
    cos: float,
    sin: float,
    size: tuple[int, int],
    corners: np.ndarray,
    out: np.ndarray,
) -> None:
    """``rotate`` with ``BILINEAR`` and ``expand``, ``resize``, and ``transform`` with ``QUAD``.

    Args:
        coverage: (h, w) uint8, of a character that was pasted, in a colour, on a transparent picture of its size.
        colour: (4,) int64, its red, green, blue and alpha.
        cos: of the angle, clockwise, to 15 places.
        sin: likewise.
        size: width and height after ``resize``.
        corners: (8,) float64, what ``QUAD`` takes: upper left, lower left, lower right, upper right.
        out: (h', w', 4) uint8, becomes the picture.
    """
    affine, turned = _rotation(coverage.shape[1], coverage.shape[0], cos, sin)
    same = turned == size  # ``resize`` does nothing
    image = _rotated(coverage, colour, affine, turned, not same)
    if not same:
        image = resized(_transposed(resized(_transposed(image), size[0])), size[1])
    pixels, targets = _packed(image), _packed(out)
    height, width = targets.shape
    x0, y0 = corners[0], corners[1]
    x_of_j, x_of_i = (corners[6] - x0) * (1.0 / width), (corners[2] - x0) * (1.0 / height)
    y_of_j, y_of_i = (corners[7] - y0) * (1.0 / width), (corners[3] - y0) * (1.0 / height)
    x_of_both = (corners[4] - corners[2] - corners[6] + x0) * (1.0 / width) * (1.0 / height)
    y_of_both = (corners[5] - corners[3] - corners[7] + y0) * (1.0 / width) * (1.0 / height)
    for i in range(height):
        for j in range(width):
            x = x0 + x_of_j * (j + 0.5) + x_of_i * (i + 0.5) + x_of_both * (j + 0.5) * (i + 0.5)
            y = y0 + y_of_j * (j + 0.5) + y_of_i * (i + 0.5) + y_of_both * (j + 0.5) * (i + 0.5)
            inside = x >= 0 and y >= 0 and int(x) < size[0] and int(y) < size[1]
            targets[i, j] = pixels[int(y), int(x)] if inside else 0
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
def resized(image: np.ndarray, new_height: int) -> np.ndarray:
    """``resize`` with ``BICUBIC`` along the first axis, (H, W, C) uint8 to (new_height, W, C)."""
    height, width = image.shape[0], image.shape[1] * image.shape[2]
    rows = image.reshape(height, width)
    starts, counts, weights = _bicubic(height, new_height)
    out = np.empty((new_height, width), np.uint8)
    sums = np.empty(width, np.int32)
    for i in range(new_height):
        sums[:] = 1 << (_PRECISION - 1)
        for k in range(counts[i]):
            row = rows[starts[i] + k]
            for j in range(width):
                sums[j] += weights[i, k] * row[j]
        for j in range(width):
            out[i, j] = min(255, max(0, sums[j] >> _PRECISION))
    return out.reshape(new_height, image.shape[1], image.shape[2])


@compiled
def _packed(image: np.ndarray) -> np.ndarray:
    """(h, w, 4) uint8 as (h, w) uint32: the same memory."""
    return image.view(np.uint32)[:, :, 0]


@compiled
def _transposed(image: np.ndarray) -> np.ndarray:
    """(h, w, 4) uint8 as (w, h, 4)."""
    return np.ascontiguousarray(_packed(image).T).view(np.uint8).reshape(image.shape[1], image.shape[0], 4)


@compiled
def _by_255(value: int) -> int:
    return (value + 128 + ((value + 128) >> 8)) >> 8


@compiled
def _rotation(width: int, height: int, cos: float, sin: float) -> tuple[tuple[float, ...], tuple[int, int]]:
    """An affine map from a picture that was rotated with ``expand`` to the old one, and how wide and high it is."""
    dx = cos * -(width / 2) + sin * -(height / 2) + 0.0 + width / 2
    dy = -sin * -(width / 2) + cos * -(height / 2) + 0.0 + height / 2
    left = right = dx
    top = bottom = dy
    for x, y in ((width, 0), (width, height), (0, height)):
        u, v = cos * x + sin * y + dx, -sin * x + cos * y + dy
        left, right, top, bottom = min(left, u), max(right, u), min(top, v), max(bottom, v)
    new_width, new_height = math.ceil(right) - math.floor(left), math.ceil(bottom) - math.floor(top)
    x0, y0 = -(new_width - width) / 2.0, -(new_height - height) / 2.0
    return (cos, sin, cos * x0 + sin * y0 + dx, -sin, cos, -sin * x0 + cos * y0 + dy), (new_width, new_height)


@compiled
def _rotated(
    coverage: np.ndarray, colour: np.ndarray, affine: tuple[float, ...], size: tuple[int, int], weighed: bool
) -> np.ndarray:
    """(h', w', 4) uint8, its colours weighed by alpha or not."""
    height, width = coverage.shape
    pasted = np.empty((256, 4), np.float64)  # of each coverage, weighed by alpha
    for level in range(256):
        alpha = _by_255(colour[3] * level)
        for channel in range(3):
            pasted[level, channel] = _by_255(colour[channel] * alpha)
        pasted[level, 3] = alpha
    out = np.zeros((size[1], size[0], 4), np.uint8)
    inner = np.zeros(4, np.uint8)  # a pixel that lies between pixels that are wholly covered
    for channel in range(4):
        inner[channel] = int(pasted[255, channel])
    _divide_pixel(inner)
    if weighed:
        _weigh_pixel(inner)
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
            if a == 255 and b == 255 and c == 255 and d == 255:
                for channel in range(4):
                    out[i, j, channel] = inner[channel]
            elif a or b or c or d:
                for channel in range(4):
                    upper = pasted[a, channel] + (pasted[b, channel] - pasted[a, channel]) * dx
                    lower = pasted[c, channel] + (pasted[d, channel] - pasted[c, channel]) * dx
                    out[i, j, channel] = int(upper + (lower - upper) * dy)
                _divide_pixel(out[i, j])
                if weighed:
                    _weigh_pixel(out[i, j])
    return out


@compiled
def _divide_pixel(pixel: np.ndarray) -> None:
    """(4,) uint8, its colours divided by alpha: Pillow weighs them by it in each of the first two stages."""
    alpha = int(pixel[3])
    if 0 < alpha < 255:
        for channel in range(3):
            pixel[channel] = min(255, int(255.0 * pixel[channel] / alpha))


@compiled
def _weigh_pixel(pixel: np.ndarray) -> None:
    """(4,) uint8, its colours multiplied by alpha."""
    for channel in range(3):
        pixel[channel] = _by_255(int(pixel[channel]) * int(pixel[3]))


@compiled
def _divide_by_alpha(image: np.ndarray) -> None:
    packed = _packed(image)
    before = after = np.uint32(0)
    for i in range(image.shape[0]):
        for j in range(image.shape[1]):
            if packed[i, j] == before:  # most pixels are like their neighbours
                packed[i, j] = after
            elif packed[i, j]:
                before = packed[i, j]
                _divide_pixel(image[i, j])
                after = packed[i, j]


@compiled
def _bicubic(size: int, new_size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What each pixel of a row is made of in ``resize`` with ``BICUBIC``.

    Returns:
        (new_size,) the first pixel; (new_size,) how many; (new_size, K) their weights; int64 but for these, int32.
    """
    scale = size / new_size
    blur = max(1.0, scale)
    support = _SUPPORT * blur
    starts, counts = np.zeros(new_size, np.int64), np.zeros(new_size, np.int64)
    weights = np.zeros((new_size, math.ceil(support) * 2 + 1), np.int32)
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
