"""C3: autoencoders: digits through two neurons, and digits freed of noise."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np

import fastnn as fn
from fastnn import nn, optim
from fastnn.train import Trainer, predict

from .common import figure, mnist
from .recipe import Job, recipe

Array = np.ndarray
SPREAD = 0.5  # of the noise
ROWS = 15  # of decoded points


@recipe(
    "C3",
    "784-256-64-2-64-256-784 ReLU autoencoder, bottleneck linear, and a denoising 784-256-784 for "
    f"Gaussian noise of deviation {SPREAD} clipped to [0, 1]; squared error, Adam, 20 and 10 "
    "epochs",
    reported={
        "reconstruction from two neurons": "a picture",
        "the mean image instead": "",
        "noisy images": "",
        "denoised images": "a picture",
    },
    metric="Mean squared error of test pixels in [0, 1]",
    minutes=1.5,
    changes="The document gives no sizes; the scatter of codes, the decoded plane and the denoised "
    "digits are drawn as pictures in runs/reproduce.",
)
def run(job: Job) -> dict[str, float]:
    parts = mnist(job)
    x, x_test = (images.reshape(-1, 784) for images, _ in (parts.train, parts.test))

    encoder = layers(784, 256, 64, 2)
    decoder = layers(2, 64, 256, 784)
    decoder.append(nn.Sigmoid())
    fit(nn.Sequential(encoder, decoder), x, job.pick(20, 2))
    codes = predict(encoder, x_test)
    draw_codes(job, codes, parts.test[1], decoder)

    def noisy(x: fn.Tensor) -> fn.Tensor:
        return (x + SPREAD * fn.randn(*x.shape)).clamp(0, 1)

    denoiser = nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 784), nn.Sigmoid())
    fit(denoiser, x, job.pick(10, 2), noisy)  # other noise every time
    x_noisy = noisy(fn.tensor(x_test)).numpy()
    x_clean = predict(denoiser, x_noisy)
    draw_rows(job, x_test, x_noisy, x_clean)

    def error(images: Array) -> float:
        return float(np.square(images - x_test).mean())

    return {
        "reconstruction from two neurons": error(predict(decoder, codes)),
        "the mean image instead": error(x.mean(0)),
        "noisy images": error(x_noisy),
        "denoised images": error(x_clean),
    }


def layers(*sizes: int) -> nn.Sequential:
    """Dense layers with ReLU between them."""
    made: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        made += [nn.ReLU(), nn.Linear(inputs, outputs)]
    return nn.Sequential(*made[1:])


def fit(
    model: nn.Module,
    x: Array,
    epochs: int,
    seen: Callable[[fn.Tensor], fn.Tensor] | None = None,
) -> None:
    """Trains `model` to make x of what it sees of x."""
    opt = optim.Adam(model.parameters(), lr=1e-3)
    Trainer(model, nn.MSELoss(), opt, augment=seen).fit((x, x), epochs=epochs, batch_size=100)


def draw_codes(job: Job, codes: Array, y: Array, decoder: nn.Module) -> None:
    """The codes by class, and what the decoder makes of the points between them."""
    left, right = (fig := figure(12, 6)).subplots(1, 2)
    scatter = left.scatter(*codes.T, c=y, cmap="tab10", s=4)
    fig.colorbar(scatter, ax=left)
    (x0, y0), (x1, y1) = np.percentile(codes, (2, 98), axis=0)
    xs, ys = np.meshgrid(np.linspace(x0, x1, ROWS), np.linspace(y1, y0, ROWS))
    points = np.stack([xs.ravel(), ys.ravel()], 1).astype(np.float32)
    tiles = predict(decoder, points).reshape(ROWS, ROWS, 28, 28).swapaxes(1, 2)
    right.imshow(tiles.reshape(ROWS * 28, ROWS * 28), cmap="gray", extent=(x0, x1, y0, y1))
    right.set_aspect("auto")
    fig.savefig(job.folder / "codes.png")


def draw_rows(job: Job, *rows: Array) -> None:
    """Ten images of each row, one row under the other."""
    axes: Any = (fig := figure(8, 3)).subplots()
    tiles = np.stack(rows)[:, :10].reshape(len(rows), 10, 28, 28).swapaxes(1, 2)
    axes.imshow(tiles.reshape(len(rows) * 28, 280), cmap="gray")
    axes.set_axis_off()
    fig.savefig(job.folder / "denoised.png")
