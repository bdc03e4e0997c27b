"""Augmenting batches of digits, as cases to time: beside `step conv 20-40`, what training pays.

The floor: a digit of 28 x 28 takes 2 fields x (28 + 28) terms x 784 pixels for its elastic field,
as multiplications and additions apart, which at half the peak of multiply-adds is 3 us on a core
with 115 GFLOP/s; its 196 blocks of random numbers and its bilinear samples take about 1 us each.

The rival is torchvision's way, transforms called image by image; each peer resamples bilinearly.

python -m bench --filter augment --filter "step conv" --threads 1
"""

from __future__ import annotations

import functools
import importlib
from typing import Any

import numpy as np

from bench.device import on_device
from bench.timed import Run, Timed

SIDE, DEGREES, TRANSLATE, SCALE, SHEAR = 28, 15.0, (0.1, 0.1), (0.9, 1.1), 5.0
ALPHA, SIGMA = 34.0, 4.0  # in pixels
FLOPS = 2.0 * 2 * (SIDE + SIDE) * SIDE * SIDE  # of a digit's field


def _build(batch: int, elastic: bool, peer: str) -> Run | None:
    x = np.random.default_rng(0).random((batch, 1, SIDE, SIDE), np.float32)
    if peer == "torch":
        return _torchvision(x, elastic)
    if peer not in ("fastnn", "fastnn-eager"):
        return None
    fn: Any = importlib.import_module("fastnn")
    augment: Any = importlib.import_module("fastnn.augment")
    change = augment.Compose(
        [
            augment.RandomAffine(DEGREES, TRANSLATE, SCALE, SHEAR),
            *([augment.ElasticTransform(ALPHA, SIGMA)] if elastic else []),
        ]
    )
    step = fn.compile(lambda images: change(images)) if peer == "fastnn" else change
    images = on_device(fn.from_numpy(x))
    return lambda: step(images)


def _torchvision(x: np.ndarray, elastic: bool) -> Run | None:
    torch: Any = importlib.import_module("torch")
    try:
        v2: Any = importlib.import_module("torchvision.transforms.v2")
    except ModuleNotFoundError:
        return None
    bilinear = v2.InterpolationMode.BILINEAR
    transforms = [v2.RandomAffine(DEGREES, TRANSLATE, SCALE, SHEAR, bilinear)]
    if elastic:
        transforms.append(v2.ElasticTransform(2 * ALPHA, SIGMA))  # its alpha is in half pixels
    change = v2.Compose(transforms)
    images = on_device(torch.from_numpy(x))
    return lambda: torch.stack([change(image) for image in images])


CASES = [
    Timed(
        f"augment: {name}, batch {batch}",
        "augment",
        functools.partial(lambda flops: (flops, 0.0), batch * FLOPS * elastic),
        functools.partial(_build, batch, elastic),
    )
    for name, elastic in (("affine", False), ("affine and elastic", True))
    for batch in (10, 64)
]
