"""fn.compile: what it refuses, what makes it record anew, gradients that stay, and its plan."""

from __future__ import annotations

import copy
import pickle
import re
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from samples import normal
from steps import examples, mixed_net, same_bits, training_step

import fastnn as fn
from fastnn import nn, optim
from fastnn.nn import functional as F

# --- what is refused --------------------------------------------------------------------------

ONES = np.ones(3, np.float32)
HELD: list[fn.Tensor] = []
UNKNOWN = "is not known when a recorded step runs again"
REFUSED: dict[str, tuple[Callable, type[Exception], str]] = {
    "item": (lambda x: x * x.sum().item(), RuntimeError, rf"\[compile\] item.* {UNKNOWN}"),
    "float": (lambda x: x * float(x.sum()), RuntimeError, rf"item.* {UNKNOWN}"),
    "bool": (lambda x: x if x.sum() > 0 else -x, RuntimeError, rf"item.* {UNKNOWN}"),
    "numpy": (lambda x: (x.numpy(), x)[1], RuntimeError, rf"\[compile\] numpy.* {UNKNOWN}"),
    "tolist": (lambda x: (x.tolist(), x)[1], RuntimeError, rf"numpy.* {UNKNOWN}"),
    "repr": (lambda x: (repr(x), x)[1], RuntimeError, rf"numpy.* {UNKNOWN}"),
    "dlpack": (lambda x: fn.from_dlpack(x), RuntimeError, rf"from_dlpack.* {UNKNOWN}"),
    "from_numpy": (lambda x: x + fn.from_numpy(ONES), RuntimeError, rf"an array .* {UNKNOWN}"),
    "tensor": (lambda x: x + fn.tensor([1.0] * 3), RuntimeError, rf"an array .* {UNKNOWN}"),
    "array target": (lambda x: nn.MSELoss()(x, ONES), RuntimeError, rf"an array .* {UNKNOWN}"),
    "array index": (lambda x: x[np.array([0, 1])], RuntimeError, rf"an array .* {UNKNOWN}"),
    "manual_seed": (lambda x: fn.manual_seed(0), RuntimeError, rf"manual_seed.* {UNKNOWN}"),
    "data": (lambda x: setattr(x, "data", x * 2), RuntimeError, rf"assigning .data {UNKNOWN}"),
    "average": (
        lambda x: nn.BatchNorm1d(1, momentum=None)(x.reshape(3, 1)),
        RuntimeError,
        rf"item.* {UNKNOWN}",
    ),
    "in place": (lambda x: x.mul_(2), RuntimeError, "the step writes to its argument 0"),
    "fill": (lambda x: x.zero_(), RuntimeError, "the step writes to its argument 0"),
    "setitem": (lambda x: x.__setitem__(1, 5), RuntimeError, "the step writes to its argument 0"),
    "random": (lambda x: x.normal_(), RuntimeError, "the step writes to its argument 0"),
    "held": (
        lambda x: HELD.append(x * 2),
        RuntimeError,
        "12 bytes that the step made is still held",
    ),
    "held view": (lambda x: HELD.append((x * 2)[1:]), RuntimeError, "is still held outside it"),
    "float result": (lambda x: (x, 1.5), TypeError, r"\[compile\] a step returns .*; got float"),
    "array result": (lambda x: ONES, TypeError, r"\[compile\] a step returns .*; got ndarray"),
    "an error": (lambda x: x @ fn.ones(4, 2), ValueError, r"\[matmul\]"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str):
    body, error, message = REFUSED[name]
    bad, calls = True, []

    @fn.compile
    def step(x):
        calls.append(1)
        return body(x) if bad else x * 2

    for _ in range(2):
        with pytest.raises(error, match=message):
            step(fn.ones(3))
        assert fn.from_numpy(ONES).sum().item() == 3  # nobody watches any more
    HELD.clear()
    bad = False
    assert [step(fn.full((3,), float(i)))[0].item() for i in range(4)] == [0, 2, 4, 6]
    assert len(calls) == 3


def test_a_refused_call_forgets_the_plans_of_its_shape_alone():
    bad = False
    step = fn.compile(lambda x: HELD.append(x * 2) if bad else x * 2)
    assert step(fn.ones(2)).numpy().tolist() == [2, 2]
    bad = True
    with pytest.raises(RuntimeError, match="still held"):
        step(fn.ones(3))
    HELD.clear()
    assert step(fn.ones(2)).numpy().tolist() == [2, 2]  # replayed
    bad = False
    assert step(fn.ones(3)).numpy().tolist() == [2, 2, 2]


def test_what_the_refused_recording_did_stays_done():
    def train(compile):
        model = nn.Linear(12, 5)
        body = training_step(model, optim.Adam(model.parameters(), lr=0.1))

        def step(x, y):
            loss = body(x, y)
            if x.shape[0] == 4 and fn.is_grad_enabled():
                raise KeyError("stop")
            return loss

        step = compile(step)
        for n in (5, 5, 5, 4, 5, 4, 5):
            x, y = examples(1, n, 12)[0]
            if n == 4:
                with pytest.raises(KeyError):
                    step(x, y)
            else:
                step(x, y)
        return model.state_dict()

    same_bits(train)


def test_a_recorded_step_inside_another():
    inner = fn.compile(lambda x: x * 2)
    inner(fn.ones(3))
    outer = fn.compile(lambda x: inner(x + 1) + 0)
    assert [outer(fn.full((3,), value))[0].item() for value in (1.0, 2.0, 3.0)] == [4, 6, 8]
    assert inner(fn.ones(3))[0].item() == 2


@pytest.mark.parametrize("again", [False, True], ids=["first call", "later call"])
@pytest.mark.parametrize(
    ("argument", "error", "message"),
    [
        (1.5, TypeError, "argument 1 must be a tensor or an array; got float"),
        ([1.0], TypeError, "argument 1 must be a tensor or an array; got list"),
        (None, TypeError, "argument 1 must be a tensor or an array; got NoneType"),
        (np.ones(3, np.float16), TypeError, "float16 is not supported"),
        (fn.ones(3, requires_grad=True), ValueError, "argument 1 requires a gradient; use detach"),
    ],
    ids=["float", "list", "None", "float16", "requires_grad"],
)
def test_arguments_of_other_kinds(again: bool, argument: Any, error: type, message: str):
    step = fn.compile(lambda x, y: x + y)
    if again:
        step(fn.ones(3), fn.ones(3))
    with pytest.raises(error, match=message):
        step(fn.ones(3), argument)
    assert step(fn.ones(3), fn.ones(3))[0].item() == 2


@pytest.mark.parametrize("count", [0, 1, 3])
def test_the_wrong_number_of_arguments(count: int):
    step = fn.compile(lambda x, y: x + y)
    step(fn.ones(3), fn.ones(3))
    with pytest.raises(TypeError, match="positional argument"):
        step(*[fn.ones(3)] * count)


# --- values out of range ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("label", "dtype"),
    [(5, np.int64), (-1, np.int64), (5, np.int32), (-1, np.int32), (5, np.uint8)],
)
def test_labels_out_of_range_change_nothing(label: int, dtype: type):
    model = mixed_net()
    opt = optim.Adam(model.parameters())
    step = fn.compile(training_step(model, opt))
    batches = [(x, y.astype(dtype)) for x, y in examples(4, 6, 2, 6, 6)]
    for x, y in batches:
        step(x, y)
    fn.manual_seed(1)
    tensors = [*model.parameters(), *(t for t in flat_state(opt) if isinstance(t, fn.Tensor))]
    if dtype is np.int64:  # else the labels are cast first, after the forward pass as in eager mode
        tensors += model.buffers()
    before = [t.detach().numpy().copy() for t in tensors]
    counts = [state["step"] for state in opt.state.values()]
    bad = batches[0][1].copy()
    bad[3] = label
    with pytest.raises(IndexError, match=f"target {label} is out of range for 5 classes"):
        step(batches[0][0], bad)
    for tensor, value in zip(tensors, before, strict=True):
        assert np.array_equal(tensor.detach().numpy(), value)
    assert [state["step"] for state in opt.state.values()] == counts
    step(*batches[1])
    assert [state["step"] for state in opt.state.values()] == [n + 1 for n in counts]


