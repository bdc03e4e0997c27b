"""What counts as right in a trainer's history, and where there is no accuracy."""

from __future__ import annotations

import numpy as np
import pytest
from trainers import CLASSES, DEVICE, TRAIN, VAL, make

import fastnn as fn
from fastnn import augment, nn
from fastnn.data import DataLoader, Dataset
from fastnn.nn import functional as F
from fastnn.optim import lr_scheduler
from fastnn.train import callbacks, evaluate, predict


class Examples(Dataset):
    """The same as the arrays, one by one."""

    def __init__(self, x, y):
        self.x, self.y = x, y

    def __len__(self):
        return len(self.x)

    def __getitem__(self, index):
        return [self.x[index], self.y[index]]


def plain():
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, CLASSES))


def one_output():
    return nn.Sequential(nn.Linear(6, 1))


def logarithms():
    return nn.Sequential(nn.Linear(6, CLASSES), nn.LogSoftmax(1))


def squared(outputs, y):
    return ((outputs[:, 0] - y) ** 2).mean()


def logistic(outputs, y):
    return F.binary_cross_entropy_with_logits(outputs[:, 0], y.to(fn.float32))


X, Y = TRAIN
SOME = np.where(np.arange(len(Y)) % 2, Y, -1)


@pytest.mark.parametrize(
    ("options", "targets", "counts"),
    [
        ({}, Y, True),
        ({"augment": lambda x, y: (x, 2 - y)}, Y, True),
        ({"augment": augment.MixUp(1.0, CLASSES)}, Y, False),
        ({"model": logarithms, "loss": nn.NLLLoss()}, Y, True),
        ({"model": one_output, "loss": squared}, Y.astype(np.float32), False),
        ({"loss": nn.CrossEntropyLoss(ignore_index=-1)}, SOME, True),
        ({"loss": nn.CrossEntropyLoss(ignore_index=0)}, Y, True),
    ],
    ids=["classes", "changed", "mixed", "logarithms", "regression", "ignored", "ignored class"],
)
def test_arrays_and_a_dataset_count_alike(options, targets, counts):
    rows = []
    for data in (X, targets), Examples(X, targets):
        loader = DataLoader(data, 8, shuffle=True, seed=3)
        rows.append(make(**({"model": plain} | options)).fit(loader, epochs=4)[-1])
    assert ("accuracy" in rows[0]) == ("accuracy" in rows[1]) == counts
    for name in ("loss", "accuracy") if counts else ("loss",):
        assert rows[0][name] == pytest.approx(rows[1][name], rel=1e-6)


def test_what_is_ignored_does_not_count():
    trainer = make(model=plain, loss=nn.CrossEntropyLoss(ignore_index=-1), lr=0.05)
    row = trainer.fit((X, SOME), (X, SOME), 40, batch_size=20, validate_every=2)[-1]
    outputs, labelled = trainer.predict(X), SOME >= 0
    assert row["val_accuracy"] == (outputs.argmax(1) == SOME)[labelled].mean() > 0.9
    assert 0.9 < row["accuracy"] <= 1


def test_a_class_that_is_ignored_does_not_count():
    trainer = make(model=plain, loss=nn.CrossEntropyLoss(ignore_index=1), lr=0.0)
    with fn.no_grad():
        trainer.model[2].bias.copy_(fn.tensor([0.0, 100.0, 0.0]))  # every answer is that class
    row = trainer.fit((X, Y), (X, Y), 1, batch_size=20)[-1]
    assert row["accuracy"] == row["val_accuracy"] == 0


def test_the_accuracy_of_the_last_row_is_of_its_batches():
    found = []
    for size in (20, len(X)):
        trainer = make(model=plain, loss=nn.CrossEntropyLoss(ignore_index=-1), lr=0.0)
        found.append(trainer.fit((X, SOME), epochs=1, batch_size=size)[-1]["accuracy"])
    assert found[0] == found[1] == pytest.approx(trainer.evaluate((X, SOME))["accuracy"])


@pytest.mark.parametrize("data", [(X, (Y > 0).astype(int)), (X, np.eye(CLASSES)[Y])])
def test_targets_that_are_no_classes_have_no_accuracy(data):
    binary = data[1].ndim == 1
    options = {"model": one_output, "loss": logistic} if binary else {"model": plain}
    trainer = make(**options)
    trainer.fit(data, data, 2)
    assert "val_accuracy" not in trainer.history[-1]
    assert "accuracy" not in trainer.evaluate(data)
    with pytest.raises(ValueError, match=r"\[EarlyStopping\] the history has no column 'val_acc"):
        make([callbacks.EarlyStopping("val_accuracy")], **options).fit(data, data)
    halving = make(scheduler=lr_scheduler.HalvingLR, **options)
    with pytest.raises(ValueError, match="HalvingLR with mode 'max' needs an accuracy"):
        halving.fit(data, data)
    assert halving.step == 0


def several(outputs, y):
    return F.cross_entropy(outputs.reshape(-1, 3), y.reshape(-1))


def test_targets_of_two_axes_have_no_accuracy():
    targets = np.stack([Y, Y], 1)
    for data in (X, targets), Examples(X, targets):
        model = {"model": lambda: nn.Sequential(nn.Linear(6, 6))}
        assert "accuracy" not in make(**model, loss=several).fit(DataLoader(data, 8))[-1]


def test_numbers_beside_whole_numbers_are_no_classes():
    def likelihood(outputs, y):  # of a normal distribution, its mean and standard deviation
        wrong = (outputs[:, 0] - y.to(fn.float32)) * (-outputs[:, 1]).exp()
        return (wrong * wrong / 2 + outputs[:, 1]).mean()

    trainer = make(model=lambda: nn.Sequential(nn.Linear(6, 2)), loss=likelihood)
    trainer.fit((X, Y.astype(np.float32)), (X, Y * 40), 1)
    assert trainer.step


def test_predicting_leaves_every_layer_in_its_mode():
    model = nn.Sequential(nn.Linear(6, CLASSES), nn.BatchNorm1d(CLASSES)).to(DEVICE)
    model.train()
    model[1].eval()
    predict(model, X)
    evaluate(model, *VAL)
    assert [m.training for m in model.modules()] == [True, True, False]


@pytest.mark.parametrize("change", [nn.Dropout(0.5), fn.tanh])
def test_layers_and_operations_change_inputs_too(change):
    trainer = make(model=plain, augment=change)
    assert len(trainer.fit(TRAIN, VAL, 2)) == 2
