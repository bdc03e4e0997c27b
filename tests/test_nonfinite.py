"""A loss that is not finite: what the trainer says of it, and what it goes back to."""

from __future__ import annotations

import contextlib
import math
import pickle

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


class Spoil(callbacks.Callback):
    """An example becomes NaN behind the back of a trainer that has checked it."""

    def __init__(self, number, step=0, every=3):
        self.number, self.step, self.every = number, step, every

    def on_fit_start(self, trainer):
        self.on_step(trainer)

    def on_step(self, trainer):
        if trainer.step == self.step:
            feed = trainer._feed
            feed.arrays[0][self.number] = np.nan
            feed._resident[0].copy_(fn.from_numpy(feed.arrays[0]))  # on a GPU


def loader():
    """Of data that may be spoilt, in their own order."""
    return DataLoader((TRAIN[0].copy(), TRAIN[1]), 8)


@pytest.mark.parametrize("validate_every", [None, 3])
def test_means_go_on_once_the_data_are_mended(validate_every):
    fit = {"epochs": 1, "validate_every": validate_every}
    whole, mended, spoilt = make(), make(), make([Spoil(33)])
    whole.fit(DataLoader(TRAIN, 8), VAL, **fit)
    with pytest.raises(NonFiniteLossError, match="batch 4, first in the inputs"):
        spoilt.fit(loader(), VAL, **fit)
    state = spoilt.state_dict()
    assert state["since"]["examples"] == (8 if validate_every else 32)
    mended.fit(DataLoader(TRAIN, 8), VAL, **fit, resume=state)
    assert same(weights(mended.model), weights(whole.model))
    assert mended.history["loss"] == pytest.approx(whole.history["loss"])


def test_a_schedule_by_epochs_steps_once_though_an_epoch_begins_twice():
    def start(*callback):
        return make(callback, optimizer=optim.SGD, lr=0.1, scheduler=halving)

    def halving(opt):
        return lr_scheduler.StepLR(opt, 1, 0.5)

    whole, mended, spoilt = start(), start(), start(Spoil(3, step=14, every=7))
    whole.fit(DataLoader(TRAIN, 8), VAL, 4)
    with pytest.raises(NonFiniteLossError, match="epoch 3, batch 0"):
        spoilt.fit(loader(), VAL, 4)
    mended.fit(DataLoader(TRAIN, 8), VAL, 4, resume=spoilt.state_dict())
    assert mended.history["lr"] == whole.history["lr"] == [0.1, 0.05, 0.025, 0.0125]
    assert same(weights(mended.model), weights(whole.model))


def shrink(trainer):
    with fn.no_grad():
        for p in trainer.model.parameters():
            p *= 0.9


def test_it_goes_back_past_weights_that_callbacks_have_changed():
    def train(*more, **fit):
        trainer = make([At(dict.fromkeys(range(1, 9), shrink)), *more], optimizer=optim.SGD)
        with contextlib.suppress(NonFiniteLossError):
            trainer.fit(loader(), epochs=1, **fit)
        return weights(trainer.model)

    assert same(train(Spoil(33)), train(max_steps=4))


def test_the_error_can_go_to_another_process():
    error = NonFiniteLossError(math.inf, 2, 3, "layer 0 (Linear)", 0.1, 3)
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.at, again.layer) == (str(error), 3, "layer 0 (Linear)")
