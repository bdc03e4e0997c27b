"""CompiledStep.run_epoch: an epoch in C++ is the loop over a DataLoader."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from devices import handed, place
from samples import FLOATS
from steps import examples, flat, mixed_net, training_step

import fastnn as fn
from fastnn import nn, optim
from fastnn.compile import CompiledStep
from fastnn.data import DataLoader
from fastnn.nn import functional as F

DEVICE = fn.get_default_device()
N = 37
X, Y = examples(1, N, 12)[0]
GIVEN_X, GIVEN_Y = handed(X), handed(Y)


def mlp(activation: type[nn.Module] = nn.Tanh) -> nn.Sequential:
    return nn.Sequential(nn.Linear(12, 16), activation(), nn.Dropout(0.2), nn.Linear(16, 5))


def counting_step(model: Any, opt: Any, loss: Callable = F.cross_entropy) -> Callable:
    """A step that returns its loss and, to count the right answers, its outputs."""

    def step(x, y):
        opt.zero_grad()
        output = model(x)
        value = loss(output, y)
        value.backward()
        opt.step()
        return value, output

    return step


def by_loader(step: Callable, loader: DataLoader) -> tuple[float, float, list[float]]:
    """Mean loss, accuracy and the losses of an epoch, in Python."""
    total, correct, rows, losses = 0.0, 0, 0, []
    for batch in loader:
        x, y = (t.to(DEVICE) for t in batch)
        loss, output = step(x, y)
        losses.append(loss.item())
        total += losses[-1] * len(y)
        correct += int((output.detach().argmax(1) == y).sum().item())
        rows += len(y)
    return total / max(rows, 1), correct / max(rows, 1), losses


def both_ways(
    make: Callable[[], nn.Module],
    x: Any,
    y: Any,
    batch_size: int,
    *,
    kind: type = optim.SGD,
    epochs: int = 2,
    shuffle: bool = True,
    seed: int | None = 5,
    drop_last: bool = False,
) -> None:
    """Asserts that epochs by run_epoch and by a loader have the same bits and the same means."""
    ends, means = [], []
    for compiled in (False, True):
        fn.manual_seed(0)
        model = make()
        opt = kind(model.parameters(), lr=0.1)
        step = counting_step(model, opt)
        if compiled:
            step = fn.compile(step)
        loader = DataLoader((x, y), batch_size, shuffle, drop_last, seed)
        for epoch in range(epochs):
            numbers: list[int] = []
            losses: list[float] = []
            if compiled:
                order = {"shuffle": shuffle, "seed": None if seed is None else (seed, epoch)}
                got = step.run_epoch(
                    handed(x),
                    handed(y),
                    batch_size,
                    **order,
                    drop_last=drop_last,
                    on_step=lambda i, loss, to=(numbers, losses): (
                        to[0].append(i),
                        to[1].append(loss),
                    ),
                )
                assert numbers == list(range(len(loader)))
                assert got.steps == len(loader)
                means.append((got.loss, got.accuracy, losses))
            else:
                means.append(by_loader(step, loader))
        ends.append(dict(flat((model.state_dict(), opt.state_dict(), fn.rand(2)))))
    eager, compiled = ends
    assert not [path for path in eager if compiled[path] != eager[path]]
    for (loss, accuracy, losses), got in zip(means[:epochs], means[epochs:], strict=True):
        assert got[0] == pytest.approx(loss, rel=1e-6)
        assert got[1] == (accuracy if losses else None)
        assert got[2] == losses


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("drop_last", [True, False])
@pytest.mark.parametrize("batch_size", [1, 8, 36, 37, 50])
def test_an_epoch_is_the_loop(batch_size: int, drop_last: bool, shuffle: bool):
    both_ways(mlp, X, Y, batch_size, drop_last=drop_last, shuffle=shuffle)


@pytest.mark.parametrize("kind", [optim.SGD, optim.Adam])
def test_networks_with_state(kind: type):
    x, y = examples(1, 29, 2, 6, 6)[0]
    both_ways(mixed_net, x, y, 6, kind=kind, epochs=4)


@pytest.mark.parametrize(
    ("x", "y"),
    [
        (X.astype(np.float64), Y),
        (np.abs(50 * X).astype(np.uint8), Y),
        (X, Y.astype(np.int32)),
        (X, Y.astype(np.uint8)),
        (X.T.copy().T, Y),
        (X[::-1], Y[::-1]),
        (np.hstack([X, X])[:, ::2], Y),
        (np.broadcast_to(X[:1], X.shape), Y),
    ],
    ids=[
        "float64",
        "uint8",
        "int32 labels",
        "uint8 labels",
        "transposed",
        "backwards",
        "strided",
        "broadcast",
    ],
)
def test_kinds_of_arrays(x: Any, y: Any):
    both_ways(mlp, x, y, 8)


@pytest.mark.parametrize("dtype", FLOATS)
def test_dtypes(dtype: str):
    both_ways(lambda: mlp().to(dtype=getattr(fn, dtype)), X.astype(dtype), Y, 8)


def trained(run: Callable[[CompiledStep], Any], compiled: bool = True) -> list[bytes]:
    """The bits of a linear model's parameters after `run(step)`."""
    fn.manual_seed(1)
    model = nn.Linear(12, 5)
    step = training_step(model, optim.SGD(model.parameters(), lr=0.1))
    run(fn.compile(step) if compiled else step)
    return [p.detach().cpu().numpy().tobytes() for p in model.parameters()]


