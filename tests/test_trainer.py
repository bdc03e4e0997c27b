"""Trainer.fit: what it trains, records and checks."""

from __future__ import annotations

import math

import numpy as np
import pytest
from devices import place
from trainers import CLASSES, DEVICE, TRAIN, VAL, N, blobs, make, network, same, weights

import fastnn as fn
from fastnn import nn, optim
from fastnn.data import DataLoader, Dataset
from fastnn.nn import functional as F
from fastnn.optim import lr_scheduler, swa_utils
from fastnn.train import History, Trainer


def by_hand(epochs: int, batch_size: int, clip_norm: float | None = None) -> dict[str, np.ndarray]:
    """The weights that the loop everyone writes comes to."""
    fn.manual_seed(0)
    model = network().to(DEVICE)
    opt = optim.Adam(model.parameters(), lr=0.01)
    fn.manual_seed(0)
    loader = DataLoader(TRAIN, batch_size, shuffle=True, seed=0)
    for _ in range(epochs):
        for x, y in loader:
            loss = F.cross_entropy(model(x.to(DEVICE)), y.to(DEVICE))
            opt.zero_grad()
            loss.backward()
            if clip_norm is not None:
                nn.utils.clip_grad_norm_(model.parameters(), clip_norm)
            opt.step()
    return weights(model)


@pytest.mark.parametrize("batch_size", [8, 50])
@pytest.mark.parametrize("clip_norm", [None, 0.5])
def test_fit_is_the_loop_that_everyone_writes(batch_size, clip_norm):
    trainer = make(clip_norm=clip_norm)
    trainer.fit(TRAIN, VAL, 3, batch_size=batch_size)
    assert same(weights(trainer.model), by_hand(3, batch_size, clip_norm))


def test_validation_and_callbacks_do_not_change_what_is_trained():
    class Often(fn.train.Callback):
        every = 2

        def on_step(self, trainer):
            trainer.gradients()

    trainer = make([Often()])
    history = trainer.fit(TRAIN, VAL, 3, batch_size=8, validate_every=3)
    assert same(weights(trainer.model), by_hand(3, 8))
    assert history["step"] == [3, 6, 7, 9, 12, 14, 15, 18, 21]
    assert history["epoch"] == pytest.approx(np.array(history["step"]) / 7)


def test_a_row_says_how_training_went():
    trainer = make(metrics={"errors": lambda outputs, y: float((outputs.argmax(1) != y).sum())})
    history = trainer.fit(TRAIN, {"val": VAL, "test": blobs(10, seed=2)}, 4, batch_size=8)
    row = history[-1]
    assert list(row) == [
        *("epoch", "step", "loss", "accuracy", "val_loss", "val_accuracy", "val_errors"),
        *("test_loss", "test_accuracy", "test_errors", "lr", "seconds", "images_per_second"),
    ]
    assert row["val_errors"] == pytest.approx(20 * (1 - row["val_accuracy"]))
    assert (row["epoch"], row["step"], row["lr"]) == (4, 28, 0.01)
    assert history["loss"][-1] < history["loss"][0]
    assert sorted(history["seconds"]) == history["seconds"]
    assert trainer.evaluate(VAL) == {k[4:]: v for k, v in row.items() if k.startswith("val_")}
    assert trainer.predict(VAL[0]).shape == (20, CLASSES)


def test_means_are_over_the_examples_of_the_rows():
    """Batches of 8 and a last one of 2; the loss of a constant model does not change."""
    net = nn.Sequential(nn.Linear(6, CLASSES))
    trainer = Trainer(net, nn.CrossEntropyLoss(), optim.SGD(net.parameters(), lr=0.0))
    history = trainer.fit(TRAIN, TRAIN, 1, batch_size=8, validate_every=2)
    counts = np.array([16, 16, 16, 2])
    for key in ("loss", "accuracy"):
        mean = (np.array(history[key]) * counts).sum() / N
        assert mean == pytest.approx(history[-1][f"val_{key}"], rel=1e-5)


