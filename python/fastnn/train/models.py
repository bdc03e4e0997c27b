"""Three standard networks, built for a given input shape and number of classes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from .. import nn

Shape = tuple[int, ...]


def mlp(input_shape: Shape, classes: int, hidden: Sequence[int] = (100,)) -> nn.Sequential:
    """Dense ReLU layers of ``hidden`` neurons each, for inputs of any ``input_shape``."""
    return nn.Sequential(nn.Flatten(), *_dense(math.prod(input_shape), hidden, classes))


def cnn(input_shape: Shape, classes: int, hidden: Sequence[int] = (100,)) -> nn.Sequential:
    """Two convolutions of 20 and 40 maps with batch normalisation and pooling, then dense layers.

    ``input_shape`` is (C, H, W) with H, W >= 4, or (C, L) for signals, which strided convolutions
    take in three steps.
    """
    if len(input_shape) == 2:
        return _cnn1d(input_shape, classes, hidden)
    c, h, w = _image("cnn", input_shape, 4)
    return nn.Sequential(
        *(nn.Conv2d(c, 20, 3, padding=1), nn.BatchNorm2d(20), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(20, 40, 3, padding=1), nn.BatchNorm2d(40), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Dropout(0.25)),
        *_dense(40 * (h // 4) * (w // 4), hidden, classes),
    )


def lenet(input_shape: Shape, classes: int, hidden: Sequence[int] = (120, 84)) -> nn.Sequential:
    """LeNet-5 (LeCun et al. 1998) with ReLU and max-pooling.

    ``input_shape`` is (C, H, W) with H, W >= 8. As in the original, 28x28 is padded to 32x32 for
    the first convolution; images too small for the second get padding there as well.
    """
    c, h, w = _image("lenet", input_shape, 8)
    first = 0 if min(h, w) >= 32 else 2
    h, w = ((side + 2 * first - 4) // 2 for side in (h, w))
    second = 0 if min(h, w) >= 8 else 2
    h, w = ((side + 2 * second - 4) // 2 for side in (h, w))
    return nn.Sequential(
        *(nn.Conv2d(c, 6, 5, padding=first), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(6, 16, 5, padding=second), nn.ReLU(), nn.MaxPool2d(2)),
        nn.Flatten(),
        *_dense(16 * h * w, hidden, classes),
    )


MODELS: dict[str, Callable[..., nn.Sequential]] = {"mlp": mlp, "cnn": cnn, "lenet": lenet}


def _cnn1d(input_shape: Shape, classes: int, hidden: Sequence[int]) -> nn.Sequential:
    channels, length = input_shape
    layers: list[nn.Module] = []
    for kernel in (5, 3, 3):
        layers += [nn.Conv1d(channels, 25, kernel, stride=2, padding=kernel // 2)]
        layers += [nn.BatchNorm1d(25), nn.ReLU()]
        channels, length = 25, (length + 1) // 2
    return nn.Sequential(*layers, nn.Flatten(), *_dense(channels * length, hidden, classes))


def _dense(inputs: int, hidden: Sequence[int], classes: int) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for width in hidden:
        layers += [nn.Linear(inputs, width), nn.ReLU()]
        inputs = width
    return [*layers, nn.Linear(inputs, classes)]


def _image(model: str, shape: Shape, least: int) -> Shape:
    if len(shape) != 3 or min(shape[1:]) < least:
        raise ValueError(
            f"[{model}] input_shape must be (C, H, W) with H, W >= {least}; got {shape}"
        )
    return shape
