"""The command line, end to end."""

from __future__ import annotations

import functools
import json
import os
import re
import signal
import subprocess
import sys

import numpy as np
import pytest

import fastnn as fn
from fastnn import cli, data, io
from fastnn.train import job

pytestmark = pytest.mark.cpu_only("commands say their device themselves")

Image = pytest.importorskip("PIL.Image")
for _package in ("matplotlib", "safetensors", "sklearn", "tqdm"):
    pytest.importorskip(_package)

ROOT = os.environ.get("FASTNN_TEST_DATA", "")
SMALL = ["--model", "mlp", "--hidden", "32", "--lr", "0.01", "--device", "cpu", "--threads", "1"]
FILES = ["curves.png", "history.json", "mistakes.png", "model.json", "model.safetensors"]


def command(*arguments):
    return [sys.executable, "-W", "error", "-m", "fastnn", *map(str, arguments)]


def fastnn(*arguments, **options):
    return subprocess.run(
        command(*arguments), capture_output=True, text=True, timeout=300, check=False, **options
    )


def history(run):
    return json.loads((run / "history.json").read_text())


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder and the output of a short run."""
    folder = tmp_path_factory.mktemp("cli") / "run"
    done = fastnn("train", *SMALL, "--epochs", 3, "--out", folder)
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


# --- train ------------------------------------------------------------------------------------


def test_train_writes_its_folder(trained):
    folder, _ = trained
    assert sorted(path.name for path in folder.iterdir()) == FILES
    for name in ("curves.png", "mistakes.png"):
        with Image.open(folder / name) as image:
            image.load()
            assert image.format == "PNG"
            assert image.width > 600
            assert len(set(image.convert("L").tobytes())) > 10  # not one blank colour


def test_train_prints_a_line_per_epoch(trained):
    folder, output = trained
    number = r"[\d.,]+"
    line = (
        rf"epoch (\d)/3  train loss {number} accuracy +{number}%  "
        rf"validation loss {number} accuracy +{number}%  {number} images/s"
    )
    assert re.findall(line, output) == ["1", "2", "3"]
    assert f"wrote {folder}" in output


def test_history_is_what_was_printed(trained):
    folder, output = trained
    record = history(folder)
    assert record["options"]["hidden"] == [32]
    assert record["options"]["lr"] == 0.01
    rows = record["epochs"]
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    assert rows[2]["loss"] < rows[0]["loss"]
    assert all(row["images_per_second"] > 0 for row in rows)
    best = max(rows, key=lambda row: (row["val_accuracy"], -row["val_loss"]))
    assert record["best_epoch"] == best["epoch"]
    assert f"test accuracy {record['test']['accuracy']:.2%} (" in output
    assert "with 95 % confidence)" in output
    assert f"validation loss {rows[1]['val_loss']:.4f}" in output


def test_the_saved_model_has_the_accuracy_that_was_printed(trained):
    folder, _ = trained
    _, (x, y) = data.digits()
    shift, scale = (io.load_meta(folder)["scaler"][key] for key in ("shift", "scale"))
    logits = io.load(folder)(fn.from_numpy((x - np.float32(shift)) / np.float32(scale)))
    accuracy = (logits.detach().numpy().argmax(1) == y).mean()
    assert accuracy == pytest.approx(history(folder)["test"]["accuracy"])
    assert accuracy > 0.8  # three epochs of a small net; chance is 0.1


def test_the_same_seed_gives_the_same_model(trained, tmp_path, capsys):
    weights = []
    for name, seed in (("a", "0"), ("b", "1")):
        out = str(tmp_path / name)
        assert cli.main(["train", *SMALL, "--epochs", "3", "--seed", seed, "--out", out]) == 0
        weights.append((tmp_path / name / "model.safetensors").read_bytes())
    assert weights[0] == (trained[0] / "model.safetensors").read_bytes()
    assert weights[0] != weights[1]


def test_runs_are_numbered(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        assert cli.main(["train", *SMALL, "--epochs", "1"]) == 0
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == [
        "digits-mlp",
        "digits-mlp-2",
    ]


@pytest.mark.parametrize("optimizer", ["sgd", "adamw", "rmsprop", "adagrad", "adadelta"])
def test_every_optimizer_learns_with_its_default_rate(tmp_path, capsys, optimizer):
    arguments = ["--model", "mlp", "--epochs", "3", "--optimizer", optimizer, "--device", "cpu"]
    assert cli.main(["train", *arguments, "--out", str(tmp_path)]) == 0
    assert history(tmp_path)["test"]["accuracy"] > 0.7


def test_the_default_run_reaches_97_percent(tmp_path):
    done = fastnn("train", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert history(tmp_path / "runs" / "digits-cnn")["test"]["accuracy"] >= 0.97


@pytest.mark.mnist
@pytest.mark.skipif(not ROOT, reason="FASTNN_TEST_DATA names no folder")
def test_lenet_on_mnist_reaches_98_8_percent(tmp_path):
    pytest.importorskip("torchvision")
    arguments = ("--data", "mnist", "--data-dir", ROOT, "--model", "lenet", "--epochs", 3)
    done = fastnn("train", *arguments, "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    assert history(tmp_path)["test"]["accuracy"] >= 0.988


# --- evaluate, predict, info --------------------------------------------------------------------


def test_evaluate_repeats_the_test_accuracy(trained):
    folder, _ = trained
    done = fastnn("evaluate", folder, "--device", "cpu")
    assert done.returncode == 0, done.stderr
    assert f"accuracy {history(folder)['test']['accuracy']:.2%} (" in done.stdout
    assert re.search(
        r"\(\d+ of 359 wrong; 95% interval \d\d\.\d\d% to \d\d\.\d\d%\)\n$", done.stdout
    )


def test_evaluate_reports_by_class(trained, capsys):
    folder, _ = trained
    assert cli.main(["evaluate", str(folder), "--device", "cpu", "--report"]) == 0
    lines = capsys.readouterr().out.splitlines()
    rows = [line.split() for line in lines if re.match(r"\d  ", line)]
    assert [row[0] for row in rows] == list(data.CLASSES["digits"])
    assert sum(int(row[4]) for row in rows) == 359


def test_predict_agrees_with_the_model_in_every_picture_format(trained, tmp_path, capsys):
    folder, _ = trained
    _, (x, _) = data.digits()
    expected = job.Run(folder).logits(x[:20], "cpu").argmax(1)
    paths = []
    for i, image in enumerate(x[:20, 0]):
        pixels = np.rint(image * 255).astype(np.uint8)
        picture = (
            Image.fromarray(pixels),
            Image.fromarray(pixels).convert("RGB"),
            Image.fromarray(pixels.astype(np.uint16) * 257),
            Image.fromarray(pixels).resize((64, 64), Image.Resampling.NEAREST),
        )[i % 4]
        paths.append(str(tmp_path / f"{i}.png"))
        picture.save(paths[-1])
    assert cli.main(["predict", str(folder), *paths, "--device", "cpu"]) == 0
    lines = capsys.readouterr().out.splitlines()
    for line, path, label in zip(lines, paths, expected, strict=True):
        assert line.startswith(f"{path}: {label} (")
    assert lines[0].endswith("read as it is")
    assert lines[1].endswith("read to grayscale")
    assert "16 bits to 8" in lines[2]
    assert lines[3].endswith("read resized from 64x64 to 8x8")


def test_predict_dark_ink_on_light_paper(trained, tmp_path, capsys):
    folder, _ = trained
    _, (x, _) = data.digits()
    label = job.Run(folder).logits(x[:1], "cpu").argmax()
    ink = np.rint(x[0, 0] * 255).astype(np.uint8)
    paper, transparent = str(tmp_path / "paper.png"), str(tmp_path / "transparent.png")
    Image.fromarray(255 - ink).save(paper)
    black = np.zeros((8, 8, 3), np.uint8)
    Image.fromarray(np.dstack([black, ink])).save(transparent)
    arguments = ["predict", str(folder), paper, transparent, "--device", "cpu"]
    assert cli.main([*arguments, "--invert"]) == 0
    inverted = capsys.readouterr()
    assert [line.split(": ")[1][0] for line in inverted.out.splitlines()] == [str(label)] * 2
    assert "laid on white, to grayscale, inverted" in inverted.out
    assert inverted.err == ""
    assert cli.main(arguments) == 0
    assert capsys.readouterr().err.count("use --invert") == 2


def test_info():
    done = fastnn("info")
    assert done.returncode == 0, done.stderr
    assert fn.__version__ in done.stdout


# --- what goes wrong ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "COMMAND"),
        (["fly"], "invalid choice: 'fly'"),
        (["train", "--model", "resnet"], "invalid choice: 'resnet'"),
        (["train", "--epochs", "0"], "--epochs: must be at least 1; got 0"),
        (["train", "--hidden", "10", "-3"], "--hidden: must be at least 1; got -3"),
        (["train", "--batch-size", "x"], "--batch-size: must be a whole number; got 'x'"),
        (["train", "--lr", "x"], "--lr: must be a number; got 'x'"),
        (["train", "--lr", "nan"], "--lr: must be above 0; got nan"),
        (["train", "--seed", "-1"], "--seed: must be at least 0; got -1"),
        (["train", "--seed", str(1 << 64)], "--seed: must be below 2^64"),
        (["train", "--threads", "0"], "--threads: must be at least 1; got 0"),
        (["predict", "run"], "IMAGE"),
    ],
)
def test_wrong_usage_ends_with_code_2(capsys, arguments, message):
    with pytest.raises(SystemExit) as stop:
        cli.main(arguments)
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["train", "--data", "kmnist", "--data-dir", "nowhere"],
            r"nowhere/KMNIST/raw.*train-images",
        ),
        (["train", "--data", "mnist1d", "--data-dir", "nowhere"], r"nowhere/MNIST1D/mnist1d\.npz"),
        (["train", *SMALL, "--epochs", "1", "--lr", "1e30"], r"learning rate below 1e\+30"),
        (["train", *SMALL, "--epochs", "1", "--out", "file"], "file"),
        (["train", "--model", "mlp", "--hidden", "1000000000000"], "not enough memory"),
        (["train", *SMALL, "--out", "RUN"], "holds a run already"),
        (["evaluate", "nowhere"], "no folder nowhere"),
        (["evaluate", "empty"], r"model\.json"),
        (["predict", "RUN", "nowhere.png"], "no file nowhere.png"),
        (["predict", "RUN", "file"], "file cannot be read as a picture"),
    ],
)
def test_bad_input_ends_with_code_2_and_one_line(
    trained, tmp_path, monkeypatch, capsys, arguments, message
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("text")
    (tmp_path / "empty").mkdir()
    arguments = [str(trained[0]) if a == "RUN" else a for a in arguments]
    assert cli.main([*arguments, "--device", "cpu"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1].startswith("fastnn: error: ")
    assert re.search(message, lines[-1])
    assert len(lines) == 1
    assert not list(tmp_path.glob("runs/*"))  # no empty folder is left


def test_bad_input_shows_no_traceback(tmp_path):
    done = fastnn("evaluate", tmp_path / "nowhere", "--device", "cpu")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("name", ["model.safetensors", "model.json"])
def test_a_corrupt_model_is_refused_by_name(trained, tmp_path, capsys, name):
    for file in ("model.safetensors", "model.json"):
        content = (trained[0] / file).read_bytes()
        (tmp_path / file).write_bytes(content[:-40] if file == name else content)
    assert cli.main(["evaluate", str(tmp_path), "--device", "cpu"]) == 2
    assert f"{tmp_path / name} is corrupt or truncated" in capsys.readouterr().err


def test_a_model_that_train_did_not_write_is_refused(tmp_path, capsys):
    io.save(fn.nn.Sequential(fn.nn.Linear(64, 10)), tmp_path)
    assert cli.main(["evaluate", str(tmp_path), "--device", "cpu"]) == 2
    assert "model.json is not of a training run" in capsys.readouterr().err


def test_cuda_that_fails_is_an_error_and_auto_falls_back_aloud(monkeypatch, capsys):
    def no_driver(*shape, device):
        raise RuntimeError("no driver")

    monkeypatch.setattr(job, "zeros", no_driver)
    assert job.choose_device("auto") == "cpu"
    assert "no driver" in capsys.readouterr().err
    with pytest.raises(ValueError, match="cuda cannot be used: no driver"):
        job.choose_device("cuda")


# --- Ctrl-C -------------------------------------------------------------------------------------


@pytest.mark.skipif(os.name != "posix", reason="SIGINT")
def test_ctrl_c_leaves_a_usable_run(tmp_path):
    folder = tmp_path / "run"
    arguments = command("train", *SMALL, "--epochs", 100_000, "--out", folder)
    # Where the tests were started in the background, children would be born deaf to Ctrl-C.
    listen = functools.partial(signal.signal, signal.SIGINT, signal.default_int_handler)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(arguments, **pipes, preexec_fn=listen) as process:
        for line in process.stdout:
            if line.lstrip().startswith("epoch      3/"):
                process.send_signal(signal.SIGINT)
                break
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert f"interrupted: {folder} holds the best of" in errors
    assert "Traceback" not in errors
    rows = history(folder)["epochs"]
    assert len(rows) >= 3
    assert (folder / "curves.png").stat().st_size > 1000
    assert not list(folder.glob("*.tmp"))
    assert fastnn("evaluate", folder, "--device", "cpu").returncode == 0


def test_ctrl_c_in_the_first_epoch_leaves_nothing(tmp_path, monkeypatch, capsys):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(job.Trainer, "fit", interrupted)
    assert cli.main(["train", *SMALL, "--out", str(tmp_path / "run")]) == 130
    assert "interrupted: nothing is saved" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
