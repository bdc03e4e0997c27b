"""Ready data sets, each as ``(x_train, y_train), (x_test, y_test)``.

Images are float32 in [0, 1], shape (N, C, H, W); labels are int64, shape (N).
"""

from __future__ import annotations

import io
import os
import random
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._extras import need
from ..io import write_atomic
from .split import train_val_test_split

Part = tuple[NDArray[np.float32], NDArray[np.int64]]
Root = str | os.PathLike[str]


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split(", "))


_DIGITS = tuple("0123456789")
CLASSES: dict[str, tuple[str, ...]] = {
    "digits": _DIGITS,
    "mnist": _DIGITS,
    "mnist1d": _DIGITS,
    "fashion_mnist": _names(
        "T-shirt/top, Trouser, Pullover, Dress, Coat, Sandal, Shirt, Sneaker, Bag, Ankle boot"
    ),
    "kmnist": _names("o, ki, su, tsu, na, ha, ma, ya, re, wo"),
    "cifar10": _names("airplane, automobile, bird, cat, deer, dog, frog, horse, ship, truck"),
}
"""The name of each class, by data set."""

_IDX_FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
_CIFAR_FILES = (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch", "batches.meta")
_TORCHVISION = {  # name: torchvision's class, folder inside root, files in it
    "mnist": ("MNIST", "MNIST/raw", _IDX_FILES),
    "fashion_mnist": ("FashionMNIST", "FashionMNIST/raw", _IDX_FILES),
    "kmnist": ("KMNIST", "KMNIST/raw", _IDX_FILES),
    "cifar10": ("CIFAR10", "cifar-10-batches-py", _CIFAR_FILES),
}

EXPANDABLE = tuple(name for name, (_, _, files) in _TORCHVISION.items() if files is _IDX_FILES)
"""The data sets in IDX files, of which `fastnn.augment.expand_files` writes larger ones."""


def digits() -> tuple[Part, Part]:
    """scikit-learn's handwritten digits: 1,438 and 359 images (1, 8, 8), with no download.

    The test part is the same at every call: a fixed stratified draw.
    Raises ImportError without scikit-learn (extra ``train``).
    """
    bunch = need("sklearn.datasets", "train", "digits").load_digits()
    x = (bunch.images / 16).astype(np.float32)[:, None]
    y = bunch.target.astype(np.int64)
    train, _, test = train_val_test_split(x, y, val_size=0, test_size=0.2, stratify=y)
    return (train[0], train[1]), (test[0], test[1])


def mnist(root: Root = "data", download: bool = False) -> tuple[Part, Part]:
    """MNIST: 60,000 and 10,000 handwritten digits (1, 28, 28).

    Files are read from ``root/MNIST/raw``, torchvision's layout; ``download`` fetches them if they
    are not there. Raises FileNotFoundError naming the folder and the files, ValueError for a
    corrupt file, ImportError without torchvision (extra ``data``).
    """
    return _torchvision("mnist", root, download)


def fashion_mnist(root: Root = "data", download: bool = False) -> tuple[Part, Part]:
    """Fashion-MNIST: 60,000 and 10,000 pictures of clothes (1, 28, 28); otherwise as `mnist`."""
    return _torchvision("fashion_mnist", root, download)


def kmnist(root: Root = "data", download: bool = False) -> tuple[Part, Part]:
    """Kuzushiji-MNIST: 60,000 and 10,000 cursive characters (1, 28, 28); otherwise as `mnist`."""
    return _torchvision("kmnist", root, download)


def cifar10(root: Root = "data", download: bool = False) -> tuple[Part, Part]:
    """CIFAR-10: 50,000 and 10,000 colour photographs (3, 32, 32); otherwise as `mnist`."""
    return _torchvision("cifar10", root, download)


def mnist1d(root: Root = "data", download: bool = False) -> tuple[Part, Part]:
    """MNIST-1D (Greydanus and Kobak, arXiv:2011.14439): 4,000 and 1,000 signals (1, 40), -5 to 5.

    Reads ``root/MNIST1D/mnist1d.npz`` with the arrays x, y, x_test, y_test; ``download`` has the
    package mnist1d make it if it is not there. Raises FileNotFoundError naming the file, ValueError
    where it is not such an archive, ImportError without that package (extra ``data``).
    """
    path = Path(root) / "MNIST1D" / "mnist1d.npz"
    if not path.is_file():
        if not download:
            raise FileNotFoundError(
                f"[mnist1d] no file {path}: pass download=True (--download on the command line), "
                "or put the archive with the arrays x, y, x_test, y_test there"
            )
        _make_mnist1d(path)
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            x, y, x_test, y_test = (archive[k] for k in ("x", "y", "x_test", "y_test"))
    except Exception as error:  # a broken zip raises zipfile's, zlib's, NumPy's and other errors
        raise ValueError(f"[mnist1d] {path} is corrupt or something else: {error}") from error
    return _signals(x, y), _signals(x_test, y_test)


def _make_mnist1d(path: Path) -> None:
    package = need("mnist1d.data", "data", "mnist1d")
    before = random.getstate(), np.random.get_state()
    try:
        made = package.make_dataset()
    finally:  # it has seeded both
        random.setstate(before[0])
        np.random.set_state(before[1])
    archive = io.BytesIO()
    x, x_test = (made[k].astype(np.float32) for k in ("x", "x_test"))
    np.savez_compressed(archive, x=x, y=made["y"], x_test=x_test, y_test=made["y_test"])
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, archive.getvalue())


def _signals(x: NDArray[Any], y: NDArray[Any]) -> Part:
    return x.astype(np.float32)[:, None], y.astype(np.int64)


def _torchvision(name: str, root: Root, download: bool) -> tuple[Part, Part]:
    class_name, subfolder, files = _TORCHVISION[name]
    folder = Path(root) / subfolder
    missing = [f for f in files if not (folder / f).is_file()]
    wanted = f"put these files, unpacked, there: {', '.join(missing)}"
    if missing and not download:
        raise FileNotFoundError(
            f"[{name}] no data in {folder.absolute()}: "
            f"pass download=True (--download on the command line), or {wanted}"
        )
    make = getattr(need("torchvision.datasets", "data", name), class_name)
    parts = []
    for train in (True, False):
        try:
            part = make(os.fspath(root), train=train, download=download)
        except Exception as error:  # torchvision raises RuntimeError, OSError, AssertionError, ...
            if missing:
                raise FileNotFoundError(
                    f"[{name}] download into {folder.absolute()} failed ({error}); {wanted}"
                ) from error
            raise ValueError(f"[{name}] corrupt file in {folder.absolute()}: {error}") from error
        # The whole set at once: reading it example by example takes minutes.
        x = np.asarray(part.data)
        x = x[:, None] if x.ndim == 3 else x.transpose(0, 3, 1, 2)
        images = np.divide(x, np.float32(255), dtype=np.float32, order="C")
        parts.append((images, np.asarray(part.targets, dtype=np.int64)))
    return parts[0], parts[1]
