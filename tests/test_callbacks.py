"""What the callbacks show, save and stop."""

from __future__ import annotations

import csv
import json
from io import StringIO

import numpy as np
import pytest
from trainers import CLASSES, TRAIN, VAL, make, same, weights

import fastnn as fn
from fastnn import optim
from fastnn.optim import swa_utils
from fastnn.train import Callback, callbacks, checkpoint, lr_find

WRONG = (VAL[0], (VAL[1] + 1) % CLASSES)  # what training makes worse


def test_they_are_called_in_order():
    calls = []

    class Spy(Callback):
        every = 3

        def on_fit_start(self, trainer):
            calls.append("fit_start")

        def on_step(self, trainer):
            calls.append("step")

        def on_validation(self, trainer, row):
            calls.append("validation")

        def on_epoch_end(self, trainer, row):
            calls.append("epoch_end")

        def on_fit_end(self, trainer):
            calls.append("fit_end")

    trainer = make([Spy(), lambda t, row: calls.append(f"row {row['epoch']:g}")])
    trainer.fit(TRAIN, VAL, 2, batch_size=13, validate_every=2)
    assert calls == [
        "fit_start",
        *("validation", "step", "validation", "epoch_end", "row 1"),
        *("step", "validation", "validation", "epoch_end", "row 2"),
        "fit_end",
    ]


def test_what_a_callback_raises_passes_and_the_others_are_told():
    def fail(trainer, row):
        raise RuntimeError("enough")

    ended = []

    class End(Callback):
        def on_fit_end(self, trainer):
            ended.append(trainer.epoch)

    with pytest.raises(RuntimeError, match="enough"):
        make([fail, End()]).fit(TRAIN, VAL, 3)
    assert ended == [1]


def test_an_error_at_the_end_does_not_hide_what_ended_training():
    class Full(Callback):
        def on_fit_end(self, trainer):
            raise OSError("disk full")

    def interrupt(trainer, row):
        raise KeyboardInterrupt

    with pytest.raises(OSError, match="disk full") as raised:
        make([interrupt, Full(), Full()]).fit(TRAIN, VAL, 3)
    first = raised.value.__context__
    assert isinstance(first, OSError)
    assert isinstance(first.__context__, KeyboardInterrupt)

    class Interrupted(Callback):
        def on_fit_end(self, trainer):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as raised:
        make([Interrupted(), Full()]).fit(TRAIN, VAL, 1)
    assert isinstance(raised.value.__context__, OSError)


def test_an_average_that_only_epochs_change_is_validated_with_them():
    def rows(every, validation=VAL):
        average = {"average": swa_utils.AveragedModel, "average_every": every, "average_from": 1}
        return make(**average).fit(TRAIN, validation, 3, validate_every=1)["epoch"]

    assert rows("epoch") == [0.5, 1, 1.5, 2, 3]  # the model, until there is an average
    assert rows("step") == [0.5, 1, 1.5, 2, 2.5, 3]
    assert rows("epoch", None) == rows("step")  # of the loss in training


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("val_error", "min"),
        ("val_rmse", "min"),
        ("val_log_loss", "min"),
        ("val_mae", "min"),
        ("maestro_accuracy", "max"),
        ("glossy_f1", "max"),
    ],
)
def test_errors_are_to_fall(name, mode):
    assert callbacks.EarlyStopping(name)._best.mode == mode


def test_only_callbacks_that_began_are_told_of_the_end():
    calls = []

    class Spy(Callback):
        def __init__(self, name):
            self.name = name

        def on_fit_start(self, trainer):
            calls.append(f"{self.name} starts")
            if self.name == "b":
                raise RuntimeError("no place")

        def on_fit_end(self, trainer):
            calls.append(f"{self.name} ends")

    with pytest.raises(RuntimeError, match="no place"):
        make([Spy("a"), Spy("b"), Spy("c")]).fit(TRAIN, VAL, 3)
    assert calls == ["a starts", "b starts", "a ends"]


