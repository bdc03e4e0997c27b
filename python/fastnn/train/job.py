"""What ``fastnn train`` and ``fastnn evaluate`` do: from a data set to a folder of results."""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import data, get_num_threads, io, manual_seed, nn, optim, plotting, zeros
from .._extras import need
from ..augment.expand import originals
from ..metrics import proportion_interval
from .callbacks import ProgressBar
from .evaluation import predict, score
from .history import Row
from .models import MODELS
from .trainer import Trainer

DATA: dict[str, Callable[..., tuple[data.sets.Part, data.sets.Part]]] = {
    "digits": lambda root, download: data.digits(),
    "mnist": data.mnist,
    "fashion_mnist": data.fashion_mnist,
    "kmnist": data.kmnist,
    "cifar10": data.cifar10,
    "mnist1d": data.mnist1d,
}
OPTIMIZERS: dict[str, tuple[float, Callable[..., optim.Optimizer]]] = {  # with its default lr
    "sgd": (0.05, lambda parameters, lr: optim.SGD(parameters, lr, momentum=0.9)),
    "adam": (3e-3, optim.Adam),
    "adamw": (3e-3, optim.AdamW),
    "rmsprop": (1e-3, optim.RMSprop),
    "adagrad": (1e-2, optim.Adagrad),
    "adadelta": (1.0, optim.Adadelta),
}


@dataclass(frozen=True)
class Options:
    """The options of ``fastnn train``; None stands for a default that depends on the others."""

    data: str = "digits"
    data_dir: str = "data"
    download: bool = False
    model: str = "cnn"
    hidden: tuple[int, ...] | None = None
    epochs: int | None = None
    batch_size: int = 64
    lr: float | None = None
    optimizer: str = "adam"
    seed: int = 0
    device: str = "auto"
    threads: int | None = None
    out: str | None = None


class Run:
    """A trained model with what is needed to use it, as read from the folder ``path``."""

    def __init__(self, path: str | Path) -> None:
        if not Path(path).is_dir():
            raise FileNotFoundError(f"[run] no folder {path}: expected one that train has written")
        meta = io.load_meta(path)
        try:
            self.data, self.data_dir = str(meta["data"]), str(meta["data_dir"])
            self.load_data = DATA[self.data]
            self.shape = tuple(int(side) for side in meta["input_shape"])
            self.classes = [str(name) for name in meta["classes"]]
            self.scaler = data.StandardScaler()
            self.scaler.shift_ = np.array(meta["scaler"]["shift"], dtype=np.float64)
            self.scaler.scale_ = np.array(meta["scaler"]["scale"], dtype=np.float64)
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"[run] {path}/model.json is not of a training run: {error!r}"
            ) from None
        self.model: nn.Module = io.load(path)

    def logits(self, x: NDArray[Any], device: str) -> NDArray[Any]:
        """The model's outputs (N, classes) for inputs (N, ...) as the data set gives them."""
        return predict(self.model.to(device), self.scaler.transform(x), device)


def choose_device(name: str) -> str:
    """The device for ``--device``: auto is cuda, or aloud (on stderr) cpu where cuda fails."""
    if name == "cpu":
        return name
    try:
        zeros(1, device="cuda")
    except (ImportError, RuntimeError, ValueError) as error:
        if name == "cuda":
            raise ValueError(f"[device] cuda cannot be used: {error}") from error
        print(f"device auto: cpu, since cuda cannot be used: {error}", file=sys.stderr)
        return "cpu"
    return "cuda"