def mlp() -> nn.Sequential:
    return nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 5))


def flat_state(opt: optim.Optimizer) -> list[Any]:
    return [value for state in opt.state.values() for value in state.values()]


def test_rows_out_of_range():
    table = fn.from_numpy(normal(4, 2))
    step = fn.compile(lambda i: table[i].sum())
    step(np.array([0, 3]))
    step(np.array([1, -4]))
    for bad in (4, -5):
        with pytest.raises(IndexError, match=f"index {bad} is out of range for 4 rows"):
            step(np.array([0, bad]))
    assert step(np.array([2, 2])).item() == pytest.approx(2 * table[2].sum().item())


def test_probabilities_out_of_range():
    step = fn.compile(lambda x: F.binary_cross_entropy(x, x))
    step(fn.full((3,), 0.5))
    with pytest.raises(ValueError, match=r"input must be in \[0, 1\]"):
        step(fn.full((3,), 1.5))


# --- changes that need a new recording --------------------------------------------------------


def frozen(on: bool) -> Callable:
    return lambda model, opt: model[0].requires_grad_(not on)


def option(**options: Any) -> Callable:
    return lambda model, opt: opt.param_groups[0].update(options)


def keep_state(model: Any, opt: Any) -> None:
    model.kept = copy.deepcopy((model.state_dict(), opt.state_dict()))


