"""Stopping and resuming gives the bits of not stopping."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from trainers import TRAIN, VAL, make, same, weights

import fastnn as fn
from fastnn import nn, optim
from fastnn.optim import lr_scheduler, swa_utils
from fastnn.train import callbacks, checkpoint

pytest.importorskip("safetensors")


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda file: None)


STEPS = 21  # three epochs of seven batches
FIT = {"epochs": 3, "batch_size": 8, "validate_every": 4}


def noisy(x):
    return x + 0.1 * fn.randn(*x.shape)


def moving_average(model):
    return swa_utils.AveragedModel(model, multi_avg_fn=swa_utils.get_ema_multi_avg_fn(0.9))


VARIANTS = {
    "adam": {},
    "momentum": {"optimizer": lambda p, lr: optim.SGD(p, lr=lr, momentum=0.9), "clip_norm": 1.0},
    "augment": {"augment": noisy},
    "one cycle": {"scheduler": lambda o: lr_scheduler.OneCycleLR(o, 0.1, total_steps=STEPS)},
    "moving average": {"average": moving_average, "average_every": "step", "average_from": 1},
    "average": {"average": swa_utils.AveragedModel},
    "by epoch": {"scheduler": lambda o: lr_scheduler.StepLR(o, 1, 0.5)},
    "plateau": {"scheduler": lambda o: lr_scheduler.ReduceLROnPlateau(o, patience=0)},
    "warm-up": {
        "scheduler": lambda o: lr_scheduler.SequentialLR(
            o, [lr_scheduler.LinearLR(o), lr_scheduler.CosineAnnealingLR(o, 15)], [5]
        ),
        "scheduler_interval": "step",
    },
}


def numbers(history):
    """Without times."""
    return [
        {k: v for k, v in row.items() if k not in ("seconds", "images_per_second")}
        for row in history
    ]


def trained(folder: Path, variant: str, **fit):
    stopping = callbacks.EarlyStopping(patience=50)
    trainer = make([callbacks.Checkpoint(folder, every=1), stopping], lr=0.05, **VARIANTS[variant])
    trainer.fit(TRAIN, VAL, **FIT, **fit)
    return trainer, stopping


@pytest.fixture(scope="module", params=VARIANTS)
def whole(request, tmp_path_factory):
    """A run that was never stopped."""
    trainer, stopping = trained(tmp_path_factory.mktemp("whole"), request.param)
    return request.param, trainer, stopping


@pytest.mark.parametrize("step", [1, 3, 4, 6, 7, 8, 13, 14, 20, 21])
def test_resuming_after_any_step_gives_the_same_bits(whole, step, tmp_path):
    variant, trainer, stopping = whole
    stopped, _ = trained(tmp_path, variant, max_steps=step)
    assert stopped.step == step
    assert step == STEPS or stopped.stop_reason == f"max_steps {step} reached"
    fn.manual_seed(99)
    fn.rand(5)
    again, watched = trained(tmp_path, variant, resume=tmp_path / "last.safetensors")
    assert again.step == STEPS
    assert same(weights(again.model), weights(trainer.model))
    assert same(weights(again.trained), weights(trainer.trained))
    assert numbers(again.history) == numbers(trainer.history)
    assert (watched.best, watched.waited) == (stopping.best, stopping.waited)
    assert again.seconds >= checkpoint.read(tmp_path / "last.safetensors")["seconds"]


class Halve(callbacks.Callback):
    """Changes what the next step depends on."""

    def __init__(self, every):
        self.every, self.seen = every, []

    def on_step(self, trainer):
        self.seen.append(trainer.step)
        trainer.optimizer.param_groups[0]["lr"] *= 0.5

    def state_dict(self):
        return {"seen": self.seen}

    def load_state_dict(self, state):
        self.seen = list(state["seen"])


@pytest.mark.parametrize(
    ("every", "file"), [(7, "step-00000007"), (3, "best"), (1, "step-00000014")]
)
def test_a_checkpoint_has_what_callbacks_make_of_its_step(tmp_path, every, file):
    found = []
    for folder, resume in (("whole", None), ("rest", tmp_path / f"whole/{file}.safetensors")):
        save = callbacks.Checkpoint(tmp_path / folder, monitor="val_loss", keep=True)
        halve, norms = Halve(every), callbacks.NormLogger(every)
        trainer = make([save, halve, norms], lr=0.01)
        trainer.fit(TRAIN, VAL, **FIT | {"validate_every": 3}, resume=resume)
        found.append((weights(trainer.model), halve.seen, norms.rows))
    whole, rest = found
    assert same(rest[0], whole[0])
    assert rest[1:] == whole[1:]


def test_a_state_in_memory_is_resumed_too():
    whole, half = make(), make()
    whole.fit(TRAIN, VAL, 2)
    half.fit(TRAIN, VAL, 2, max_steps=3)
    state = half.state_dict()
    half.fit(TRAIN, VAL, 2, resume=state)
    assert same(weights(half.model), weights(whole.model))


class Loss:  # whose repr has its address
    def __call__(self, weight, outputs, targets):
        return weight * nn.functional.cross_entropy(outputs, targets)


def test_a_loss_is_known_without_its_address():
    whole, half = make(loss=partial(Loss(), 2.0)), make(loss=partial(Loss(), 2.0))
    assert repr(whole.loss) != repr(half.loss)
    half.fit(TRAIN, VAL, 2, max_steps=1)
    whole.fit(TRAIN, VAL, 2, resume=half.state_dict())


SCRIPT = """
import sys
from trainers import TRAIN, VAL, make, weights
from fastnn.train import callbacks
import numpy as np
from pathlib import Path

