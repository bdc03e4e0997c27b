"""A14: accuracy against the number of training images, beside a support vector machine."""

from __future__ import annotations

import functools
from pathlib import Path

from fastnn.train import Trainer

from .book import cross_entropy, sgd
from .common import accuracy, dense, figure, mnist
from .recipe import Job, recipe

SIZES = (100, 200, 500, 1000, 2000, 5000, 10000, 20000, 50000)
STEPS = 150000  # so many for every size


@recipe(
    "A14",
    "784-30-10, cross-entropy, eta 0.5, mini-batch 10, 150,000 steps, L2 with lambda n / 10,000, "
    "on the first n images; beside scikit-learn's SVC with its defaults of the time, gamma 1/784",
    reported={
        **{f"network, {n} images": "93.24" if n == 5000 else "" for n in SIZES},
        **{f"SVM, {n} images": "94.48" if n == 50000 else "" for n in SIZES},
        "SVM with today's defaults, 5000 images": "",
    },
    metric="test accuracy at the end, %: nothing is chosen",
    minutes=8,
    changes="The document measures on validation images. An SVM draws nothing: it is fitted once "
    "for all seeds, which takes the first one 6 minutes.",
)
def run(job: Job) -> dict[str, float]:
    (x, y), _, test = mnist(job)
    sizes = [n for n in SIZES if n <= len(x)]
    network, svm = {}, {}
    for n in sizes:
        model = dense(784, 30, 10)
        trainer = Trainer(model, cross_entropy, sgd(model, eta=0.5, decay=1e-4))
        steps = job.pick(STEPS, 100)
        trainer.fit((x[:n], y[:n]), epochs=steps, batch_size=10, max_steps=steps)
        network[n] = accuracy(trainer, test)
        svm[n] = svm_accuracy(job.data_dir, job.quick, n, "auto")

    axes = (fig := figure(6, 4)).subplots()
    axes.semilogx(sizes, network.values(), marker="o", label="784-30-10")
    axes.semilogx(sizes, svm.values(), marker="o", label="SVM")
    axes.set(xlabel="training images", ylabel="test accuracy (%)")
    axes.legend()
    fig.savefig(job.folder / "training_set_size.png")
    return {
        **{f"network, {n} images": network.get(n, 0.0) for n in SIZES},
        **{f"SVM, {n} images": svm.get(n, 0.0) for n in SIZES},
        "SVM with today's defaults, 5000 images": svm_accuracy(
            job.data_dir, job.quick, 5000, "scale"
        ),
    }


@functools.cache
def svm_accuracy(data_dir: Path, quick: bool, n: int, gamma: str) -> float:
    from sklearn.svm import SVC

    (x, y), _, (x_test, y_test) = mnist(Job(0, data_dir, Path(), quick))
    machine = SVC(gamma=gamma).fit(x[:n].reshape(-1, 784), y[:n])
    return 100 * float((machine.predict(x_test.reshape(-1, 784)) == y_test).mean())
