"""Compiled steps as CUDA graphs: from the third call on, and several steps at once in epochs."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
from cuda_run import NEEDS_GPU, run
from steps import mixed_net, training_step

import fastnn as fn
from fastnn import nn, optim
from fastnn.compile import CompiledStep
from fastnn.data import DataLoader
from fastnn.nn import functional as F

pytestmark = NEEDS_GPU
STEPS = 36  # two graphs of 16 steps, and some


def gpu(array: Any) -> fn.Tensor:
    return fn.from_numpy(np.asarray(array)).to("cuda")


def examples(n: int, *shape: int) -> tuple[fn.Tensor, fn.Tensor]:
    rng = np.random.default_rng(0)
    return gpu(rng.standard_normal((n, *shape)).astype(np.float32)), gpu(rng.integers(0, 3, n))


def mlp() -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Dropout(0.2), nn.Linear(6, 3)).to("cuda")


def bits(tensors: Any) -> list[bytes]:
    return [t.detach().cpu().numpy().tobytes() for t in tensors]


def everything(model: nn.Module, opt: optim.Optimizer) -> list[Any]:
    """The bits of parameters and buffers, the optimizer's state, the random generator's."""
    state = opt.state_dict()["state"]
    held = [v for s in state.values() for v in s.values() if isinstance(v, fn.Tensor)]
    others = [v for s in state.values() for v in s.values() if not isinstance(v, fn.Tensor)]
    return [*bits(model.state_dict().values()), *bits(held), others, fn.rand(2).tolist()]


def is_graph(step: CompiledStep) -> bool:
    return "runs as a CUDA graph" in step.plan()


OPTIMIZERS: dict[str, Callable[[Any], optim.Optimizer]] = {
    "sgd": lambda p: optim.SGD(p, lr=0.1),
    "momentum": lambda p: optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
    "adam": lambda p: optim.Adam(p, lr=0.05),
    "adamw": lambda p: optim.AdamW(p, lr=0.05),
    "rmsprop": lambda p: optim.RMSprop(p, lr=0.05, momentum=0.5, centered=True),
    "adagrad": lambda p: optim.Adagrad(p, lr=0.05, lr_decay=0.1),
    "adadelta": lambda p: optim.Adadelta(p),
}


def started(make: Callable[[Any], optim.Optimizer], compiled: bool) -> tuple[Any, Any, Any]:
    """A network, its optimizer and the step that trains it, always from the same start."""
    fn.manual_seed(1)
    model = mlp()
    opt = make(model.parameters())
    step = training_step(model, opt)
    return model, opt, fn.compile(step) if compiled else step


@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_calls_are_the_steps(make: Callable[[Any], optim.Optimizer]) -> None:
    x, y = examples(5 * 7, 4)
    results = []
    for compiled in (False, True):
        model, opt, step = started(make, compiled)
        losses = []
        for i in range(7):
            opt.param_groups[0]["lr"] = 0.1 / (1 + i)  # read anew each time
            losses.append(step(x[5 * i : 5 * i + 5], y[5 * i : 5 * i + 5]).item())
        results.append((losses, everything(model, opt)))
    assert is_graph(step)
    assert results[0] == results[1]


@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
@pytest.mark.parametrize("shuffle", [True, False])
def test_epochs_are_the_loop(make: Callable[[Any], optim.Optimizer], shuffle: bool) -> None:
    x, y = examples(3 * STEPS + 2, 4)  # the last batch is smaller
    results = []
    for compiled in (False, True):
        model, opt, step = started(make, compiled)
        losses = []
        if compiled:
            for epoch in range(2):
                got = step.run_epoch(x, y, 3, shuffle=shuffle, seed=(7, epoch))
                losses.append((got.loss, got.steps))
        else:
            loader = DataLoader((x.cpu(), y.cpu()), 3, shuffle, seed=7)
            for _ in range(2):
                total = 0.0
                for a, b in loader:
                    total += step(a.cuda(), b.cuda()).item() * len(b)
                losses.append((total / len(x), len(loader)))
        results.append((losses, everything(model, opt)))
    assert is_graph(step)
    assert results[0][1] == results[1][1]
    for (loss, steps), (got, counted) in zip(results[0][0], results[1][0], strict=True):
        assert got == pytest.approx(loss, rel=1e-12)
        assert counted == steps


def test_right_answers_are_counted() -> None:
    x, y = examples(3 * STEPS, 4)
    model = nn.Sequential(nn.Linear(4, 3)).to("cuda")
    step = fn.compile(lambda x, y: F.cross_entropy(model(x), y))
    wanted = int((model(x).argmax(1) == y).sum().item())
    with fn.no_grad():
        for _ in range(2):
            assert step.run_epoch(x, y, 3, seed=2).accuracy == wanted / len(x)
    assert is_graph(step)


def test_what_on_step_changes_is_seen_by_the_next() -> None:
    x, y = examples(3 * 8, 4)
    results = []
    for device in ("cpu", "cuda"):
        fn.manual_seed(1)
        model = mlp().to(device)
        opt = optim.SGD(model.parameters(), lr=0.5)
        seen: list[tuple[int, float]] = []

        def on_step(i: int, loss: float, opt: Any = opt, seen: Any = seen) -> None:
            seen.append((i, loss))
            opt.param_groups[0]["lr"] *= 0.5

        step = fn.compile(training_step(model, opt))
        step.run_epoch(x.to(device), y.to(device), 3, seed=0, on_step=on_step)
        results.append((seen, [v for p in model.parameters() for v in p.cpu().tolist()]))
    (here, weights), (there, others) = results
    assert [i for i, _ in there] == list(range(8))
    assert [loss for _, loss in there] == pytest.approx([loss for _, loss in here], rel=1e-5)
    for a, b in zip(weights, others, strict=True):
        assert b == pytest.approx(a, rel=1e-4, abs=1e-6)


def test_on_step_may_call_the_step() -> None:
    x, y = examples(3 * 6, 4)
    results = []
    for device in ("cpu", "cuda"):
        fn.manual_seed(1)
        model = mlp().to(device)
        step = fn.compile(training_step(model, optim.SGD(model.parameters(), lr=0.5)))
        a, b = x.to(device), y.to(device)
        for _ in range(2):
            again = partial(step, a[:3], b[:3])
            step.run_epoch(a, b, 3, seed=0, on_step=lambda i, loss, again=again: again())
        results.append([v for p in model.parameters() for v in p.cpu().flatten().tolist()])
    assert results[1] == pytest.approx(results[0], rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_before_step_comes_before_each(momentum: float) -> None:
    x, y = examples(3 * STEPS + 1, 4)
    results = []
    for compiled in (False, True):
        fn.manual_seed(1)
        model = mlp()
        opt = optim.SGD(model.parameters(), lr=0.5, momentum=momentum)
        numbers: list[int] = []

        def before(i: int, opt: Any = opt, numbers: Any = numbers) -> None:
            numbers.append(i)
            opt.param_groups[0]["lr"] = 1 / (i + 2)

        step = training_step(model, opt)
        if compiled:
            for _ in range(2):
                fn.compile(step).run_epoch(x, y, 3, shuffle=False, before_step=before)
        else:
            for _ in range(2):
                for i in range(STEPS + 1):
                    before(i)
                    step(x[3 * i : 3 * i + 3], y[3 * i : 3 * i + 3])
        results.append((numbers, everything(model, opt)))
    assert results[0] == results[1]
    assert results[0][0] == 2 * list(range(STEPS + 1))


def test_what_before_step_raises_ends_the_epoch_there() -> None:
    x, y = examples(3 * STEPS, 4)
    results = []
    for end in (21, None):
        fn.manual_seed(1)
        model = mlp()
        opt = optim.Adam(model.parameters(), lr=0.1)
        step = fn.compile(training_step(model, opt))
        step.run_epoch(x, y, 3, seed=1)

        def stop(i: int, end: int | None = end) -> None:
            if i == end:
                raise KeyError("enough")

        if end:
            with pytest.raises(KeyError, match="enough"):
                step.run_epoch(x, y, 3, shuffle=False, before_step=stop)
        else:
            step.run_epoch(x[:63], y[:63], 3, shuffle=False)
        results.append(everything(model, opt))
    assert results[0] == results[1]


def test_what_on_step_raises_ends_the_epoch() -> None:
    x, y = examples(3 * 8, 4)
    model = mlp()
    step = fn.compile(training_step(model, optim.SGD(model.parameters(), lr=0.5)))
    seen: list[int] = []

    def stop(i: int, loss: float) -> None:
        seen.append(i)
        if i == 5:
            raise KeyError("enough")

    with pytest.raises(KeyError, match="enough"):
        step.run_epoch(x, y, 3, on_step=stop)
    assert seen == list(range(6))
    assert np.isfinite(step(x[:3], y[:3]).item())


def test_batch_norm_and_convolution() -> None:
    x, y = examples(2 * STEPS, 2, 6, 6)
    results = []
    for compiled in (False, True):
        fn.manual_seed(3)
        model = mixed_net().to("cuda")
        opt = optim.Adam(model.parameters(), lr=0.01)
        step = training_step(model, opt)
        if compiled:
            fn.compile(step).run_epoch(x, y, 2, shuffle=False)
        else:
            for i in range(STEPS):
                step(x[2 * i : 2 * i + 2], y[2 * i : 2 * i + 2])
        results.append(everything(model, opt))
    assert results[0] == results[1]


def test_a_bad_label_in_an_epoch() -> None:
    x, y = examples(3 * STEPS, 4)
    model = mlp()
    step = fn.compile(training_step(model, optim.SGD(model.parameters(), lr=0.1)))
    step.run_epoch(x, y, 3, seed=0)
    y[50] = 3
    with pytest.raises(IndexError, match="target 3 is out of range for 3 classes"):
        step.run_epoch(x, y, 3, seed=0)
    y[50] = -7
    before = bits(model.parameters())
    batches = [(x[i : i + 3], y[i : i + 3]) for i in range(48, 54, 3)]
    step(*batches[1])
    after = bits(model.parameters())
    assert after != before
    with pytest.raises(IndexError, match="target -7 is out of range"):
        step(*batches[0])
    assert bits(model.parameters()) == after
    y[50] = 0
    assert np.isfinite(step.run_epoch(x, y, 3, seed=0).loss)


@pytest.mark.parametrize(
    "change",
    [
        lambda y: y.__setitem__(1, 3),
        lambda y: y.add_(5),
        lambda y: fn.from_dlpack(y).__setitem__(1, 3),
        lambda y: fn.cuda.as_tensor(y).__setitem__(1, 3),
    ],
    ids=["index", "in place", "dlpack", "cuda array"],
)
def test_labels_that_have_passed_are_checked_again_once_they_change(
    change: Callable[[fn.Tensor], Any],
) -> None:
    x, y = examples(3, 4)
    model = mlp()
    step = fn.compile(training_step(model, optim.SGD(model.parameters(), lr=0.1)))
    for _ in range(4):
        step(x, y)
    change(y)
    with pytest.raises(IndexError, match="out of range for 3 classes"):
        step(x, y)


def test_new_labels_where_old_ones_were() -> None:
    x, y = examples(3, 4)
    model = mlp()
    step = fn.compile(training_step(model, optim.SGD(model.parameters(), lr=0.1)))
    for bad in (0, 0, 0, 0, 3):
        labels = y + bad
        if bad:
            with pytest.raises(IndexError, match="out of range for 3 classes"):
                step(x, labels)
        else:
            step(x, labels)
        del labels


def test_labels_of_other_types_run_kernel_by_kernel() -> None:
    x, y = examples(3 * STEPS, 4)
    model = mlp()
    step = fn.compile(training_step(model, optim.SGD(model.parameters(), lr=0.1)))
    narrow = y.to("int32")
    for _ in range(2):
        assert np.isfinite(step.run_epoch(x, narrow, 3, seed=0).loss)
    assert "without a CUDA graph: values that the step computes are checked" in step.plan()
    narrow[50] = 3
    with pytest.raises(IndexError, match="target 3 is out of range for 3 classes"):
        step.run_epoch(x, narrow, 3, seed=0)


def test_arguments_in_any_layout_and_results_of_any_kind() -> None:
    rng = np.random.default_rng(0)
    fixed = gpu(np.arange(3, dtype=np.float32))

    def f(x: fn.Tensor, s: fn.Tensor) -> dict[str, Any]:
        y = x * 2 + s
        return {"y": y, "row": y[0], "sum": [y.sum(), x], "same": fixed}

    step = fn.compile(f)
    earlier: list[tuple[fn.Tensor, Any]] = []
    for i in range(5):
        x = gpu(rng.standard_normal((3, 4)).astype(np.float32)).T  # (4, 3)
        s = gpu(np.float32(i))
        got = step(x, s)
        want = f(x, s)
        assert got["y"].tolist() == want["y"].tolist()
        assert got["row"].tolist() == want["row"].tolist()
        assert got["sum"][0].item() == want["sum"][0].item()
        assert got["sum"][1].data_ptr() == x.data_ptr()
        assert got["same"].tolist() == [0, 1, 2]
        earlier.append((got["y"], want["y"].tolist()))
    assert all(y.tolist() == values for y, values in earlier)  # results are the caller's own
    assert is_graph(step)


def test_gradients_that_are_kept() -> None:
    x, y = examples(3, 4)
    model = mlp().eval()
    opt = optim.SGD(model.parameters(), lr=0.1)
    step = fn.compile(training_step(model, opt), keep_grads=True)
    for _ in range(5):
        before = [p.detach().clone() for p in model.parameters()]
        step(x, y)
        for p, old in zip(model.parameters(), before, strict=True):
            assert (old - 0.1 * p.grad).tolist() == p.tolist()
    assert is_graph(step)


def test_streams_take_turns() -> None:
    x, y = examples(3, 4)
    results = []
    for streams in (1, 2):
        fn.manual_seed(1)
        model = mlp()
        step = fn.compile(training_step(model, optim.SGD(model.parameters(), lr=0.1)))
        fn.cuda.synchronize()
        used = [fn.cuda.Stream() for _ in range(streams)]
        losses = []
        for i in range(8):
            with fn.cuda.stream(used[i % streams]):
                losses.append(step(x, y).item())
        results.append((losses, bits(model.parameters())))
    assert results[0] == results[1]


def test_memory_comes_back() -> None:
    program = """
        import numpy as np
        from fastnn import nn, optim
        from fastnn.nn import functional as F
        from fastnn.compile import CompiledStep
        x = fn.ones(64, 4, device="cuda")
        y = fn.zeros(64, dtype="int64", device="cuda")
        model = nn.Linear(4, 3).to("cuda")
        start = fn.cuda.memory_allocated()
        step = fn.compile(lambda x, y: F.cross_entropy(model(x), y))
        with fn.no_grad():
            for _ in range(2):
                step.run_epoch(x, y, 2)
        print(fn.cuda.memory_allocated() > start)
        del step
        print(fn.cuda.memory_allocated() - start)
    """
    assert run(program) == "True\n0"


def test_blocking_starts_kernels_one_by_one() -> None:
    program = """
        f = fn.compile(lambda x: x * 2)
        for i in range(4):
            print(f(fn.full((2,), i, device="cuda")).tolist())
        print("graph" in f.plan())
    """
    wanted = "[0, 0]\n[2, 2]\n[4, 4]\n[6, 6]\nFalse"
    assert run(program, FASTNN_CUDA_BLOCKING=1) == wanted


def test_large_arguments_are_not_copied() -> None:
    step = fn.compile(lambda x: x.sum())
    x = fn.ones((17 << 20) + 1, device="cuda")
    for _ in range(3):
        step(x)
    assert "it would copy 71303176 bytes of arguments and results" in step.plan()
