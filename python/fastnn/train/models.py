"""Three standard networks, built for a given input shape and number of classes.

``activation`` names one of ``ACTIVATIONS``; ``init`` and ``bias_init`` are what
`nn.init.initialize` takes for weights and biases, None being the layers' own start. Another name
raises ValueError.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from .. import nn
from ..nn._checks import one_of
from ..nn.init import Start, initialize

Shape = tuple[int, ...]
Activation = Callable[[], nn.Module]
ACTIVATIONS: dict[str, Activation] = {
    "relu": nn.ReLU,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "leaky_relu": nn.LeakyReLU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
}


def mlp(
    input_shape: Shape,
    classes: int,
    hidden: Sequence[int] = (100,),
    *,
    activation: str = "relu",
    init: Start | None = None,
    bias_init: Start | None = None,
) -> nn.Sequential:
    """Dense layers of ``hidden`` neurons each, for inputs of any ``input_shape``."""
    act = _activation("mlp", activation)
    model = nn.Sequential(nn.Flatten(), *_dense(math.prod(input_shape), hidden, classes, act))
    return initialize(model, init, bias_init)


def cnn(
    input_shape: Shape,
    classes: int,
    hidden: Sequence[int] = (100,),
    *,
    activation: str = "relu",
    init: Start | None = None,
    bias_init: Start | None = None,
) -> nn.Sequential:
    """Two convolutions of 20 and 40 maps with batch normalisation and pooling, then dense layers.

    ``input_shape`` is (C, H, W) with H, W >= 4, or (C, L) for signals, which strided convolutions
    take in three steps.
    """
    act = _activation("cnn", activation)
    if len(input_shape) == 2:
        return initialize(_cnn1d(input_shape, classes, hidden, act), init, bias_init)
    c, h, w = _image("cnn", input_shape, 4)
    model = nn.Sequential(
        *(nn.Conv2d(c, 20, 3, padding=1), nn.BatchNorm2d(20), act(), nn.MaxPool2d(2)),
        *(nn.Conv2d(20, 40, 3, padding=1), nn.BatchNorm2d(40), act(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Dropout(0.25)),
        *_dense(40 * (h // 4) * (w // 4), hidden, classes, act),
    )
    return initialize(model, init, bias_init)


def lenet(
    input_shape: Shape,
    classes: int,
    hidden: Sequence[int] = (120, 84),
    *,
    activation: str = "relu",
    init: Start | None = None,
    bias_init: Start | None = None,
) -> nn.Sequential:
    """LeNet-5 (LeCun et al. 1998) with max-pooling and, unless another is named, ReLU.

    ``input_shape`` is (C, H, W) with H, W >= 8. As in the original, 28x28 is padded to 32x32 for
    the first convolution; images too small for the second get padding there as well.
    """
    act = _activation("lenet", activation)
    c, h, w = _image("lenet", input_shape, 8)
    first = 0 if min(h, w) >= 32 else 2
    h, w = ((side + 2 * first - 4) // 2 for side in (h, w))
    second = 0 if min(h, w) >= 8 else 2
    h, w = ((side + 2 * second - 4) // 2 for side in (h, w))
    model = nn.Sequential(
        *(nn.Conv2d(c, 6, 5, padding=first), act(), nn.MaxPool2d(2)),
        *(nn.Conv2d(6, 16, 5, padding=second), act(), nn.MaxPool2d(2)),
        nn.Flatten(),
        *_dense(16 * h * w, hidden, classes, act),
    )
    return initialize(model, init, bias_init)


MODELS: dict[str, Callable[..., nn.Sequential]] = {"mlp": mlp, "cnn": cnn, "lenet": lenet}


def _activation(model: str, name: str) -> Activation:
    return ACTIVATIONS[one_of(model, "activation", name, list(ACTIVATIONS))]


def _cnn1d(
    input_shape: Shape, classes: int, hidden: Sequence[int], act: Activation
) -> nn.Sequential:
    channels, length = input_shape
    layers: list[nn.Module] = []
    for kernel in (5, 3, 3):
        layers += [nn.Conv1d(channels, 25, kernel, stride=2, padding=kernel // 2)]
        layers += [nn.BatchNorm1d(25), act()]
        channels, length = 25, (length + 1) // 2
    return nn.Sequential(*layers, nn.Flatten(), *_dense(channels * length, hidden, classes, act))


def _dense(inputs: int, hidden: Sequence[int], classes: int, act: Activation) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for width in hidden:
        layers += [nn.Linear(inputs, width), act()]
        inputs = width
    return [*layers, nn.Linear(inputs, classes)]


def _image(model: str, shape: Shape, least: int) -> Shape:
    if len(shape) != 3 or min(shape[1:]) < least:
        raise ValueError(
            f"[{model}] input_shape must be (C, H, W) with H, W >= {least}; got {shape}"
        )
    return shape
