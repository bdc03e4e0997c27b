"""C4: MNIST-1D: how over-fitting looks, and what three kinds of network reach."""

from __future__ import annotations

import fastnn as fn
from fastnn import nn, optim
from fastnn.train import Trainer

from .common import figure, mnist1d
from .recipe import Job, recipe


class Residual(nn.Module):
    """y = x + relu(layer(x))"""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: fn.Tensor) -> fn.Tensor:
        return x + fn.relu(self.layer(x))


def plain() -> nn.Module:
    hidden = nn.Linear(40, 100), nn.ReLU(), nn.Linear(100, 100), nn.ReLU()
    return nn.Sequential(nn.Flatten(), *hidden, nn.Linear(100, 10))


NETWORKS = {  # those of the data set's own page
    "logistic": lambda: nn.Sequential(nn.Flatten(), nn.Linear(40, 10)),
    "MLP": lambda: nn.Sequential(
        *(nn.Flatten(), nn.Linear(40, 256), nn.ReLU()),
        *(Residual(nn.Linear(256, 256)), nn.Linear(256, 10)),
    ),
    "CNN": lambda: nn.Sequential(
        *(nn.Conv1d(1, 25, 5, stride=2, padding=1), nn.ReLU()),
        *(nn.Conv1d(25, 25, 3, stride=2, padding=1), nn.ReLU()),
        *(nn.Conv1d(25, 25, 3, stride=2, padding=1), nn.ReLU()),
        *(nn.Flatten(), nn.Linear(125, 10)),
    ),
}


@recipe(
    "C4",
    "MNIST-1D: 40-100-100-10 ReLU with SGD, rate 0.05, batches of 32, 200 epochs on 4,000 signals; "
    "and the page's logistic regression, MLP and CNN with Adam, rate 0.01, batches of 100",
    reported={
        "SGD: training error": "0 %",
        "SGD: test error": "near 40 %",
        "SGD: least test loss": "",
        "SGD: test loss at the end": "rises",
        "logistic": "32 %",
        "MLP": "68 %",
        "CNN": "94 %",
    },
    metric="Errors and test accuracies in %, losses in nats",
    minutes=0.5,
    changes="The page's networks are trained on 3,500 signals, for 8,000 steps, and tested at the "
    "epoch that is best on the other 500.",
)
def run(job: Job) -> dict[str, float]:
    everything = mnist1d(job, validation=0)
    model = plain()
    trainer = Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.05))
    history = trainer.fit(
        everything.train, {"test": everything.test}, epochs=job.pick(200, 5), batch_size=32
    )
    axes = (fig := figure(6, 4)).subplots()
    for name, label in (("loss", "training"), ("test_loss", "test")):
        axes.plot(history["epoch"], history[name], label=label)
    axes.set(xlabel="epoch", ylabel="loss (nats)")
    axes.legend()
    fig.savefig(job.folder / "over-fitting.png")

    values = {
        "SGD: training error": 100 * (1 - trainer.evaluate(everything.train)["accuracy"]),
        "SGD: test error": 100 * (1 - history[-1]["test_accuracy"]),
        "SGD: least test loss": min(history["test_loss"]),
        "SGD: test loss at the end": history[-1]["test_loss"],
    }
    parts = mnist1d(job)
    for name, make in NETWORKS.items():
        model = make()
        opt = optim.Adam(model.parameters(), lr=0.01)
        history = Trainer(model, nn.CrossEntropyLoss(), opt).fit(
            parts.train,
            {"val": parts.validation, "test": parts.test},
            epochs=job.pick(229, 5),
            batch_size=100,
        )
        values[name] = 100 * history.best["test_accuracy"]
    return values