@pytest.mark.parametrize("ending", ["patience", "epochs", "Ctrl-C"])
def test_early_stopping_restores_the_best_weights(ending):
    best = []

    def remember(trainer, row):
        if row is min(trainer.history, key=lambda row: row["val_loss"]):
            best[:] = [weights(trainer.model)]
        if ending == "Ctrl-C" and row["epoch"] == 5:
            raise KeyboardInterrupt

    patience = {"patience": 3, "epochs": 99, "Ctrl-C": 99}[ending]
    trainer = make([remember, callbacks.EarlyStopping(patience=patience)], lr=0.03)
    try:
        history = trainer.fit(TRAIN, WRONG, 99 if ending == "patience" else 8)
    except KeyboardInterrupt:
        history = trainer.history
    assert same(weights(trainer.model), best[0])
    losses = history["val_loss"]
    assert losses[-1] > min(losses)  # else there was nothing to restore
    if ending == "patience":
        assert len(losses) == int(np.argmin(losses)) + 1 + 3
        assert trainer.stop_reason.startswith("no better val_loss than ")


@pytest.mark.parametrize("latest", [False, True])
def test_of_equal_values_the_first_or_the_latest(latest):
    seen = []
    trainer = make(
        [
            lambda trainer, row: seen.append(weights(trainer.model)),
            callbacks.EarlyStopping("val_same", patience=2, latest=latest),
        ],
        metrics={"same": lambda outputs, y: 1.0},
    )
    trainer.fit(TRAIN, VAL, 5)
    assert len(seen) == (5 if latest else 3)
    assert same(weights(trainer.model), seen[-1 if latest else 0])
    assert not same(seen[0], seen[-1])


def test_a_callback_that_comes_to_another_trainer_begins_anew():
    stop = callbacks.EarlyStopping(patience=2)
    first, second = make([stop], lr=0.1), make([stop], seed=1)
    first.fit(TRAIN, WRONG, 99)
    ended = first.step
    assert first.stop_reason is not None
    second.fit(TRAIN, VAL, 3)
    assert second.step == 6
    assert not same(weights(first.model), weights(second.model))
    first.fit(TRAIN, WRONG, 99)  # patience begins anew
    assert first.step > ended


@pytest.mark.parametrize("start", [0, 2])
def test_the_best_weights_are_of_what_was_validated(start):
    """The model until the average follows it, then the average."""
    stop = callbacks.EarlyStopping("val_same", patience=9)
    trainer = make(
        [stop],
        metrics={"same": lambda outputs, y: 1.0},  # the first is the best
        average=optim.swa_utils.AveragedModel,
        average_from=start,
    )
    rows = trainer.fit(TRAIN, VAL, 4)
    assert trainer.evaluate(VAL)["loss"] == rows[0]["val_loss"]
    assert (trainer.trained is trainer.model) == (start == 2)


def test_the_weights_of_a_state_are_of_what_was_validated():
    trainer = make(average=optim.swa_utils.AveragedModel, average_from=1)
    trainer.fit(TRAIN, VAL, 2)
    state, other = trainer.state_dict(), make().model
    other.load_state_dict(checkpoint.weights(state))
    assert same(weights(other), weights(trainer.trained))


def test_early_stopping_by_gain():
    stop = callbacks.EarlyStopping("val_accuracy", patience=2, min_delta=2.0)
    history = make([stop]).fit(TRAIN, VAL, 9)
    assert len(history) == 3  # nothing rises by 200 points
    for watching, name in (
        (callbacks.EarlyStopping("val_f1"), "EarlyStopping"),
        (callbacks.Checkpoint("nowhere", monitor="val_f1"), "Checkpoint"),
    ):
        trainer = make([watching])
        with pytest.raises(ValueError, match=rf"\[{name}\] the history has no column 'val_f1'"):
            trainer.fit(TRAIN, VAL, 1)
        assert trainer.step == 0
    with pytest.raises(ValueError, match="mode must be min, max or None; got 'up'"):
        callbacks.EarlyStopping(mode="up")
    with pytest.raises(ValueError, match="patience must be at least 1"):
        callbacks.EarlyStopping(patience=0)


