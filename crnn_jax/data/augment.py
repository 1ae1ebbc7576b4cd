"""Pictures changed by chance, so that a few go a longer way. Runs in data workers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from crnn_jax.data.examples import Example, Source
from crnn_jax.drawing.random import Draws

_VARIANTS = 1000  # of each picture
# At full strength:
_ROTATION = 6.0  # degrees, either way
_CORNERS = 0.08  # of the height, how far the corners move
_SHARPEST, _SOFTEST = 0.3, 1.5  # pixels, of a blur in pictures of 48 rows
_NOISE = 16.0  # levels
_CONTRAST, _BRIGHTNESS = 0.4, 40.0
QUALITY = 30  # the lowest of JPEG
LARGEST = 2.0  # times that a copied picture is enlarged
_HEIGHT = 48.0
_LARGEST_JPEG = 65_500  # pixels, either way
_LARGEST_TURN = 32_766  # pixels of width, for OpenCV 4


@dataclass(frozen=True)
class AugmentedSource:
    """The pictures of another source, each in many variants: the index says which.

    Rotation and perspective, blur, noise, contrast and brightness, and JPEG, each in some of the variants.

    Attributes:
        source: of the pictures.
        seed: of the chance.
        strength: 0 leaves the pictures as they are, 1 changes them about as much as a person with a telephone does.
        height: pictures that are higher are made smaller to it first: what a network sees of a photograph is small.
    """

    source: Source
    seed: int
    strength: float = 1.0
    height: int | None = None

    def __len__(self) -> int:
        return len(self.source) * _VARIANTS

    def __getitem__(self, index: int) -> Example:
        example = self.source[index % len(self.source)]
        image = _no_higher(example.image, self.height)
        return example._replace(image=augment(image, Draws(self.seed, "train", index), self.strength))


def _no_higher(image: np.ndarray, height: int | None) -> np.ndarray:
    if height is None or len(image) <= height:
        return image
    width = max(1, round(image.shape[1] * height / len(image)))
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)


def augment(image: np.ndarray, draws: Draws, strength: float = 1.0) -> np.ndarray:
    """One variant of a picture, (H, W, 3) uint8 of the same size."""
    if strength <= 0:
        return image
    scale = max(1.0, image.shape[0] / _HEIGHT)
    if draws.uniform() < 0.5:
        image = _turned(image, draws, strength)
    if draws.uniform() < 0.3:
        sigma = scale * strength * draws.uniform(_SHARPEST, _SOFTEST)
        image = cv2.GaussianBlur(image, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
    if draws.uniform() < 0.5:
        contrast = 1 + strength * draws.uniform(-_CONTRAST, _CONTRAST)
        brightness = strength * draws.uniform(-_BRIGHTNESS, _BRIGHTNESS)
        table = np.clip((np.arange(256) - 128) * contrast + 128 + brightness, 0, 255).astype(np.uint8)
        image = cv2.LUT(image, table)
    if draws.uniform() < 0.3:
        rng = np.random.default_rng(draws.below(2**32))
        noise = rng.normal(0, _NOISE * strength * draws.uniform(), image.shape)
        image = np.clip(image + noise, 0, 255).astype(np.uint8)
    if draws.uniform() < 0.3:
        image = _compressed(image, 100 - int(strength * draws.uniform() * (100 - QUALITY)))
    return image


def copied(images: Sequence[np.ndarray], highest: int, draws: Draws) -> list[np.ndarray]:
    """Parts of a picture that someone took from a page: enlarged up to twice, compressed, and made smaller again.

    Args:
        images: (h, w, 3) uint8.
        highest: what comes is not higher, unless they are.
        draws: where the random numbers come from.
    """
    scale, filtering = draws.uniform(1, LARGEST), draws.choice((cv2.INTER_LINEAR, cv2.INTER_CUBIC))
    quality = QUALITY + draws.below(101 - QUALITY)
    left = draws.uniform(1, max(1.0, min(scale, highest / max(image.shape[0] for image in images))))  # of the scale

    def one(image: np.ndarray) -> np.ndarray:
        enlarged = cv2.resize(image, None, fx=scale, fy=scale, interpolation=filtering)
        size = int(image.shape[1] * left), int(image.shape[0] * left)
        return cv2.resize(_compressed(enlarged, quality), size, interpolation=cv2.INTER_AREA)

    return [one(image) for image in images]


def _compressed(image: np.ndarray, quality: int) -> np.ndarray:
    if max(image.shape[:2]) > _LARGEST_JPEG:
        return image
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    compressed = cv2.imdecode(data, cv2.IMREAD_COLOR)
    assert compressed is not None  # it was written just now
    return compressed


def _turned(image: np.ndarray, draws: Draws, strength: float) -> np.ndarray:
    """Rotated about its middle, and its corners moved; what comes in at the edges repeats them."""
    height, width = image.shape[:2]
    if width > _LARGEST_TURN:
        return image
    # A long line leaves its picture when it is turned as far as a short one.
    angle = math.radians(strength * _ROTATION) * min(1.0, 3 * height / width) * draws.uniform(-1, 1)
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    middle = np.array([width / 2, height / 2], np.float32)
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]], np.float32)
    moved = (corners - middle) @ turn.T + middle
    moved += np.array([draws.uniform(-1, 1) for _ in range(8)], np.float32).reshape(4, 2) * strength * _CORNERS * height
    matrix = cv2.getPerspectiveTransform(corners, moved.astype(np.float32))
    return cv2.warpPerspective(image, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
