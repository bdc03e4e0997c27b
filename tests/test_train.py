"""The parts that training is made of: models, loop, progress bar."""

from __future__ import annotations

import sys
from io import StringIO

import numpy as np
import pytest

import fastnn as fn
from fastnn import data
from fastnn.train import MODELS, evaluate, fit, job


@pytest.mark.parametrize(
    ("name", "shape", "hidden", "parameters"),
    [
        ("mlp", (1, 28, 28), (30,), 23_860),
        ("mlp", (1, 40), (100, 100), 15_210),
        ("lenet", (1, 28, 28), (120, 84), 61_706),
        ("lenet", (3, 32, 32), (120, 84), 62_006),
        ("lenet", (1, 8, 8), (20,), 4_082),
        ("cnn", (1, 8, 8), (100,), 24_670),
        ("cnn", (3, 33, 21), (5,), 15_985),
        ("cnn", (1, 40), (100,), 17_710),
    ],
)
def test_models_fit_their_input_shape(name, shape, hidden, parameters):
    model = MODELS[name](shape, 10, hidden)
    assert tuple(model(fn.zeros((2, *shape))).shape) == (2, 10)
    assert sum(p.numel() for p in model.parameters()) == parameters


@pytest.mark.parametrize(("name", "shape"), [("cnn", (1, 3, 8)), ("lenet", (1, 40))])
def test_models_refuse_shapes_too_small(name, shape):
    with pytest.raises(ValueError, match=rf"\[{name}\] input_shape .* got \({shape[0]}, "):
        MODELS[name](shape, 10)


def test_the_bar_is_drawn_on_a_terminal_only(monkeypatch):
    pytest.importorskip("tqdm")
    drawn = []
    for terminal in (True, False):
        stream = StringIO()
        stream.isatty = lambda terminal=terminal: terminal
        monkeypatch.setattr(sys, "stderr", stream)
        assert list(job._bar(range(3))) == [0, 1, 2]
        drawn.append("0/3" in stream.getvalue())
    assert drawn == [True, False]


def test_fit_follows_the_schedule_and_keeps_the_history_so_far():
    x, y, device = np.eye(4, dtype=np.float32), np.arange(4), str(fn.get_default_device())
    model = fn.nn.Sequential(fn.nn.Linear(4, 4))
    optimizer = fn.optim.SGD(model.parameters(), lr=0.5)
    rates, lengths = [], []

    def schedule(done):
        rates.append(done)
        return 1 - done

    history = fit(
        model,
        optimizer,
        data.DataLoader((x, y), 2),
        (x, y),
        3,
        device=device,
        schedule=schedule,
        on_epoch=lambda history: lengths.append(len(history)),
    )
    assert rates == pytest.approx(np.arange(6) / 6)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.5 / 6)
    assert lengths == [1, 2, 3]
    assert history[2]["val_loss"] < history[0]["val_loss"]
    assert (history[2]["val_loss"], history[2]["val_accuracy"]) == evaluate(model, x, y, device)