def test_checkpoints_best_last_and_kept(tmp_path):
    save = callbacks.Checkpoint(tmp_path, every=3, monitor="val_loss", keep=True)
    trainer = make([save])
    rows = trainer.fit(TRAIN, WRONG, 4, batch_size=25)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("best.safetensors", "last.safetensors"),
        *("step-00000003.safetensors", "step-00000006.safetensors"),
        "step-00000008.safetensors",  # where training ended
    ]
    best = checkpoint.read(save.best_path)
    assert best["step"] == min(rows, key=lambda row: row["val_loss"])["step"]
    assert checkpoint.read(save.path)["step"] == 8


def test_a_csv_line_a_row(tmp_path):
    log = callbacks.CSVLogger(tmp_path / "new" / "log.csv")
    history = make([log]).fit(TRAIN, VAL, 3, validate_every=1)
    with open(log.path) as file:
        rows = list(csv.DictReader(file))
    assert [{k: float(v) for k, v in row.items()} for row in rows] == list(history)


def test_the_lowest_of_any_metric_can_be_kept(tmp_path):
    save = callbacks.Checkpoint(tmp_path, monitor="val_error", mode="min")
    error = {"error": lambda outputs, y: float(np.abs(outputs).mean())}
    rows = make([save], metrics=error).fit(TRAIN, VAL, 4)
    best = min(rows, key=lambda row: row["val_error"])
    assert checkpoint.read(save.best_path)["step"] == best["step"]
    assert len({row["val_error"] for row in rows}) == 4


def test_files_that_a_killed_run_left_unfinished_go(tmp_path):
    names = ("log.csv", "last.safetensors", "norms.json", "other")
    left = [tmp_path / f".{name}.0f1e.tmp" for name in names]
    for file in left:
        file.touch()
    norms = callbacks.NormLogger(path=tmp_path / "norms.json")
    make([callbacks.CSVLogger(tmp_path / "log.csv"), callbacks.Checkpoint(tmp_path), norms]).fit(
        TRAIN, VAL, 1
    )
    assert [file.exists() for file in left] == [False, False, False, True]


def test_tensorboard_curves(tmp_path):
    pytest.importorskip("tensorboardX")
    make([callbacks.TensorBoardLogger(tmp_path)]).fit(TRAIN, VAL, 2)
    (file,) = tmp_path.iterdir()
    assert b"val_accuracy" in file.read_bytes()


def test_norms_of_weights_and_gradients(tmp_path):
    log = callbacks.NormLogger(every=4, path=tmp_path / "norms.json")
    trainer = make([log])
    trainer.fit(TRAIN, VAL, 2, batch_size=8)
    assert [row["step"] for row in log.rows] == [4, 8, 12]
    assert set(log.rows[0]["gradients"]) == dict(trainer.model.named_parameters()).keys()
    assert all(0 < v < 100 for row in log.rows for v in row["gradients"].values())
    assert json.loads((tmp_path / "norms.json").read_text()) == log.rows
    last = make([end := callbacks.NormLogger(every=14)])
    last.fit(TRAIN, VAL, 2, batch_size=8)
    weight = weights(last.model)["0.weight"]
    assert end.rows[0]["weights"]["0.weight"] == pytest.approx(float(np.sqrt((weight**2).sum())))


def test_a_best_state_that_was_not_written_is_not_the_best(tmp_path):
    values = iter((0.9, 0.1))

    def stop(trainer, row):
        if trainer.epoch == 1:
            raise KeyboardInterrupt

    save = callbacks.Checkpoint(tmp_path, monitor="val_m")
    trainer = make([stop, save], metrics={"m": lambda outputs, y: next(values)})
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(TRAIN, VAL, 1)
    assert save.state_dict()["best"]["value"] is None
    trainer.fit(TRAIN, VAL, 1)
    saved = checkpoint.read(save.best_path)
    assert saved["callbacks"]["Checkpoint"]["best"]["value"] == 0.1
    assert saved["history"][-1]["val_m"] == 0.1