folder, result = Path(sys.argv[1]), sys.argv[2]
save = callbacks.Checkpoint(folder, every=2, monitor="val_loss")
trainer = make([save, callbacks.CSVLogger(folder / "log.csv")], device="cpu")
print("begins", flush=True)
trainer.fit(TRAIN, VAL, 6, batch_size=2, validate_every=10,
            resume=save.path if save.path.exists() else None)
np.savez(result, **weights(trainer.model))
"""


@pytest.mark.cpu_only("files and processes")
def test_kill_9_at_random_moments_loses_nothing(tmp_path):
    """Twenty times, in the middle of whatever is done: 75 checkpoints are written a run."""
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path]),
    }

    def run(folder: Path, seconds: float | None = None) -> int:
        script = [sys.executable, "-c", SCRIPT, str(folder), str(folder) + ".npz"]
        with subprocess.Popen(script, stdout=subprocess.PIPE, env=environment) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"begins\n"
            if seconds is not None:
                time.sleep(seconds)
                process.kill()
        return process.returncode

    begin = time.perf_counter()
    assert run(whole) == 0
    took = time.perf_counter() - begin
    rng = random.Random(0)
    kills = 0
    while kills < 20:
        if run(killed, rng.uniform(0, took / 8)) == 0:  # it was faster
            shutil.rmtree(killed)
            continue
        kills += 1
        for file in killed.glob("[!.]*.safetensors"):
            checkpoint.read(file)  # whole, whenever it was killed
    assert run(killed) == 0
    with np.load(str(whole) + ".npz") as a, np.load(str(killed) + ".npz") as b:
        assert same(dict(a), dict(b))
    assert not list(killed.glob(".*.tmp"))
    lines = [(folder / "log.csv").read_text().splitlines() for folder in (whole, killed)]
    assert [line.split(",")[:6] for line in lines[0]] == [line.split(",")[:6] for line in lines[1]]


@pytest.fixture
def saved(tmp_path):
    save = callbacks.Checkpoint(tmp_path / "run", every=5)
    make([save], optimizer=optim.SGD).fit(TRAIN, VAL, **FIT, max_steps=5)
    return save.path


def wide() -> nn.Sequential:
    return nn.Sequential(nn.Linear(6, 9), nn.ReLU(), nn.Linear(9, 3))


def test_a_checkpoint_of_something_else(saved, tmp_path):
    other = tmp_path / "other.safetensors"
    fn.io.save({"a": fn.ones(2)}, other)
    torn = tmp_path / "torn.safetensors"
    torn.write_bytes(saved.read_bytes()[:-100])
    newer = tmp_path / "newer.safetensors"
    newer.write_bytes(saved.read_bytes().replace(b"fastnn-checkpoint-3", b"fastnn-checkpoint-9"))
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(saved.read_bytes().replace(b'\\"model\\"', b'\\"model\\ ', 1))
    flipped = tmp_path / "flipped.safetensors"
    content = bytearray(saved.read_bytes())
    content[-5] ^= 4  # a bit of a weight
    flipped.write_bytes(content)
    step_lr = {"scheduler": lambda o: lr_scheduler.StepLR(o, 1)}
    for path, options, fit, message in [
        (saved, {"model": wide}, {}, r"expected model   \(0\): Linear\(.*8.*\); got   \(0\): .*9"),
        (saved, {"optimizer": optim.Adam}, {}, "expected optimizer SGD; got Adam"),
        (saved, {"loss": nn.NLLLoss()}, {}, r"expected loss CrossEntropyLoss\(.*; got NLLLoss"),
        (saved, {"average": moving_average}, {}, "expected average None; got AveragedModel"),
        (saved, step_lr, {}, "expected scheduler None; got StepLR"),
        (saved, {}, {"batch_size": 7}, "expected train with batch_size 8; got 7"),
        (other, {}, {}, "is no checkpoint; this version reads fastnn-checkpoint-3"),
        (torn, {}, {}, "corrupt or truncated"),
        (newer, {}, {}, "is fastnn-checkpoint-9; this version reads fastnn-checkpoint-3"),
        (damaged, {}, {}, "corrupt or truncated"),
        (flipped, {}, {}, "corrupt or truncated: its checksum is of other data"),
    ]:
        trainer = make(**{"optimizer": optim.SGD, **options})
        before, state = weights(trainer.model), fn.get_rng_state()
        with pytest.raises(ValueError, match=message) as raised:
            trainer.fit(TRAIN, VAL, **{**FIT, **fit}, resume=path)
        assert str(path) in str(raised.value)
        assert same(weights(trainer.model), before)
        assert (fn.get_rng_state(), trainer.step) == (state, 0)
    with pytest.raises(FileNotFoundError, match=r"\[checkpoint\] no file .*nowhere"):
        make().fit(TRAIN, VAL, resume=tmp_path / "nowhere")


@pytest.mark.cpu_only("files")
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_disk_leaves_the_checkpoint_before(saved, monkeypatch):
    before = saved.read_bytes()

    def full(file: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    trainer = make([callbacks.Checkpoint(saved.parent, every=7)], optimizer=optim.SGD)
    with pytest.raises(OSError, match=r"cannot write .*last.*: No space left"):
        trainer.fit(TRAIN, VAL, **FIT, resume=saved)
    assert saved.read_bytes() == before
    assert not list(saved.parent.glob(".*.tmp"))


def test_a_refused_checkpoint_changes_nothing(tmp_path):
    def one_cycle(steps):
        return lambda o: lr_scheduler.OneCycleLR(o, 0.1, total_steps=steps)

    save, stop = callbacks.Checkpoint(tmp_path), callbacks.EarlyStopping("val_accuracy")
    make([save, stop], scheduler=one_cycle(6)).fit(TRAIN, VAL, 3, max_steps=2)
    watching = callbacks.EarlyStopping("val_accuracy")
    longer = make([watching], scheduler=one_cycle(8))
    before, state = weights(longer.model), fn.get_rng_state()
    with pytest.raises(ValueError, match=r"OneCycleLR is shorter than training: 6 steps of 8"):
        longer.fit(TRAIN, VAL, 4, resume=save.path)
    assert same(weights(longer.model), before)
    assert (fn.get_rng_state(), longer.step, watching.best) == (state, 0, None)
    assert longer.fit(TRAIN, VAL, 4)[-1]["step"] == 8
    other = make([callbacks.EarlyStopping("val_loss")], scheduler=one_cycle(6))
    with pytest.raises(ValueError, match=r"EarlyStopping with monitor 'val_accuracy'; got 'val_l"):
        other.fit(TRAIN, VAL, 3, resume=save.path)


def test_what_stops_within_an_epoch_is_saved(tmp_path):
    save = callbacks.Checkpoint(tmp_path)
    limited = make([callbacks.TimeLimit(1e-9), save])
    for steps in (1, 2, 3):  # each call has its own time
        resume = save.path if save.path.exists() else None
        limited.fit(TRAIN, VAL, 1, batch_size=8, resume=resume)
        assert checkpoint.read(save.path)["step"] == steps
    whole, rest = make([save]), make([save])
    rest.fit(TRAIN, VAL, 1, batch_size=8, resume=save.path)
    whole.fit(TRAIN, VAL, 1, batch_size=8)
    assert same(weights(rest.model), weights(whole.model))


def test_a_folder_that_cannot_be_written_to_is_found_before_training(tmp_path):
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file" / "run", Path("/proc/run")):
        for callback in (
            callbacks.Checkpoint(folder),
            callbacks.CSVLogger(folder / "log"),
            callbacks.NormLogger(path=folder / "norms"),
        ):
            trainer = make([callback])
            name = type(callback).__name__
            with pytest.raises(OSError, match=rf"\[{name}\] cannot write to the folder {folder}"):
                trainer.fit(TRAIN, VAL)
            assert trainer.step == 0


def test_a_call_that_fails_at_once_leaves_earlier_logs(tmp_path):
    log, norms = tmp_path / "log.csv", tmp_path / "norms.json"
    for path in (log, norms):
        path.write_text("of another run")
    logs = [callbacks.CSVLogger(log), callbacks.NormLogger(path=norms)]
    with pytest.raises(OSError, match=r"\[Checkpoint\] cannot write"):
        make([*logs, callbacks.Checkpoint("/proc/run")]).fit(TRAIN, VAL)
    assert log.read_text() == norms.read_text() == "of another run"


def test_a_state_after_early_stopping_is_of_the_end(tmp_path):
    """Not of the best weights, which the model has."""

    def start():
        first = {"first": lambda outputs, y: 1.0}  # is the best
        return make([callbacks.EarlyStopping("val_first", 99)], metrics=first)

    whole, half, rest = start(), start(), start()
    whole.fit(TRAIN, VAL, 6, batch_size=8)
    half.fit(TRAIN, VAL, 6, batch_size=8, max_steps=30)
    before, state = weights(half.model), half.state_dict()
    rest.fit(TRAIN, VAL, 6, batch_size=8, resume=state)
    assert same(weights(half.model), before)
    assert numbers(rest.history) == numbers(whole.history)
    ends = [{k: t.cpu().numpy() for k, t in t.state_dict()["model"].items()} for t in (rest, whole)]
    assert same(*ends)
    assert not same(ends[0], weights(whole.model))


def test_an_interrupted_validation_leaves_no_state():
    calls = []

    def metric(outputs, y):
        calls.append(0)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return 1.0

    for every in (None, 4):
        calls.clear()
        trainer = make(metrics={"m": metric})
        with pytest.raises(KeyboardInterrupt):
            trainer.fit(TRAIN, VAL, 3, batch_size=8, validate_every=every)
        with pytest.raises(RuntimeError, match="training was cut off"):
            trainer.state_dict()


def test_a_callback_that_raises_leaves_a_state_that_the_schedule_knows():
    def stop(trainer, row):
        if trainer.epoch == 2:
            raise KeyboardInterrupt

    def start(*functions):
        return make(
            functions, lr=0.1, scheduler=lambda o: lr_scheduler.ReduceLROnPlateau(o, patience=0)
        )

    worst = (VAL[0], (VAL[1] + 1) % 3)  # the loss rises
    whole, half, rest = start(), start(stop), start()
    whole.fit(TRAIN, worst, 4)
    with pytest.raises(KeyboardInterrupt):
        half.fit(TRAIN, worst, 4)
    rest.fit(TRAIN, worst, 4, resume=half.state_dict())
    assert rest.history["lr"] == whole.history["lr"]
    assert same(weights(rest.model), weights(whole.model))


def test_a_refused_call_changes_nothing():
    whole, half, rest = make(), make(), make()
    whole.fit(TRAIN, VAL, 2)
    half.fit(TRAIN, VAL, 2, max_steps=3)
    with pytest.raises(ValueError, match="train inputs must be finite"):
        half.fit((np.full((70, 6), np.nan, np.float32), np.arange(70) % 3))
    with pytest.raises(ValueError, match="cannot resume"):
        half.fit(TRAIN, VAL, 2, batch_size=9, resume=half.state_dict())
    assert half.epochs_done == 1.5
    rest.fit(TRAIN, VAL, 2, resume=half.state_dict())
    assert same(weights(rest.model), weights(whole.model))


def test_a_refused_schedule_changes_nothing():
    data = TRAIN[0], np.eye(3, dtype=np.float32)[TRAIN[1]]  # no accuracy to look at
    half = make(scheduler=lr_scheduler.HalvingLR)
    half.fit(TRAIN, VAL, 2, batch_size=8, max_steps=10)
    before, at = weights(half.model), half.epochs_done
    for resume in (None, half.state_dict()):
        with pytest.raises(ValueError, match="HalvingLR with mode 'max' needs an accuracy"):
            half.fit(data, data, 2, batch_size=8, resume=resume)
        assert half.epochs_done == at
        assert same(weights(half.model), before)


def test_what_has_finished_is_not_trained_on():
    def start():
        return make(scheduler=lambda o: lr_scheduler.HalvingLR(o, patience=1, stop_at=0.25))

    worst = (VAL[0], (VAL[1] + 1) % 3)
    whole, again = start(), start()
    whole.fit(TRAIN, worst, 50)
    assert len(whole.history) < 50
    again.fit(TRAIN, worst, 50, resume=whole.state_dict())
    assert again.stop_reason == "the schedule HalvingLR has finished"
    assert again.step == whole.step
    again.schedule.end_epoch(again.history[-1])
    assert again.optimizer.param_groups[0]["lr"] == 0.01 / 4


def test_callbacks_of_one_name_have_a_state_each():
    def kind(value):
        class Mine(callbacks.Callback):
            value = 0

            def on_fit_start(self, trainer):
                if not trainer.resumed:
                    self.value = value

            def state_dict(self):
                return {"value": self.value}

            def load_state_dict(self, state):
                self.value = state["value"]

        return Mine()

    first, second = [kind(1), kind(2)], [kind(3), kind(4)]
    half = make(first)
    half.fit(TRAIN, VAL, 2, max_steps=1)
    make(second).fit(TRAIN, VAL, 2, resume=half.state_dict())
    assert [c.value for c in second] == [1, 2]


def test_states_of_any_kind_survive_the_file(tmp_path):
    state = {
        "a": [1, 2.5, None, "x", float("inf")],
        "t": {"b": fn.ones(2, 3), "n": [fn.arange(3)]},
        "e": {},
        "d": [{"tensor": "x.y"}, {"tensor": 3}, {"tensor": [1]}, {"tensor": {"tensor": None}}],
        "u": {"tensor": fn.ones(2)},
        "x.y": fn.ones(1),
        "x": {"y": fn.zeros(1)},
    }
    checkpoint.write(tmp_path / "s", state)
    again = checkpoint.read(tmp_path / "s")
    assert again["a"] == state["a"]
    assert again["t"]["n"][0].tolist() == [0, 1, 2]
    assert again["t"]["b"].shape == (2, 3)
    assert again["e"] == {}
    assert again["d"] == state["d"]
    assert again["u"]["tensor"].tolist() == [1, 1]
    assert (again["x.y"].item(), again["x"]["y"].item()) == (1, 0)
