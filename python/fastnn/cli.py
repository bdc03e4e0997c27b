"""The command ``fastnn``: train, evaluate, predict, report, expand, info."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

import numpy as np

from . import __version__, from_numpy, metrics, set_num_threads, show_config, softmax
from .data.sets import EXPANDABLE
from .report import report as write_report
from .train.evaluation import score
from .train.images import read_image
from .train.job import DATA, OPTIMIZERS, Options, Run, choose_device
from .train.job import train as train_job
from .train.models import MODELS

N = TypeVar("N", int, float)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code: 0, 2 for bad input, 130 after Ctrl-C."""
    arguments = vars(_parser().parse_args(argv))
    run = arguments.pop("run")
    threads = arguments.get("threads")
    try:
        if threads is not None:
            set_num_threads(threads)
        run(**arguments)
    except KeyboardInterrupt as stop:
        print(f"interrupted{f': {stop}' if str(stop) else ''}", file=sys.stderr)
        return 130
    except (ValueError, OSError, ImportError, MemoryError) as error:
        text = " ".join(str(error).split())
        if isinstance(error, MemoryError):
            text = f"not enough memory ({text})"
        print("fastnn: error:", text, file=sys.stderr)
        return 2
    return 0


def train(**options: object) -> None:
    """``fastnn train``"""
    train_job(Options(**options))  # type: ignore[arg-type]


def evaluate(
    folder: str, data_dir: str | None, report: bool, device: str, threads: int | None
) -> None:
    """``fastnn evaluate``"""
    device, run = choose_device(device), Run(folder)
    _, (x, y) = run.load_data(data_dir or run.data_dir, False)
    logits = run.logits(x, device)
    if report:
        print(f"{run.data}, test part", metrics.report(logits, y, run.classes), sep="\n")
        return
    scores = score(logits, y)
    loss, accuracy = scores["loss"], scores["accuracy"]
    right = round(accuracy * len(y))
    low, high = metrics.proportion_interval(right, len(y))
    print(
        f"{run.data}: test loss {loss:.4f} accuracy {accuracy:.2%} ({len(y) - right} of {len(y)} "
        f"wrong; 95% interval {low:.2%} to {high:.2%})"
    )


def predict(folder: str, images: list[str], invert: bool, device: str, threads: int | None) -> None:
    """``fastnn predict``"""
    device, run = choose_device(device), Run(folder)
    pictures = [read_image(path, run.shape, invert) for path in images]
    logits = run.logits(np.stack([array for array, _ in pictures]), device).astype(np.float64)
    probabilities = softmax(from_numpy(logits), 1).numpy()
    for path, (_, done), p in zip(images, pictures, probabilities, strict=True):
        first, second = p.argsort()[:-3:-1]
        print(
            f"{path}: {run.classes[first]} ({p[first]:.1%}), "
            f"or else {run.classes[second]} ({p[second]:.1%}); read {done}"
        )


def report(
    folder: str, out: str | None, data_dir: str | None, device: str, threads: int | None
) -> None:
    """``fastnn report``"""
    path, missing = write_report(folder, out, data_dir=data_dir, device=choose_device(device))
    for text in missing:
        print(f"left out: {text}", file=sys.stderr)
    print(f"wrote {path}")


def expand(data: str, out: str, data_dir: str, threads: int | None, **options: Any) -> None:
    """``fastnn expand``"""
    from . import augment

    chosen = {key: options.pop(key) for key in ("rotate", "scale", "shear", "elastic")}
    geometric: list[Any] = []
    if any(chosen[key] for key in ("rotate", "scale", "shear")):
        scale = chosen["scale"]
        geometric.append(
            augment.RandomAffine(chosen["rotate"], None, (1 - scale, 1 + scale), chosen["shear"])
        )
    if chosen["elastic"]:
        geometric.append(augment.ElasticTransform(*chosen["elastic"]))
    if not options["shifts"] and not geometric:
        raise ValueError(
            "[expand] nothing to do: give --shifts, --rotate, --scale, --shear or --elastic"
        )
    if options["copies"] > 1 and not geometric:
        raise ValueError(
            "[expand] --copies are of random changes: give --rotate, --scale, --shear or --elastic"
        )
    change = augment.Compose(geometric) if geometric else None
    before, after = augment.expand_files(data, out, root=data_dir, augment=change, **options)
    print(f"{out}: {after:,} training images from {before:,}; --data {data} --data-dir {out}")


