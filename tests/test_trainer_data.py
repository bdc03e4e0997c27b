"""Data that a trainer refuses, before any work, and data that it takes."""

from __future__ import annotations

import math

import numpy as np
import pytest
from trainers import CLASSES, DEVICE, TRAIN, VAL, make, same, weights

import fastnn as fn
from fastnn import augment, nn
from fastnn.data import DataLoader


def bad(x: int | None = None, value: float = math.nan, y: int | None = None, label: int = 7):
    inputs, labels = TRAIN[0].copy(), TRAIN[1].copy()
    if x is not None:
        inputs[x, 2] = value
    if y is not None:
        labels[y] = label
    return inputs, labels


@pytest.mark.parametrize(
    ("train", "validation", "message"),
    [
        ((TRAIN[0][:0], TRAIN[1][:0]), VAL, r"train is empty: shapes \(0, 6\), \(0,\)"),
        (TRAIN, (VAL[0][:0], VAL[1][:0]), "val is empty"),
        ((TRAIN[0], TRAIN[1][:-1]), VAL, r"train inputs and targets must have one length; got"),
        (bad(x=4), VAL, "train inputs must be finite; 1 of 50 examples .* first is number 4"),
        (bad(x=9, value=math.inf), VAL, "train inputs must be finite; .* first is number 9"),
        (TRAIN, {"test": bad(x=1)}, "test inputs must be finite"),
        (bad(y=3), VAL, "train labels must be in 0..2; 1 of 50 are not, the first is 7 of exam"),
        (bad(y=3, label=-1), VAL, "train labels must be in 0..2; .* -1 of example 3"),
        ((TRAIN[0][:2], TRAIN[1][:2]), VAL, "train has no example of class 2, which val has"),
        (TRAIN, (VAL[0][:1], VAL[1][:1]), "val has no example of class 1, 2, which train has"),
    ],
)
def test_data_that_cannot_be_trained_on(train, validation, message):
    trainer = make()
    before = weights(trainer.model)
    with pytest.raises(ValueError, match=rf"\[fit\] {message}"):
        trainer.fit(train, validation, 1)
    assert same(weights(trainer.model), before)
    assert trainer.history == []


def test_data_without_a_batch_or_of_wrong_parts():
    for train, message in [
        (DataLoader(TRAIN, 64, drop_last=True), "train has no whole batch: 50 examples, batch_si"),
        (DataLoader((*TRAIN, TRAIN[1]), 8), "train must be inputs and targets; got 3 arrays"),
    ]:
        with pytest.raises(ValueError, match=rf"\[fit\] {message}"):
            make().fit(train, VAL, 1)
    with pytest.raises(ValueError, match=r"\[fit\] a set to validate on cannot be named 'train'"):
        make().fit(TRAIN, {"train": VAL}, 1)


def test_classes_may_differ_where_that_is_said():
    make().fit((TRAIN[0][::3], TRAIN[1][::3]), VAL, 1, check_classes=False)


def test_inputs_that_the_model_does_not_take_are_found_before_training():
    with pytest.raises(ValueError, match=r"\[linear\]"):
        make().fit(TRAIN, (VAL[0][:, :5], VAL[1]), 1)


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ((VAL[0][:, :5], VAL[1]), r"other does not suit .*\(20, 5\) and \(20,\): \[linear\]"),
        ((VAL[0], VAL[1].astype(np.float32)), r"other does not suit .*: \[cross_entropy\]"),
        ((VAL[0], VAL[1] + 1), r"other labels must be in 0..2"),
    ],
)
def test_each_part_is_tried_before_training(part, message):
    trainer = make()
    with pytest.raises(ValueError, match=rf"\[fit\] {message}"):
        trainer.fit(TRAIN, {"val": VAL, "other": part}, 1)
    with pytest.raises(ValueError, match=r"\[fit\] train labels must be in 0\.\.2; .* first is 7"):
        trainer.fit(bad(y=3), {"other": (VAL[0], VAL[1].astype(np.float32))}, 1)
    assert trainer.step == 0


