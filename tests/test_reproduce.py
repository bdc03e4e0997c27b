"""The recipes of examples/reproduce: that all are there and run, and how results are kept."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import fastnn as fn
from examples.reproduce.__main__ import main, quick
from examples.reproduce.recipe import Job, prepare, recipe, recipes, select
from examples.reproduce.record import (
    PAGE,
    duration,
    load,
    measure,
    new_result,
    number,
    ours,
    page,
    summary,
)

pytestmark = pytest.mark.cpu_only("recipes run on the CPU")

ROOT = Path(__file__).parents[1]
DATA = Path(os.environ.get("FASTNN_TEST_DATA", "no-data"))
KNOWN = recipes()
A = [f"A{i}" for i in range(1, 19)]
B = ["B1", "B2", "B3", "B3t", *(f"B{i}" for i in range(4, 12))]
C = [f"C{i}" for i in range(1, 15)]
R = ["R1", "R2", "R3"]
IDS = [*A, *B, *C, *R]
NEED_DATA = [*A, *B, *R, "C2", "C3", "C4", "C5", "C12", "C13"]
KEYS = [
    *("id", "title", "reported", "metric", "changes", "difference"),
    *("seeds", "values", "mean", "std", "seconds", "versions", "machine"),
]


def test_every_experiment_has_a_recipe():
    assert list(KNOWN) == IDS
    for id, one in KNOWN.items():
        assert one.id == id
        assert one.title
        assert one.metric
        assert one.reported
        assert one.minutes >= 0


@pytest.mark.parametrize("id", [id for id in IDS if id not in NEED_DATA])
def test_quick(id):
    assert quick(KNOWN[id], Path("no-data")).keys() == KNOWN[id].reported.keys()


@pytest.mark.mnist
@pytest.mark.skipif(not DATA.is_dir(), reason="FASTNN_TEST_DATA does not name the folder")
@pytest.mark.parametrize("id", NEED_DATA)
def test_quick_with_data(id):
    assert quick(KNOWN[id], DATA).keys() == KNOWN[id].reported.keys()


@pytest.mark.parametrize("id", NEED_DATA)
def test_missing_data_is_named(id, capsys):
    assert main([id, "--quick", "--data-dir", "nowhere"]) == 2
    assert "nowhere" in capsys.readouterr().err


# --- the command ------------------------------------------------------------------------------


def test_list_in_a_process_of_its_own():
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "examples.reproduce", "--list"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for one in KNOWN.values():
        assert f"{one.id:4} {one.title}" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["Z9"], "no recipe 'Z9'; known are"),
        ([], "name recipes"),
        (["--docs", "C6"], "--docs is of all recipes; got C6"),
        (["C6", "--results", os.devnull + "/folder"], "/dev/null/folder"),
    ],
)
def test_bad_input_is_named(arguments, message, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "value"),
    [("--seeds", "0"), ("--seeds", "x"), ("--seed-list", "1,x"), ("--seed-list", "-1")],
)
def test_bad_seeds_are_named(option, value, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["C6", option, value])
    assert f"argument {option}: must be" in capsys.readouterr().err


def test_a_letter_is_a_section():
    assert [r.id for r in select(KNOWN, ["C"])] == [id for id in IDS if id[0] == "C"]
    assert [r.id for r in select(KNOWN, ["all", "C6"])] == IDS
    assert [r.id for r in select(KNOWN, ["C6", "C1", "C6"])] == ["C6", "C1"]


def test_a_run_writes_its_result_and_a_quick_one_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["C6", "--quick", "--results", "results"]) == 0
    assert main(["C6", "--quick", "--list"]) == 0
    assert [*tmp_path.iterdir()] == []
    assert main(["C6", "--seed-list", "3,5", "--results", "results"]) == 0
    result = json.loads((tmp_path / "results" / "C6.json").read_text())
    assert result["seeds"] == [3, 5]
    assert result["mean"] == {"parameters": 12001}


# --- results ----------------------------------------------------------------------------------


def counted(fail_at=None):
    """A recipe whose figure is its seed, and the list of the seeds it was asked for."""
    asked = []

    @recipe("X1", "the seed", reported={"seed": "7"}, metric="a number", minutes=0)
    def run(job):
        asked.append(job.seed)
        if job.seed == fail_at:
            raise KeyboardInterrupt
        return {"seed": job.seed}

    return run, asked


def folders(tmp_path):
    return {"results": tmp_path / "results", "runs": tmp_path / "runs"}


def test_missing_seeds_are_added(tmp_path):
    run, asked = counted()
    measure(run, [0, 1], DATA, **folders(tmp_path))
    result = measure(run, [0, 1, 4], DATA, **folders(tmp_path))
    assert asked == [0, 1, 4]
    assert result == json.loads((tmp_path / "results" / "X1.json").read_text())
    assert list(result) == KEYS
    assert result["seeds"] == [0, 1, 4]
    assert result["values"] == {"seed": [0, 1, 4]}
    assert result["mean"]["seed"] == pytest.approx(5 / 3)
    assert result["std"]["seed"] == pytest.approx((13 / 3) ** 0.5)
    assert [len(result[key]) for key in ("seconds", "versions", "machine")] == [3, 3, 3]


def test_force_does_all_again_without_what_they_left(tmp_path):
    run, asked = counted()
    measure(run, [0, 1], DATA, **folders(tmp_path))
    (tmp_path / "runs" / "X1-1" / "checkpoint").write_text("")
    result = measure(run, [1], DATA, force=True, **folders(tmp_path))
    assert result["seeds"] == [0, 1]
    assert [len(result[key]) for key in ("seconds", "versions", "machine")] == [2, 2, 2]
    assert asked == [0, 1, 1]
    assert not (tmp_path / "runs" / "X1-1" / "checkpoint").exists()


def test_what_another_process_measures_meanwhile_is_kept(tmp_path):
    other, _ = counted()

    @recipe("X1", "the seed", reported={"seed": ""}, metric="a number", minutes=0)
    def slow(job):
        measure(other, [1], DATA, **folders(tmp_path))
        return {"seed": job.seed}

    result = measure(slow, [0], DATA, **folders(tmp_path))
    assert result["seeds"] == [1, 0]
    assert load(slow, tmp_path / "results") == result


def test_seeds_that_are_there_are_shown(tmp_path, capsys):
    run, asked = counted()
    measure(run, [0, 1], DATA, **folders(tmp_path))
    capsys.readouterr()
    measure(run, [1], DATA, **folders(tmp_path))
    assert asked == [0, 1]
    assert capsys.readouterr().out == "X1 seed 1: seed 1 (done before; --force does it again)\n"


def test_a_recipe_of_another_text_starts_anew(tmp_path):
    prepare(tmp_path / "run", counted()[0])
    (tmp_path / "run" / "last").touch()
    prepare(tmp_path / "run", counted()[0])
    assert (tmp_path / "run" / "last").exists()
    prepare(tmp_path / "run", KNOWN["C6"])
    assert not (tmp_path / "run" / "last").exists()


def test_an_interrupted_run_keeps_the_seeds_it_has(tmp_path):
    run, _ = counted(fail_at=2)
    with pytest.raises(KeyboardInterrupt):
        measure(run, range(5), DATA, **folders(tmp_path))
    assert load(run, tmp_path / "results")["seeds"] == [0, 1]
    assert [path.name for path in (tmp_path / "results").iterdir()] == ["X1.json"]


def test_a_failed_write_leaves_the_old_result(tmp_path, monkeypatch):
    run, _ = counted()
    measure(run, [0], DATA, **folders(tmp_path))

    def fail(*args):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        measure(run, [0, 1], DATA, **folders(tmp_path))
    assert load(run, tmp_path / "results")["seeds"] == [0]


@pytest.mark.parametrize("text", ["{", "[]", '{"values": {}}'])
def test_a_file_that_is_no_result_is_named(text, tmp_path):
    run, _ = counted()
    (tmp_path / "X1.json").write_text(text)
    with pytest.raises(ValueError, match=r"X1\.json is not a result"):
        load(run, tmp_path)


def test_a_result_of_other_measures_is_refused(tmp_path):
    (tmp_path / "X1.json").write_text(json.dumps(new_result(KNOWN["C6"])))
    with pytest.raises(
        ValueError, match=r"must have the measures \['seed'\]; got \['parameters'\]"
    ):
        load(counted()[0], tmp_path)


@pytest.mark.parametrize("values", [{}, {"seed": 1, "more": 2}, {"seed": float("nan")}])
def test_a_recipe_measures_what_it_says(values, tmp_path):
    @recipe("X1", "wrong", reported={"seed": ""}, metric="a number", minutes=0)
    def run(job):
        return values

    with pytest.raises(ValueError, match=r"\[X1\] must measure"):
        run.values(Job(0, DATA, tmp_path))


def test_a_recipe_starts_from_its_seed(tmp_path):
    @recipe("X1", "a number drawn", reported={"drawn": ""}, metric="a number", minutes=0)
    def run(job):
        return {"drawn": fn.rand(1).item()}

    first, again, other = (run.values(Job(seed, DATA, tmp_path)) for seed in (3, 3, 4))
    assert first == again != other


# --- what is committed ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", sorted((ROOT / "examples").glob("*/results/*.json")), ids=lambda path: path.stem
)
def test_committed_result(path):
    written = json.loads(path.read_text())
    assert list(written) == KEYS
    assert path.parent == KNOWN[path.stem].results
    assert written == load(KNOWN[path.stem]), "run python -m examples.reproduce --docs"
    count = len(set(written["seeds"]))
    for key in ("seeds", "seconds", "versions", "machine"):
        assert len(written[key]) == count
    assert all(len(values) == count for values in written["values"].values())


@pytest.mark.parametrize("id", [*A, *B, *C])
def test_every_experiment_has_a_result(id):
    assert load(KNOWN[id])["seeds"]


def test_committed_page():
    assert PAGE.read_text() == page(KNOWN), "run python -m examples.reproduce --docs"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        *((12001.0, "12,001"), (5086.67, "5,087"), (97.8, "97.80"), (-1.5, "-1.50"), (0.0, "0")),
        *((0.13011, "0.130"), (0.0417, "0.0417"), (3.06e-7, "3.06e-07")),
    ],
)
def test_numbers_as_text(value, text):
    assert number(value) == text


@pytest.mark.parametrize(
    ("values", "text"),
    [
        *(([3.0], "3"), ([3.0, 3.0], "3"), ([3.0, 4.0], "3.50 ± 0.71"), ([97.1], "97.10")),
        *(([0.5613, 0.581], "0.571 ± 0.014"), ([5000.5, 5100.9], "5,051 ± 71")),
    ],
)
def test_mean_and_spread_as_text(values, text):
    assert ours(summary({"it": values}), "it") == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.04, "0.04 s"), (12.3, "12 s"), (210, "3.5 min"), (7560, "2.1 h")]
)
def test_durations_as_text(seconds, text):
    assert duration(seconds) == text