def test_tensors_train_as_arrays_do():
    ends = [
        trained(lambda step, x=x, y=y: step.run_epoch(x, y, 8, seed=3))
        for x, y in ((GIVEN_X, GIVEN_Y), (place(X), place(Y)), (place(X), GIVEN_Y))
    ]
    assert ends[0] == ends[1] == ends[2]


def test_the_order_depends_on_the_seed_alone():
    def end(**order: Any) -> list[bytes]:
        return trained(lambda step: step.run_epoch(GIVEN_X, GIVEN_Y, 8, **order))

    assert end(seed=3) == end(seed=3) == end(seed=(3, 0))
    assert end() == end(seed=1)  # that of manual_seed
    assert len({tuple(end(seed=s)) for s in (3, 4, (3, 1), (3, 2))}) == 4
    assert end(shuffle=False, seed=3) == end(shuffle=False, seed=4)


def test_inputs_alone():
    fn.manual_seed(0)
    ends = []
    for compiled in (False, True):
        fn.manual_seed(0)
        model = nn.Sequential(nn.Linear(12, 4), nn.Tanh(), nn.Linear(4, 12))
        opt = optim.Adam(model.parameters())

        def step(x, model=model, opt=opt):
            opt.zero_grad()
            loss = F.mse_loss(model(x), x)
            loss.backward()
            opt.step()
            return loss

        if compiled:
            result = fn.compile(step).run_epoch(GIVEN_X, None, 8, seed=2)
            assert (result.accuracy, result.steps) == (None, 5)
        else:
            for (x,) in DataLoader((X,), 8, True, seed=2):
                step(x.to(DEVICE))
        ends.append([p.detach().cpu().numpy().tobytes() for p in model.parameters()])
    assert ends[0] == ends[1]


@pytest.mark.parametrize(
    ("loss", "y", "counts"),
    [
        (F.mse_loss, X[:, :5], False),
        (F.cross_entropy, np.abs(X[:, :5]), False),
        (lambda x, y: F.cross_entropy(x, y, label_smoothing=0.1), Y, True),
        (lambda x, y: F.cross_entropy(x, y) + (x**2).mean(), Y, True),
    ],
    ids=["mse", "probabilities", "smoothing", "penalty"],
)
def test_accuracy_is_for_losses_of_classes(loss: Callable, y: Any, counts: bool):
    model = mlp()
    step = counting_step(model, optim.SGD(model.parameters(), lr=0.1), loss)
    for _ in range(2):
        accuracy = fn.compile(step).run_epoch(GIVEN_X, handed(y), 8).accuracy
        assert (accuracy is not None) == counts
        assert accuracy is None or 0 <= accuracy <= 1


@pytest.mark.parametrize("batch_size", [8, 37, 50])
def test_calls_before_an_epoch_do_not_count(batch_size: int):
    y = handed(np.zeros_like(Y))
    model = nn.Linear(12, 5)
    step = fn.compile(training_step(model, optim.SGD(model.parameters(), lr=0.1)))
    for _ in range(50):
        step(GIVEN_X, y)
        step(GIVEN_X[: N % batch_size], y[: N % batch_size])
    assert step.run_epoch(GIVEN_X, y, batch_size).accuracy == 1


