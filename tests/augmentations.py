"""The transforms of fastnn.augment that its tests run, and images for them."""

from __future__ import annotations

import numpy as np
import pytest

from fastnn import augment

EVERY = {
    "affine": augment.RandomAffine(20, (0.2, 0.1), (0.8, 1.2), (-10, 10, -5, 5)),
    "rotation": augment.RandomRotation(30),
    "shift": augment.Shift(2),
    "crop": augment.RandomCrop((7, 8), padding=1),
    "mirror": augment.RandomHorizontalFlip(),
    "upside down": augment.RandomVerticalFlip(),
    "elastic": augment.ElasticTransform(8, 2),
    "erasing": augment.RandomErasing(0.9),
    "cutout": augment.Cutout(3),
    "noise": augment.GaussianNoise(0.1, 0.2),
    "jitter": augment.ColorJitter(0.4, 0.4),
    "all": augment.Compose(
        [
            augment.RandomAffine(20),
            augment.ElasticTransform(8, 2),
            augment.RandomCrop(8, 1),
            augment.Cutout(2),
            augment.ColorJitter(0.2, (0.5, 1)),
        ]
    ),
}
TRANSFORMS = pytest.mark.parametrize("name", EVERY)


def images(*shape: int, dtype: str = "float32") -> np.ndarray:
    return np.random.default_rng(0).random(shape).astype(dtype)
