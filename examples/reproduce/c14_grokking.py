"""C14: grokking: a dense network knows its training sums at once, and how to add much later."""

from __future__ import annotations

import numpy as np

import fastnn as fn
from fastnn import nn, optim
from fastnn.train import predict

from .common import figure, percent_right
from .recipe import Job, recipe

P = 59
LOOK = 20  # steps between two looks


@recipe(
    "C14",
    f"The sum (a + b) mod {P} from one-hot a and b, {2 * P}-256-{P} ReLU without biases, trained "
    "on half of all pairs in full batches, AdamW with rate 0.003 and weight decay 0.3",
    reported={
        "training accuracy 99 %": "early",
        "test accuracy 99 %": "very late",
        "test accuracy when training's is 99 %": "",
    },
    metric=f"Steps of training, looked at every {LOOK}; accuracy in %",
    minutes=1,
    changes="The document describes the effect; task, network and training are ours, and 99 % "
    "stands for 100.",
)
def run(job: Job) -> dict[str, float]:
    rng = np.random.default_rng(job.seed)
    a, b = np.divmod(rng.permutation(P * P), P)
    one_hot = np.eye(P, dtype=np.float32)
    x, y = np.hstack([one_hot[a], one_hot[b]]), (a + b) % P
    half = len(x) // 2

    model = nn.Sequential(
        *(nn.Linear(2 * P, 256, bias=False), nn.ReLU(), nn.Linear(256, P, bias=False))
    )
    opt = optim.AdamW(model.parameters(), lr=0.003, betas=(0.9, 0.98), weight_decay=0.3)
    loss_fn = nn.CrossEntropyLoss()

    @fn.compile
    def step(x: fn.Tensor, y: fn.Tensor) -> None:
        opt.zero_grad()
        loss_fn(model(x), y).backward()
        opt.step()

    steps, train, test = [], [], []
    for look in range(1, job.pick(1000, 3)):
        for _ in range(LOOK):
            step(x[:half], y[:half])
        outputs = predict(model, x)
        steps.append(look * LOOK)
        train.append(percent_right(outputs[:half], y[:half]))
        test.append(percent_right(outputs[half:], y[half:]))
        if test[-1] >= 99:
            break

    axes = (fig := figure(6, 4)).subplots()
    axes.semilogx(steps, train, label="training")
    axes.semilogx(steps, test, label="test")
    axes.set(xlabel="steps", ylabel="accuracy (%)")
    axes.legend()
    fig.savefig(job.folder / "grokking.png")
    if test[-1] < 99 and not job.quick:
        raise ValueError(f"[C14] test accuracy is {test[-1]:.1f} % after {steps[-1]} steps")
    early = next((i for i, a in enumerate(train) if a >= 99), -1)
    return {
        "training accuracy 99 %": steps[early],
        "test accuracy 99 %": steps[-1],
        "test accuracy when training's is 99 %": test[early],
    }