def test_ignored_labels_are_not_right():
    y = np.where(np.arange(N) % 2, Y, -100)
    model = nn.Linear(12, 5)
    step = fn.compile(training_step(model, optim.SGD(model.parameters(), lr=0.0)))
    right = (model(place(X)).detach().cpu().numpy().argmax(1) == y).sum()
    for _ in range(2):
        assert step.run_epoch(GIVEN_X, handed(y), N, shuffle=False).accuracy == pytest.approx(
            right / N
        )


@pytest.mark.parametrize(
    "x",
    [X[:32], X[:32, None], X[:32].reshape(32, 12, 1, 1), X.T.copy().T[:32]],
    ids=["contiguous", "new axis", "reshaped", "transposed"],
)
@pytest.mark.parametrize("shuffle", [True, False])
def test_batches_run_from_c(monkeypatch: pytest.MonkeyPatch, x: Any, shuffle: bool):
    calls, call = [], CompiledStep.__call__
    monkeypatch.setattr(CompiledStep, "__call__", lambda *args: calls.append(1) or call(*args))
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 5))
    step = fn.compile(training_step(model, optim.Adam(model.parameters())))
    for _ in range(3):
        assert step.run_epoch(handed(x), GIVEN_Y[:32], 4, shuffle).steps == 8
    assert len(calls) == 2  # the one that makes the optimizer's state, and the recording


# --- on_step ----------------------------------------------------------------------------------


@pytest.mark.parametrize("last", [0, 1, 3, 4])
def test_an_exception_ends_the_epoch(last: int):
    def run(step):
        def on_step(i, loss):
            if i == last:
                raise KeyError(i)

        for _ in range(2):
            with pytest.raises(KeyError):
                step.run_epoch(GIVEN_X, GIVEN_Y, 8, shuffle=False, on_step=on_step)
        assert step.run_epoch(GIVEN_X, GIVEN_Y, 8, shuffle=False).steps == 5

    def expected(step):
        batches = [(place(X[i : i + 8]), place(Y[i : i + 8])) for i in range(0, N, 8)]
        for x, y in (*2 * batches[: last + 1], *batches):
            step(x, y)

    assert trained(run) == trained(expected, compiled=False)


CHANGES: dict[str, Callable[[nn.Module, optim.Optimizer], Any]] = {
    "lr": lambda model, opt: opt.param_groups[0].update(lr=0.02),
    "momentum": lambda model, opt: opt.param_groups[0].update(momentum=0.9),
    "eval": lambda model, opt: model.eval(),
    "frozen": lambda model, opt: model[0].requires_grad_(False),
    "layer": lambda model, opt: setattr(model, "1", nn.ReLU()),
    "seed": lambda model, opt: fn.manual_seed(9),
    "weights": lambda model, opt: nn.init.ones_(model[3].weight),
    "look": lambda model, opt: (model.state_dict(), opt.state_dict()),
}


@pytest.mark.parametrize("name", CHANGES)
def test_changes_during_an_epoch(name: str):
    ends = []
    for compiled in (False, True):
        fn.manual_seed(0)
        model = mlp(nn.GELU)  # without dropout too, no network that one kernel trains
        opt = optim.SGD(model.parameters(), lr=0.1)
        step = training_step(model, opt)

        def on_step(i, loss, model=model, opt=opt):
            if i == 3:
                CHANGES[name](model, opt)

        if compiled:
            fn.compile(step).run_epoch(GIVEN_X, GIVEN_Y, 4, seed=2, on_step=on_step)
        else:
            for i, (x, y) in enumerate(DataLoader((X, Y), 4, True, seed=2)):
                step(x.to(DEVICE), y.to(DEVICE))
                on_step(i, None)
        ends.append(dict(flat((model.state_dict(), opt.state_dict()))))
    eager, compiled = ends
    assert not [path for path in eager if compiled[path] != eager[path]]


