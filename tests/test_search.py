"""Search: candidates, order, the log that survives kill -9, pruning, refusals."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest

import fastnn as fn
from fastnn import search
from fastnn.train import Trainer

pytest.importorskip("sklearn")

SPACE = {"lr": [0.1, 1.0], "width": [30, 100]}


def test_an_objective_may_change_its_parameters(tmp_path):
    seen = []

    def grow(params, seed):
        params["hidden"].append(10)
        seen.append(params["hidden"])
        return len(seen)

    space, log = {"hidden": [[30], [50]], "lr": [0.1, 0.2]}, tmp_path / "log"
    results = search.run(grow, search.grid(space), log=log)
    assert seen == [[30, 10], [30, 10], [50, 10], [50, 10]]
    assert [t.params["hidden"] for t in results] == [[50], [50], [30], [30]]
    assert search.run(grow, search.grid(space), log=log) == results
    assert len(seen) == 4


def product(params, seed):
    return params["lr"] * params["width"] + seed


class Counted:
    """An objective that keeps what it was asked."""

    def __init__(self, f=product):
        self.f, self.asked = f, []

    def __call__(self, params, seed):
        self.asked.append((params["lr"], params["width"]))
        return self.f(params, seed)


# --- candidates ---------------------------------------------------------------------------------


def test_grid():
    assert search.grid(SPACE) == [
        {"lr": 0.1, "width": 30},
        {"lr": 0.1, "width": 100},
        {"lr": 1.0, "width": 30},
        {"lr": 1.0, "width": 100},
    ]


def test_random():
    stats = pytest.importorskip("scipy.stats")
    space = {"lr": stats.loguniform(1e-3, 1), "width": np.array([30, 100])}
    found = search.random(space, 200, seed=3)
    assert found == search.random(space, 200, seed=3) != search.random(space, 200, seed=4)
    assert found[:50] == search.random(space, 50, seed=3)
    rates = np.array([params["lr"] for params in found])
    assert ((rates > 1e-3) & (rates < 1)).all()
    assert 60 < (rates < 10**-1.5).sum() < 140  # even on a logarithmic scale
    assert {type(value) for params in found for value in params.values()} == {float, int}


def test_random_choices_differ():
    found = search.random({"a": [1, 2, 3], "b": [1, 2]}, 6)
    assert len({tuple(params.values()) for params in found}) == 6
    with pytest.warns(UserWarning, match="there are 6 combinations, not 7"):
        assert len(search.random({"a": [1, 2, 3], "b": [1, 2]}, 7)) == 6


def test_random_draws_from_more_than_memory_holds():
    space = {name: list(range(10)) for name in "abcdefghijklmnopqrst"}
    drawn = search.random(space, 50)
    assert len({tuple(params.values()) for params in drawn}) == 50
    assert drawn[:9] == search.random(space, 9)
    assert {digit for params in drawn for digit in params.values()} == set(range(10))


def test_more_choices_begin_with_the_same():
    space = {"a": range(10), "b": range(10), "c": range(8)}
    found = search.random(space, 700, seed=2)
    for trials in (1, 6, 12, 80, 400):
        assert search.random(space, trials, seed=2) == found[:trials]
    assert len({tuple(params.values()) for params in found}) == 700


# --- run ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("direction", "order"), [("maximize", 1), ("minimize", -1)])
def test_results_are_sorted(direction, order):
    results = search.run(product, search.grid(SPACE), seed=2, direction=direction)
    assert [t.score for t in results] == [102, 32, 12, 5][::order]
    assert results.best is results[0]
    assert {t.seed for t in results} == {2}
    assert all(t.seconds >= 0 for t in results)
    assert results[::order][0].params == {"lr": 1.0, "width": 100}


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
@pytest.mark.parametrize("logged", [True, False])
def test_what_is_not_finite_has_failed(tmp_path, direction, logged):
    def objective(params, seed):
        return {0.1: math.inf, 1.0: -math.inf}[params["lr"]] if params["width"] == 30 else 5

    log = tmp_path / "log" if logged else None
    for _ in range(2):
        results = search.run(objective, search.grid(SPACE), direction=direction, log=log)
        assert [t.score for t in results[:2]] == [5, 5]
        assert all(math.isnan(t.score) for t in results[2:])
    if logged:
        assert log.read_text().count('"score": null') == 2
    failed = search.run(objective, search.grid({"lr": [0.1], "width": [30]}))
    with pytest.raises(ValueError, match=r"\[best\] no trial has a score"):
        _ = failed.best


def test_equal_candidates_are_one_trial():
    objective = Counted()
    candidates = [{"lr": 1, "width": 2}, {"width": np.int64(2), "lr": 1}, {"lr": 2, "width": 2}]
    assert [t.score for t in search.run(objective, candidates)] == [4, 2]
    assert objective.asked == [(1, 2), (2, 2)]


# --- the log ------------------------------------------------------------------------------------


def test_a_rerun_skips_what_is_done(tmp_path):
    log, objective = tmp_path / "log.jsonl", Counted()
    first = search.run(objective, search.grid(SPACE)[:3], log=log)
    content = log.read_bytes()
    assert search.run(objective, search.grid(SPACE)[:3], log=log) == first
    assert log.read_bytes() == content
    assert len(objective.asked) == 3
    # More candidates, another seed: what is new is run, and appended.
    more = search.run(objective, search.grid(SPACE), log=log)
    assert objective.asked[3:] == [(1.0, 100)]
    assert [t.score for t in more] == [100, 30, 10, 3]
    search.run(objective, search.grid(SPACE)[:1], seed=1, log=log)
    assert objective.asked[4:] == [(0.1, 30)]
    records = [json.loads(line) for line in log.read_text().splitlines()]
    assert records[0] == {
        "format": "fastnn-search-1",
        "objective": "Counted",
        "version": "1",
        "parameters": ["lr", "width"],
    }
    assert [(r["score"], r["seed"]) for r in records[1:]] == [
        (3, 0),
        (10, 0),
        (30, 0),
        (100, 0),
        (4, 1),
    ]


def test_an_exception_keeps_what_is_done(tmp_path):
    def broken(params, seed):
        if params["lr"] == 1:
            raise KeyboardInterrupt
        return product(params, seed)

    log, objective = tmp_path / "log.jsonl", Counted(broken)
    with pytest.raises(KeyboardInterrupt):
        search.run(objective, search.grid(SPACE), log=log)
    objective.f = product
    assert len(search.run(objective, search.grid(SPACE), log=log)) == 4
    assert objective.asked == [(0.1, 30), (0.1, 100), (1, 30), (1, 30), (1, 100)]


def test_a_torn_last_line_is_dropped_wherever_it_was_cut(tmp_path):
    log = tmp_path / "log.jsonl"
    search.run(Counted(), search.grid(SPACE)[:2], log=log)
    whole = log.read_bytes()
    last = len(whole.rstrip(b"\n").rpartition(b"\n")[2]) + 1
    for cut in range(1, last + 1):
        log.write_bytes(whole[:-cut])
        objective = Counted()
        results = search.run(objective, search.grid(SPACE)[:2], log=log)
        assert objective.asked == [(0.1, 100)]
        assert [t.score for t in results] == [10, 3]
        assert [json.loads(line)["score"] for line in log.read_text().splitlines()[1:]] == [3, 10]


CHILD = """
    import os, signal, sys
    from fastnn import search

    def objective(params, seed):
        if params["n"] == 3 and sys.argv[2] == "in a trial":
            os.kill(os.getpid(), signal.SIGKILL)
        if params["n"] == 3 and sys.argv[2] == "in a line":
            line = search._line
            search._line = lambda record: line(record)[:30]
            os.fsync = lambda file: os.kill(os.getpid(), signal.SIGKILL)
        print(params["n"], flush=True)
        return params["n"]

    results = search.run(objective, search.grid({"n": list(range(6))}), log=sys.argv[1])
    print("best", results.best.score)