def test_targets_that_are_no_classes():
    """An autoencoder: the augmented input, and the clean one as the target."""
    x = TRAIN[0]
    fn.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 6))
    opt = optim.SGD(net.parameters(), lr=0.1)
    trainer = Trainer(net, nn.MSELoss(), opt, augment=lambda x: x + fn.randn(*x.shape) * 0.1)
    history = trainer.fit((x, x), (x, x), 3)
    assert history.keys() == [
        *("epoch", "step", "loss", "val_loss", "lr", "seconds", "images_per_second")
    ]
    assert history.best is history[-1]


def test_augmentation_of_inputs_and_targets_is_of_training_alone():
    seen = []

    def augment(x, y):
        seen.append(x.shape)
        return -x, CLASSES - 1 - y

    plain, turned = make(), make(augment=augment)
    plain.fit((-TRAIN[0], CLASSES - 1 - TRAIN[1]), None, 2, batch_size=10)
    turned.fit(TRAIN, VAL, 2, batch_size=10)
    assert same(weights(plain.model), weights(turned.model))
    assert seen  # and only while steps were recorded
    assert len(seen) < 10


def test_a_penalty_is_minimised_but_not_reported():
    plain, drawn = make(), make(penalty=lambda model: 0.1 * (model[0].weight ** 2).sum())
    for trainer in (plain, drawn):
        trainer.fit(TRAIN, None, 8)
    norms = [float((t.model[0].weight ** 2).sum().item()) for t in (plain, drawn)]
    assert norms[1] < 0.9 * norms[0]
    first = [t.history[0]["loss"] for t in (plain, drawn)]
    assert first[0] == pytest.approx(first[1], rel=0.05)


def test_a_constraint_holds_after_every_step():
    def constrain(model):
        model[0].weight.copy_(model[0].weight.clamp(-0.1, 0.1))

    trainer = make(constraint=constrain)
    trainer.fit(TRAIN, None, 2)
    largest = np.abs(trainer.model[0].weight.detach().cpu().numpy()).max()
    assert largest == np.float32(0.1)


@pytest.mark.parametrize("every", ["step", "epoch"])
@pytest.mark.parametrize("start", [0, 2])
def test_averages_of_weights(every, start):
    """Of steps within what is recorded, of epochs between."""
    kept = []

    class Keep(fn.train.Callback):
        every = 1

        def on_step(self, trainer):
            kept.append((trainer.step, weights(trainer.model)))

    trainer = make(
        [Keep()], average=swa_utils.AveragedModel, average_every=every, average_from=start
    )
    trainer.fit(TRAIN, None, 4, batch_size=25)
    taken = [w for n, w in kept if n > 2 * start and (every == "step" or n % 2 == 0)]
    averaged = weights(trainer.trained)
    for name, parameter in trainer.model.named_parameters():
        expected = np.mean([w[name] for w in taken], axis=0)
        np.testing.assert_allclose(averaged[name], expected, rtol=1e-5, atol=1e-6)
        assert not np.array_equal(averaged[name], parameter.detach().cpu().numpy())
    assert trainer.average.n_averaged.item() == len(taken)
    np.testing.assert_array_equal(
        trainer.predict(VAL[0]), fn.train.predict(trainer.average.module, VAL[0])
    )


def test_schedules_by_epoch_by_step_and_by_result():
    cases = [
        (lambda o: lr_scheduler.ExponentialLR(o, 0.5), None, [1, 0.5, 0.25]),
        (lambda o: lr_scheduler.ExponentialLR(o, 0.5), "step", [0.5**6, 0.5**13, 0.5**20]),
        (lambda o: lr_scheduler.LambdaLR(o, lambda t: 1 + t), "step", [7, 14, 21]),
        (lambda o: lr_scheduler.HalvingLR(o, patience=1), None, None),
    ]
    for scheduler, interval, factors in cases:
        trainer = make(scheduler=scheduler, scheduler_interval=interval)
        rates = trainer.fit(TRAIN, VAL, 3, batch_size=8)["lr"]
        if factors is not None:
            assert rates == pytest.approx(0.01 * np.array(factors))
    one_cycle = make(scheduler=lambda o: lr_scheduler.OneCycleLR(o, 0.1, total_steps=21))
    rates = one_cycle.fit(TRAIN, VAL, 3, batch_size=8)["lr"]
    assert rates[-1] == pytest.approx(0.1 / 25 / 1e4)