def test_a_best_state_that_a_full_disk_kept_away_is_not_the_best(tmp_path, monkeypatch):
    values = iter((0.5, 0.9, 0.1, 0.7))
    save = callbacks.Checkpoint(tmp_path, monitor="val_m")
    trainer = make([save], metrics={"m": lambda outputs, y: next(values)})
    trainer.fit(TRAIN, VAL, 1)

    def full(path, state):
        raise OSError("no space left")

    with monkeypatch.context() as patched:
        patched.setattr(checkpoint, "write", full)
        with pytest.raises(OSError, match="no space"):
            trainer.fit(TRAIN, VAL, 1)
    for best in (0.5, 0.7):
        trainer.fit(TRAIN, VAL, 1)
        assert checkpoint.read(save.best_path)["history"][-1]["val_m"] == best


def test_norms_of_a_short_run_replace_those_of_another(tmp_path):
    path = tmp_path / "norms.json"
    path.write_text("of another run")
    make([callbacks.NormLogger(100, path)]).fit(TRAIN, VAL, 1)
    assert json.loads(path.read_text()) == []


def test_a_time_limit(monkeypatch):
    trainer = make([callbacks.TimeLimit(1e-9)])
    trainer.fit(TRAIN, VAL, 3, batch_size=8)
    assert (trainer.step, trainer.stop_reason) == (1, "1e-09 seconds are over")
    assert len(make([callbacks.TimeLimit(1e9)]).fit(TRAIN, VAL, 3)) == 3


def test_the_bar_is_drawn_on_a_terminal_only():
    pytest.importorskip("tqdm")
    drawn = []
    for terminal in (True, False):
        stream = StringIO()
        stream.isatty = lambda terminal=terminal: terminal
        make([callbacks.ProgressBar(stream)]).fit(TRAIN, VAL, 2, batch_size=8)
        drawn.append(stream.getvalue())
    bar, nothing = drawn
    assert "0/7" in bar
    assert nothing == ""
    lines = [line.split("\r")[-1] for line in bar.strip().split("\n")]
    assert len(lines) == 2  # an epoch each, that stay
    for number, line in enumerate(lines, start=1):
        assert line.startswith(f"epoch {number}: 100%")
        assert "7/7" in line
        assert "val_accuracy=" in line


def test_a_bar_for_an_epoch_of_one_batch():
    pytest.importorskip("tqdm")
    stream = StringIO()
    stream.isatty = lambda: True
    make([callbacks.ProgressBar(stream)]).fit(TRAIN, VAL, 2, batch_size=len(TRAIN[0]))
    lines = [line.split("\r")[-1] for line in stream.getvalue().strip().split("\n")]
    assert [line[:14] for line in lines] == ["epoch 1: 100%|", "epoch 2: 100%|"]
    assert all("1/1" in line and "val_accuracy=" in line for line in lines)


def test_the_range_test_leaves_no_trace():
    once, twice = make(), make()
    once.fit(TRAIN, VAL, 1)
    twice.fit(TRAIN, VAL, 1)
    state = fn.get_rng_state()
    found = lr_find(twice, TRAIN, batch_size=10, start=1e-4, end=100, steps=50)
    assert fn.get_rng_state() == state
    assert same(weights(once.model), weights(twice.model))
    for trainer in (once, twice):
        fn.manual_seed(5)
        trainer.fit(TRAIN, VAL, 1)
    assert same(weights(once.model), weights(twice.model))
    assert len(found.rates) == len(found.losses) <= 50
    assert found.rates == sorted(found.rates)
    assert 1e-4 < found.suggestion < 1


def test_a_range_that_is_none():
    for options, message in [
        ({"start": 1.0, "end": 0.1}, r"end must be in \(1.0, inf\)"),
        ({"steps": 2}, "steps must be at least 3"),
        ({"start": 1e30, "end": 1e35}, "the loss diverges at once: start below 1e"),
    ]:
        with pytest.raises(ValueError, match=rf"\[lr_find\] {message}"):
            lr_find(make(), TRAIN, **options)
    with pytest.raises(ValueError, match=r"\[fit\] train inputs must be finite"):
        lr_find(make(), (TRAIN[0] * np.nan, TRAIN[1]))