"""


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL")
@pytest.mark.parametrize("when", ["in a trial", "in a line"])
def test_kill_9_loses_the_trial_that_was_running_and_no_other(tmp_path, when):
    log = tmp_path / "log.jsonl"

    def child(when):
        command = [sys.executable, "-c", textwrap.dedent(CHILD), str(log), when]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)

    killed = child(when)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert log.read_bytes().endswith(b"\n") == (when == "in a trial")
    again = child("never")
    assert again.stdout.split() == ["3", "4", "5", "best", "5.0"], again.stderr
    assert [json.loads(line)["score"] for line in log.read_text().splitlines()[1:]] == list(
        range(6)
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"objective": lambda p, s: 0},
            "of objective product, version 1, over lr, width; got .*<lambda>",
        ),
        ({"version": "2"}, "of objective product, version 1, .*; got objective product, version 2"),
        ({"candidates": [{"lr": 1, "depth": 2}]}, "of .* over lr, width; got .* over depth, lr"),
    ],
)
def test_the_log_of_another_search_is_refused(tmp_path, change, message):
    log = tmp_path / "log.jsonl"
    search.run(product, search.grid(SPACE), log=log)
    content = log.read_bytes()
    arguments = {"objective": product, "candidates": search.grid(SPACE)} | change
    with pytest.raises(ValueError, match=rf"\[run\] .*log\.jsonl is {message}"):
        search.run(**arguments, log=log)
    assert log.read_bytes() == content


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda lines: ["notes of mine"], "line 1 of .* is not of a log"),
        (lambda lines: [], "line 1 of .* is not of a log"),
        (lambda lines: ["[1, 2]"], "line 1 of .* is not of a log"),
        (lambda lines: ['{"format": "other"}', *lines[1:]], "is not a log of this format"),
        (lambda lines: [lines[0], lines[1][:20], lines[2]], "line 2 of .* is not of a log"),
        (lambda lines: [lines[0], '{"params": {}}'], "line 2 of .* is no trial: KeyError"),
        (lambda lines: [lines[0], lines[1].replace("3.0", '"x"')], "line 2 of .* is no trial"),
    ],
)
def test_what_is_no_log_is_refused_and_left_alone(tmp_path, damage, message):
    log = tmp_path / "log.jsonl"
    search.run(product, search.grid(SPACE), log=log)
    for end in ("\n", ""):
        content = "\n".join(damage(log.read_text().splitlines())) + end + ("" if end else "\ntorn")
        other = tmp_path / f"other{len(end)}"
        other.write_text(content)
        with pytest.raises(ValueError, match=rf"\[run\] .*{message}"):
            search.run(product, search.grid(SPACE), log=other)
        assert other.read_text() == content


# --- Optuna -------------------------------------------------------------------------------------


def test_optuna_prunes_a_hopeless_trial():
    optuna = pytest.importorskip("optuna")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    x, y = np.eye(4, dtype=np.float32), np.arange(4)
    ended = []

    def objective(trial):
        fn.manual_seed(0)
        model = fn.nn.Linear(4, 4)
        optimizer = fn.optim.SGD(model.parameters(), lr=trial.suggest_float("lr", 0.01, 1))
        callbacks = [search.OptunaPruning(trial)]
        trainer = Trainer(model, fn.nn.CrossEntropyLoss(), optimizer, callbacks=callbacks)
        try:
            trainer.fit((x, y), (x, y), epochs=3)
        finally:
            ended.append((trainer.epoch, trainer.history["val_loss"]))
        return trainer.history[-1]["val_loss"]

    pruner = optuna.pruners.MedianPruner(n_startup_trials=1, n_warmup_steps=1)
    study = optuna.create_study(pruner=pruner)
    for lr in (1.0, 0.01):
        study.enqueue_trial({"lr": lr})
    study.optimize(objective, n_trials=2)
    good, poor = study.trials
    assert good.state == optuna.trial.TrialState.COMPLETE
    assert poor.state == optuna.trial.TrialState.PRUNED
    assert [epoch for epoch, _ in ended] == [3, 2]  # the first step is the pruner's warm-up
    for trial, (_, losses) in zip((good, poor), ended, strict=True):
        assert trial.intermediate_values == dict(enumerate(losses))


def test_optuna_is_told_only_of_what_rows_have():
    optuna = pytest.importorskip("optuna")
    callback = search.OptunaPruning(optuna.create_study().ask(), "val_acuracy")
    with pytest.raises(ValueError, match=r"monitor must be one of loss, lr; got 'val_acuracy'"):
        callback.on_validation(None, {"loss": 1, "lr": 2})


# --- refused ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: search.grid({"a": []}), ValueError, r"\[grid\] .*'a'.*non-empty"),
        (lambda: search.grid({"a": 3}), TypeError, r"\[grid\] .*'a'"),
        (lambda: search.random({"a": 3}, 2), TypeError, r"\[random\] .*'a'"),
        (lambda: search.random(SPACE, 0), ValueError, r"\[random\] trials must be at least 1"),
        (lambda: search.run(product, SPACE), TypeError, r"such as grid\(space\); got a space"),
        (lambda: search.run(product, []), ValueError, r"\[run\] expected one or more candidates"),
        (lambda: search.run(product, [{"f": math.sin}]), TypeError, r"\[run\] .* JSON holds; got"),
        (lambda: search.run(product, [{"f": np.ones(2)}]), TypeError, r"doesn't hold ndarray"),
        (
            lambda: search.random(SPACE, 2, seed=-1),
            ValueError,
            r"\[random\] seed must be at least 0",
        ),
        (lambda: search.random([SPACE, SPACE], 2), TypeError, r"\[random\] expected one space"),
        (lambda: search.run(product, [{"lr": math.nan}]), TypeError, r"\[run\] .* JSON holds; got"),
        (lambda: search.run(product, [{}], direction="up"), ValueError, "minimize, maximize; got"),
        (lambda: search.run(product, [{}], seed=-1), ValueError, r"\[run\] seed .*; got -1"),
        (
            lambda: search.run(lambda p, s: None, [{}]),
            TypeError,
            r"\[run\] expected a number from the objective; got None",
        ),
    ],
)
def test_bad_input_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