def set_weight(model: Any, opt: Any) -> None:
    model[6].weight.data = model[6].weight.data * 0.5


def replace_weight(model: Any, opt: Any) -> None:
    model[6].weight = nn.Parameter(fn.from_numpy(normal(5, 36).astype(np.float32)))


def train_the_new_weight(model: Any, opt: Any) -> None:
    opt.add_param_group({"params": model[6].weight, "lr": 0.5})


def write_weights(model: Any, opt: Any) -> None:
    with fn.no_grad():
        model[0].weight.mul_(0.5)
        nn.init.zeros_(model[6].bias)


def eager_backward(model: Any, opt: Any) -> None:
    F.cross_entropy(model(fn.ones(3, 2, 6, 6)), fn.zeros(3, dtype=fn.int64)).backward()


def eager_step(model: Any, opt: Any) -> None:
    opt.zero_grad()
    eager_backward(model, opt)
    opt.step()


def eager_step_of_some(model: Any, opt: Any) -> None:
    opt.zero_grad()
    eager_backward(model, opt)
    model[0].weight.grad = None
    opt.step()


def module(index: int, make: Callable[[], nn.Module]) -> Callable:
    return lambda model, opt: model.__setitem__(index, make())


# One change in the middle of training, and another one later.
CHANGES: dict[str, tuple[Callable, Callable]] = {
    "eval, train": (lambda m, o: m.eval(), lambda m, o: m.train()),
    "one layer in eval": (lambda m, o: m[5].eval(), lambda m, o: m[1].eval()),
    "training set": (
        lambda m, o: setattr(m[5], "training", False),
        lambda m, o: setattr(m[1], "training", False),
    ),
    "frozen layer": (frozen(True), frozen(False)),
    "all frozen but one": (
        lambda m, o: [p.requires_grad_(False) for p in list(m.parameters())[:-1]],
        lambda m, o: m.requires_grad_(),
    ),
    "parameter": (replace_weight, train_the_new_weight),
    "no bias": (lambda m, o: setattr(m[6], "bias", None), frozen(True)),
    "module": (module(2, nn.Tanh), module(6, lambda: nn.Linear(36, 5))),
    "module removed": (lambda m, o: m.__delitem__(2), lambda m, o: m.__delitem__(4)),
    "modules added": (
        lambda m, o: m.append(nn.Sigmoid()),
        lambda m, o: m.insert(0, nn.Tanh()),
    ),
    "buffer": (
        lambda m, o: setattr(m[1], "running_mean", fn.ones(4)),
        lambda m, o: m[1].reset_running_stats(),
    ),
    "states": (
        keep_state,
        lambda m, o: (m.load_state_dict(m.kept[0]), o.load_state_dict(m.kept[1])),
    ),
    "data": (set_weight, set_weight),
    "dtype": (lambda m, o: m.double(), lambda m, o: m.float()),  # of SGD, which keeps no state
    "values": (write_weights, write_weights),
    "eager step": (eager_step, eager_step),
    "eager step of some": (eager_step_of_some, option(lr=0.05)),
    "eager gradient": (eager_backward, eager_backward),
    "gradient cleared": (lambda m, o: o.zero_grad(), lambda m, o: m.zero_grad()),
    "gradient zeroed": (
        lambda m, o: (eager_backward(m, o), o.zero_grad(set_to_none=False)),
        lambda m, o: o.zero_grad(set_to_none=False),
    ),
    "another model": (lambda m, o: mixed_net(), lambda m, o: optim.SGD(mixed_net().parameters())),
    "threads": (lambda m, o: fn.set_num_threads(2), lambda m, o: fn.set_num_threads(1)),
    "state read": (lambda m, o: o.state_dict(), lambda m, o: repr(o.state)),
}