@pytest.mark.parametrize("shuffle", [True, False])
def test_before_step_comes_before_each(shuffle: bool):
    results = []
    for by_hand in (False, True):
        fn.manual_seed(3)
        model = mlp()
        opt = optim.SGD(model.parameters(), lr=0.1)
        numbers: list[int] = []

        def before(i, opt=opt, numbers=numbers):
            numbers.append(i)
            opt.param_groups[0]["lr"] = 1 / (i + 2)

        step = training_step(model, opt)
        if by_hand:
            for i, (x, y) in enumerate(DataLoader((X, Y), 8, shuffle, seed=4)):
                before(i)
                step(x.to(DEVICE), y.to(DEVICE))
        else:
            fn.compile(step).run_epoch(GIVEN_X, GIVEN_Y, 8, shuffle, 4, before_step=before)
        results.append((numbers, dict(flat(model.state_dict()))))
    assert results[0] == results[1]


def test_on_step_may_call_the_step_itself():
    def run(step):
        step.run_epoch(
            GIVEN_X,
            GIVEN_Y,
            8,
            shuffle=False,
            on_step=lambda i, loss: step(GIVEN_X[:8], GIVEN_Y[:8]),
        )

    def expected(step):
        for i in range(0, N, 8):
            for j in (i, 0):
                step(place(X[j : j + 8]), place(Y[j : j + 8]))

    assert trained(run) == trained(expected, compiled=False)


# --- errors -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "error", "message"),
    [
        ((X, Y[:-1], 8), ValueError, r"\[run_epoch\] x and y must have one length; got shapes"),
        ((X, Y[0], 8), TypeError, "argument 1 must be a tensor or an array"),
        ((X, np.array(1), 8), ValueError, "x and y must have one length"),
        ((np.array(1.0), None, 8), ValueError, "x and y must have one length"),
        ((X, Y, 0), ValueError, r"\[run_epoch\] batch_size must be at least 1; got 0"),
        ((X, Y, -3), ValueError, "batch_size must be at least 1; got -3"),
        ((X.tolist(), Y, 8), TypeError, "argument 0 must be a tensor or an array; got list"),
        ((fn.ones(N, 12, requires_grad=True), Y, 8), ValueError, "argument 0 requires a gradient"),
    ],
)
def test_bad_arguments(args: tuple, error: type, message: str):
    calls: list[Any] = []
    step = fn.compile(lambda *args: calls.append(args))
    with pytest.raises(error, match=message):
        step.run_epoch(*args)
    assert calls == []


@pytest.mark.parametrize(
    "body",
    [
        lambda x, y: None,
        lambda x, y: x,
        lambda x, y: {"loss": x.mean()},
        lambda x, y: (None, x.mean()),
        lambda x, y: ((x.mean(), x), x),
        lambda x, y: y.sum(),
        lambda x, y: (),
    ],
    ids=["None", "vector", "dict", "second", "nested", "int", "nothing"],
)
@pytest.mark.parametrize("recorded", [False, True])
def test_a_step_without_a_loss(body: Callable, recorded: bool):
    step = fn.compile(body)
    if recorded:
        step(GIVEN_X[:8], GIVEN_Y[:8])
    with pytest.raises(TypeError, match=r"\[run_epoch\] the step must return its loss, a tensor"):
        step.run_epoch(GIVEN_X[:32], GIVEN_Y[:32], 8)


def test_no_examples_and_no_batches():
    step = fn.compile(lambda x, y: (x.mean() + y.sum(), x))
    with pytest.raises(ValueError, match="x is empty"):
        step.run_epoch(GIVEN_X[:0], GIVEN_Y[:0], 8)
    assert step.run_epoch(GIVEN_X[:5], GIVEN_Y[:5], 8, drop_last=True) == (0.0, None, 0)


def test_a_label_out_of_range_ends_the_epoch():
    y = Y.copy()
    y[20] = 99

    def run(step):
        step.run_epoch(GIVEN_X, GIVEN_Y, 8, shuffle=False)
        with pytest.raises(IndexError, match="target 99 is out of range for 5 classes"):
            step.run_epoch(GIVEN_X, handed(y), 8, shuffle=False)

    def expected(step):
        for i in (0, 8, 16, 24, 32, 0, 8):
            step(place(X[i : i + 8]), place(Y[i : i + 8]))

    assert trained(run) == trained(expected, compiled=False)