def test_a_schedule_can_end_training():
    worst = (VAL[0], (VAL[1] + 1) % CLASSES)  # accuracy falls while it trains
    trainer = make(scheduler=lambda o: lr_scheduler.HalvingLR(o, patience=1), lr=0.1)
    history = trainer.fit(TRAIN, worst, 200)
    assert len(history) < 200
    assert trainer.stop_reason == "the schedule HalvingLR has finished"
    assert history[-1]["lr"] == 0.1 / 64  # of the last epoch
    assert trainer.optimizer.param_groups[0]["lr"] == 0.1 / 128


def test_a_schedule_looks_at_validation_alone_where_training_counts_no_accuracy():
    trainer = make(
        loss=lambda outputs, y: (outputs * outputs).mean(),
        scheduler=lambda o: lr_scheduler.HalvingLR(o, patience=1),
    )
    history = trainer.fit(TRAIN, VAL, 3)
    assert "accuracy" not in set(history.keys())
    with pytest.raises(ValueError, match="HalvingLR with mode 'max' needs an accuracy"):
        trainer.fit(TRAIN)


def test_fit_goes_on_where_it_ended():
    twice, once = make(), make()
    twice.fit(TRAIN, VAL, 2)
    history = twice.fit(TRAIN, VAL, 1)
    once.fit(TRAIN, VAL, 3)
    assert history["epoch"] == [1, 2, 3]
    assert same(weights(twice.model), weights(once.model))


class Squares(Dataset):
    """Examples made one by one."""

    def __len__(self) -> int:
        return len(TRAIN[0])

    def __getitem__(self, index):
        return TRAIN[0][index], TRAIN[1][index]


def test_any_dataset_can_be_trained_on():
    arrays, single = make(), make()
    arrays.fit(DataLoader(TRAIN, 8, shuffle=True, seed=3), VAL, 2, validate_every=3)
    single.fit(DataLoader(Squares(), 8, shuffle=True, seed=3), VAL, 2, validate_every=3)
    assert same(weights(arrays.model), weights(single.model))
    for a, b in zip(arrays.history, single.history, strict=True):
        assert a["loss"] == pytest.approx(b["loss"], rel=1e-6)
        assert a["accuracy"] == b["accuracy"]


def test_a_loader_may_be_validated_on():
    plain, loaded, made = make(), make(), make()
    plain.fit(TRAIN, TRAIN, 2)
    loaded.fit(TRAIN, DataLoader(TRAIN, 8), 2)
    made.fit(TRAIN, {"val": DataLoader(Squares(), 8, shuffle=True)}, 2)
    for trainer in (loaded, made):
        assert trainer.history["val_loss"] == plain.history["val_loss"]


def test_precision_is_that_of_training_alone():
    seen = []
    trainer = make(
        [lambda t, row: seen.append(fn.get_float32_matmul_precision())], precision="high"
    )
    trainer.fit(TRAIN, None, 1)
    assert (seen, fn.get_float32_matmul_precision()) == (["high"], "highest")


