"""A loss that has parameters of its own: saved, resumed and restored with the model."""

from __future__ import annotations

import pytest
from trainers import DEVICE, TRAIN, VAL, make, same, weights

import fastnn as fn
from fastnn import nn, optim
from fastnn.train import callbacks, lr_find

pytest.importorskip("safetensors")


class Temperature(nn.Module):
    """A loss with a parameter of its own."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(fn.ones(1, device=DEVICE))

    def forward(self, outputs, targets):
        return nn.functional.cross_entropy(outputs * self.scale, targets)


def test_a_loss_that_learns_is_part_of_the_state(tmp_path):
    def start():
        loss = Temperature()
        return make(
            [callbacks.Checkpoint(tmp_path)],
            loss=loss,
            optimizer=lambda p, lr: optim.SGD([*p, *loss.parameters()], lr=lr),
            lr=0.1,
        )

    whole, half, rest = start(), start(), start()
    whole.fit(TRAIN, VAL, 2, batch_size=8)
    half.fit(TRAIN, VAL, 2, batch_size=8, max_steps=9)
    scale = half.loss.scale.item()
    lr_find(half, TRAIN, steps=10)
    assert half.loss.scale.item() == scale != 1
    rest.fit(TRAIN, VAL, 2, batch_size=8, resume=tmp_path / "last.safetensors")
    assert rest.loss.scale.item() == whole.loss.scale.item()
    assert same(weights(rest.model), weights(whole.model))


def test_the_best_weights_of_a_loss_that_learns_come_back():
    loss, stop = Temperature(), callbacks.EarlyStopping(patience=50)
    trainer = make(
        [stop],
        loss=loss,
        optimizer=lambda p, lr: optim.SGD([*p, *loss.parameters()], lr=lr),
        lr=1.0,
    )
    history = trainer.fit(TRAIN, VAL, 20)
    assert stop.best == min(history["val_loss"]) < history["val_loss"][-1]
    assert trainer.evaluate(VAL)["loss"] == pytest.approx(stop.best, rel=1e-6)
