"""A loss that is not finite: what the trainer says of it, and what it goes back to."""

from __future__ import annotations

import math

import numpy as np
import pytest
from trainers import CLASSES, TRAIN, VAL, N, make, same, weights

import fastnn as fn
from fastnn import nn, optim
from fastnn.data import DataLoader, Dataset
from fastnn.nn import functional as F
from fastnn.optim import lr_scheduler
from fastnn.train import NonFiniteLossError, callbacks


@pytest.mark.parametrize("batch", [0, 3, 6])
def test_a_loss_that_is_not_finite_names_epoch_batch_and_layer(batch):
    def make_bad(fatal):
        return make(
            model=lambda: nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, CLASSES)),
            optimizer=optim.SGD,
            scheduler=lambda o: lr_scheduler.LambdaLR(
                o, lambda t: 1e38 if fatal and t == 6 + batch else 1
            ),
            scheduler_interval="step",
        )

    trainer, sound = make_bad(True), make_bad(False)
    with pytest.raises(NonFiniteLossError) as raised:
        trainer.fit(TRAIN, VAL, 3, batch_size=8)
    error = raised.value
    assert (error.epoch, error.batch) == (2, batch)
    assert error.layer in ("layer 0 (Linear)", "layer 2 (Linear)")
    assert str(error).startswith(f"[fit] the loss is nan in epoch 2, batch {batch}, first in layer")
    # The model is as before the step that failed: with the weights that the step before has ruined.
    assert trainer.step == 7 + batch
    sound.fit(TRAIN, VAL, 3, batch_size=8, max_steps=6 + batch)
    assert not same(weights(trainer.model), weights(sound.model))
    assert not all(np.isnan(w).any() for w in weights(trainer.model).values())


class Spoilt(Dataset):
    def __len__(self):
        return N

    def __getitem__(self, index):
        x, y = TRAIN[0][index], TRAIN[1][index]
        return (x * np.float32(math.nan), y) if index == 20 else (x, y)


class Overflowing(nn.Sequential):
    def forward(self, x):
        return super().forward(x) * 1e38 * 1e38


def test_data_and_operations_may_be_what_is_not_finite():
    with pytest.raises(NonFiniteLossError, match="batch 2, first in the inputs; the model is as"):
        make().fit(DataLoader(Spoilt(), 8), None, 1)
    overflowing = make(model=lambda: Overflowing(nn.Linear(6, CLASSES)))
    overflowing.augment = None
    with pytest.raises(NonFiniteLossError, match="the model's own operations"):
        overflowing.fit(TRAIN, None, 1)


def test_a_loss_may_itself_be_what_is_not_finite():
    trainer = make(loss=lambda outputs, y: F.cross_entropy(outputs, y) / (outputs * 0).sum())
    with pytest.raises(NonFiniteLossError, match="epoch 1, batch 0, first in the loss"):
        trainer.fit(TRAIN, VAL, 3, batch_size=8)


class At(callbacks.Callback):
    """Calls a function after some steps."""

    every = 1

    def __init__(self, calls):
        self.calls = calls

    def on_step(self, trainer):
        if trainer.step in self.calls:
            self.calls[trainer.step](trainer)


def to_rate(lr):
    def change(trainer):
        trainer.optimizer.param_groups[0]["lr"] = lr

    return change


def test_it_goes_back_past_what_callbacks_have_changed():
    def train(calls, **fit):
        trainer = make([At(calls)], lr=0.01, optimizer=optim.SGD)
        try:
            trainer.fit(TRAIN, VAL, 1, batch_size=4, **fit)
        except NonFiniteLossError as error:
            return trainer, error
        return trainer, None

    calls = {3: to_rate(1e-3), 5: lambda t: fn.rand(3), 8: to_rate(1e38)}
    trainer, error = train(calls)
    sound, _ = train(calls, max_steps=error.batch)
    assert error.batch > 8
    assert "first in layer" in str(error)
    assert "try a learning rate below 1e+38" in str(error)
    assert str(error).endswith("; the model is as before it")
    assert trainer.step == sound.step == error.batch
    for key, w in weights(trainer.model).items():
        np.testing.assert_array_equal(w, weights(sound.model)[key])


class Drawn(Dataset):
    """Good the first time that an example is read, and from then on."""

    def __init__(self):
        self.reads = 0

    def __len__(self):
        return N

    def __getitem__(self, index):
        self.reads += 1
        return TRAIN[0][index] * (np.float32(np.nan) if self.reads == 20 else 1), TRAIN[1][index]


def test_steps_that_do_not_repeat_are_said_to():
    trainer, sound = make(), make()
    with pytest.raises(NonFiniteLossError) as raised:
        trainer.fit(DataLoader(Drawn(), 8), epochs=1)
    assert raised.value.layer is None
    assert str(raised.value).endswith("as before batch 0: the steps after it do not repeat")
    assert trainer.step == 0
    assert same(weights(trainer.model), weights(sound.model))


def test_means_go_on_once_the_data_are_mended():
    spoilt = TRAIN[0].copy()
    mended, whole = make(), make()
    feed = DataLoader((spoilt, TRAIN[1]), 8)
    whole.fit(DataLoader(TRAIN, 8), VAL, 1)

    class Spoil(callbacks.Callback):
        def on_fit_start(self, trainer):
            feed.dataset.arrays[0][33] = np.nan
            trainer._feed._resident[0].copy_(fn.from_numpy(feed.dataset.arrays[0]))

    spoil = make([Spoil()])
    with pytest.raises(NonFiniteLossError, match="batch 4, first in the inputs"):
        spoil.fit(feed, VAL, 1)
    mended.fit(DataLoader(TRAIN, 8), VAL, 1, resume=spoil.state_dict())
    assert same(weights(mended.model), weights(whole.model))
    assert mended.history[0]["loss"] == pytest.approx(whole.history[0]["loss"])