def test_history_is_rows_and_columns(tmp_path):
    rows = [
        {"epoch": 1.0, "loss": 2.0, "val_loss": 1.0, "val_accuracy": 0.5},
        {"epoch": 2.0, "loss": 1.0, "val_loss": 0.9, "val_accuracy": 0.5, "extra": 1.0},
        {"epoch": 3.0, "loss": 0.5, "val_loss": math.nan, "val_accuracy": 0.4},
    ]
    history = History(rows)
    assert history["loss"] == [2, 1, 0.5]
    np.testing.assert_equal(history["extra"], [math.nan, 1, math.nan])
    assert history.keys() == ["epoch", "loss", "val_loss", "val_accuracy", "extra"]
    assert history.best is rows[1]
    assert (history[0], history[1:]) == (rows[0], rows[1:])
    again = History.from_json(history.to_json())
    np.testing.assert_equal(list(again), rows)
    with pytest.raises(KeyError, match=r"\[History\] no column 'acc'; there are epoch, loss"):
        history["acc"]
    with pytest.raises(ValueError, match=r"\[History\] there is no best row"):
        _ = History().best
    with pytest.raises(ValueError, match=r"\[History\] expected a JSON list of rows"):
        History.from_json("{}")
    assert History([{"loss": 1.0}, {"loss": 0.5}]).best == {"loss": 0.5}


def test_labels_that_the_loss_ignores_do_not_count():
    labels = TRAIN[1].copy()
    labels[::4] = -100
    history = make().fit((TRAIN[0], labels), (VAL[0], VAL[1]), 2)
    assert math.isfinite(history[-1]["loss"])
    with pytest.raises(ValueError, match=r"train labels must be in 0\.\.2; .* first is -100"):
        make(loss=nn.CrossEntropyLoss(ignore_index=-7)).fit((TRAIN[0], labels), VAL, 1)


def test_the_first_validation_set_is_what_counts():
    plateau = {"scheduler": lambda o: lr_scheduler.ReduceLROnPlateau(o, patience=0, factor=0.5)}
    named, usual = make(lr=0.03, **plateau), make(lr=0.03, **plateau)
    wrong = (TRAIN[0], (TRAIN[1] + 1) % CLASSES)
    named.fit(TRAIN, {"held out": wrong, "more": TRAIN}, 5)
    usual.fit(TRAIN, wrong, 5)
    assert named.history["lr"] == usual.history["lr"]
    assert named.history["lr"][-1] < 0.03
    assert named.history.best["epoch"] == usual.history.best["epoch"]


def test_numbers_of_numpy_are_saved(tmp_path):
    save = fn.train.callbacks.Checkpoint(tmp_path)
    trainer = make([save], lr=np.float32(0.01))
    trainer.optimizer.param_groups[0]["lr"] = np.float32(0.02)
    trainer.fit(TRAIN, VAL, 1).to_json()
    assert fn.train.checkpoint.read(save.path)["optimizer"]["param_groups"][0]["lr"] > 0.0199


def test_a_plain_average_of_statistics_is_recorded():
    def run(compiled):
        fn.manual_seed(0)
        norm = nn.BatchNorm1d(6, momentum=None)
        step = fn.compile(norm) if compiled else norm
        for i in range(4):
            step(place(TRAIN[0][10 * i : 10 * i + 10]))
        return weights(norm)

    assert same(run(True), run(False))


@pytest.mark.parametrize(
    ("scheduler", "interval", "message"),
    [
        (lambda o: lr_scheduler.CosineAnnealingLR(o, 5), None, "longer .*: 5 epochs of 3"),
        (lambda o: lr_scheduler.OneCycleLR(o, 0.1, 99), None, "longer .*: 99 steps of 6"),
        (lambda o: lr_scheduler.OneCycleLR(o, 0.1, 3), None, "shorter .*: 3 steps of 6"),
        (lambda o: lr_scheduler.MultiStepLR(o, [1, 9]), None, "longer .*: 10 epochs of 3"),
        (lambda o: lr_scheduler.LinearLR(o, total_iters=50), "step", "longer .*: 50 steps of 6"),
        (lambda o: lr_scheduler.MultiStepLR(o, [3]), None, "longer .*: 4 epochs of 3"),
        (lambda o: lr_scheduler.CyclicLR(o, 0.1, 1, 9), None, "longer .*: 18 steps of 6"),
        (lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 4), None, "longer .*: 4 epochs"),
        (lambda o: swa_utils.SWALR(o, 0.1, anneal_epochs=5), None, "longer .*: 5 epochs of 3"),
        (
            lambda o: lr_scheduler.SequentialLR(
                o, [lr_scheduler.LinearLR(o), lr_scheduler.CosineAnnealingLR(o, 9)], [1]
            ),
            None,
            "longer .*: 10 epochs of 3",
        ),
    ],
)
def test_schedules_that_do_not_fit_training(scheduler, interval, message):
    trainer = make(scheduler=scheduler, scheduler_interval=interval)
    with pytest.raises(ValueError, match=rf"\[fit\] the schedule \w+ is {message}"):
        trainer.fit(TRAIN, VAL, 3)


