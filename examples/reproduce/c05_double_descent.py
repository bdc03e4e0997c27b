"""C5: double descent: test error against width, with noisy labels."""

from __future__ import annotations

import numpy as np

from fastnn import nn, optim
from fastnn.train import Trainer

from .common import figure, mnist1d, percent_right
from .recipe import Job, recipe

WIDTHS = (2, 4, 8, 16, 24, 32, 48, 64, 96, 128, 192, 256, 512, 1024, 2048)


@recipe(
    "C5",
    "MNIST-1D, 1,000 training signals of which 20 % have random labels; 40-width-10 ReLU, squared "
    "error, Adam with rate 0.003, 1,000 epochs; widths from 2 to 2,048",
    reported={
        "width 2": "high",
        "best of widths 4 to 48": "falls",
        "worst of widths 64 to 256": "rises",
        "width 2048": "falls",
    },
    metric="Test error, %",
    minutes=1,
    changes="Network, noise and training are ours. All widths are in the picture; the rows are the "
    "least and the greatest test error of a range of them.",
)
def run(job: Job) -> dict[str, float]:
    (x, y), _, (x_test, y_test) = mnist1d(job)
    rng = np.random.default_rng(job.seed)
    sample = rng.permutation(len(x))[:1000]
    x, y = x[sample], np.where(rng.random(1000) < 0.2, rng.integers(0, 10, 1000), y[sample])
    targets = np.eye(10, dtype=np.float32)[y]

    error, train_error = {}, {}
    for width in WIDTHS:
        model = nn.Sequential(nn.Flatten(), nn.Linear(40, width), nn.ReLU(), nn.Linear(width, 10))
        trainer = Trainer(model, nn.MSELoss(), optim.Adam(model.parameters(), lr=0.003))
        trainer.fit((x, targets), epochs=job.pick(1000, 2), batch_size=100)
        error[width] = 100 - percent_right(trainer.predict(x_test), y_test)
        train_error[width] = 100 - percent_right(trainer.predict(x), y)

    axes = (fig := figure(6, 4)).subplots()
    for name, errors in (("test", error), ("training, noise included", train_error)):
        axes.semilogx(errors.keys(), errors.values(), marker="o", label=name)
    axes.set(xlabel="hidden neurons", ylabel="error (%)")
    axes.legend()
    fig.savefig(job.folder / "double_descent.png")
    return {
        "width 2": error[2],
        "best of widths 4 to 48": min(error[w] for w in WIDTHS if 4 <= w <= 48),
        "worst of widths 64 to 256": max(error[w] for w in WIDTHS if 64 <= w <= 256),
        "width 2048": error[2048],
    }