def test_regression_is_tried_too():
    trainer = make(loss=nn.MSELoss())
    with pytest.raises(ValueError, match=r"\[fit\] train does not suit .* \[mse_loss\]"):
        trainer.fit((TRAIN[0], TRAIN[0]), epochs=1)


class Several(nn.Sequential):
    def forward(self, x):
        return super().forward(x), x


def test_a_model_with_several_outputs():
    trainer = make(model=lambda: Several(nn.Linear(6, CLASSES)))
    with pytest.raises(TypeError, match=r"\[predict\] the model must return a Tensor; got tuple"):
        trainer.fit(TRAIN, VAL, 1)


def test_training_alone_may_have_any_outputs():
    def loss(outputs, x):
        return ((outputs[0] - x) ** 2).mean()

    trainer = make(model=lambda: Several(nn.Linear(6, 6)), loss=loss)
    assert trainer.fit((TRAIN[0], TRAIN[0]), epochs=2)[-1]["loss"] < 10


def test_a_loss_may_need_whole_batches():
    def loss(outputs, y):
        return nn.functional.cross_entropy(outputs, y, reduction="none").reshape(5, -1).mean()

    make(loss=loss).fit(TRAIN, (TRAIN[0][:25], TRAIN[1][:25]), 1, batch_size=25)


@pytest.mark.parametrize("y", [TRAIN[1], TRAIN[0][:, :3]])
def test_a_loss_must_be_one_number(y):
    def each(outputs, targets):
        return outputs.sum(1)

    trainer = make(loss=each)
    with pytest.raises(TypeError, match=r"\[fit\] train .* tensor of one number; got \(32,\)"):
        trainer.fit((TRAIN[0], y), epochs=1)
    with pytest.raises(TypeError, match=r"\[fit\] train .* tensor of one number; got float"):
        make(loss=lambda outputs, targets: 1.0).fit((TRAIN[0], y), epochs=1)


def test_class_numbers_for_one_output_are_tried_too():
    trainer = make(model=lambda: nn.Sequential(nn.Linear(6, 1)), loss=nn.MSELoss())
    with pytest.raises(ValueError, match=r"\[fit\] train does not suit .* \[mse_loss\]"):
        trainer.fit(TRAIN, epochs=1)


def image_network():
    return nn.Sequential(nn.Flatten(), nn.Linear(49, CLASSES))


def test_augmentation_may_change_the_shape_of_images():
    images = np.zeros((30, 1, 8, 8), np.float32)
    labels = np.arange(30) % CLASSES
    trainer = make(model=image_network, augment=augment.RandomCrop(7))
    before = fn.get_rng_state()
    trainer.check(trainer.make_feed((images, labels), 10), {}, True)
    assert fn.get_rng_state() == before
    row = trainer.fit((images, labels), (images[:, :, 1:, 1:], labels), 1, batch_size=10)[-1]
    assert {"accuracy", "val_accuracy"} <= row.keys()


def test_augmentation_may_give_other_labels():
    coarser = fn.tensor([0, 0, 1, 1, 2, 2], device=DEVICE)

    def halved(x, y):
        return x, coarser[y]

    x, y = TRAIN[0], np.arange(len(TRAIN[0])) % (2 * CLASSES)
    row = make(augment=halved).fit((x, y), VAL, 1)[-1]
    assert 0 < row["accuracy"] <= 1
    with pytest.raises(ValueError, match=r"\[fit\] train .* target 3 is out of range for 3"):
        make(augment=augment.MixUp(1.0, CLASSES)).fit((x, y), VAL, 1)
    with pytest.raises(ValueError, match=r"train labels must be in 0\.\.2; .* first is 7"):
        make(augment=lambda x, y: (x, y)).fit(bad(y=33), VAL, 1)
    with pytest.raises(ValueError, match="train has no example of class 2, which val has"):
        make(augment=lambda x, y: (x, y)).fit((x[:2], y[:2]), VAL, 1)
