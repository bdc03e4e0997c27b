"""Compiled steps on a GPU."""

from __future__ import annotations

import numpy as np
import pytest
from cuda_run import NEEDS_GPU

import fastnn as fn
from fastnn import nn, optim
from fastnn.data import DataLoader, TensorDataset
from fastnn.train import Trainer

pytestmark = NEEDS_GPU


def network(device: str, dropout: float = 0.0) -> nn.Sequential:
    fn.manual_seed(5)
    layers = [nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3)]
    if dropout:
        layers.insert(2, nn.Dropout(dropout))
    return nn.Sequential(*layers).to(device)


def training_step(model: nn.Module, opt: optim.Optimizer):
    loss_fn = nn.CrossEntropyLoss()

    def step(x: fn.Tensor, y: fn.Tensor) -> fn.Tensor:
        loss = loss_fn(model(x), y)
        opt.zero_grad()
        loss.backward()
        opt.step()
        return loss

    return step


def data(device: str, n: int = 20) -> tuple[fn.Tensor, fn.Tensor]:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((n, 6)).astype(np.float32)
    return fn.from_numpy(x).to(device), fn.from_numpy(rng.integers(0, 3, n)).to(device)


def weights(model: nn.Module) -> list[list[float]]:
    return [p.detach().cpu().numpy().ravel().tolist() for p in model.parameters()]


@pytest.mark.parametrize("make", [optim.SGD, optim.Adam])
@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_a_replay_is_the_step(make: type, dropout: float) -> None:
    results = []
    for compiled in (False, True):
        model = network("cuda", dropout)
        step = training_step(model, make(model.parameters(), lr=0.1))
        step = fn.compile(step) if compiled else step
        x, y = data("cuda")
        fn.manual_seed(9)
        losses = [step(x, y).item() for _ in range(4)]
        results.append((losses, weights(model)))
    assert results[0] == results[1]


def test_an_epoch_is_that_of_the_cpu() -> None:
    seen = {}
    for device in ("cpu", "cuda"):
        model = network(device)
        step = fn.compile(training_step(model, optim.SGD(model.parameters(), lr=0.1)))
        result = [step.run_epoch(*data(device), batch_size=8, seed=e) for e in range(2)]
        seen[device] = [(r.loss, r.accuracy, r.steps) for r in result], weights(model)
    for here, there in zip(seen["cpu"][0], seen["cuda"][0], strict=True):
        assert here[0] == pytest.approx(there[0], rel=1e-5)
        assert here[1:] == there[1:]
    for here, there in zip(seen["cpu"][1], seen["cuda"][1], strict=True):
        np.testing.assert_allclose(here, there, rtol=1e-4, atol=1e-6)


def test_another_device_records_anew() -> None:
    double = fn.compile(lambda x: x * 2 + 1)
    for device in ("cpu", "cuda", "cpu", "cuda"):
        y = double(fn.tensor([1.0, 2.0], device=device))
        assert y.device == device
        assert y.tolist() == [3, 5]


def test_bad_labels_in_a_replay() -> None:
    model = network("cuda")
    step = fn.compile(training_step(model, optim.SGD(model.parameters(), lr=0.1)))
    x, y = data("cuda")
    step(x, y)
    step(x, y)
    y[3] = 7
    with pytest.raises(IndexError, match="target 7 is out of range for 3 classes"):
        step(x, y)
    y[3] = 0
    assert np.isfinite(step(x, y).item())


def test_what_a_step_on_a_gpu_cannot_do() -> None:
    x = fn.ones(3, device="cuda")
    with pytest.raises(
        RuntimeError, match=r"\[compile\] cpu\(\): the values of a tensor is not known"
    ):
        fn.compile(lambda x: x.cpu())(x)
    with pytest.raises(RuntimeError, match="item"):
        fn.compile(lambda x: x * x.sum().item())(x)
    with pytest.raises(ValueError, match="expected all arguments on one device"):
        fn.compile(lambda x, y: x)(x, fn.ones(3, device="cpu"))
    here = fn.compile(lambda x: (x * 1).sum())
    here(fn.ones(2, 3, device="cpu"))
    with pytest.raises(ValueError, match="the step was recorded on cpu; got data on cuda:0"):
        here._last.run_epoch([fn.ones(4, 3, device="cuda")], None, 4, 2, 0, None, None)


def test_constants_and_profile() -> None:
    step = fn.compile(lambda x: x[[1, 0]] + fn.arange(2, device="cuda").float() * 0.5)
    x = fn.tensor([3.0, 4.0], device="cuda")
    for _ in range(3):
        assert step(x).tolist() == [4, 3.5]
    assert "gather_rows" in step.profile(x, repeats=2)


@pytest.mark.parametrize("arrays", [True, False], ids=["resident", "batch by batch"])
def test_a_trainer_trains_where_it_is_told(arrays: bool) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((30, 6)).astype(np.float32), rng.integers(0, 3, 30)
    histories = []
    for device in ("cpu", "cuda"):
        model = network(device)
        opt = optim.SGD(model.parameters(), lr=0.1)
        dataset = TensorDataset(x, y) if arrays else Plain(x, y)
        loader = DataLoader(dataset, batch_size=8, shuffle=True, seed=0)
        trainer = Trainer(model, nn.CrossEntropyLoss(), opt, device=device)
        histories.append(trainer.fit(loader, (x, y), 2))
        assert model[0].weight.device == device
    for here, there in zip(*histories, strict=True):
        for key in ("loss", "accuracy", "val_loss", "val_accuracy"):
            assert here[key] == pytest.approx(there[key], rel=1e-5)


class Plain(TensorDataset):
    """No arrays to be put on a GPU beforehand, as far as the trainer knows."""
