"""MNIST to 99 % test accuracy in a second or two of training on two cores.

A small convolutional network, cross-entropy, Adam with one cycle of the learning rate (Smith,
"Super-convergence", 2018). The recipe was chosen on a validation split of the training images
(--validate); the test images are looked at once a seed, after training.

    python examples/records/mnist_99.py --data-dir DIR --seeds 10

The seconds are those of all epochs, shuffles and steps: with the images in memory, and without
reading and scaling them, making the model, or testing it.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from typing import Any

import numpy as np

import fastnn as fn
from fastnn import nn, optim
from fastnn.data import mnist

CROP = 2  # pixels off each side: digits lie in the 20 x 20 in the middle


def network(first: int, second: int) -> nn.Module:
    """5 x 5 and 3 x 3 convolutions on 24 x 24: 20 x 20, pooled 10 x 10, 8 x 8, pooled 4 x 4."""
    return nn.Sequential(
        *(nn.Conv2d(1, first, 5), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(first, second, 3), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(16 * second, 10)),
    )


def one_cycle(done: float, peak: float, warm: float = 0.25) -> float:
    """The learning rate when the share `done` is over: up in a line, down in a cosine."""
    if done < warm:
        return peak * (0.04 + 0.96 * done / warm)
    return peak * max(0.5 * (1 + math.cos(math.pi * (done - warm) / (1 - warm))), 1e-4)


def train(seed: int, x: Any, y: Any, options: argparse.Namespace) -> tuple[nn.Module, float]:
    """A trained model, and the seconds that training took."""
    fn.manual_seed(seed)
    model = network(*options.channels)
    opt = optim.Adam(model.parameters(), lr=options.lr, betas=(0.9, 0.99))
    loss_fn = nn.CrossEntropyLoss()

    @fn.compile
    def step(x: Any, y: Any) -> Any:
        loss = loss_fn(model(x), y)
        opt.zero_grad()
        loss.backward()
        opt.step()
        return loss

    steps = len(x) // options.batch_size
    total = steps * options.epochs
    start = time.perf_counter()
    for epoch in range(options.epochs):

        def set_rate(number: int, loss: float = 0, first: int = epoch * steps) -> None:
            opt.param_groups[0]["lr"] = one_cycle((first + number + 1) / total, options.lr)

        set_rate(-1)
        step.run_epoch(
            *(x, y, options.batch_size),
            seed=(seed, epoch),
            drop_last=True,
            on_step=set_rate,
        )
    return model, time.perf_counter() - start


def accuracy(model: nn.Module, x: Any, y: Any) -> float:
    """The share of right answers."""
    model.eval()
    with fn.no_grad():
        right = sum(
            int((model(fn.from_numpy(x[i : i + 500])).argmax(1).numpy() == y[i : i + 500]).sum())
            for i in range(0, len(x), 500)
        )
    return right / len(x)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", default="data")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--lr", type=float, default=0.007, help="the highest")
    parser.add_argument("--channels", type=int, nargs=2, default=(8, 32))
    parser.add_argument(
        "--validate", action="store_true", help="train on 50,000 images, test on the other 10,000"
    )
    options = parser.parse_args()

    (x, y), (x_test, y_test) = mnist(options.data_dir)
    if options.validate:
        x, y, x_test, y_test = x[:50000], y[:50000], x[50000:], y[50000:]
    mean, std = x.mean(), x.std()
    x, x_test = (
        np.ascontiguousarray((a[:, :, CROP:-CROP, CROP:-CROP] - mean) / std, np.float32)
        for a in (x, x_test)
    )
    kind = "validation" if options.validate else "test"
    accuracies, seconds = [], []
    for seed in range(options.seeds):
        model, took = train(seed, x, y, options)
        accuracies.append(accuracy(model, x_test, y_test))
        seconds.append(took)
        print(f"seed {seed}: {kind} accuracy {accuracies[-1]:.2%}, {took:.2f} s", flush=True)
    spread = statistics.pstdev(accuracies)
    print(
        f"mean {kind} accuracy {statistics.mean(accuracies):.2%} (standard deviation {spread:.2%})"
    )
    print(f"mean training seconds {statistics.mean(seconds):.2f}")


if __name__ == "__main__":
    main()
