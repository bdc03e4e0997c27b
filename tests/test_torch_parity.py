"""The same layers, losses and optimizers in PyTorch and here, with the same weights.

Every case is written once, for a module `nn` that is either library's. Compared are outputs,
gradients for a random cotangent, and states afterwards, in float32 and float64.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from devices import place

import fastnn as fn
import fastnn.nn
import fastnn.optim

torch = pytest.importorskip("torch")
torch.set_num_threads(1)  # two thread pools would fight over the cores
pytestmark = [  # PyTorch's advice
    pytest.mark.filterwarnings("ignore:reduction. 'mean' divides:UserWarning"),
    pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel:UserWarning"),
]

Array = np.ndarray
DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])


def close(actual: Any, expected: Any, dtype: str, ulps: float = 64) -> None:
    """Largest error within `ulps` epsilons of the largest value."""
    actual, expected = actual.cpu().numpy(), expected.detach().cpu().numpy()
    assert actual.shape == expected.shape
    assert actual.dtype == expected.dtype
    scale = np.abs(expected).max(initial=1e-30)
    error = np.abs(actual.astype(np.float64) - expected).max(initial=0)
    assert error <= ulps * np.finfo(dtype).eps * scale


def close_states(ours: Any, theirs: Any, dtype: str) -> None:
    expected = theirs.state_dict()
    actual = ours.state_dict()
    assert list(actual) == list(expected)
    for key, value in expected.items():
        close(actual[key], value, dtype)


def tensor_of(library: Any, x: Array) -> Any:
    return place(x) if library is fn else library.from_numpy(x)


def leaf(library: Any, x: Array) -> Any:
    tensor = tensor_of(library, x.copy())
    if x.dtype.kind == "f":
        tensor.requires_grad = True
    return tensor


def pair_of(make: Callable, dtype: str) -> tuple[Any, Any]:
    """A module of each library, with the weights of PyTorch's."""
    torch.manual_seed(0)
    theirs = make(torch.nn).to(getattr(torch, dtype))
    ours = make(fn.nn).to(getattr(fn, dtype))
    for buffer in ours.buffers():
        assert buffer.dtype in (fn.int64, getattr(fn, dtype))
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs


def compare(ours: Any, theirs: Any, inputs: list[Array], dtype: str, ulps: float = 64) -> None:
    """One forward and backward of both."""
    mine, other = [leaf(fn, x) for x in inputs], [leaf(torch, x) for x in inputs]
    y, expected = ours(*mine), theirs(*other)
    close(y.detach(), expected, dtype, ulps)
    cotangent = np.random.default_rng(7).standard_normal(expected.shape).astype(dtype)
    (y * place(cotangent)).sum().backward()
    (expected * torch.from_numpy(cotangent)).sum().backward()
    for a, b in zip(mine, other, strict=True):
        if b.requires_grad:
            close(a.grad, b.grad, dtype, ulps)
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        close(a.grad, b.grad, dtype, ulps)
    close_states(ours, theirs, dtype)


