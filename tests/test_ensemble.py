"""Several models as one: by hand, beside scikit-learn's folds, refused."""

from __future__ import annotations

import math

import numpy as np
import pytest
import trainers
from devices import place

import fastnn as fn
from fastnn import data, ensemble, metrics, nn
from fastnn.data import DataLoader

pytest.importorskip("sklearn")

# Three members, three examples: 2 votes to 1; a tie of three; all agree.
A = np.array([[0.6, 0.4, 0.0], [0.5, 0.2, 0.3], [0.1, 0.2, 0.7]])
B = np.array([[0.6, 0.4, 0.0], [0.1, 0.6, 0.3], [0.1, 0.2, 0.7]])
C = np.array([[0.0, 1.0, 0.0], [0.4, 0.1, 0.5], [0.1, 0.2, 0.7]])


# --- means and votes ----------------------------------------------------------------------------


def test_by_hand():
    mean = ensemble.mean([A, B, C], from_logits=False)
    assert mean == pytest.approx((A + B + C) / 3)
    # Example 0: the mean is for class 1, the vote for class 0. Example 1: a tie, by the mean.
    assert mean.argmax(1).tolist() == [1, 2, 2]
    assert ensemble.vote([A, B, C], from_logits=False).tolist() == [0, 2, 2]


def test_logits_are_made_probabilities():
    z = np.array([[0.0, math.log(3)], [1000.0, 0]], np.float32)
    assert ensemble.mean([z, z[:, ::-1]]) == pytest.approx(np.full((2, 2), 0.5))
    assert ensemble.mean([z])[0] == pytest.approx([0.25, 0.75])
    # A member that is very sure has one vote all the same.
    assert ensemble.vote([z, z[::-1], z]).tolist() == [1, 0]


def test_members_of_every_kind():
    model = nn.Sequential(nn.Linear(2, 3), nn.Dropout(0.5))
    x = np.random.default_rng(0).standard_normal((700, 2)).astype(np.float32)
    z = model.eval()(place(x)).detach().cpu().numpy()
    model.train()
    expected = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    for member in (model, z, lambda given: z if given is x else None):
        assert ensemble.mean([member, z], x) == pytest.approx(expected, rel=1e-5)
    assert model.training
    assert (ensemble.vote([model], x) == z.argmax(1)).all()


def test_augmented_copies():
    drawn = []

    def augment(x):
        drawn.append(fn.rand(1, device="cpu").item())
        return x + drawn[-1]

    def predict(x):
        return np.stack([x, 0 * x], 1)

    x = np.zeros(4, np.float32)
    p = ensemble.tta(predict, x, augment, copies=3)
    assert len(set(drawn)) == 3
    assert p[:, 0] == pytest.approx(np.full(4, np.mean(1 / (1 + np.exp(-np.array(drawn))))))
    assert (x == 0).all()


# --- folds --------------------------------------------------------------------------------------


def test_folds_are_stratified():
    y = np.repeat([0, 1, 2], [50, 31, 7])
    folds = ensemble.k_fold(y, y, 5, seed=1)
    assert sorted(np.concatenate([held for _, held in folds])) == list(range(88))
    for train, held in folds:
        assert sorted([*train, *held]) == list(range(88))
        assert np.bincount(y[held])[0] == 10
        assert np.bincount(y[held])[1] in (6, 7)
        assert np.bincount(y[held])[2] in (1, 2)


def test_folds_by_seed():
    y = np.arange(20) % 2
    held = [[v.tolist() for _, v in ensemble.k_fold(y, y, 4, s)] for s in (0, 0, 1)]
    assert held[0] == held[1] != held[2]
    plain = ensemble.k_fold(y, y * 1.5, 20, stratified=False)
    assert sorted(int(v[0]) for _, v in plain) == list(range(20))


# --- trainers -----------------------------------------------------------------------------------


class Trainer:
    """Knows the mean of the inputs of each class it was trained on; and what it was asked."""

    def __init__(self, seed):
        self.seed = seed

    def fit(self, train, validation, epochs, **options):
        x, y = train
        self.asked = (len(x), len(validation[0]), epochs, options)
        self.means = np.array([x[y == c].mean() for c in range(2)])

    def predict(self, x):
        return -abs(x[:, None] - self.means)

    def evaluate(self, part):
        return {"accuracy": float((self.predict(part[0]).argmax(1) == part[1]).mean())}


X = np.array([0, 1, 0, 1, 0, 1, 0.9, 0.1], np.float32)
Y = np.arange(8) % 2


