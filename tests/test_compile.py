"""fn.compile: a replayed step does, bit for bit, what the function itself does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from devices import handed
from samples import FLOATS, normal
from steps import examples, mixed_net, mlp, same_bits, training_step

import fastnn as fn
from fastnn import nn, optim
from fastnn.nn import functional as F

# --- networks and losses ----------------------------------------------------------------------

NETWORKS: dict[str, tuple[tuple[int, ...], Callable[[], nn.Module]]] = {
    "relu": ((12,), mlp),
    "sigmoid": ((12,), lambda: mlp(nn.Sigmoid)),
    "tanh": ((12,), lambda: mlp(nn.Tanh)),
    "gelu": ((12,), lambda: mlp(nn.GELU)),
    "silu": ((12,), lambda: mlp(nn.SiLU)),
    "leaky_relu": ((12,), lambda: mlp(nn.LeakyReLU)),
    "batch_norm": (
        (12,),
        lambda: nn.Sequential(
            nn.Linear(12, 7, bias=False), nn.BatchNorm1d(7), nn.Tanh(), nn.Linear(7, 5)
        ),
    ),
    "conv2d": ((2, 6, 6), mixed_net),
    "conv1d": (
        (2, 9),
        lambda: nn.Sequential(
            nn.Conv1d(2, 4, 3, stride=2),
            nn.BatchNorm1d(4),
            nn.SiLU(),
            nn.Flatten(),
            nn.Linear(16, 5),
        ),
    ),
    "pools": (
        (2, 9, 9),
        lambda: nn.Sequential(
            nn.Conv2d(2, 4, 2, groups=2),
            nn.LPPool2d(2, 2),
            nn.AvgPool2d(2, stride=1, padding=1),
            nn.AdaptiveAvgPool2d(2),
            nn.Flatten(),
            nn.Linear(16, 5),
        ),
    ),
    "deep": ((12,), lambda: nn.Sequential(*(nn.Linear(12, 12) for _ in range(20)))),
}


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", NETWORKS)
def test_networks(name: str, dtype: str):
    shape, network = NETWORKS[name]

    def train(compile):
        model = network().to(dtype=getattr(fn, dtype))
        opt = optim.SGD(model.parameters(), lr=0.1)
        step = compile(training_step(model, opt))
        return [step(x, y) for x, y in examples(8, 7, *shape, dtype=dtype)], model.state_dict()

    same_bits(train, recordings=1)


def softmax(x: np.ndarray) -> np.ndarray:
    return np.exp(x) / np.exp(x).sum(1, keepdims=True)


def gaussian_nll(output, target):
    return F.gaussian_nll_loss(output[:, :2], target[:, :2], 1 + output[:, 2:4] ** 2)


WEIGHTS = handed(np.array([0.5, 1, 2, 0, 1]))
LOSSES: dict[str, tuple[Callable, Callable | None]] = {  # (loss, target of normal numbers (N, 5))
    "classes": (nn.CrossEntropyLoss(), None),
    "class weights": (nn.CrossEntropyLoss(weight=WEIGHTS), None),
    "smoothing": (nn.CrossEntropyLoss(label_smoothing=0.1), None),
    "smoothing, weights": (nn.CrossEntropyLoss(weight=WEIGHTS, label_smoothing=0.1), None),
    "ignored class": (nn.CrossEntropyLoss(ignore_index=2), None),
    "sum": (nn.CrossEntropyLoss(reduction="sum"), None),
    "none": (lambda x, t: nn.CrossEntropyLoss(reduction="none")(x, t).mean(), None),
    "probabilities": (nn.CrossEntropyLoss(weight=WEIGHTS), softmax),
    "nll": (lambda x, t: F.nll_loss(F.log_softmax(x, 1), t), None),
    "mse": (nn.MSELoss(), np.copy),
    "l1": (nn.L1Loss(), np.copy),
    "huber": (nn.HuberLoss(delta=0.7), np.copy),
    "smooth l1": (nn.SmoothL1Loss(), np.copy),
    "bce": (lambda x, t: F.binary_cross_entropy(F.sigmoid(x), t), softmax),
    "bce with logits": (nn.BCEWithLogitsLoss(pos_weight=WEIGHTS), lambda x: np.float64(x > 0)),
    "gaussian nll": (gaussian_nll, np.copy),
    "kl": (lambda x, t: F.kl_div(F.log_softmax(x, 1), t, "batchmean"), softmax),
    "several": (
        lambda x, t: F.cross_entropy(x, t) + 0.1 * (x**2).mean() - x.max(1)[0].mean(),
        None,
    ),
}


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", LOSSES)
def test_losses(name: str, dtype: str):
    loss, target = LOSSES[name]
    data = examples(8, 9, 12, dtype=dtype)
    if target is not None:
        data = [(x, target(normal(9, 5, seed=i)).astype(dtype)) for i, (x, _) in enumerate(data)]

    def train(compile):
        model = mlp().to(dtype=getattr(fn, dtype))
        step = compile(training_step(model, optim.SGD(model.parameters(), lr=0.1), loss))
        return [step(x, y) for x, y in data], model.state_dict()

    same_bits(train, recordings=1)


# --- whole steps ------------------------------------------------------------------------------


def test_a_network_and_its_adversary():
    def train(compile):
        maker, judge = mlp(), nn.Linear(5, 1)
        opts = [optim.Adam(maker.parameters()), optim.Adam(judge.parameters())]

        def step(z, real):
            fake = maker(z)
            opts[1].zero_grad()
            (F.sigmoid(judge(fake.detach())) - F.sigmoid(judge(real))).mean().backward()
            opts[1].step()
            opts[0].zero_grad()
            (-judge(fake).mean()).backward()
            opts[0].step()
            return fake

        step = compile(step)
        fakes = [step(x, x[:, :5].copy()) for x, _ in examples(6, 4, 12)]
        return fakes, maker.state_dict(), judge.state_dict()

    same_bits(train, recordings=2)


def test_a_loop_written_by_hand():
    def train(compile):
        w, mean = fn.randn(12, 5, requires_grad=True), fn.zeros(12, 5)

        def step(x, y):
            loss = F.cross_entropy(x @ w, y)
            loss.backward()
            with fn.no_grad():
                w.sub_(0.1 * w.grad)
                mean.mul_(0.9).add_(0.1 * w)
            w.grad = None
            return loss

        step = compile(step)
        return [step(x, y) for x, y in examples(8, 5, 12)], w, mean

    same_bits(train, recordings=1)


def test_gradients_changed_in_the_step():
    def train(compile):
        model = mlp()
        opt = optim.SGD(model.parameters(), lr=0.1)

        def step(x, y):
            opt.zero_grad()
            F.cross_entropy(model(x), y).backward()
            norm = sum((p.grad**2).sum() for p in model.parameters()) ** 0.5
            for p in model.parameters():
                p.grad = p.grad * (0.5 / norm).clip(max=1)
            opt.step()
            return norm

        step = compile(step)
        return [step(x, y) for x, y in examples(8, 5, 12)], model.state_dict()

    same_bits(train, recordings=1)


def test_evaluation():
    def train(compile):
        model = mixed_net().eval()

        @compile
        @fn.no_grad()
        def predict(x):
            output = model(x)
            return output.argmax(1), output

        return [predict(x) for x, _ in examples(5, 6, 2, 6, 6)]

    same_bits(train, recordings=1)


def test_gradient_of_the_argument():
    def train(compile):
        model = mlp().eval()

        @compile
        def saliency(x, y):
            x = x.detach().requires_grad_()
            F.cross_entropy(model(x), y).backward()
            model.zero_grad()
            return x.grad

        return [saliency(x, y) for x, y in examples(5, 4, 12)]

    same_bits(train, recordings=1)


def test_two_models_and_a_plan_each():
    def train(compile):
        models = [nn.Linear(12, 5), mixed_net()]
        steps = [compile(training_step(m, optim.Adam(m.parameters()))) for m in models]
        for (x, y), (u, v) in zip(examples(6, 5, 12), examples(6, 5, 2, 6, 6), strict=True):
            steps[0](x, y)
            steps[1](u, v)
        return [m.state_dict() for m in models]

    same_bits(train, recordings=4)


def test_a_plan_outlives_the_model_and_its_optimizer():
    def train(compile):
        model = nn.Linear(12, 5)
        step, weight = compile(training_step(model, optim.SGD(model.parameters()))), model.weight
        del model
        return [step(x, y) for x, y in examples(4, 5, 12)], weight

    same_bits(train, recordings=1)


def test_a_recorded_step_inside_another():
    inner = fn.compile(lambda x: x * 2)
    inner(fn.ones(3))
    outer = fn.compile(lambda x: inner(x + 1) + 0)
    assert [outer(fn.full((3,), value))[0].item() for value in (1.0, 2.0, 3.0)] == [4, 6, 8]
    assert inner(fn.ones(3))[0].item() == 2


class Holder:
    def __init__(self, factor: float) -> None:
        self.factor = factor

    @fn.compile
    def scaled(self, x: Any) -> Any:
        return x * self.factor


def test_a_method_is_a_step_of_each_object():
    two, three = Holder(2), Holder(3)
    for _ in range(3):
        assert two.scaled(fn.ones(2))[0].item() == 2
        assert three.scaled(fn.ones(2))[0].item() == 3
    assert two.scaled is two.scaled
    assert two.scaled is not three.scaled


# --- random numbers ---------------------------------------------------------------------------


def test_dropout_masks_differ_between_replays():
    step = fn.compile(lambda x: F.dropout(x, 0.5))
    masks = [step(fn.ones(64)).cpu().numpy().tobytes() for _ in range(5)]
    assert len(set(masks)) == 5


def test_random_numbers_are_those_of_the_function():
    def train(compile):
        step = compile(lambda x: (x + fn.randn(3), F.dropout(x), fn.rand(2), fn.empty(3).normal_()))
        x, results = fn.ones(3), []
        for i in range(6):
            if i == 3:
                fn.manual_seed(5)
            results.append((step(x), fn.rand(1)))
        return results

    same_bits(train, recordings=1)