def normal(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal(shape)


IMAGES = (3, 4, 11, 9)

LAYERS: list[tuple[Callable, tuple[int, ...]]] = [
    (lambda nn: nn.Linear(7, 5), (3, 7)),
    (lambda nn: nn.Linear(129, 127, bias=False), (128, 129)),
    (lambda nn: nn.Linear(7, 5), (2, 3, 7)),
    (lambda nn: nn.Linear(7, 1), (7,)),
    (lambda nn: nn.Conv1d(4, 6, 3), (3, 4, 20)),
    (lambda nn: nn.Conv1d(4, 6, 5, stride=2, padding=2, dilation=2, groups=2), (3, 4, 20)),
    (lambda nn: nn.Conv1d(4, 6, 4, padding="same", bias=False), (3, 4, 20)),
    (lambda nn: nn.Conv2d(4, 6, 3), IMAGES),
    (lambda nn: nn.Conv2d(4, 6, (3, 2), stride=(2, 1), padding=(1, 2)), IMAGES),
    (lambda nn: nn.Conv2d(4, 6, 3, dilation=2, groups=2, bias=False), IMAGES),
    (lambda nn: nn.Conv2d(4, 8, 3, padding="same", groups=4), IMAGES),
    (lambda nn: nn.Conv2d(4, 6, (4, 3), padding="same", dilation=(1, 2)), IMAGES),
    (lambda nn: nn.Conv2d(4, 6, 2, stride=5, padding="valid"), IMAGES),
    (lambda nn: nn.Conv2d(4, 6, 1), IMAGES),
    (lambda nn: nn.MaxPool2d(2), IMAGES),
    (lambda nn: nn.MaxPool2d((3, 2), stride=(1, 2), padding=(1, 0), dilation=(2, 1)), IMAGES),
    (lambda nn: nn.MaxPool2d(3, 2, ceil_mode=True), IMAGES),
    (lambda nn: nn.AvgPool2d(2), IMAGES),
    (lambda nn: nn.AvgPool2d((3, 2), stride=(2, 1), padding=1), IMAGES),
    (lambda nn: nn.AvgPool2d(3, 2, 1, ceil_mode=True, count_include_pad=False), IMAGES),
    (lambda nn: nn.AvgPool2d(2, divisor_override=3), IMAGES),
    (lambda nn: nn.LPPool2d(2, 2), IMAGES),
    (lambda nn: nn.LPPool2d(1, (3, 2), stride=2), IMAGES),
    (lambda nn: nn.AdaptiveAvgPool2d(1), IMAGES),
    (lambda nn: nn.AdaptiveAvgPool2d((3, None)), IMAGES),
    (lambda nn: nn.AdaptiveAvgPool2d((None, 4)), IMAGES),
    (lambda nn: nn.AdaptiveAvgPool2d((4, 13)), IMAGES),
    (lambda nn: nn.Flatten(), IMAGES),
    (lambda nn: nn.Flatten(0, 1), IMAGES),
    (lambda nn: nn.Identity(3, x=4), IMAGES),
    (lambda nn: nn.ReLU(), IMAGES),
    (lambda nn: nn.LeakyReLU(), IMAGES),
    (lambda nn: nn.LeakyReLU(0.3), IMAGES),
    (lambda nn: nn.Sigmoid(), IMAGES),
    (lambda nn: nn.Tanh(), IMAGES),
    (lambda nn: nn.GELU(), IMAGES),
    (lambda nn: nn.GELU("tanh"), IMAGES),
    (lambda nn: nn.SiLU(), IMAGES),
    (lambda nn: nn.Softmax(dim=1), IMAGES),
    (lambda nn: nn.Softmax(dim=-1), (5, 10)),
    (lambda nn: nn.LogSoftmax(dim=1), (5, 10)),
    (lambda nn: nn.LogSoftmax(dim=0), (5, 10)),
    (lambda nn: nn.Dropout(0.0), IMAGES),
    (lambda nn: nn.Dropout(1.0), IMAGES),
    (lambda nn: nn.Dropout(0.5).eval(), IMAGES),
    (lambda nn: nn.BatchNorm1d(7), (6, 7)),
    (lambda nn: nn.BatchNorm1d(7), (6, 7, 5)),
    (lambda nn: nn.BatchNorm2d(4), IMAGES),
    (lambda nn: nn.BatchNorm2d(4, eps=0.1, momentum=0.5, affine=False), IMAGES),
    (lambda nn: nn.BatchNorm2d(4, momentum=None), IMAGES),
    (lambda nn: nn.BatchNorm2d(4, track_running_stats=False), IMAGES),
]


@DTYPES
@pytest.mark.parametrize(
    ("make", "shape"), LAYERS, ids=[f"{make(fn.nn)}{shape}" for make, shape in LAYERS]
)
def test_layer(make: Callable, shape: tuple[int, ...], dtype: str):
    ours, theirs = pair_of(make, dtype)
    compare(ours, theirs, [normal(*shape).astype(dtype)], dtype)


@pytest.mark.parametrize("make", [make for make, _ in LAYERS], ids=lambda make: repr(make(fn.nn)))
def test_layer_repr(make: Callable):
    # What changes nothing is not shown here; recent versions of PyTorch show a bias of BatchNorm.
    expected = re.sub(r", inplace=False|bias=\w+, (?=track)", "", repr(make(torch.nn)))
    assert repr(make(fn.nn)) == expected


@DTYPES
def test_max_pool_indices(dtype: str):
    x = np.round(normal(*IMAGES)).astype(dtype)  # many ties
    ours, theirs = pair_of(lambda nn: nn.MaxPool2d(3, 2, 1, return_indices=True), dtype)
    (y, index), (expected, expected_index) = ours(place(x)), theirs(torch.from_numpy(x))
    close(y, expected, dtype, 0)
    assert np.array_equal(index.cpu().numpy(), expected_index.cpu().numpy())


@DTYPES
@pytest.mark.parametrize("momentum", [0.1, 0.7, None])
def test_batch_norm_over_several_batches_then_evaluation(momentum: float | None, dtype: str):
    ours, theirs = pair_of(lambda nn: nn.BatchNorm2d(4, momentum=momentum), dtype)
    for seed in range(4):
        x = (normal(*IMAGES, seed=seed) * 3 + 5).astype(dtype)
        close(ours(place(x)).detach(), theirs(torch.from_numpy(x)), dtype)
        close_states(ours, theirs, dtype)
    ours.zero_grad()
    compare(ours.eval(), theirs.eval(), [normal(*IMAGES, seed=9).astype(dtype)], dtype)


# --- losses -----------------------------------------------------------------------------------

N, C = 6, 5
RNG = np.random.default_rng(3)
LABELS = RNG.integers(0, C, N)
PROBABILITIES = RNG.dirichlet(np.ones(C), N)
WEIGHT = RNG.uniform(0.5, 2, C)
UNIT = RNG.uniform(0.02, 0.98, (N, C))
LOGITS, OTHER = normal(N, C, seed=1), normal(N, C, seed=2)
LOG_PROBABILITIES = np.log(RNG.dirichlet(np.ones(C), N))
IGNORED = np.where(np.arange(N) % 3 == 0, 2, LABELS)
MAPS = normal(2, C, 3, 4, seed=5)
MAP_LABELS = RNG.integers(0, C, (2, 3, 4))

LOSSES: list[tuple[str, dict[str, Any], tuple[Array, ...]]] = [
    ("CrossEntropyLoss", {}, (LOGITS, LABELS)),
    ("CrossEntropyLoss", {"weight": WEIGHT}, (LOGITS, LABELS)),
    ("CrossEntropyLoss", {"ignore_index": 2}, (LOGITS, IGNORED)),
    ("CrossEntropyLoss", {"weight": WEIGHT, "ignore_index": 2}, (LOGITS, IGNORED)),
    ("CrossEntropyLoss", {"label_smoothing": 0.2}, (LOGITS, LABELS)),
    ("CrossEntropyLoss", {"label_smoothing": 0.2, "weight": WEIGHT}, (LOGITS, LABELS)),
    ("CrossEntropyLoss", {}, (LOGITS, PROBABILITIES)),
    ("CrossEntropyLoss", {"label_smoothing": 0.2, "weight": WEIGHT}, (LOGITS, PROBABILITIES)),
    ("CrossEntropyLoss", {}, (LOGITS * 200, LABELS)),
    ("NLLLoss", {}, (LOG_PROBABILITIES, LABELS)),
    ("NLLLoss", {"weight": WEIGHT, "ignore_index": 2}, (LOG_PROBABILITIES, IGNORED)),
    ("BCELoss", {}, (UNIT, UNIT[::-1].copy())),
    ("BCELoss", {"weight": WEIGHT}, (UNIT, np.round(UNIT[::-1]))),
    ("BCEWithLogitsLoss", {}, (LOGITS * 30, UNIT)),
    ("BCEWithLogitsLoss", {"weight": WEIGHT, "pos_weight": WEIGHT[::-1].copy()}, (LOGITS, UNIT)),
    ("MSELoss", {}, (LOGITS, OTHER)),
    ("L1Loss", {}, (LOGITS, OTHER)),
    ("SmoothL1Loss", {}, (LOGITS, OTHER)),
    ("SmoothL1Loss", {"beta": 0.3}, (LOGITS, OTHER)),
    ("SmoothL1Loss", {"beta": 0.0}, (LOGITS, OTHER)),
    ("HuberLoss", {}, (LOGITS, OTHER)),
    ("HuberLoss", {"delta": 0.3}, (LOGITS, OTHER)),
    ("GaussianNLLLoss", {}, (LOGITS, OTHER, UNIT)),
    ("GaussianNLLLoss", {"full": True, "eps": 0.3}, (LOGITS, OTHER, UNIT)),
    ("KLDivLoss", {}, (LOG_PROBABILITIES, PROBABILITIES)),
    ("KLDivLoss", {"log_target": True}, (LOG_PROBABILITIES, np.log(PROBABILITIES))),
]


def loss_id(case: Any) -> str:
    return case if isinstance(case, str) else ",".join(case) if isinstance(case, dict) else ""


@DTYPES
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize(("name", "options", "inputs"), LOSSES, ids=loss_id)
def test_loss(
    name: str, options: dict[str, Any], inputs: tuple[Array, ...], reduction: str, dtype: str
):
    def make(library: Any) -> Any:
        tensors = {
            key: tensor_of(library, value.astype(dtype)) if isinstance(value, Array) else value
            for key, value in options.items()
        }
        return getattr(library.nn, name)(reduction=reduction, **tensors)

    inputs = tuple(x.astype(dtype) if x.dtype.kind == "f" else x for x in inputs)
    ours, theirs = make(fn), make(torch)
    x, expected_x = leaf(fn, inputs[0]), leaf(torch, inputs[0])
    y = ours(x, *map(place, inputs[1:]))
    expected = theirs(expected_x, *map(torch.from_numpy, inputs[1:]))
    close(y.detach(), expected, dtype)
    cotangent = np.asarray(normal(*expected.shape, seed=7), dtype=dtype)
    (y * place(cotangent)).sum().backward()
    (expected * torch.from_numpy(cotangent)).sum().backward()
    close(x.grad, expected_x.grad, dtype)


@DTYPES
def test_kl_batchmean(dtype: str):
    inputs = [LOG_PROBABILITIES.astype(dtype), PROBABILITIES.astype(dtype)]
    y = fn.nn.KLDivLoss(reduction="batchmean")(*map(place, inputs))
    expected = torch.nn.KLDivLoss(reduction="batchmean")(*map(torch.from_numpy, inputs))
    close(y, expected, dtype)


@DTYPES
@pytest.mark.parametrize("name", ["BCELoss", "GaussianNLLLoss", "MSELoss", "KLDivLoss"])
def test_gradients_of_targets(name: str, dtype: str):
    inputs = [UNIT.astype(dtype), UNIT[::-1].astype(dtype)]
    if name == "GaussianNLLLoss":
        inputs.append((UNIT.T.reshape(N, C) + 0.1).astype(dtype))
    ours, theirs = getattr(fn.nn, name)(), getattr(torch.nn, name)()
    mine, other = [leaf(fn, x) for x in inputs], [leaf(torch, x) for x in inputs]
    ours(*mine).backward()
    theirs(*other).backward()
    for a, b in zip(mine, other, strict=True):
        close(a.grad, b.grad, dtype)


# --- optimizers -------------------------------------------------------------------------------

OPTIMIZERS: list[tuple[str, dict[str, Any]]] = [
    ("SGD", {}),
    ("SGD", {"lr": 0.1, "weight_decay": 0.2}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.3}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
    ("Adam", {}),
    ("Adam", {"betas": (0.5, 0.6), "eps": 1e-3, "weight_decay": 0.1, "amsgrad": True}),
    ("AdamW", {}),
    ("AdamW", {"lr": 0.1, "weight_decay": 0.3, "amsgrad": True}),
    ("RMSprop", {}),
    ("RMSprop", {"alpha": 0.5, "momentum": 0.9, "centered": True, "weight_decay": 0.1}),
    ("Adagrad", {}),
    ("Adagrad", {"lr_decay": 0.3, "initial_accumulator_value": 0.5, "weight_decay": 0.1}),
    ("Adadelta", {}),
    ("Adadelta", {"rho": 0.5, "eps": 1e-3, "weight_decay": 0.1, "lr": 0.7}),
]


@DTYPES
@pytest.mark.parametrize("maximize", [False, True])
@pytest.mark.parametrize(("name", "options"), OPTIMIZERS, ids=loss_id)
def test_optimizer(name: str, options: dict[str, Any], maximize: bool, dtype: str):
    rng = np.random.default_rng(0)
    start = [rng.standard_normal(shape).astype(dtype) for shape in ((5, 3), (7,), (2, 3, 2, 2))]
    mine = [fn.nn.Parameter(place(w.copy())) for w in start]
    other = [torch.nn.Parameter(torch.from_numpy(w.copy())) for w in start]
    ours = getattr(fn.optim, name)(mine, maximize=maximize, **options)
    theirs = getattr(torch.optim, name)(other, maximize=maximize, **options)
    for step in range(6):
        for i, (a, b) in enumerate(zip(mine, other, strict=True)):
            g = rng.standard_normal(b.shape).astype(dtype)
            skipped = i == 1 and step in (0, 3)
            a.grad = None if skipped else place(g.copy())
            b.grad = None if skipped else torch.from_numpy(g.copy())
        ours.step()
        theirs.step()
        for a, b in zip(mine, other, strict=True):
            close(a.detach(), b, dtype)
        if step == 3:  # PyTorch's state continues here
            ours.load_state_dict(theirs.state_dict())
    for index, expected in theirs.state_dict()["state"].items():
        actual = ours.state_dict()["state"][index]
        assert set(actual) == {key for key, value in expected.items() if value is not None}
        for key in actual:
            if key == "step":
                assert actual["step"] == int(expected["step"])
            else:
                close(actual[key], expected[key], dtype)


# --- a whole network --------------------------------------------------------------------------


def lenet(nn: Any) -> Any:
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5),
        nn.Tanh(),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(16 * 2 * 2, 30),
        nn.GELU(),
        nn.Linear(30, 10),
    )