def test_one_cycle_may_end_within_an_epoch():
    saved = {}
    for stop, resume in ((5, None), (2, None), (5, 2)):
        trainer = make(scheduler=lambda o: lr_scheduler.OneCycleLR(o, 0.1, 5))
        trainer.fit(TRAIN, VAL, 3, max_steps=stop, resume=saved.get(resume))
        saved[stop] = trainer.state_dict()
    assert trainer.step == 5
    with pytest.raises(ValueError, match=r"is shorter than training: 5 steps of 6"):
        make(scheduler=lambda o: lr_scheduler.OneCycleLR(o, 0.1, 5)).fit(TRAIN, VAL, 3, max_steps=6)


def test_arguments_that_are_none():
    net = network()
    opt = optim.SGD(net.parameters(), lr=0.1)
    loss = nn.CrossEntropyLoss()
    other = lr_scheduler.StepLR(optim.SGD(network().parameters(), lr=0.1), 1)
    plateau = lr_scheduler.ReduceLROnPlateau(opt)
    for error, message, make_it in [
        (TypeError, "model must be a Module; got int", lambda: Trainer(3, loss, opt)),
        (TypeError, "optimizer must be a Optimizer; got", lambda: Trainer(net, loss, None)),
        (TypeError, "loss must be a function; got 'mse'", lambda: Trainer(net, "mse", opt)),
        (TypeError, "augment must be a fun", lambda: Trainer(net, loss, opt, augment="no")),
        (TypeError, r"metrics\['f1'\] must", lambda: Trainer(net, loss, opt, metrics={"f1": 1})),
        (
            ValueError,
            "the metric 'loss' is",
            lambda: Trainer(net, loss, opt, metrics={"loss": loss}),
        ),
        (ValueError, "optimizer must be of", lambda: Trainer(network(), loss, opt)),
        (ValueError, "seed must be at least 0", lambda: Trainer(net, loss, opt, seed=-1)),
        (ValueError, "average_from must be", lambda: Trainer(net, loss, opt, average_from=-1)),
        (TypeError, "callbacks must be", lambda: Trainer(net, loss, opt, callbacks=[3])),
        (ValueError, "precision must be one of", lambda: Trainer(net, loss, opt, precision="x")),
        (TypeError, "scheduler must be one", lambda: Trainer(net, loss, opt, scheduler=3)),
        (ValueError, "scheduler must be of", lambda: Trainer(net, loss, opt, scheduler=other)),
        (
            ValueError,
            "ReduceLROnPlateau steps by epochs",
            lambda: Trainer(net, loss, opt, scheduler=plateau, scheduler_interval="step"),
        ),
    ]:
        with pytest.raises(error, match=rf"\[Trainer\] {message}"):
            make_it()
    trainer = Trainer(net, loss, opt)
    for error, message, call in [
        (ValueError, "epochs must be at least 1", lambda: trainer.fit(TRAIN, VAL, 0)),
        (TypeError, "train must be a DataLoader or a pair", lambda: trainer.fit(TRAIN[0], VAL)),
        (TypeError, "val must be a DataLoader or a pair", lambda: trainer.fit(TRAIN, VAL[0])),
        (ValueError, "validate_every must be", lambda: trainer.fit(TRAIN, validate_every=0)),
    ]:
        with pytest.raises(error, match=rf"\[fit\] {message}"):
            call()
    with pytest.raises(TypeError, match=r"\[evaluate\] data must be a DataLoader or a pair"):
        trainer.evaluate(place(TRAIN[0]))
