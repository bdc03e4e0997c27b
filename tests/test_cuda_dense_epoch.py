"""Small networks whose epochs one kernel runs on a GPU with clusters of blocks, beside the CPU."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
from cuda_run import NEEDS_EMULATION, NEEDS_GPU
from steps import training_step

import fastnn as fn
from fastnn import nn, optim
from fastnn.nn import functional as F

pytestmark = NEEDS_GPU

ONE_KERNEL = "epochs are run by one kernel"


@pytest.fixture(autouse=True)
def hopper(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes an emulated GPU one with clusters."""
    monkeypatch.setenv("FASTNN_CUDA_CAPABILITY", "90")
    if fn.cuda.get_device_capability() < (9, 0):
        pytest.skip("no clusters of blocks")


class Sizes(NamedTuple):
    inputs: int
    hidden: int
    classes: int
    batch: int
    steps: int = 4


SIZES = {
    "one row": Sizes(7, 9, 2, 1),
    "fewer units than blocks": Sizes(6, 5, 3, 10),
    "odd everywhere": Sizes(37, 29, 11, 13),
    "as many classes as there may be": Sizes(16, 8, 32, 20),
    "four rows": Sizes(5, 32, 4, 4),
    "ten rows a warp": Sizes(8, 64, 5, 40),
    "full warps": Sizes(20, 128, 10, 64, 2),
    "a row short": Sizes(20, 100, 10, 63, 2),
    "digits": Sizes(784, 128, 10, 10, 2),
    "digits in chunks": Sizes(784, 128, 10, 64, 2),
    "chunks that end anywhere": Sizes(3001, 7, 3, 20, 3),
}
OPTIMIZERS: dict[str, Callable[[Any], optim.Optimizer]] = {
    "sgd": lambda p: optim.SGD(p, lr=0.1),
    "momentum": lambda p: optim.SGD(p, lr=0.05, momentum=0.9, dampening=0.1),
    "nesterov": lambda p: optim.SGD(p, lr=0.05, momentum=0.9, nesterov=True, weight_decay=0.01),
    "maximize": lambda p: optim.SGD(p, lr=0.05, weight_decay=0.1, maximize=True),
    "adam": lambda p: optim.Adam(p, lr=0.01),
    "adam without eps": lambda p: optim.Adam(p, lr=0.01, eps=0.0),
    "amsgrad": lambda p: optim.Adam(p, lr=0.01, amsgrad=True, weight_decay=0.01),
    "adamw": lambda p: optim.AdamW(p, lr=0.01, weight_decay=0.1),
}


class Trained(NamedTuple):
    epochs: list[tuple[float, float | None, int]]
    numbers: list[np.ndarray]  # parameters, and the state of the optimizer
    plan: str


def tensors(value: Any) -> list[np.ndarray]:
    if isinstance(value, fn.Tensor):
        return [value.detach().cpu().numpy()]
    if isinstance(value, dict):
        value = list(value.values())
    return [t for v in value for t in tensors(v)] if isinstance(value, (list, tuple)) else []


def train(
    device: str,
    sizes: Sizes,
    activation: type[nn.Module] = nn.ReLU,
    optimizer: str = "sgd",
    shuffle: bool = True,
    bias: bool = True,
    loss: Callable[..., fn.Tensor] = F.cross_entropy,
    ignored: int | None = None,
    epochs: int = 2,
) -> Trained:
    """Some epochs, of which the first step is recorded and the last batch is not whole."""
    rng = np.random.default_rng(0)
    rows = sizes.batch * (sizes.steps + 1) + sizes.batch // 2
    x = rng.standard_normal((rows, sizes.inputs)).astype(np.float32)
    y = rng.integers(0, sizes.classes, rows)
    if ignored is not None:
        y[rng.random(rows) < 0.3] = ignored
        loss = functools.partial(loss, ignore_index=ignored)
    fn.manual_seed(3)
    model = nn.Sequential(
        nn.Linear(sizes.inputs, sizes.hidden, bias=bias, device="cpu"),
        activation(),
        nn.Linear(sizes.hidden, sizes.classes, bias=bias, device="cpu"),
    ).to(device)
    opt = OPTIMIZERS[optimizer](model.parameters())
    step = fn.compile(training_step(model, opt, loss))
    x_there, y_there = (fn.from_numpy(a).to(device) for a in (x, y))
    results = []
    for epoch in range(epochs):
        opt.param_groups[0]["lr"] *= 0.9
        r = step.run_epoch(x_there, y_there, sizes.batch, shuffle, seed=(1, epoch))
        results.append((r.loss, r.accuracy, r.steps))
    notes = "\n".join(line for plan, _ in step._plans.values() for line in plan.notes)
    return Trained(results, tensors([model.state_dict(), opt.state_dict()["state"]]), notes)


def assert_same(here: Trained, there: Trained) -> None:
    for a, b in zip(here.epochs, there.epochs, strict=True):
        assert a[0] == pytest.approx(b[0], rel=2e-5)
        assert a[1:] == b[1:]
    for x, y in zip(here.numbers, there.numbers, strict=True):
        np.testing.assert_allclose(x, y, rtol=2e-4, atol=2e-6)


@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("shuffle", [True, False], ids=["shuffled", "as they lie"])
def test_sizes(sizes: Sizes, shuffle: bool) -> None:
    there = train("cuda", sizes, shuffle=shuffle)
    assert ONE_KERNEL in there.plan
    assert_same(there, train("cpu", sizes, shuffle=shuffle))