@pytest.mark.parametrize("name", ["SGD", "AdamW"])
def test_training_a_network_takes_the_same_path(name: str):
    ours, theirs = pair_of(lenet, "float64")
    options = {"lr": 0.2, "momentum": 0.9} if name == "SGD" else {"lr": 0.01}
    my_opt = getattr(fn.optim, name)(ours.parameters(), **options)
    their_opt = getattr(torch.optim, name)(theirs.parameters(), **options)
    x, y = normal(16, 1, 16, 16), np.random.default_rng(1).integers(0, 10, 16)
    first = None
    for _ in range(12):
        loss = fn.nn.CrossEntropyLoss()(ours(place(x)), place(y))
        expected = torch.nn.CrossEntropyLoss()(theirs(torch.from_numpy(x)), torch.from_numpy(y))
        assert abs(loss.item() - expected.item()) <= 1e-9 * expected.item()
        first = first or loss.item()
        for opt, value in ((my_opt, loss), (their_opt, expected)):
            opt.zero_grad()
            value.backward()
            opt.step()
    assert loss.item() < 0.8 * first


@pytest.mark.parametrize(
    ("name", "param"),
    [
        *((name, None) for name in ("linear", "conv2d", "sigmoid", "tanh", "relu", "selu")),
        ("leaky_relu", None),
        ("leaky_relu", 0.3),
    ],
)
def test_gain(name: str, param: float | None):
    assert fn.nn.init.calculate_gain(name, param) == torch.nn.init.calculate_gain(name, param)
