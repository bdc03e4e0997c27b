"""Numbers that a course on neural networks works out by hand.

Sources: Michael Nielsen, "Neural Networks and Deep Learning"; Tariq Rashid, "Make Your Own Neural
Network"; and lecture slides on backpropagation. Digits are compared as far as they are printed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from devices import handed, place

import fastnn as fn
from fastnn import nn, optim
from fastnn.nn import functional as F


def f64(values: Any, requires_grad: bool = False) -> fn.Tensor:
    return fn.tensor(values, dtype=fn.float64, requires_grad=requires_grad)


def dense(weight: Any, bias: Any = None) -> nn.Linear:
    """A float64 layer with these weights."""
    weight = np.array(weight, dtype=np.float64)
    layer = nn.Linear(*weight.shape[::-1], bias=bias is not None, dtype=fn.float64)
    state = {"weight": weight}
    layer.load_state_dict(state if bias is None else {**state, "bias": np.array(bias)})
    return layer


def number(x: fn.Tensor) -> float:
    return float(x.detach().cpu().numpy().reshape(()))


def n_params(model: nn.Module) -> int:
    return sum(math.prod(p.shape) for p in model.parameters())


# --- one neuron and small networks --------------------------------------------------------------


def test_one_weight_update_by_hand():
    neuron = dense([[2.0, 3.0]])
    z = neuron(f64([[0.4, 0.5]]))
    output = F.sigmoid(z)
    assert number(z) == pytest.approx(2.3, abs=1e-15)
    assert round(number(output), 7) == 0.9088770
    target = number(output) + 0.8  # so that the error is 0.8
    loss = 0.5 * ((target - output) ** 2).sum()
    loss.backward()
    optim.SGD(neuron.parameters(), lr=0.1).step()
    assert round(neuron.weight.detach().cpu().numpy()[0, 0], 8) == 2.00265023


def test_products_of_tensors_are_elementwise():
    assert np.array_equal((fn.tensor([1.0, 2.0]) * fn.tensor([3.0, 4.0])).cpu().numpy(), [3, 8])


def test_hand_example_of_a_network():
    hidden, output = dense([[1, -2, 2], [2, 1, -4], [1, -1, 0]]), dense([[-3, 1, -3], [0, 1, 2]])
    h = F.sigmoid(hidden(f64([[0.5, 0.9, -0.3]])))
    y = F.sigmoid(output(h))
    assert np.round(h.detach().cpu().numpy(), 2).tolist() == [[0.13, 0.96, 0.40]]
    assert np.round(y.detach().cpu().numpy(), 2).tolist() == [[0.35, 0.85]]
    (0.5 * (y - f64([[0.9, 0.85]])) ** 2).sum().backward()
    h, y = h.detach().cpu().numpy()[0], y.detach().cpu().numpy()[0]
    gradient = h[0] * (y[0] - 0.9) * y[0] * (1 - y[0])
    assert output.weight.grad.cpu().numpy()[0, 0] == pytest.approx(gradient, rel=1e-14)
    assert gradient == pytest.approx(0.13 * (0.35 - 0.9) * 0.35 * (1 - 0.35), rel=0.02)


@pytest.mark.parametrize(("w", "b", "start"), [(0.6, 0.9, 0.82), (2.0, 2.0, 0.98)])
@pytest.mark.parametrize("cost", ["quadratic", "cross-entropy"])
def test_one_neuron_learns_slowly_from_a_bad_start(w: float, b: float, start: float, cost: str):
    neuron = dense([[w]], [b])
    opt = optim.SGD(neuron.parameters(), lr=0.15)
    x, y = f64([[1.0]]), f64([[0.0]])
    outputs = []
    for _ in range(151):
        z = neuron(x)
        a = F.sigmoid(z)
        outputs.append(number(a))
        loss = F.binary_cross_entropy_with_logits(z, y)
        if cost == "quadratic":
            loss = 0.5 * ((a - y) ** 2).sum()
        opt.zero_grad()
        loss.backward()
        opt.step()
    assert round(outputs[0], 2) == start
    assert (np.diff(outputs) < 0).all()
    stuck = cost == "quadratic" and start == 0.98
    if stuck:
        assert outputs[150] > 0.85
        assert outputs[0] - outputs[50] < 0.02
    elif cost == "cross-entropy":
        assert outputs[50] < 0.15
    else:
        assert outputs[150] < 0.2


def test_exploding_gradient_of_a_chain():
    # a = 1/2 everywhere, so that z = 100 * 1/2 - 50 = 0.
    chain = [dense([[100.0]], [-50.0]) for _ in range(4)]
    a = f64([[0.5]])
    for layer in chain:
        a = F.sigmoid(layer(a))
    a.sum().backward()  # dC/da4 = 1
    assert number(chain[0].bias.grad) == 3906.25


def test_the_largest_learning_rate_that_converges():
    # Two clouds and one linear neuron; the error surface's curvatures are the eigenvalues of
    # E[x x^T], of which the largest is made to be 0.84.
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(mean, 1, (50, 2)) for mean in ((2, 1), (-1, 2))])
    x *= math.sqrt(0.84 / np.linalg.eigvalsh(x.T @ x / 100).max())
    y = np.repeat([[1.0], [-1.0]], 50, axis=0)
    best = np.linalg.lstsq(x, y, rcond=None)[0].T
    assert round(2 / 0.84, 2) == 2.38
    for lr, converges in ((2.37, True), (2.39, False)):
        neuron = dense([[0.5, -0.5]])
        opt = optim.SGD(neuron.parameters(), lr=lr)
        for _ in range(500):
            opt.zero_grad()
            (0.5 * F.mse_loss(neuron(f64(x)), f64(y))).backward()
            opt.step()
        start, end = (
            np.linalg.norm(w - best) for w in ([[0.5, -0.5]], neuron.weight.detach().cpu().numpy())
        )
        assert (end < 0.1 * start) if converges else (end > 10 * start)


# --- shapes and counts --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "input_shape", "output_shape", "params"),
    [
        (lambda: nn.Conv2d(1, 20, 5), (1, 28, 28), (20, 24, 24), 520),
        (
            lambda: nn.Sequential(nn.Conv2d(1, 20, 5), nn.MaxPool2d(2)),
            (1, 28, 28),
            (20, 12, 12),
            520,
        ),
        (lambda: nn.Linear(784, 30), (784,), (30,), 23_550),
        (lambda: nn.Sequential(nn.Linear(784, 30), nn.Linear(30, 10)), (784,), (10,), 23_860),
        (lambda: nn.Sequential(nn.Linear(784, 100), nn.Linear(100, 10)), (784,), (10,), 79_510),
        (lambda: nn.Conv2d(20, 40, 5), (20, 12, 12), (40, 8, 8), 20_040),
        (
            lambda: nn.Sequential(nn.Conv2d(20, 40, 5), nn.MaxPool2d(2), nn.Flatten()),
            (20, 12, 12),
            (640,),
            20_040,
        ),
        (
            lambda: nn.Sequential(nn.Linear(10, 1000), nn.ReLU(), nn.Linear(1000, 1)),
            (10,),
            (1,),
            12_001,
        ),
    ],
)
def test_shapes_and_parameter_counts(
    model: Callable[[], nn.Module], input_shape: tuple, output_shape: tuple, params: int
):
    net = model()
    assert net(fn.zeros((2, *input_shape))).shape == (2, *output_shape)
    assert n_params(net) == params
    table = net.summary(input_shape)
    assert table.total_params == params
    assert table.rows[-1].output_shape == output_shape


def test_first_pool_takes_8x8_to_4x4():
    assert nn.MaxPool2d(2)(fn.zeros((1, 40, 8, 8))).shape == (1, 40, 4, 4)


# --- sigmoid and softmax ------------------------------------------------------------------------


def test_sigmoid_is_a_shifted_tanh():
    z = f64(np.linspace(-30, 30, 601))
    assert np.abs(F.sigmoid(z).cpu().numpy() - (1 + F.tanh(z / 2).cpu().numpy()) / 2).max() <= 4e-16


def test_steepest_slope_of_sigmoid_is_a_quarter():
    z = f64(np.linspace(-5, 5, 1001), requires_grad=True)
    F.sigmoid(z).sum().backward()
    slope = z.grad.cpu().numpy()
    assert slope.max() == 0.25
    assert slope.argmax() == 500


def test_a_softmax_layer_of_zeros_costs_ln_10():
    layer = dense(np.zeros((10, 30)), np.zeros(10))
    x = np.random.default_rng(0).standard_normal((8, 30))
    cost = nn.CrossEntropyLoss()(layer(handed(x)), handed(np.arange(8)))
    assert round(number(cost), 6) == 2.302585


def test_softmax_does_not_see_a_shift():
    z = np.random.default_rng(0).standard_normal((4, 10))
    a, b = (F.softmax(f64(x), 1).cpu().numpy() for x in (z, z + 123))
    assert np.abs(a - b).max() <= 1e-14


# --- gradients of costs -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cost", "delta"),
    [
        (lambda z, y: 0.5 * ((F.sigmoid(z) - y) ** 2).sum(), lambda a, y: (a - y) * a * (1 - a)),
        (
            lambda z, y: F.binary_cross_entropy(F.sigmoid(z), y, reduction="sum"),
            lambda a, y: a - y,
        ),
        (
            lambda z, y: F.binary_cross_entropy_with_logits(z, y, reduction="sum"),
            lambda a, y: a - y,
        ),
        (lambda z, y: 0.5 * F.mse_loss(z, y, reduction="sum"), None),
    ],
    ids=["quadratic, sigmoid", "cross-entropy, sigmoid", "the same, from logits", "quadratic"],
)
def test_output_deltas(cost: Callable, delta: Callable | None):
    rng = np.random.default_rng(0)
    z, y = f64(rng.standard_normal((5, 3)), requires_grad=True), rng.uniform(size=(5, 3))
    cost(z, f64(y)).backward()
    a = F.sigmoid(z.detach()).cpu().numpy()
    expected = z.detach().cpu().numpy() - y if delta is None else delta(a, y)
    assert np.abs(z.grad.cpu().numpy() - expected).max() <= 1e-14


def test_output_delta_of_softmax_with_log_likelihood():
    rng = np.random.default_rng(0)
    z, labels = f64(rng.standard_normal((5, 3)), requires_grad=True), rng.integers(0, 3, 5)
    F.cross_entropy(z, place(labels), reduction="sum").backward()
    expected = F.softmax(z.detach(), 1).cpu().numpy() - np.eye(3)[labels]
    assert np.abs(z.grad.cpu().numpy() - expected).max() <= 1e-15


@pytest.mark.parametrize(
    ("m", "slope"), [(-10, -0.9999546), (-2, -0.8807971), (0, -0.5), (2, -0.1192029)]
)
def test_slope_of_the_log_sigmoid(m: float, slope: float):
    margin = f64([float(m)], requires_grad=True)
    F.binary_cross_entropy_with_logits(margin, f64([1.0])).backward()
    assert round(number(margin.grad), 7) == slope


def soft_label_cost(logit: float, p: float) -> tuple[float, float]:
    """Cross-entropy of one logit with the soft label (p, 1 - p), and its slope."""
    z = f64([logit], requires_grad=True)
    cost = F.binary_cross_entropy_with_logits(z, f64([p]))
    cost.backward()
    return number(cost), number(z.grad)


@pytest.mark.parametrize(
    ("p", "entropy", "logit"), [(0.55, 0.6881388, 0.2006707), (0.7, 0.6108643, 0.8472979)]
)
def test_soft_labels(p: float, entropy: float, logit: float):
    best = math.log(p / (1 - p))
    assert round(best, 7) == logit
    cost, slope = soft_label_cost(best, p)
    assert round(cost, 7) == entropy
    assert abs(slope) <= 1e-15
    assert soft_label_cost(best - 0.01, p)[0] > cost < soft_label_cost(best + 0.01, p)[0]


def test_regression_with_its_own_variance():
    c = 0.2
    f1, f2 = f64([0.0], requires_grad=True), f64([0.0], requires_grad=True)  # mean, log-variance
    y = f64([1.0])
    full = F.gaussian_nll_loss(f1, y, c * f2.exp(), full=True)
    assert round(number(full), 7) == 2.6142196
    simplified = ((y - f1) ** 2 / (c * f2.exp()) + f2).sum()
    assert number(simplified) == pytest.approx(5, rel=1e-15)
    simplified.backward()
    assert number(f1.grad) == pytest.approx(-10, rel=1e-15)
    assert number(f2.grad) == pytest.approx(-4, rel=1e-15)


# --- start of the weights -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("std", "expected", "digits"), [(1.0, 22.4, 1), (1 / math.sqrt(1000), 1.22, 2)]
)
def test_spread_of_the_weighted_input(std: float, expected: float, digits: int):
    # 500 of 1,000 inputs are 1, the bias is N(0, 1): the variance is 500 std^2 + 1.
    fn.manual_seed(1)
    layer = nn.Linear(1000, 10_000)
    nn.init.normal_(layer.weight, std=std)
    nn.init.normal_(layer.bias)
    x = (np.arange(1000) < 500).astype(np.float32)[None]
    with fn.no_grad():
        z = layer(handed(x)).cpu().numpy()
    assert round(math.sqrt(500 * std**2 + 1), digits) == expected
    assert abs(z.std() / expected - 1) < 0.03  # 10,000 draws: 0.7 % is one standard deviation


# --- batches and regularisation -----------------------------------------------------------------


def test_gradient_of_a_batch_is_the_mean_over_its_examples():
    fn.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 5), nn.Sigmoid(), nn.Linear(5, 3)).double()
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((8, 6)), rng.integers(0, 3, 8)

    def gradients(x: np.ndarray, y: np.ndarray) -> list[np.ndarray]:
        net.zero_grad()
        nn.CrossEntropyLoss()(net(handed(x)), handed(y)).backward()
        return [p.grad.cpu().numpy().copy() for p in net.parameters()]

    single = [gradients(x[i : i + 1], y[i : i + 1]) for i in range(8)]
    for batch, *examples in zip(gradients(x, y), *single, strict=True):
        assert np.abs(batch - np.mean(examples, axis=0)).max() <= 1e-15


def test_weight_decay_is_lambda_over_n():
    # 1,000 images instead of 50,000 take lambda 20 instead of 1,000.
    shrunk = []
    for lam, n in ((1000, 50_000), (20, 1000)):
        weight = nn.Parameter(f64([1.0, -2.0]))
        weight.grad = f64([0.0, 0.0])
        optim.SGD([weight], lr=0.5, weight_decay=lam / n).step()
        shrunk.append(weight.detach().cpu().numpy())
    assert np.array_equal(*shrunk)
    assert shrunk[0] == pytest.approx(np.array([1, -2]) * (1 - 0.5 * 1000 / 50_000), rel=1e-15)


# --- divergences --------------------------------------------------------------------------------


def test_cross_entropy_is_divergence_plus_entropy():
    rng = np.random.default_rng(0)
    p, z = rng.dirichlet(np.ones(7), 5), f64(rng.standard_normal((5, 7)))
    cross = number(F.cross_entropy(z, f64(p), reduction="sum"))
    kl = number(F.kl_div(F.log_softmax(z, 1), f64(p), reduction="sum"))
    entropy = -(p * np.log(p)).sum()
    assert cross == pytest.approx(kl + entropy, rel=1e-14)
    assert kl > 0.1


def test_distillation_at_high_temperature_compares_logits():
    rng = np.random.default_rng(0)
    n, student, teacher = 10, rng.standard_normal((1, 10)), rng.standard_normal((1, 10))
    student -= student.mean()
    teacher -= teacher.mean()
    errors = []
    for t in (10.0, 100.0, 1000.0):
        z = f64(student, requires_grad=True)
        target = F.softmax(f64(teacher) / t, 1)
        (t**2 * F.kl_div(F.log_softmax(z / t, 1), target, reduction="sum")).backward()
        errors.append(np.abs(z.grad.cpu().numpy() - (student - teacher) / n).max())
    assert errors[2] < 1e-3
    assert errors[0] > 5 * errors[1] > 25 * errors[2]  # the error falls as 1/T


# --- convolution and pooling --------------------------------------------------------------------


def test_convolution_is_cross_correlation_summed_over_channels_with_one_bias_a_map():
    rng = np.random.default_rng(0)
    x, w, b = rng.standard_normal((2, 3, 7, 6)), rng.standard_normal((4, 3, 3, 2)), np.arange(4.0)
    y = F.conv2d(f64(x), f64(w), f64(b)).cpu().numpy()
    assert y.shape == (2, 4, 5, 5)
    for i, j in np.ndindex(5, 5):
        window = x[:, :, i : i + 3, j : j + 2]
        expected = np.einsum("nchw,ochw->no", window, w) + b  # the kernel is not flipped
        assert np.abs(y[:, :, i, j] - expected).max() <= 1e-14


def test_max_pool_sends_the_gradient_to_one_cell():
    x = f64([[[[1.0, 3.0, 5.0, 5.0], [3.0, 2.0, 5.0, 5.0]]]], requires_grad=True)
    (nn.MaxPool2d(2)(x) * f64([[[[2.0, 7.0]]]])).sum().backward()
    assert x.grad.cpu().numpy().tolist() == [[[[0, 2, 7, 0], [0, 0, 0, 0]]]]