def info() -> None:
    """``fastnn info``"""
    show_config()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="fastnn", description="Train and use neural networks.")
    parser.add_argument("--version", action="version", version=f"fastnn {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    default = Options()

    command = _command(commands, "train", train, "train a classifier and write its folder")
    add = command.add_argument
    add("--data", choices=DATA, default=default.data, help="data set (default %(default)s)")
    add("--data-dir", default=default.data_dir, metavar="DIR", help="where data sets lie (data)")
    add("--download", action="store_true", help="fetch the data set if it is not there")
    add("--model", choices=MODELS, default=default.model, help="network (default %(default)s)")
    add("--hidden", type=_positive, nargs="+", metavar="N", help="neurons of each hidden layer")
    add("--epochs", type=_positive, metavar="N", help="20 for small data sets, else 5")
    add("--batch-size", type=_positive, default=default.batch_size, metavar="N", help="(64)")
    rates = ", ".join(f"{name} {lr:g}" for name, (lr, _) in OPTIMIZERS.items())
    add("--lr", type=_rate, metavar="X", help=f"first learning rate, falls to 0 ({rates})")
    add("--optimizer", choices=OPTIMIZERS, default=default.optimizer, help="(%(default)s)")
    add("--seed", type=_seed, default=default.seed, metavar="N", help="(%(default)s)")
    add("--out", metavar="DIR", help="folder of the run (runs/<data>-<model>)")
    _machine(command)

    command = _command(commands, "evaluate", evaluate, "loss and accuracy on the test part")
    command.add_argument("folder", metavar="RUN", help="the folder that train has written")
    command.add_argument("--data-dir", metavar="DIR", help="where the data set lies now")
    command.add_argument("--report", action="store_true", help="a table of errors by class")
    _machine(command)

    command = _command(commands, "predict", predict, "the class of each picture")
    command.add_argument("folder", metavar="RUN", help="the folder that train has written")
    command.add_argument("images", metavar="IMAGE", nargs="+", help="PNG, JPEG, ...")
    command.add_argument("--invert", action="store_true", help="dark ink on light paper")
    _machine(command)

    command = _command(commands, "report", report, "one HTML page about a run")
    command.add_argument("folder", metavar="RUN", help="the folder of a run, or of a Checkpoint")
    command.add_argument("--out", metavar="FILE", help="the page (RUN/report.html)")
    command.add_argument("--data-dir", metavar="DIR", help="where the data set lies now")
    _machine(command)

    command = _command(commands, "expand", expand, "write a larger training set, of changed copies")
    add = command.add_argument
    add("data", choices=EXPANDABLE, help="data set")
    add("--out", required=True, metavar="DIR", help="new folder, to be a --data-dir")
    add("--data-dir", default=default.data_dir, metavar="DIR", help="where data sets lie (data)")
    add("--download", action="store_true", help="fetch the data set into that folder")
    add("--first", type=_positive, metavar="N", help="expand and keep the first N images alone")
    add("--shifts", type=_natural, default=0, metavar="N", help="by 1 to N pixels, 4 directions")
    add("--rotate", type=_share, default=0.0, metavar="DEG", help="at random, by at most this")
    below_1, below_90 = partial(_below, 1), partial(_below, 90)
    add("--scale", type=below_1, default=0.0, metavar="X", help="by 1 - X to 1 + X; below 1")
    add("--shear", type=below_90, default=0.0, metavar="DEG", help="the same; below 90")
    add("--elastic", type=_rate, nargs=2, metavar=("ALPHA", "SIGMA"), help="distortion, in pixels")
    add("--copies", type=_positive, default=1, metavar="N", help="random versions of each (1)")
    add("--seed", type=_seed, default=0, metavar="N", help="(%(default)s)")
    add("--threads", type=_positive, metavar="N", help="of the CPU")

    _command(commands, "info", info, "version, instruction sets, threads")
    return parser


def _command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    run: Callable[..., None],
    text: str,
) -> argparse.ArgumentParser:
    command = commands.add_parser(name, help=text, description=text)
    command.set_defaults(run=run)
    return command


def _machine(command: argparse.ArgumentParser) -> None:
    command.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    command.add_argument("--threads", type=_positive, metavar="N", help="of the CPU")


def _number(kind: type[N], text: str) -> N:
    try:
        return kind(text)
    except ValueError:
        what = "a whole number" if kind is int else "a number"
        raise argparse.ArgumentTypeError(f"must be {what}; got {text!r}") from None


def _positive(text: str) -> int:
    number = _number(int, text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1; got {text}")
    return number


def _natural(text: str) -> int:
    number = _number(int, text)
    if number < 0:
        raise argparse.ArgumentTypeError(f"must be at least 0; got {text}")
    return number


def _seed(text: str) -> int:
    number = _natural(text)
    if number >= 1 << 64:
        raise argparse.ArgumentTypeError(f"must be below 2^64; got {text}")
    return number


def _share(text: str) -> float:
    number = _number(float, text)
    if not 0 <= number < math.inf:
        raise argparse.ArgumentTypeError(f"must be at least 0; got {text}")
    return number


def _below(end: float, text: str) -> float:
    if (number := _share(text)) >= end:
        raise argparse.ArgumentTypeError(f"must be below {end}; got {text}")
    return number


def _rate(text: str) -> float:
    number = _number(float, text)
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"must be above 0; got {text}")
    return number
