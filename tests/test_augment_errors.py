"""What fastnn.augment and its operations refuse, and with which words."""

from __future__ import annotations

import numpy as np
import pytest
from augmentations import EVERY, TRANSFORMS, images
from devices import place

import fastnn as fn
from fastnn import augment

BAD_ARGUMENTS = {
    "negative degrees": lambda: augment.RandomAffine(-5),
    "negative rotation": lambda: augment.RandomRotation(-1),
    "degrees in the wrong order": lambda: augment.RandomRotation((10, -10)),
    "NaN degrees": lambda: augment.RandomRotation((float("nan"), 1)),
    "three degrees": lambda: augment.RandomRotation((1, 2, 3)),
    "translate beyond 1": lambda: augment.RandomAffine(0, translate=(0.1, 1.5)),
    "one translate": lambda: augment.RandomAffine(0, translate=(0.1,)),
    "a scale alone": lambda: augment.RandomAffine(0, scale=1.1),
    "a translate alone": lambda: augment.RandomAffine(0, translate=0.1),
    "scale 0": lambda: augment.RandomAffine(0, scale=(0, 1)),
    "shear of a right angle": lambda: augment.RandomAffine(0, shear=90),
    "three shears": lambda: augment.RandomAffine(0, shear=(1, 2, 3)),
    "infinite fill": lambda: augment.RandomAffine(0, fill=float("inf")),
    "unknown fill": lambda: augment.RandomAffine(0, fill="reflect"),
    "negative shift": lambda: augment.Shift(-1),
    "crop of nothing": lambda: augment.RandomCrop(0),
    "negative padding": lambda: augment.RandomCrop(3, padding=-1),
    "flip with p 2": lambda: augment.RandomHorizontalFlip(2),
    "NaN sigma": lambda: augment.ElasticTransform(1, float("nan")),
    "sigma 0": lambda: augment.ElasticTransform(1, 0),
    "negative alpha": lambda: augment.ElasticTransform(-1),
    "erasing more than all": lambda: augment.RandomErasing(1, scale=(0.5, 1.5)),
    "erasing, ratio 0": lambda: augment.RandomErasing(1, ratio=(0, 1)),
    "cutout of nothing": lambda: augment.Cutout(0),
    "negative noise": lambda: augment.GaussianNoise(0, -0.1),
    "NaN noise": lambda: augment.GaussianNoise(0, float("nan")),
    "negative brightness": lambda: augment.ColorJitter(-0.1),
    "contrast in the wrong order": lambda: augment.ColorJitter(0, (2, 1)),
    "alpha 0": lambda: augment.MixUp(0),
    "no classes": lambda: augment.MixUp(1, 0),
}


@pytest.mark.parametrize("name", BAD_ARGUMENTS)
def test_bad_arguments(name: str) -> None:
    with pytest.raises(ValueError, match=r"^\[\w+\] \w+ must .*; got "):
        BAD_ARGUMENTS[name]()
    with pytest.raises(TypeError, match=r"^\[RandomRotation\] degrees must be a number"):
        augment.RandomRotation("ten")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"^\[Compose\] a transform must be callable; got int"):
        augment.Compose([3])


@TRANSFORMS
def test_bad_images(name: str) -> None:
    transform = EVERY[name]
    with pytest.raises(ValueError, match=r"^\[\w+\] expected images .*; got shape \(3, 10, 11\)"):
        transform(place(images(3, 10, 11)))
    with pytest.raises(TypeError, match=r"^\[\w+\] images must be float32 or float64; got .*uint8"):
        transform(place((images(2, 3, 10, 11) * 255).astype(np.uint8)))
    with pytest.raises(TypeError, match=r"^\[\w+\] .*; got list"):
        transform([[1.0]])
    x = place(images(2, 3, 10, 11)).requires_grad_()
    with pytest.raises(TypeError, match=r"^\[\w+\] .* no gradient here"):
        transform(x)
    with fn.no_grad():
        transform(x)


def test_the_operations_check_too() -> None:
    x, one = place(images(2, 1, 4, 4)), [0.0] * 6 + [1.0, 1.0] + [0.0] * 8
    warp, erase = fn._C.warp, fn._C.erase
    for stages, size, options in (
        ([[*one[:6], 0.0, *one[7:]]], 4, {}),  # scale
        ([[*one[:8], 90.0, *one[9:]]], 4, {}),  # shear
        ([[float("nan"), *one[1:]]], 4, {}),
        ([one] * 9, 4, {}),
        ([], 0, {}),
        ([], 4, {"alpha": float("inf")}),
        ([], 4, {"alpha": 1.0, "sigma": 0.0}),
    ):
        with pytest.raises(ValueError, match=r"^\[warp\] "):
            warp(x, stages, size, **options)
    for options in ({"p": 1.5}, {"scale": (0.5, 0.2)}, {"ratio": (0.0, 1.0)}, {"size": (0, 3)}):
        with pytest.raises(ValueError, match=r"^\[erase\] "):
            erase(x, **options)
    for op in (lambda x: warp(x, [], 4), erase):
        with pytest.raises(ValueError, match="expected images"):
            op(x[0])
        with pytest.raises(TypeError, match="no gradient here"):
            op(x.clone().requires_grad_())
        with pytest.raises(TypeError, match="must be float32 or float64"):
            op(x.to(fn.uint8))
        with pytest.raises(ValueError, match="at least one pixel"):
            op(fn.zeros(2, 1, 0, 4))


def test_bad_batches() -> None:
    x = place(images(3, 1, 4, 4))
    mix = augment.MixUp(1.0, 3)
    with pytest.raises(IndexError, match=r"^\[mixup\] target 3 is out of range for 3 classes"):
        mix(x, place(np.array([0, 1, 3])))
    with pytest.raises(ValueError, match=r"^\[mixup\] expected target of shape \(3,\)"):
        mix(x, place(np.array([0, 1])))
    with pytest.raises(ValueError, match=r"^\[mixup\] expected target of shape \(3, 3\)"):
        mix(x, place(images(3, 2)))
    with pytest.raises(TypeError, match=r"^\[mixup\] target must be int64, or of input's dtype"):
        mix(x, place(np.zeros(3, np.int32)))
    with pytest.raises(TypeError, match=r"^\[mixup\] there is no gradient"):
        mix(x.clone().requires_grad_(), place(np.array([0, 1, 2])))
    with pytest.raises(TypeError, match=r"^\[Compose\] there are targets"):
        augment.Compose([mix])(x)
    with pytest.raises(ValueError, match=r"^\[RandomCrop\] size \(7, 7\) is larger than images"):
        augment.RandomCrop(7, padding=1)(x)