def train(options: Options) -> Path:
    """Train a model, print a line per epoch on stdout, write the folder of the run and return it.

    The weights kept are those of the epoch of best validation accuracy; the test part is looked at
    once, by these. A KeyboardInterrupt passes through, saying what the folder holds.
    """
    for module in ("safetensors.numpy", "matplotlib.figure", "tqdm"):
        need(module, "train", "train")  # before the work, not after it
    device = choose_device(options.device)
    manual_seed(options.seed)
    x, y, x_val, y_val, x_test, y_test, scaler = _load(options)
    classes = data.CLASSES[options.data]
    hidden = {} if options.hidden is None else {"hidden": options.hidden}
    model = MODELS[options.model](x.shape[1:], len(classes), **hidden).to(device)
    default_lr, make = OPTIMIZERS[options.optimizer]
    lr = default_lr if options.lr is None else options.lr
    optimizer = make(model.parameters(), lr=lr)
    epochs = options.epochs or (20 if len(x) < 10_000 else 5)
    print(
        f"{options.data}: {len(x)} training, {len(x_val)} validation, {len(x_test)} test examples "
        f"of {'x'.join(map(str, x.shape[1:]))}\n{options.model}: "
        f"{sum(p.numel() for p in model.parameters()):,} parameters; {options.optimizer}, "
        f"lr {lr:g}, batch size {options.batch_size}; {device}, {get_num_threads()} threads",
        flush=True,
    )
    meta = {
        "data": options.data,
        "data_dir": options.data_dir,
        "input_shape": x.shape[1:],
        "classes": classes,
        "scaler": {"shift": scaler.shift_.tolist(), "scale": scaler.scale_.tolist()},
    }
    record = {"options": asdict(options) | {"lr": lr, "epochs": epochs, "device": device}}
    out = _new_folder(options)

    def on_epoch(trainer: Trainer, row: Row) -> None:
        history = trainer.history
        best = history.best
        if row is best:
            io.save(model, out, meta)
        _write_json(out, record | {"epochs": history, "best_epoch": best["epoch"]})
        print(_line(row, epochs) + ("  best" if row is best else ""), flush=True)

    steps = epochs * -(-len(x) // options.batch_size)
    trainer = Trainer(
        model,
        nn.CrossEntropyLoss(),
        optimizer,
        scheduler=optim.lr_scheduler.CosineAnnealingLR(optimizer, steps),
        scheduler_interval="step",
        callbacks=[on_epoch, ProgressBar()],
    )
    history = trainer.history
    loader = data.DataLoader((x, y), options.batch_size, shuffle=True, seed=options.seed)
    try:
        trainer.fit(loader, (x_val, y_val), epochs, check_classes=False)
        logits = Run(out).logits(x_test, device)  # as saved, so that the file is what is tested
    except KeyboardInterrupt:
        if not (out / "model.safetensors").exists():
            raise KeyboardInterrupt("nothing is saved before the first epoch ends") from None
        plotting.curves(history, out / "curves.png")
        raise KeyboardInterrupt(f"{out} holds the best of {len(history)} epochs") from None
    finally:
        if not any(out.iterdir()):
            out.rmdir()
    best = history.best
    test = score(logits, y_test) | {"examples": len(y_test)}
    low, high = proportion_interval(round(test["accuracy"] * len(y_test)), len(y_test))
    _write_json(out, record | {"epochs": history, "best_epoch": best["epoch"], "test": test})
    plotting.curves(history, out / "curves.png")
    plotting.mistakes(x_test, y_test, logits, classes, out / "mistakes.png")
    print(
        f"best epoch {best['epoch']:.0f}: validation accuracy {best['val_accuracy']:.2%}, "
        f"test accuracy {test['accuracy']:.2%} ({low:.2%} to {high:.2%} with 95 % confidence)\n"
        f"wrote {out}: "
        f"{', '.join(sorted(path.name for path in out.iterdir()))}"
    )
    return out


def _load(options: Options) -> tuple[Any, ...]:
    """Training, validation (a sixth of the training data) and test part, the first two scaled.

    Of an expanded set the originals are split; copies of those for validation are left out.
    """
    (x, y), (x_test, y_test) = DATA[options.data](options.data_dir, options.download)
    count = originals(options.data_dir, options.data, len(x))
    (train,), (val,), _ = data.train_val_test_split(
        np.arange(count), val_size=1 / 6, test_size=0, seed=options.seed, stratify=y[:count]
    )
    train = (np.arange(0, len(x), count)[:, None] + train).ravel()
    x, y, x_val, y_val = x[train], y[train], x[val], y[val]
    scaler = data.StandardScaler().fit(x)
    return scaler.transform(x), y, scaler.transform(x_val), y_val, x_test, y_test, scaler


def _new_folder(options: Options) -> Path:
    if options.out is not None:
        out = Path(options.out)
        if (out / "model.safetensors").exists():
            raise ValueError(f"[train] {out} holds a run already: remove it, or name another")
        out.mkdir(parents=True, exist_ok=True)
        return out
    for number in itertools.count(1):
        out = Path("runs", f"{options.data}-{options.model}" + (f"-{number}" if number > 1 else ""))
        try:
            out.mkdir(parents=True)
            break
        except FileExistsError:
            continue
    return out


def _line(row: dict[str, float], epochs: int) -> str:
    return (
        f"epoch {row['epoch']:{len(str(epochs))}.0f}/{epochs}  "
        f"train loss {row['loss']:.4f} accuracy {row['accuracy']:7.2%}  "
        f"validation loss {row['val_loss']:.4f} accuracy {row['val_accuracy']:7.2%}  "
        f"{row['images_per_second']:,.0f} images/s"
    )


def _write_json(out: Path, record: dict[str, Any]) -> None:
    io.write_atomic(out / "history.json", json.dumps(record, indent=1).encode())