def trained(kind: type, options: dict[str, Any], changes: tuple[Callable, ...]) -> Callable:
    """For `same_bits`: twelve steps with a change before the fifth and one before the ninth."""

    def train(compile):
        model = mixed_net()
        opt = kind(model.parameters(), lr=0.1, **options)
        step, losses = compile(training_step(model, opt)), []
        for i, (x, y) in enumerate(examples(12, 5, 2, 6, 6, dtype=np.float64)):
            if i in (4, 8):
                changes[i // 4 - 1](model, opt)
            losses.append(step(x, y))
        return losses, model.state_dict(), opt.state_dict()

    return train


@pytest.mark.parametrize(
    ("kind", "name"),
    [(optim.SGD, name) for name in CHANGES]
    + [(optim.Adam, name) for name in CHANGES if name != "dtype"],
)
def test_changes(name: str, kind: type, threads: Callable[[int], None]):
    threads(1)
    same_bits(trained(kind, {}, CHANGES[name]))


@pytest.mark.parametrize(
    ("kind", "options", "first", "second"),
    [
        (optim.SGD, {}, {"momentum": 0.9}, {"nesterov": True}),
        (optim.SGD, {"momentum": 0.9}, {"momentum": 0.0}, {"momentum": 0.5}),
        (optim.SGD, {}, {"weight_decay": 0.1}, {"maximize": True}),
        (optim.SGD, {}, {"lr": 0}, {"lr": 0.1}),
        (optim.Adam, {}, {"amsgrad": True}, {"amsgrad": False}),
        (optim.AdamW, {}, {"weight_decay": 0.0}, {"weight_decay": 0.5}),
        (optim.RMSprop, {}, {"momentum": 0.9}, {"centered": True}),
    ],
)
def test_changed_options(kind: type, options: dict, first: dict, second: dict):
    same_bits(trained(kind, options, (option(**first), option(**second))))


def test_parameters_added_to_a_group():
    def train(compile):
        model = mixed_net()
        *most, last = model.parameters()
        opt = optim.SGD(most, lr=0.1)
        step = compile(training_step(model, opt))
        for i, (x, y) in enumerate(examples(8, 5, 2, 6, 6)):
            if i == 4:
                opt.param_groups[0]["params"].append(last)
            step(x, y)
        return model.state_dict()

    same_bits(train)


@pytest.mark.parametrize(
    "copied",
    [copy.deepcopy, lambda pair: pickle.loads(pickle.dumps(pair))],
    ids=["deepcopy", "pickle"],
)
def test_an_optimizer_in_training_can_be_copied(copied: Callable):
    def train(compile):
        model = mlp()
        opt = optim.Adam(model.parameters(), lr=0.1)
        for i, (x, y) in enumerate(examples(6, 5, 12)):
            if i % 3 == 0:
                model, opt = copied((model, opt))
                step = compile(training_step(model, opt))
            step(x, y)
        return model.state_dict(), opt.state_dict()

    same_bits(train)


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


# --- gradients from one step to the next --------------------------------------------------------


def clear_after(loss: Callable, opt: optim.Optimizer) -> None:
    loss().backward()
    opt.step()
    opt.zero_grad()


def zero_in_place(loss: Callable, opt: optim.Optimizer) -> None:
    opt.zero_grad(set_to_none=False)
    loss().backward()
    opt.step()


def in_a_closure(loss: Callable, opt: optim.Optimizer) -> None:
    def evaluate():
        opt.zero_grad()
        loss().backward()

    opt.step(evaluate)


def twice(loss: Callable, opt: optim.Optimizer) -> None:
    for _ in range(2):
        opt.zero_grad()
        loss().backward()
        opt.step()


def added_up(loss: Callable, opt: optim.Optimizer) -> None:
    opt.zero_grad()
    loss().backward()
    loss().backward()
    opt.step()


def never_cleared(loss: Callable, opt: optim.Optimizer) -> None:
    loss().backward()
    opt.step()


def update_first(loss: Callable, opt: optim.Optimizer) -> None:
    opt.step()
    opt.zero_grad()
    loss().backward()


def leave_one(loss: Callable, opt: optim.Optimizer) -> None:
    clear_after(loss, opt)
    loss().backward()


@pytest.mark.parametrize("keep_grads", [False, True])
@pytest.mark.parametrize("kind", [optim.SGD, optim.Adam])
@pytest.mark.parametrize(
    "body",
    [
        clear_after,
        zero_in_place,
        in_a_closure,
        twice,
        added_up,
        never_cleared,
        update_first,
        leave_one,
    ],
)
def test_when_gradients_are_cleared(body: Callable, kind: type, keep_grads: bool):
    def train(compile):
        model = mlp()
        opt = kind(model.parameters(), lr=0.1)

        def step(x, y):
            body(lambda: F.cross_entropy(model(x), y), opt)

        step = compile(step, keep_grads=keep_grads)
        for x, y in examples(8, 5, 12):
            step(x, y)
        return model.state_dict(), opt.state_dict()

    same_bits(train)


@pytest.mark.parametrize("set_to_none", [True, False])
@pytest.mark.parametrize("every", [1, 3])
def test_gradients_accumulate(every: int, set_to_none: bool):
    def train(compile):
        model, grads = mixed_net(), []
        opt = optim.SGD(model.parameters(), lr=0.1)

        @compile
        def step(x, y):
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            (model[0].weight ** 2).sum().backward()
            return loss

        for i, (x, y) in enumerate(examples(12, 5, 2, 6, 6)):
            step(x, y)
            grads.append(model[0].weight.grad.clone())
            if i % every == every - 1:
                opt.step()
                opt.zero_grad(set_to_none)
        return grads, model.state_dict()

    same_bits(train)


@pytest.mark.parametrize("clear", [True, False])
def test_the_update_alone(clear: bool):
    def train(compile):
        model = nn.Linear(12, 5)
        opt = optim.SGD(model.parameters(), lr=0.1)

        @compile
        def update(x):
            opt.step()
            if clear:
                opt.zero_grad()
            return x

        for x, y in examples(6, 5, 12):
            opt.zero_grad()
            F.cross_entropy(model(fn.from_numpy(x)), fn.from_numpy(y)).backward()
            update(x)
        return model.state_dict()

    same_bits(train)


def test_a_gradient_that_the_step_reads():
    def train(compile):
        w = fn.ones(3, requires_grad=True)
        norm = compile(lambda x: (w.grad**2).sum())
        results = []
        for i in range(4):
            w.grad = fn.full((3,), float(i))
            results.append(norm(fn.ones(1)))
        return results

    same_bits(train)


# --- the plan ---------------------------------------------------------------------------------


def deep_step() -> tuple[fn.Tensor, Any]:
    model = nn.Sequential(*(m for _ in range(6) for m in (nn.Linear(32, 32), nn.Tanh())))
    return model[0].weight, fn.compile(training_step(model, optim.SGD(model.parameters(), lr=0.1)))


def test_the_plan_names_kernels_and_the_arena():
    _, step = deep_step()
    with pytest.raises(RuntimeError, match=r"\[compile\] there is no plan before the first call"):
        step.plan()
    step(*examples(1, 16, 32)[0])
    plan = step.plan()
    for name in ("linear", "cross_entropy", "GFLOP/s"):
        assert name in plan
    found = re.search(r"arena ([\d.]+) MB, where .* would take ([\d.]+) MB", plan)
    assert 0 < float(found[1]) < float(found[2])


def test_a_profile_has_times():
    rows = deep_step()[1].profile(*examples(1, 16, 32)[0], repeats=3).splitlines()
    kernels = [row.split() for row in rows if " float32 " in row]
    assert kernels
    assert all(len(fields) == 7 for fields in kernels)  # the name is two of them


def test_a_profile_trains_as_so_many_calls():
    ends = []
    for profiled in (True, False):
        fn.manual_seed(0)
        weight, step = deep_step()
        x, y = examples(1, 16, 32)[0]
        step.profile(x, y, repeats=3) if profiled else [step(x, y) for _ in range(5)]
        ends.append(weight.detach().numpy().tobytes())
    assert ends[0] == ends[1]


def test_profiling_what_cannot_be_replayed():
    model = nn.Linear(12, 5)

    @fn.compile
    def step(x, y):
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        model.zero_grad()
        return loss

    assert "us" in step.profile(*examples(1, 4, 12)[0])


def test_a_plan_without_kernels():
    step = fn.compile(lambda x: x)
    step(fn.ones(3))
    assert "arena" in step.plan()


def test_python_runs_while_a_step_does():
    step, x = fn.compile(lambda x: (x @ x).sum()), fn.ones(700, 700)
    step(x)
    ticks, stop = 0, threading.Event()

    def tick() -> None:
        nonlocal ticks
        while not stop.is_set():
            ticks += 1
            time.sleep(0)

    worker = threading.Thread(target=tick, daemon=True)
    interval = sys.getswitchinterval()
    try:
        sys.setswitchinterval(1000)  # threads change only where one lets go of the GIL
        worker.start()
        for _ in range(100):
            before = ticks
            step(x)
            if ticks > before:
                break
        else:
            pytest.fail("no other thread ran")
    finally:
        sys.setswitchinterval(interval)
        stop.set()
        worker.join(30)


def test_the_plan_of_a_call_that_cannot_be_replayed():
    model = nn.Linear(12, 5)
    step = fn.compile(training_step(model, optim.Adam(model.parameters())))
    step(*examples(1, 4, 12)[0])
    assert "cannot be replayed: the optimizer made its state" in step.plan()
