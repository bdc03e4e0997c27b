"""The convolutional networks of the book's sixth chapter, and how they are trained there."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from fastnn import augment, nn, optim
from fastnn.nn import init
from fastnn.train import History, Trainer

from .common import Part, Parts, accuracy, mnist, train_long
from .recipe import Job

BATCH = 10


def convnet(
    *,
    maps: Sequence[int] = (20, 40),
    hidden: Sequence[int] = (100,),
    activation: Callable[[], nn.Module] = nn.ReLU,
    dropout: float = 0.0,
    start: Literal["book", "layers"] = "book",
) -> nn.Sequential:
    """Convolutions 5 x 5 with max-pooling 2 x 2, dense layers, and ten outputs.

    ``dropout`` is that of the dense layers' inputs. As in the book's program, weights start as
    N(0, 1/fan_out) (of a convolution, as the pool sees it) and biases as N(0, 1), those of the last
    layer as zeros; with start "layers" as PyTorch has them, biases within 0.2 of zero.
    """
    layers: list[nn.Module] = []
    channels, side = 1, 28
    for width in maps:
        layers += [nn.Conv2d(channels, width, 5), activation(), nn.MaxPool2d(2)]
        channels, side = width, (side - 4) // 2
    layers.append(nn.Flatten())
    inputs = channels * side * side
    for width in hidden:
        layers += [nn.Dropout(dropout)] if dropout else []
        layers += [nn.Linear(inputs, width), activation()]
        inputs = width
    layers += [nn.Dropout(dropout)] if dropout else []
    layers.append(nn.Linear(inputs, 10))
    if start == "layers":
        return nn.Sequential(*layers)
    for layer in layers[:-1]:
        if isinstance(layer, nn.Conv2d):
            init.normal_(layer.weight, 0, math.sqrt(4 / (layer.out_channels * 25)))
            init.normal_(layer.bias)
        elif isinstance(layer, nn.Linear):
            init.normal_(layer.weight, 0, 1 / math.sqrt(layer.out_features))
            init.normal_(layer.bias)
    init.zeros_(layers[-1].weight)
    init.zeros_(layers[-1].bias)
    return nn.Sequential(*layers)


def trained(
    job: Job,
    model: nn.Module,
    train: Part,
    parts: Parts,
    *,
    epochs: int = 60,
    eta: float = 0.03,
    lmbda: float = 0.0,
    name: str = "",
    **options: Any,
) -> Trainer:
    """Trained with mini-batches of 10; the weights are those of the best validation accuracy.

    ``lmbda``: as in the book's program, which has (lmbda / 2m) sum w^2 of the weights in the cost,
    m the number of mini-batches: ten times the decay of the book's formula. ``name`` and options
    as in `train_long`.
    """
    groups = optim.param_groups_weight_decay(model, lmbda * BATCH / len(train[0]))
    return train_long(
        *(job, model, optim.SGD(groups, lr=eta), train, parts.validation, job.pick(epochs, 1)),
        batch_size=BATCH,
        name=name,
        seed=job.seed,
        **options,
    )


def epochs_to(accuracy: float, history: History) -> int:
    """Epochs until the validation accuracy is at least that, or all that there were."""
    reached = (row["epoch"] for row in history if row["val_accuracy"] >= accuracy)
    return int(next(reached, len(history)))


def on_shifted_copies(job: Job, hidden: Mapping[str, Sequence[int]]) -> dict[str, float]:
    """Test accuracies of the network with these dense layers, each trained on 250,000 images."""
    parts = mnist(job)
    expanded = augment.expand(*parts.train, shifts=1)
    return {
        name: accuracy(
            trained(job, convnet(hidden=widths), expanded, parts, lmbda=0.1, name=name), parts.test
        )
        for name, widths in hidden.items()
    }
