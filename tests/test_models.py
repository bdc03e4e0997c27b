"""The standard networks."""

from __future__ import annotations

import pytest

import fastnn as fn
from fastnn.train import MODELS


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
