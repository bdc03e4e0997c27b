"""C12: a self-organising map learns digits without labels; a Hebbian layer names its places."""

from __future__ import annotations

import numpy as np

import fastnn as fn

from .common import figure, mnist, percent_right
from .recipe import Job, recipe

SIDE = 32  # the map's neurons stand on a square grid
PASSES = 5
RATE, RADIUS = (0.5, 0.02), (16.0, 0.5)  # both shrink geometrically, from and to


@recipe(
    "C12",
    f"A {SIDE} x {SIDE} self-organising (Kohonen) map and a Hebbian layer on 2,000 MNIST images, "
    f"{PASSES} passes",
    reported={"test": "about 82 %"},
    metric="Test accuracy, %",
    minutes=1,
    changes="The document gives no rates and radii. Ours, and the width of the map's answer, were "
    "chosen on validation images.",
)
def run(job: Job) -> dict[str, float]:
    parts = mnist(job)
    x, y = (a[: job.pick(2000, 100)] for a in parts.train)
    side = job.pick(SIDE, 8)
    grid = fn.tensor(np.argwhere(np.ones((side, side))).astype(np.float32))  # (neurons, 2)
    weights = 0.1 * fn.rand(side * side, 784)

    def winner(x: fn.Tensor) -> fn.Tensor:
        """The neurons nearest to inputs (N, 784): their numbers (N)."""
        return ((weights**2).sum(1) - 2 * (x @ weights.T)).argmin(1)

    def near(neurons: fn.Tensor, radius: float | fn.Tensor) -> fn.Tensor:
        """(N, neurons): 1 at each winner, falling as a Gaussian over the grid."""
        away = grid.index_select(0, neurons).unsqueeze(1) - grid  # (N, neurons, 2)
        return fn.exp((away**2).sum(2) / (-2 * radius**2))

    @fn.compile
    def learn(x: fn.Tensor, rate: fn.Tensor, radius: fn.Tensor) -> None:
        """Moves the winner and its neighbours towards an input (1, 784)."""
        pull = rate * near(winner(x), radius).squeeze(0)
        weights.add_(pull.unsqueeze(1) * (x - weights))

    rng = np.random.default_rng(job.seed)
    order = np.concatenate([rng.permutation(len(x)) for _ in range(PASSES)])
    images = fn.tensor(x.reshape(-1, 1, 784))
    for i, done in zip(order.tolist(), np.linspace(0, 1, len(order)), strict=True):
        rate, radius = (fn.tensor(a * (b / a) ** done) for a, b in (RATE, RADIUS))
        learn(images[i], rate, radius)

    def answer(x: np.ndarray) -> fn.Tensor:
        """The map's activity (N, neurons) for images."""
        return near(winner(fn.tensor(x.reshape(-1, 784))), 1.0)

    # Hebb: a connection grows with the product of what it connects, the label being given.
    hebb = fn.tensor(np.eye(10, dtype=np.float32)[y]).T @ answer(x)  # (10, neurons)

    x_test, y_test = parts.test
    outputs = [(answer(x_test[i : i + 500]) @ hebb.T).numpy() for i in range(0, len(x_test), 500)]

    axes = (fig := figure(8, 8)).subplots()
    tiles = weights.numpy().reshape(side, side, 28, 28).swapaxes(1, 2)
    axes.imshow(tiles.reshape(side * 28, side * 28), cmap="gray")
    axes.set_axis_off()
    fig.savefig(job.folder / "map.png")
    return {"test": percent_right(np.concatenate(outputs), y_test)}
