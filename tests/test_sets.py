"""The ready data sets: what they hold, and what is said where files or packages are missing."""

from __future__ import annotations

import os
import random
import sys
import types

import numpy as np
import pytest

from fastnn import data

pytestmark = pytest.mark.cpu_only("data sets are arrays")

ROOT = os.environ.get("FASTNN_TEST_DATA", "")
needs_files = pytest.mark.skipif(not ROOT, reason="FASTNN_TEST_DATA names no folder")


def test_digits():
    pytest.importorskip("sklearn")
    (x, y), (x_test, y_test) = data.digits()
    assert x.shape == (1438, 1, 8, 8)
    assert x_test.shape == (359, 1, 8, 8)
    assert x.dtype == np.float32
    assert y.dtype == np.int64
    assert (x.min(), x.max()) == (0, 1)
    assert np.bincount(y_test).min() >= 34  # every class is in the test part
    seen = {image.tobytes() for image in x}
    assert not any(image.tobytes() in seen for image in x_test)
    np.testing.assert_array_equal(data.digits()[1][1], y_test)


@pytest.fixture
def torchvision(monkeypatch):
    """A stand-in for torchvision.datasets, of which a test fills the classes."""
    package = types.ModuleType("torchvision")
    package.datasets = types.ModuleType("torchvision.datasets")
    monkeypatch.setitem(sys.modules, "torchvision", package)
    monkeypatch.setitem(sys.modules, "torchvision.datasets", package.datasets)
    return package.datasets


def touch(folder, *names):
    folder.mkdir(parents=True)
    for name in names:
        (folder / name).touch()


IDX = [f"{a}-{b}-ubyte" for b in ("images-idx3", "labels-idx1") for a in ("train", "t10k")]
CIFAR = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch", "batches.meta"]


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("mnist", "MNIST/raw"),
        ("fashion_mnist", "FashionMNIST/raw"),
        ("kmnist", "KMNIST/raw"),
        ("cifar10", "cifar-10-batches-py"),
    ],
)
def test_missing_files_are_named_with_their_folder(tmp_path, name, folder):
    files = CIFAR if name == "cifar10" else IDX
    touch(tmp_path / folder, files[0])
    with pytest.raises(FileNotFoundError) as error:
        getattr(data, name)(tmp_path)
    assert str(tmp_path / folder) in str(error.value)
    assert all(f in str(error.value) for f in files[1:])
    assert files[0] not in str(error.value)


def test_failed_download_says_what_to_put_where(tmp_path, torchvision):
    def no_network(root, train, download):
        raise RuntimeError("Error downloading train-images: no route to host")

    torchvision.MNIST = no_network
    with pytest.raises(FileNotFoundError, match=r"no route .*train-images-idx3") as error:
        data.mnist(tmp_path, download=True)
    assert str(tmp_path / "MNIST" / "raw") in str(error.value)


def test_corrupt_files_are_refused_by_folder(tmp_path, torchvision):
    def broken(root, train, download):
        raise AssertionError

    torchvision.KMNIST = broken
    touch(tmp_path / "KMNIST" / "raw", *IDX)
    with pytest.raises(ValueError, match=r"\[kmnist\] corrupt file in .*KMNIST"):
        data.kmnist(tmp_path)


def test_cifar_is_read_in_one_go_and_becomes_channels_first(tmp_path, torchvision):
    pixels = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)

    class CIFAR10:
        data, targets = pixels, [3, 1, 2, 0]

        def __init__(self, root, train, download):
            self.data = pixels if train else pixels[:1]

    torchvision.CIFAR10 = CIFAR10
    touch(tmp_path / "cifar-10-batches-py", *CIFAR)
    (x, y), (x_test, _) = data.cifar10(tmp_path)
    assert x.shape == (4, 3, 32, 32)
    assert len(x_test) == 1
    assert x.flags.c_contiguous
    np.testing.assert_array_equal(np.rint(x * 255).transpose(0, 2, 3, 1), pixels)
    assert y.dtype == np.int64
    assert y.tolist() == [3, 1, 2, 0]


def test_torchvision_that_is_missing_or_broken(tmp_path, monkeypatch):
    touch(tmp_path / "MNIST" / "raw", *IDX)
    for name in [m for m in sys.modules if m.partition(".")[0] == "torchvision"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torchvision", None)
    with pytest.raises(ImportError, match=r"pip install torchvision, .* its extra 'data'"):
        data.mnist(tmp_path)
    monkeypatch.delitem(sys.modules, "torchvision")
    touch(tmp_path / "torchvision")
    source = "raise RuntimeError('operator torchvision::nms does not exist')"
    (tmp_path / "torchvision" / "__init__.py").write_text(source)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ImportError, match=r"installed but cannot be imported .*nms"):
        data.mnist(tmp_path)


def test_mnist1d(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"MNIST1D.mnist1d\.npz"):
        data.mnist1d(tmp_path)
    path = tmp_path / "MNIST1D" / "mnist1d.npz"
    path.parent.mkdir()
    arrays = {"x": np.ones((3, 40)), "y": np.uint8([1, 2, 3]), "y_test": np.uint8([4])}
    np.savez(path, x_test=np.zeros((1, 40)), **arrays)
    (x, y), (x_test, y_test) = data.mnist1d(tmp_path)
    assert x.shape == (3, 1, 40)
    assert x_test.shape == (1, 1, 40)
    assert x.dtype == np.float32
    assert y.tolist() == [1, 2, 3]
    assert y_test.tolist() == [4]
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"mnist1d\.npz is corrupt"):
        data.mnist1d(tmp_path)
    np.savez(path, x_test=np.array([{}]), **arrays)  # an object array is a pickle: code
    with pytest.raises(ValueError, match=r"mnist1d\.npz .*allow_pickle"):
        data.mnist1d(tmp_path)


@pytest.mark.mnist
@needs_files
def test_mnist_files():
    pytest.importorskip("torchvision")
    (x, y), (x_test, y_test) = data.mnist(ROOT)
    assert x.shape == (60000, 1, 28, 28)
    assert x_test.shape == (10000, 1, 28, 28)
    assert y[:5].tolist() == [5, 0, 4, 1, 9]
    assert np.bincount(y_test).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert round(float(x.mean(dtype=np.float64)), 4) == 0.1307
    assert round(float(x.std(dtype=np.float64)), 4) == 0.3081


@pytest.mark.mnist
@needs_files
def test_mnist1d_files():
    (x, _), (x_test, y_test) = data.mnist1d(ROOT)
    assert x.shape == (4000, 1, 40)
    assert x_test.shape == (1000, 1, 40)
    assert sorted(np.unique(y_test)) == list(range(10))


@pytest.mark.mnist
@needs_files
def test_mnist1d_is_made_where_it_is_not(tmp_path):
    pytest.importorskip("mnist1d")
    before = random.getstate(), np.random.get_state()[1].copy()
    made = data.mnist1d(tmp_path, download=True)
    assert before[0] == random.getstate()
    assert (before[1] == np.random.get_state()[1]).all()
    for mine, theirs in zip(made, data.mnist1d(ROOT), strict=True):
        np.testing.assert_allclose(mine[0], theirs[0], rtol=1e-6, atol=1e-7)
        np.testing.assert_array_equal(mine[1], theirs[1])
    assert data.mnist1d(tmp_path)[0][0].tobytes() == made[0][0].tobytes()