def test_cross_validation_trains_one_a_fold():
    result = ensemble.cross_validate(Trainer, X, Y, 4, 3, seed=7, batch_size=2)
    assert [t.seed for t in result.trainers] == [7, 8, 9, 10]
    assert [t.asked for t in result.trainers] == [(6, 2, 3, {"batch_size": 2})] * 4
    for trainer, (_, held), score in zip(
        result.trainers, ensemble.k_fold(X, Y, 4, 7), result.scores, strict=True
    ):
        assert score == trainer.evaluate((X[held], Y[held]))
    values = [score["accuracy"] for score in result.scores]
    assert result.spread() == pytest.approx((np.mean(values), np.std(values, ddof=1)))
    assert result.spread()[1] > 0
    x = np.array([0.2, 0.8], np.float32)
    assert result.vote(x).tolist() == [0, 1]
    outputs = [t.predict(x) for t in result.trainers]
    assert result.predict_proba(x) == pytest.approx(ensemble.mean(outputs))


def test_a_loader_has_the_same_order_for_each():
    def train(seed):
        return trainers.make(seed=seed)

    one, all_ = (DataLoader(trainers.TRAIN, 8, shuffle=True, seed=4) for _ in range(2))
    alone = ensemble.by_seed(train, [1], one, trainers.VAL, 2)
    among = ensemble.by_seed(train, [0, 1], all_, trainers.VAL, 2)
    assert among.scores[1] == alone.scores[0]


def test_one_trainer_a_seed():
    result = ensemble.by_seed(Trainer, range(2), (X, Y), (X[:6], Y[:6]), 5, validate_every=1)
    assert [t.seed for t in result.trainers] == [0, 1]
    assert result.trainers[1].asked == (8, 6, 5, {"validate_every": 1})
    assert result.spread() == (1, 0)
    alone = ensemble.by_seed(Trainer, [3], (X, Y), (X, Y)).spread()
    assert alone[0] == 0.75
    assert math.isnan(alone[1])


def test_the_trainer_itself():
    (x, y), (x_test, y_test) = data.digits()
    x, y = x[:400], y[:400]

    def make_trainer(seed):
        fn.manual_seed(seed)
        model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
        optimizer = fn.optim.Adam(model.parameters(), lr=0.01)
        return fn.train.Trainer(
            model, nn.CrossEntropyLoss(), optimizer, metrics={"f1": metrics.f1}, seed=seed
        )

    folds = ensemble.cross_validate(make_trainer, x, y, 3, epochs=5, batch_size=64)
    assert [t.history[-1]["val_f1"] for t in folds.trainers] == [s["f1"] for s in folds.scores]
    assert folds.spread()[0] > 0.8  # chance is 0.1
    assert metrics.accuracy(folds.predict_proba(x_test), y_test) > 0.8
    assert (folds.vote(x_test) == y_test).mean() > 0.8
    again = ensemble.by_seed(make_trainer, [0, 1, 0], (x, y), (x_test, y_test), epochs=2)
    assert again.scores[0] == again.scores[2] != again.scores[1]


# --- refused ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ensemble.mean([]), r"\[mean\] expected one or more members; got none"),
        (lambda: ensemble.vote([A, B[:, :2] + 0.1]), r"\[vote\] .* shape .*\(3, 3\), \(3, 2\)"),
        (lambda: ensemble.mean([A, lambda x: A]), r"\[mean\] expected x, .* got None"),
        (lambda: ensemble.mean([A * np.nan]), r"\[mean\] expected finite outputs"),
        (lambda: ensemble.vote([A * 2], from_logits=False), r"\[vote\] expected probabilities"),
        (lambda: ensemble.mean([lambda x: x[0]], A), r"\[mean\] expected outputs \(N, C\)"),
        (lambda: ensemble.tta(None, X, None, 0), r"\[tta\] copies must be at least 1; got 0"),
        (lambda: ensemble.k_fold(X, Y, 1), r"\[k_fold\] k must be at least 2; got 1"),
        (lambda: ensemble.k_fold(X, Y[:3]), r"\[k_fold\] .* one length; got 8 and 3"),
        (lambda: ensemble.k_fold(X, Y), r"\[k_fold\] class 0 has 4 examples, fewer than k, 5"),
        (lambda: ensemble.k_fold(X, Y, 9, stratified=False), r"\[k_fold\] .* k, 9, .*; got 8"),
        (lambda: ensemble.by_seed(Trainer, [], X, (X, Y)), r"\[by_seed\] .* seeds; got none"),
        (lambda: ensemble.by_seed(Trainer, [0], X, (X, Y[1:])), r"\[by_seed\] validation .* le"),
        (lambda: ensemble.Ensemble([], [{"loss": 1}]).spread(), "must be one of loss; got 'acc"),
        (lambda: ensemble.cross_validate(Trainer, X, Y), r"\[k_fold\] class 0 has 4"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_stratified_folds_want_class_numbers():
    with pytest.raises(TypeError, match=r"\[k_fold\] expected labels that are integers; got float"):
        ensemble.k_fold(X, X)
