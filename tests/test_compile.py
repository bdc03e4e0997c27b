"""fn.compile: a replayed step does, bit for bit, what the function itself does."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from samples import FLOATS, normal
from steps import examples, mixed_net, same_bits, training_step

import fastnn as fn
from fastnn import nn, optim
from fastnn.nn import functional as F


def mlp(activation: type[nn.Module] = nn.ReLU) -> nn.Sequential:
    return nn.Sequential(nn.Linear(12, 16), activation(), nn.Dropout(0.3), nn.Linear(16, 5))


# --- networks, losses, optimizers -------------------------------------------------------------

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


WEIGHTS = np.array([0.5, 1, 2, 0, 1])
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


OPTIMIZERS: list[tuple[type, dict[str, Any]]] = [
    (optim.SGD, {}),
    (optim.SGD, {"momentum": 0.9, "dampening": 0.3}),
    (optim.SGD, {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1, "maximize": True}),
    (optim.Adam, {"betas": (0.8, 0.9), "weight_decay": 0.1}),
    (optim.Adam, {"amsgrad": True}),
    (optim.AdamW, {}),
    (optim.AdamW, {"amsgrad": True, "maximize": True}),
    (optim.RMSprop, {"centered": True, "momentum": 0.5}),
    (optim.Adagrad, {"lr_decay": 0.5}),
    (optim.Adadelta, {}),
]


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(("kind", "options"), OPTIMIZERS)
def test_optimizers(kind: type, options: dict[str, Any], dtype: str):
    def train(compile):
        model = mixed_net().to(dtype=getattr(fn, dtype))
        opt = kind(model.parameters(), lr=0.1, **options)
        step = compile(training_step(model, opt))
        losses, counts = [], []
        for i, (x, y) in enumerate(examples(8, 5, 2, 6, 6, dtype=dtype)):
            opt.param_groups[0]["lr"] = 0.1 / (1 + i)
            losses.append(step(x, y))
            counts.append([state.get("step") for state in opt.state.values()])
        return losses, counts, model.state_dict(), opt.state_dict()

    same_bits(train, recordings=1 if (kind, options) == OPTIMIZERS[0] else 2)


@pytest.mark.parametrize(("kind", "options"), OPTIMIZERS)
def test_more_parameters_than_a_kernel_takes(kind: type, options: dict[str, Any]):
    def train(compile):
        layers = [m for _ in range(12) for m in (nn.Linear(12, 12), nn.Tanh())]
        model = nn.Sequential(*layers, nn.BatchNorm1d(12))
        opt = kind(model.parameters(), lr=0.1, **options)
        step = compile(training_step(model, opt))
        return [step(x, y) for x, y in examples(6, 5, 12)], model.state_dict(), opt.state_dict()

    same_bits(train)


@pytest.mark.parametrize(
    "change",
    [
        lambda group, options: [group.__setitem__(*item) for item in options.items()],
        lambda group, options: group.update(options),
        lambda group, options: group.update(**options),
        lambda group, options: group.__ior__(options),
    ],
    ids=["item", "update", "update by name", "ior"],
)
@pytest.mark.parametrize(
    ("kind", "before", "after"),
    [
        (optim.SGD, {"momentum": 0.9}, {"lr": 0.05, "momentum": 0.5}),
        (optim.SGD, {"momentum": 0.9, "dampening": 0.1}, {"dampening": 0.5, "weight_decay": 0.1}),
        (optim.Adam, {}, {"lr": 0.01, "betas": (0.5, 0.6), "eps": 1e-3}),
        (optim.RMSprop, {"momentum": 0.5}, {"alpha": 0.5, "momentum": 0.8}),
        (optim.Adagrad, {"lr_decay": 0.1}, {"lr_decay": 0.7}),
        (optim.Adadelta, {}, {"rho": 0.5, "lr": 0.5}),
    ],
)
def test_options_may_change(change: Callable, kind: type, before: dict, after: dict):
    def train(compile):
        model = mlp()
        opt = kind(model.parameters(), lr=0.1, **before)
        step = compile(training_step(model, opt))
        for i, (x, y) in enumerate(examples(8, 5, 12)):
            if i == 4:
                change(opt.param_groups[0], after)
            step(x, y)
        return model.state_dict(), opt.state_dict()

    same_bits(train)


def test_groups_and_dtypes_of_their_own():
    def train(compile):
        narrow, wide = nn.Linear(12, 6), nn.Linear(6, 5).double()
        groups = [
            {"params": narrow.weight, "lr": 0.5},
            {"params": [narrow.bias, *wide.parameters()]},
        ]
        opt = optim.Adam(groups, lr=0.1)
        step = compile(training_step(lambda x: wide(narrow(x).double()), opt))
        for i, (x, y) in enumerate(examples(8, 5, 12)):
            opt.param_groups[i % 2]["lr"] *= 0.5
            step(x, y)
        return narrow.state_dict(), wide.state_dict(), opt.state_dict()

    same_bits(train, recordings=2)


@pytest.mark.parametrize("kind", [optim.SGD, optim.Adam])
def test_two_steps_of_one_optimizer(kind: type):
    def train(compile):
        models = [nn.Linear(12, 5), nn.Linear(12, 5)]
        opt = kind([p for model in models for p in model.parameters()], lr=0.1)
        steps = [compile(training_step(model, opt)) for model in models]
        for i, (x, y) in enumerate(examples(16, 5, 12)):
            if i == 10:
                opt.param_groups[0]["lr"] = 0.01
            steps[i % 2](x, y)
        return [model.state_dict() for model in models], opt.state_dict()

    same_bits(train)


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


def test_no_grad_around_the_call_records_anew():
    def train(compile):
        layer = nn.Linear(12, 5)

        def step(x):
            layer.zero_grad()
            y = layer(x).mean()
            return y.backward() if fn.is_grad_enabled() else y

        step, results = compile(step, keep_grads=True), []
        for i, (x, _) in enumerate(examples(6, 4, 12)):
            with fn.no_grad() if i % 2 else fn.enable_grad():
                results.append((step(x), layer.weight.grad))
        return results

    same_bits(train)


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


# --- random numbers ---------------------------------------------------------------------------


def test_dropout_masks_differ_between_replays():
    step = fn.compile(lambda x: F.dropout(x, 0.5))
    masks = [step(fn.ones(64)).numpy().tobytes() for _ in range(5)]
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


# --- arguments --------------------------------------------------------------------------------


def test_new_shapes_record_anew_and_old_plans_stay():
    def train(compile):
        model = mlp()
        step = compile(training_step(model, optim.SGD(model.parameters(), lr=0.1)))
        losses = [step(*examples(1, n, 12)[0]) for n in (8, 5, 8, 8, 1, 5, 8, 1)]
        return losses, model.state_dict()

    same_bits(train, recordings=3)


ARGUMENTS: dict[str, Callable] = {
    "arrays": lambda x, y: (x, y),
    "tensors": lambda x, y: (fn.from_numpy(x), fn.from_numpy(y)),
    "both": lambda x, y: (x, fn.from_numpy(y)),
    "transposed": lambda x, y: (x.T.copy().T, y),
    "every second": lambda x, y: (x.repeat(2, 0)[::2], y.repeat(2)[::2]),
    "backwards": lambda x, y: (x[::-1], y[::-1]),
    "columns": lambda x, y: (np.hstack([x, x])[:, 3:15], y),
    "part of a tensor": lambda x, y: (fn.from_numpy(np.vstack([x, x]))[2:8], fn.from_numpy(y)),
    "read-only": lambda x, y: (np.broadcast_to(x[:1], x.shape), y),
    "int32 labels": lambda x, y: (x, y.astype(np.int32)),
    "uint8 labels": lambda x, y: (x, y.astype(np.uint8)),
    "float64": lambda x, y: (x.astype(np.float64), y),
    "uint8": lambda x, y: (np.abs(50 * x).astype(np.uint8), y),
    "in turns": lambda x, y: (x if x[0, 0] > 0 else x.T.copy().T, y),
}


@pytest.mark.parametrize("kind", ARGUMENTS)
def test_arguments(kind: str):
    def train(compile):
        model = mlp()
        step = compile(training_step(model, optim.SGD(model.parameters(), lr=0.1)))
        losses = [step(*ARGUMENTS[kind](x, y)) for x, y in examples(8, 6, 12)]
        return losses, model.state_dict()

    same_bits(train, recordings=2 if kind == "in turns" else 1)


def test_the_same_tensor_twice():
    def train(compile):
        step = compile(lambda a, b: (a * 2 - b, a, b))
        x, y = fn.ones(3), fn.full((3,), 5.0)
        return [step(x, x), step(x, y), step(y, x), step(y, y)]

    same_bits(train, recordings=1)


def test_arguments_that_share_memory():
    def train(compile):
        step = compile(lambda a, b: (a[2:] - b[:-2], a))
        shared, c, d = (fn.from_numpy(normal(4, 6, seed=i)) for i in range(3))
        return [step(shared[:, :3], shared[:, 3:]), step(c[:, :3], d[:, 3:])]

    same_bits(train)


def test_an_argument_that_the_function_knows_too():
    def train(compile):
        table = fn.from_numpy(normal(12, 3))
        step = compile(lambda x: x - table[8:10])
        return [step(table[i : i + 2]) for i in range(6)], step(fn.ones((2, 3), dtype=fn.float64))

    same_bits(train)


def test_a_parameter_as_an_argument():
    def train(compile):
        w = nn.Parameter(fn.ones(3))
        step = compile(lambda x: w.detach() * 10 + x)
        return [step(w.detach()), step(fn.zeros(3)), step(fn.zeros(3))]

    same_bits(train)


@pytest.mark.parametrize(
    "view",
    [
        lambda a: a[::2],
        lambda a: a[::-1],
        lambda a: a[:, ::-1],
        lambda a: a.T,
        lambda a: np.broadcast_to(a[:1], a.shape),
    ],
    ids=["every second", "backwards", "mirrored", "transposed", "broadcast"],
)
def test_parts_of_strided_arrays(view: Callable):
    def train(compile):
        step = compile(lambda x: (x[1:] - x[:-1], x[2:, 1:].sum()))
        return [step(fn.from_numpy(view(normal(8, 8, seed=i)))) for i in range(3)]

    same_bits(train, recordings=1)


def test_empty_arguments():
    step = fn.compile(lambda a, b: (a * 2, b.sum()))
    for _ in range(3):
        doubled, total = step(fn.ones((0, 3)), fn.ones((0, 3)))
        assert tuple(doubled.shape) == (0, 3)
        assert total.item() == 0


def test_a_step_without_arguments():
    def train(compile):
        model, (x, y) = mlp(), map(fn.from_numpy, examples(1, 5, 12)[0])
        body = training_step(model, optim.Adam(model.parameters()))
        step = compile(lambda: body(x, y))
        return [step() for _ in range(5)], model.state_dict()

    same_bits(train)


# --- results ----------------------------------------------------------------------------------


def test_results_keep_their_structure():
    def step(x):
        return {"a": (x, [x + 1, None]), "b": {}, "c": x * 2, 3: (x + 1,)}

    compiled = fn.compile(step)
    for i in range(4):
        x = fn.full((2,), float(i))
        result = compiled(x)
        assert list(result) == ["a", "b", "c", 3]
        assert type(result["a"]) is tuple
        assert type(result["a"][1]) is list
        assert result["a"][1][1] is None
        assert result["b"] == {}
        assert result["c"].numpy().tolist() == [2 * i, 2 * i]
        assert result[3][0].numpy().tolist() == [i + 1, i + 1]


def test_named_tuples_are_kept():
    step = fn.compile(lambda x: x.max(1))
    for i in range(3):
        result = step(fn.from_numpy(normal(4, 5, seed=i)))
        assert result.indices.numpy().tolist() == normal(4, 5, seed=i).argmax(1).tolist()


def test_a_step_may_return_nothing():
    seen = fn.zeros(1)

    @fn.compile
    def step(x):
        seen.add_(x)

    assert [step(fn.ones(1)) for _ in range(4)] == [None] * 4
    assert seen.item() == 4


def test_results_are_new_tensors_off_the_tape():
    w = fn.ones(3, requires_grad=True)
    step = fn.compile(lambda x: (w * x).sum())
    results = [step(fn.full((3,), float(i))) for i in range(5)]
    assert [r.item() for r in results] == [0, 3, 6, 9, 12]
    assert not any(r.requires_grad for r in results)


@pytest.mark.parametrize(
    "body",
    [
        lambda x, w: (x, x[1:], x.T),
        lambda x, w: (w, w[0]),
        lambda x, w: [(y := x * w), y, y[1:], y.reshape(-1)],
        lambda x, w: (fn.zeros(3), fn.full((2,), 3.0), fn.ones(2).add_(1)),
        lambda x, w: (fn.zeros((0, 3)), x.sum(), x > 0, x.argmax(1), x.to(fn.float32)),
    ],
    ids=["argument", "outside tensor", "views", "constants", "dtypes"],
)
def test_results(body: Callable):
    def train(compile):
        w = fn.from_numpy(normal(3, 3, seed=9))
        step = compile(lambda x: body(x, w))
        return [step(fn.from_numpy(normal(3, 3, seed=i))) for i in range(4)]

    same_bits(train, recordings=1)


@pytest.mark.parametrize(
    "body",
    [
        lambda x: (x * 2, fn.arange(3)),
        lambda x: x * fn.arange(3).add_(1),
        lambda x: x[fn.arange(2)] + fn.arange(3, dtype=fn.float32)[:2],
    ],
    ids=["returned", "changed", "read"],
)
def test_numbers_counted_in_the_step(body: Callable):
    def train(compile):
        step = compile(body)
        return [step(fn.full((3,), float(i))) for i in range(4)]

    same_bits(train, recordings=1)


# --- gradients --------------------------------------------------------------------------------


def test_gradients_are_none_after_a_step():
    model = mlp()
    step = fn.compile(training_step(model, optim.Adam(model.parameters())))
    for i, (x, y) in enumerate(examples(4, 5, 12)):
        step(x, y)
        assert i == 0 or all(p.grad is None for p in model.parameters())


@pytest.mark.parametrize("kind", [optim.SGD, optim.Adam])
def test_gradients_can_be_kept(kind: type):
    def train(compile):
        model = mixed_net()
        step = training_step(model, kind(model.parameters(), lr=0.1))
        step, grads = compile(step, keep_grads=True), []
        for i, (x, y) in enumerate(examples(9, 5, 2, 6, 6)):
            step(x[: 5 - i % 3], y[: 5 - i % 3])
            grads.append([p.grad.clone() for p in model.parameters()])
        return grads, model.state_dict()

    same_bits(train)


def test_compile_with_options_is_a_decorator():
    w = fn.ones(2, requires_grad=True)

    @fn.compile(keep_grads=True)
    def step(x):
        """Words."""
        w.grad = None
        (w * x).sum().backward()

    for i in range(3):
        step(fn.full((2,), float(i)))
        assert w.grad.numpy().tolist() == [i, i]
    assert (step.__name__, step.__doc__) == ("step", "Words.")


def test_kept_gradients_can_be_returned():
    def train(compile):
        model = mlp()

        def step(x, y):
            model.zero_grad()
            F.cross_entropy(model(x), y).backward()
            return model[0].weight.grad

        step = compile(step, keep_grads=True)
        return [step(x, y) for x, y in examples(4, 5, 12)]

    same_bits(train, recordings=1)


def test_a_tape_from_before_a_replay_is_refused():
    layer = nn.Linear(12, 5)
    step = fn.compile(training_step(layer, optim.SGD(layer.parameters(), lr=0.1)))
    x, y = examples(1, 5, 12)[0]
    step(x, y)
    product = (layer.weight * layer.weight).sum()
    step(x, y)
    with pytest.raises(RuntimeError, match="changed in place"):
        product.backward()


# --- threads ----------------------------------------------------------------------------------


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
def test_the_same_bits_for_any_number_of_threads(
    threads: Callable[[int], None], compiled: bool
) -> None:
    def run() -> list[bytes]:
        fn.manual_seed(3)
        model = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(16, 8, 3),
            nn.Flatten(),
            nn.Dropout(0.4),
            nn.Linear(8 * 8 * 8, 300),
            nn.GELU(),
            nn.Linear(300, 5),
        )
        step = training_step(model, optim.Adam(model.parameters(), lr=0.01))
        step = fn.compile(step) if compiled else step
        losses = [step(fn.from_numpy(x), fn.from_numpy(y)) for x, y in examples(4, 37, 1, 20, 20)]
        return [t.detach().numpy().tobytes() for t in (*losses, *model.state_dict().values())]

    threads(1)
    expected = run()
    for n in (1, 2, 3, 8):
        threads(n)
        assert run() == expected, f"{n} threads"


def test_the_number_of_threads_may_change_between_replays(threads: Callable[[int], None]) -> None:
    def train(compile):
        model = nn.Sequential(nn.Linear(64, 300), nn.ReLU(), nn.Linear(300, 5))
        step = compile(training_step(model, optim.Adam(model.parameters())))
        for n, (x, y) in zip((1, 2, 3, 8, 2, 1), examples(6, 130, 64), strict=True):
            threads(n)
            step(x, y)
        return model.state_dict()

    same_bits(train, recordings=2)


def test_steps_in_several_python_threads():
    results: dict[int, list[float]] = {}

    def run(seed: int) -> None:
        w = fn.zeros(40, 40, dtype=fn.float64)

        @fn.compile
        def step(x):
            w.add_(x @ x)
            return w.mean()

        results[seed] = [step(normal(40, 40, seed=seed + i)).item() for i in range(20)]

    workers = [threading.Thread(target=run, args=(seed,)) for seed in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    at_once, results = results, {}
    for seed in range(4):
        run(seed)
    assert at_once == results


def test_a_step_runs_in_one_thread_at_a_time():
    step, failures = fn.compile(lambda x: (x @ x).sum()), []
    x = fn.ones(800, 800)
    expected = step(x).item()
    gate = threading.Barrier(3)

    def run() -> None:
        gate.wait(30)
        for _ in range(10):
            try:
                assert step(x).item() == expected
            except RuntimeError as error:
                failures.append(str(error))

    workers = [threading.Thread(target=run) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert all("already running in another thread" in failure for failure in failures)
    assert step(x).item() == expected


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