@pytest.mark.parametrize("optimizer", [name for name in OPTIMIZERS if "eps" not in name])
@pytest.mark.parametrize("activation", [nn.ReLU, nn.Sigmoid, nn.Tanh])
def test_rules_and_activations(optimizer: str, activation: type[nn.Module]) -> None:
    sizes = Sizes(13, 21, 6, 9)
    there = train("cuda", sizes, activation, optimizer)
    assert ONE_KERNEL in there.plan
    assert_same(there, train("cpu", sizes, activation, optimizer))


@pytest.mark.parametrize("optimizer", ["momentum", "adam"])
def test_more_state_than_eight_blocks_hold(optimizer: str) -> None:
    sizes = Sizes(1500 if optimizer == "adam" else 2000, 128, 10, 10, 2)
    there = train("cuda", sizes, optimizer=optimizer)
    assert ONE_KERNEL in there.plan
    assert_same(there, train("cpu", sizes, optimizer=optimizer))


LOSSES: dict[str, Callable[..., fn.Tensor]] = {
    "sum": functools.partial(F.cross_entropy, reduction="sum"),
    "smoothing": functools.partial(F.cross_entropy, label_smoothing=0.1),
}


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("ignored", [None, -100, 2], ids=["all count", "no class", "a class"])
def test_losses(loss: str, ignored: int | None) -> None:
    sizes = Sizes(9, 12, 5, 8)
    there = train("cuda", sizes, loss=LOSSES[loss], ignored=ignored)
    assert ONE_KERNEL in there.plan
    assert_same(there, train("cpu", sizes, loss=LOSSES[loss], ignored=ignored))


def test_places_without_a_number_take_no_part() -> None:
    """Sizes that are no multiples of 4: what rounds them up must stay 0 whatever happens."""
    sizes = Sizes(9, 10, 5, 8)
    there = train("cuda", sizes, nn.Tanh, "adam without eps")  # 0 / 0 there
    assert_same(there, train("cpu", sizes, nn.Tanh, "adam without eps"))
    losses = []
    for device in ("cpu", "cuda"):
        fn.manual_seed(3)
        model = nn.Sequential(nn.Linear(9, 10, device="cpu"), nn.Sigmoid(), nn.Linear(10, 5))
        model = model.to(device)
        step = fn.compile(training_step(model, optim.SGD(model.parameters(), lr=0.1)))
        x = np.ones((40, 9), np.float32)
        x[39, 3] = np.inf  # in the last step; 0 inf there
        y = fn.zeros(40, dtype=fn.int64, device=device)
        losses.append(step.run_epoch(fn.from_numpy(x).to(device), y, 8, shuffle=False).loss)
    assert np.isfinite(losses[0])
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_without_biases() -> None:
    sizes = Sizes(9, 12, 5, 8)
    there = train("cuda", sizes, bias=False, optimizer="nesterov")
    assert ONE_KERNEL in there.plan
    assert_same(there, train("cpu", sizes, bias=False, optimizer="nesterov"))


@NEEDS_EMULATION
def test_the_same_bits_in_every_order_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    for sizes in (Sizes(37, 29, 11, 13), Sizes(2600, 16, 3, 20, 2)):
        found = []
        for order in ("forward", "reverse", "1", "2"):
            monkeypatch.setenv("FASTNN_CUDA_ORDER", order)
            found.append(train("cuda", sizes, optimizer="adam"))
        assert ONE_KERNEL in found[0].plan
        for other in found[1:]:
            assert other.epochs == found[0].epochs
            for a, b in zip(other.numbers, found[0].numbers, strict=True):
                np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("sizes", "options", "why"),
    [
        (Sizes(8, 8, 33, 4), {}, "more than 32 classes"),
        (Sizes(8, 2000, 3, 4), {}, "too large"),
        (Sizes(4000, 512, 3, 1, 2), {}, "too large"),
        (Sizes(8, 128, 3, 129), {}, "too large"),
        (Sizes(8, 8, 3, 4), {"activation": nn.GELU}, "an activation other than"),
    ],
)
def test_what_does_not_fit_runs_kernel_by_kernel(
    sizes: Sizes, options: dict[str, Any], why: str
) -> None:
    there = train("cuda", sizes, epochs=1, **options)
    assert ONE_KERNEL not in there.plan
    assert why in there.plan
    assert_same(there, train("cpu", sizes, epochs=1, **options))


@NEEDS_EMULATION
@pytest.mark.parametrize(
    ("capability", "code", "why"),
    [("80", "80", "the GPU has no clusters"), ("91", "80", "built without code for clusters")],
)  # 91 is new to the process, which remembers what code a GPU runs
def test_gpus_and_code_without_clusters(
    capability: str, code: str, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FASTNN_CUDA_CAPABILITY", capability)
    monkeypatch.setenv("FASTNN_CUDA_CODE", code)
    assert why in train("cuda", Sizes(6, 5, 3, 4)).plan


def test_a_label_out_of_range() -> None:
    x, y = fn.zeros(40, 4, device="cuda"), fn.zeros(40, dtype=fn.int64, device="cuda")
    y[25] = 3
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 3)).to("cuda")
    step = fn.compile(training_step(model, optim.SGD(model.parameters(), lr=0.1)))
    with pytest.raises(IndexError, match="target 3 is out of range for 3 classes"):
        step.run_epoch(x, y, 10, shuffle=False)
