"""Measures of classifiers: by hand, beside scikit-learn, and refused."""

from __future__ import annotations

import functools
import math

import numpy as np
import pytest

import fastnn as fn
from fastnn import metrics

sklearn = pytest.importorskip("sklearn.metrics")

P = np.array(
    [[0.7, 0.2, 0.1], [0.4, 0.5, 0.1], [0.3, 0.3, 0.4], [0.1, 0.8, 0.1], [0.2, 0.2, 0.6]]
)  # taken for 0, 1, 2, 1, 2
Y = np.array([0, 0, 1, 1, 2])


def drawn(n=300, c=4, seed=0):
    """Logits and labels that agree in part."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, c, n)
    z = rng.standard_normal((n, c)).astype(np.float32)
    z[np.arange(n), y] += 1
    return z, y


# --- errors -------------------------------------------------------------------------------------


def test_by_hand():
    assert metrics.accuracy(P, Y) == 0.6
    assert metrics.top_k_accuracy(P, Y, 2) == 0.8
    assert metrics.top_k_accuracy(P, Y, 3) == 1
    assert metrics.confusion_matrix(P, Y).tolist() == [[1, 1, 0], [0, 1, 1], [0, 0, 1]]
    assert metrics.precision(P, Y, None).tolist() == [1, 0.5, 0.5]
    assert metrics.recall(P, Y, None).tolist() == [0.5, 0.5, 1]
    assert metrics.f1(P, Y, None) == pytest.approx([2 / 3, 1 / 2, 2 / 3])
    assert metrics.f1(P, Y) == pytest.approx(11 / 18)
    loss = -math.log(0.7 * 0.4 * 0.3 * 0.8 * 0.6) / 5
    assert metrics.log_loss(P, Y, from_logits=False) == pytest.approx(loss, rel=1e-14)
    assert metrics.log_loss(np.log(P), Y) == pytest.approx(loss, rel=1e-14)


def test_tensors_with_a_gradient_are_taken():
    outputs = fn.tensor([[1.0, 2.0], [3.0, 1.0]], requires_grad=True)
    assert metrics.accuracy(outputs * 2, fn.tensor([1, 1])) == 0.5


def test_equal_outputs_count_as_for_argmax():
    z, y = np.zeros((4, 4), np.float32), np.arange(4)
    assert [metrics.top_k_accuracy(z, y, k) for k in (1, 2, 3, 4)] == [0.25, 0.5, 0.75, 1]
    assert metrics.accuracy(z, y) == 0.25


@pytest.mark.parametrize("c", [2, 4, 10])
def test_as_in_scikit_learn(c):
    z, y = drawn(c=c)
    said = z.argmax(1)
    assert metrics.accuracy(z, y) == sklearn.accuracy_score(y, said)
    for name, theirs in (
        ("precision", sklearn.precision_score),
        ("recall", sklearn.recall_score),
        ("f1", sklearn.f1_score),
    ):
        for average in ("macro", "micro", None):
            got = getattr(metrics, name)(z, y, average)
            assert got == pytest.approx(theirs(y, said, average=average), rel=1e-12)
    p = np.exp(z.astype(float)) / np.exp(z.astype(float)).sum(1, keepdims=True)
    assert metrics.log_loss(z, y) == pytest.approx(sklearn.log_loss(y, p), rel=1e-12)
    if c > 2:  # scikit-learn has one column for two classes
        theirs = sklearn.top_k_accuracy_score(y, z, k=2, labels=range(c))
        assert metrics.top_k_accuracy(z, y, 2) == pytest.approx(theirs)


def test_log_loss_at_the_ends():
    z = np.array([[1000.0, 0], [0, -1000]])
    assert metrics.log_loss(z, [1, 0]) == 500
    assert metrics.log_loss([[1.0, 0]], [1], from_logits=False) == math.inf
    assert metrics.log_loss([[0.0, -np.inf]], [0]) == 0


def test_a_class_that_is_never_said_has_precision_0():
    z = np.eye(3)[[0, 0, 1]]
    assert metrics.precision(z, [0, 2, 1], None).tolist() == [0.5, 1, 0]


@pytest.mark.parametrize("name", ["precision", "recall", "f1"])
def test_a_class_without_examples_is_named_and_left_out(name):
    measure = getattr(metrics, name)
    z = np.eye(5)[[0, 0, 1, 4]]
    y = [0, 1, 1, 0]
    with pytest.warns(UserWarning, match=rf"\[{name}\] no example is of class 2, 3, 4"):
        values = measure(z, y, None)
    assert np.isnan(values).tolist() == [False, False, True, True, True]
    with pytest.warns(UserWarning, match="class 2, 3, 4"):
        assert measure(z, y) == pytest.approx(values[:2].mean())
    assert measure(z, y, "micro") == 0.5


def test_they_fit_the_trainer():
    z, y = drawn()
    for measure in (
        metrics.accuracy,
        metrics.f1,
        functools.partial(metrics.recall, average="micro"),
    ):
        assert type(measure(z, y)) is float
    assert metrics.accuracy(fn.from_numpy(z), fn.from_numpy(y)) == metrics.accuracy(z, y)


def test_report():
    z = np.log(P)[:, [0, 1, 2, 2]] - [0, 0, 0, 9]
    text = metrics.report(z, Y, ["zero", "one", "two", "none"])
    table = [line.split() for line in text.splitlines()]
    low, high = metrics.proportion_interval(3, 5)
    assert f"accuracy 60.00% (2 of 5 wrong), 95% interval {low:.2%} to {high:.2%}" in text
    assert ["zero", "1.0000", "0.5000", "0.6667", "2"] in table
    assert ["none", "-", "-", "-", "0"] in table
    assert ["mean", "0.6667", "0.6667", "0.6111", "5"] in table
    assert text.splitlines()[-2:] == ["zero taken for one: 1", "one taken for two: 1"]
    assert sum(line.startswith("9 ") for line in metrics.report(*drawn(c=10)).splitlines()) >= 1


# --- calibration --------------------------------------------------------------------------------


def test_calibration_by_hand():
    # Sure of 0.7 (right), 0.5 (wrong), 0.4 (wrong), 0.8 (right), 0.6 (right).
    curve = metrics.reliability_curve(P, Y, bins=4, from_logits=False)
    assert curve.examples.tolist() == [0, 1, 3, 1]
    assert curve.confidence[1:] == pytest.approx([0.4, 0.6, 0.8])
    assert curve.accuracy[1:] == pytest.approx([0, 2 / 3, 1])
    assert np.isnan(curve.confidence[0])
    assert np.isnan(curve.accuracy[0])
    error = (0.4 + 3 * (2 / 3 - 0.6) + 0.2) / 5
    got = metrics.expected_calibration_error(P, Y, 4, from_logits=False)
    assert got == pytest.approx(error)
    assert metrics.expected_calibration_error(np.log(P), Y, 4) == pytest.approx(error)
    assert metrics.reliability_curve([[1.0, 0]], [0], 3, from_logits=False).examples.tolist() == [
        0,
        0,
        1,
    ]


def test_the_curve_is_scikit_learns():
    calibration = pytest.importorskip("sklearn.calibration")
    z, y = drawn(1000)
    p = fn.softmax(fn.from_numpy(z.astype(float)), 1).numpy()
    share, mean = calibration.calibration_curve(z.argmax(1) == y, p.max(1), n_bins=10)
    curve = metrics.reliability_curve(z, y, 10)
    assert curve.accuracy[curve.examples > 0] == pytest.approx(share)
    assert curve.confidence[curve.examples > 0] == pytest.approx(mean)


@pytest.mark.parametrize("scale", [0.2, 1, 7])
def test_the_temperature_is_found_again(scale):
    # Labels drawn from softmax(z): a temperature of 1 fits, of scale when the logits are scaled.
    rng = np.random.default_rng(0)
    z = 2 * rng.standard_normal((20_000, 3))
    y = (z + rng.gumbel(size=z.shape)).argmax(1)
    temperature = metrics.fit_temperature(scale * z, y)
    assert temperature == pytest.approx(scale, rel=0.03)
    at = [metrics.log_loss(scale * z / t, y) for t in temperature * np.array([0.99, 1, 1.01])]
    assert at[1] < min(at[0], at[2])


def test_temperature_by_hand():
    # Two classes a logit of 1 apart, right 3 times of 4: p = 3/4 at 1 / T = ln 3.
    z, y = np.tile([1.0, 0], (4, 1)), [0, 0, 0, 1]
    assert metrics.fit_temperature(z, y) == pytest.approx(1 / math.log(3), rel=1e-9)


@pytest.mark.parametrize(
    ("z", "y", "message"),
    [
        ([[1.0, 0], [0, 2]], [0, 1], "the true class.* largest"),
        ([[1.0, 0], [0, 2]], [1, 0], "no more than chance"),
        ([[1.0, 0], [0, 1]], [0, 0], "no more than chance"),
        ([[0.0, -np.inf]], [0], "finite logits"),
    ],
)
def test_where_no_temperature_is_best(z, y, message):
    with pytest.raises(ValueError, match=rf"\[fit_temperature\] .*{message}"):
        metrics.fit_temperature(z, y)


# --- how sure -----------------------------------------------------------------------------------


def test_intervals_by_hand():
    # Wilson: (p + z^2/2n +- z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n).
    p, n, z = 0.95, 200, 1.959963984540054
    middle, half = p + z**2 / (2 * n), z * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    expected = ((middle - half) / (1 + z**2 / n), (middle + half) / (1 + z**2 / n))
    assert metrics.proportion_interval(190, n) == pytest.approx(expected, rel=1e-12)
    # Clopper and Pearson: with none wrong the lower end is (alpha/2)^(1/n).
    low, high = metrics.proportion_interval(20, 20, method="exact")
    assert (low, high) == (pytest.approx(0.025 ** (1 / 20)), 1)
    low, high = metrics.proportion_interval(0, 20, confidence=0.9, method="exact")
    assert (low, high) == (0, pytest.approx(1 - 0.05 ** (1 / 20)))


def test_mcnemar_by_hand():
    y = np.zeros(10, np.int64)
    a = np.array([0, 0, 0, 0, 0, 0, 1, 1, 0, 0])
    b = np.array([1, 1, 1, 1, 1, 1, 0, 2, 0, 0])
    # 6 to 1: 2 (C(7, 0) + C(7, 1)) / 2^7.
    assert metrics.mcnemar(a, b, y) == (6, 1, pytest.approx(2 * 8 / 128))
    assert metrics.mcnemar(b, a, y)[:2] == (1, 6)
    assert metrics.mcnemar(a, a, y) == (0, 0, 1)


# --- refused ------------------------------------------------------------------------------------

MEASURES = [
    "accuracy",
    "confusion_matrix",
    "expected_calibration_error",
    "f1",
    "fit_temperature",
    "log_loss",
    "precision",
    "recall",
    "reliability_curve",
    "report",
    "top_k_accuracy",
]
NAN = np.where(np.arange(15).reshape(5, 3) == 7, np.nan, P)


@pytest.mark.parametrize("name", MEASURES)
@pytest.mark.parametrize(
    ("outputs", "y", "error", "message"),
    [
        (P[0], Y, ValueError, r"outputs \(N, C\) .* got \(3,\)"),
        (P[:, :1], Y * 0, ValueError, r"2 or more classes; got \(5, 1\)"),
        (P[:0], Y[:0], ValueError, r"got \(0, 3\)"),
        (P > 0.5, Y, TypeError, "numbers; got bool"),
        (NAN, Y, ValueError, "finite outputs; got .*nan.* for example 2"),
        (P * np.inf, Y, ValueError, "finite outputs; got .*inf.* for example 0"),
        (P, Y[:4], ValueError, r"labels of shape \(5,\); got \(4,\)"),
        (P, Y[:, None], ValueError, r"labels of shape \(5,\); got \(5, 1\)"),
        (P, Y * 1.0, TypeError, "integers; got float64"),
        (P, Y * 2, ValueError, "labels from 0 to 2; got 4"),
        (P, Y - 1, ValueError, "labels from 0 to 2; got -1"),
    ],
)
def test_bad_input_is_refused(name, outputs, y, error, message):
    with pytest.raises(error, match=rf"\[{name}\] expected .*{message}"):
        getattr(metrics, name)(outputs, y)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: metrics.log_loss(P * 2, Y, from_logits=False), r"\[log_loss\] .* up to 1; got"),
        (
            lambda: metrics.reliability_curve([[1.5, -0.5]], [0], from_logits=False),
            r"\[reliability_curve\] expected probabilities.* example 0",
        ),
        (lambda: metrics.reliability_curve(P, Y, bins=0), r"bins must be at least 1; got 0"),
        (lambda: metrics.top_k_accuracy(P, Y, 4), r"\[top_k_accuracy\] k must be at most 3; got 4"),
        (lambda: metrics.top_k_accuracy(P, Y, 0), "k must be at least 1; got 0"),
        (lambda: metrics.f1(P, Y, "weighted"), r"\[f1\] average must be one of macro, micro"),
        (lambda: metrics.report(P, Y, ["a"]), r"\[report\] expected the names of 3 classes; got 1"),
        (lambda: metrics.proportion_interval(3, 2), "right must be at most n, 2; got 3"),
        (lambda: metrics.proportion_interval(0, 0), "n must be at least 1; got 0"),
        (lambda: metrics.proportion_interval(1, 2, 95), r"confidence must be in \(0, 1\); got 95"),
        (lambda: metrics.proportion_interval(1, 2, method="wald"), "one of wilson, exact"),
        (lambda: metrics.mcnemar(Y, Y[:4], Y), r"predictions b of shape \(5,\); got \(4,\)"),
        (lambda: metrics.mcnemar(P, Y, Y), r"predictions a of shape \(5,\); got \(5, 3\)"),
    ],
)
def test_bad_arguments_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
