"""Larger training sets: fastnn.augment.expand, `fastnn expand`, and pictures of augmentations."""

from __future__ import annotations

import errno
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnn as fn
from fastnn import augment, ensemble
from fastnn.augment.expand import originals
from fastnn.cli import main
from fastnn.data import sets
from fastnn.train import job

pytestmark = pytest.mark.cpu_only("data sets are arrays")

Array = np.ndarray


def some_images(n: int = 4) -> tuple[Array, Array]:
    rng = np.random.default_rng(0)
    return rng.integers(1, 256, (n, 1, 5, 6)).astype(np.uint8), np.arange(n) % 3


def test_shifts_are_the_books() -> None:
    x, y = some_images()
    more, labels = augment.expand(x, y, shifts=1)
    assert more.shape == (20, 1, 5, 6)
    assert more.dtype == np.uint8
    np.testing.assert_array_equal(labels, np.tile(y, 5))
    moves = [(0, 2, 0), (-1, 2, -1), (1, 2, 0), (-1, 3, -1), (1, 3, 0)]  # by, axis, row left behind
    for part, (by, axis, vacated) in zip(np.split(more, 5), moves, strict=True):
        expected = np.roll(x, by, axis)
        if by:
            np.moveaxis(expected, axis, 0)[vacated] = 0
        np.testing.assert_array_equal(part, expected)
    two, _ = augment.expand(x, y, shifts=2)
    assert len(two) == 9 * len(x)
    np.testing.assert_array_equal(two[: len(more)], more)
    np.testing.assert_array_equal(two[5 * len(x) : 6 * len(x), :, :-2], x[:, :, 2:])
    same, _ = augment.expand(x, y)
    np.testing.assert_array_equal(same, x)


def test_random_copies_come_from_the_seed() -> None:
    x, y = some_images(1100)  # more than are augmented at once

    def made(images: Array) -> Array:
        fn.manual_seed(4)
        more, labels = augment.expand(images, y, augment=augment.Shift(1), copies=2)
        assert more.dtype == images.dtype
        np.testing.assert_array_equal(labels, np.tile(y, 3))
        return more

    first = made(x)
    np.testing.assert_array_equal(first, made(x))
    np.testing.assert_array_equal(first, np.rint(made((x / 255).astype(np.float32)) * 255))
    original, one, two = np.split(first, 3)
    np.testing.assert_array_equal(original, x)
    assert (one != two).any()


def test_bad_arrays() -> None:
    x, y = some_images()
    with pytest.raises(ValueError, match=r"^\[expand\] expected images"):
        augment.expand(x[:, 0], y)
    with pytest.raises(ValueError, match=r"^\[expand\] expected images"):
        augment.expand(x, y[:2])
    with pytest.raises(ValueError, match=r"^\[expand\] shifts must be at least 0"):
        augment.expand(x, y, shifts=-1)
    side = min(x.shape[2:])
    with pytest.raises(ValueError, match=rf"^\[expand\] shifts must be below {side} pixels"):
        augment.expand(x, y, shifts=side)
    with pytest.raises(ValueError, match=r"^\[expand\] augment must keep the shape of images"):
        augment.expand(x, y, augment=augment.RandomCrop(3))
    mix = augment.MixUp()
    for call in (
        lambda: augment.expand(x, y, augment=mix),
        lambda: augment.preview(x, mix),
        lambda: ensemble.tta(lambda x: x, x, mix),
    ):
        with pytest.raises(TypeError, match=r"augment must change images alone"):
            call()


def read_idx(path: Path) -> Array:
    data = path.read_bytes()
    assert data[:3] == b"\0\0\x08"
    shape = struct.unpack(f">{data[3]}I", data[4 : 4 + 4 * data[3]])
    return np.frombuffer(data, np.uint8, offset=4 + 4 * data[3]).reshape(shape)


@pytest.fixture
def small_mnist(monkeypatch: pytest.MonkeyPatch) -> Any:
    """What the loader of MNIST returns, without its files."""
    (x, y), (x_test, y_test) = some_images(6), some_images(2)
    train = ((x / np.float32(255)).astype(np.float32), y)
    test = ((x_test / np.float32(255)).astype(np.float32), y_test)
    monkeypatch.setattr(sets, "mnist", lambda root, download: (train, test))
    return x, y, x_test, y_test


def test_expand_command(small_mnist: Any, tmp_path: Path, capsys: Any) -> None:
    x, y, x_test, y_test = small_mnist
    out = tmp_path / "new" / "larger"
    assert main(["expand", "mnist", "--out", str(out), "--shifts", "1", "--first", "4"]) == 0
    assert "20 training images from 4" in capsys.readouterr().out
    raw = out / "MNIST" / "raw"
    assert sorted(p.name for p in raw.iterdir()) == sorted(sets._IDX_FILES)
    images, labels, test_images, test_labels = (read_idx(raw / f) for f in sets._IDX_FILES)
    expected, expected_labels = augment.expand(x[:4], y[:4], shifts=1)
    np.testing.assert_array_equal(images, expected[:, 0])
    np.testing.assert_array_equal(labels, expected_labels)
    np.testing.assert_array_equal(test_images, x_test[:, 0])
    np.testing.assert_array_equal(test_labels, y_test)
    assert [p.name for p in out.parent.iterdir()] == ["larger"]

    before = images.tobytes()
    assert main(["expand", "mnist", "--out", str(out), "--shifts", "2"]) == 2
    assert "exists already" in capsys.readouterr().err
    assert read_idx(raw / sets._IDX_FILES[0]).tobytes() == before


def test_copies_of_validation_images_are_not_trained_on(
    small_mnist: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    once, twice = tmp_path / "once", tmp_path / "twice"
    augment.expand_files("mnist", once, shifts=1)
    x, y, _, _ = small_mnist
    larger = ((augment.expand(x, y, shifts=1)[0] / np.float32(255)), np.tile(y, 5))
    monkeypatch.setattr(sets, "mnist", lambda root, download: (larger, larger))
    augment.expand_files("mnist", twice, root=once, augment=lambda a: a)
    with pytest.raises(ValueError, match=r"first must be a multiple of 6 originals; got 7"):
        augment.expand_files("mnist", tmp_path / "no", root=once, first=7, shifts=1)
    for folder, count in ((once, 30), (twice, 60)):
        assert originals(folder, "mnist", count) == 6
        numbers = np.arange(count, dtype=np.float32).reshape(-1, 1, 1, 1)
        data = (numbers, np.tile(y, count // 6))
        monkeypatch.setitem(job.DATA, "mnist", lambda root, download, data=data: (data, data))
        options = job.Options(data="mnist", data_dir=str(folder))
        x_train, _, x_val, _, _, _, scaler = job._load(options)
        shift, scale = scaler.shift_, scaler.scale_
        train, val = (np.rint(part * scale + shift).ravel() for part in (x_train, x_val))
        assert len(val) == 1
        assert val[0] < 6
        assert set(train % 6) == set(range(6)) - {val[0]}
        assert len(train) == count * 5 // 6
    assert originals(once, "kmnist", 30) == 30
    (once / "MNIST" / "expanded.json").write_text('{"originals": 7}')
    with pytest.raises(ValueError, match=r"expanded\.json does not say of how many images 30 are"):
        originals(once, "mnist", 30)


def test_expand_command_draws_from_its_seed(small_mnist: Any, tmp_path: Path) -> None:
    def made(name: str, seed: str) -> bytes:
        changes = ["--rotate=20", "--scale=0.1", "--shear=5", "--elastic", "4", "2", "--copies=3"]
        out = tmp_path / name
        assert main(["expand", "mnist", "--out", str(out), "--seed", seed, *changes]) == 0
        images = read_idx(out / "MNIST" / "raw" / sets._IDX_FILES[0])
        assert len(images) == 24
        return images.tobytes()

    assert made("a", "1") == made("b", "1") != made("c", "2")


def test_expand_command_refuses(small_mnist: Any, tmp_path: Path, capsys: Any) -> None:
    out = str(tmp_path / "out")
    for options, message in (
        ([], "nothing to do"),
        (["--shifts", "1", "--first", "7"], "first must be at most 6; got 7"),
        (["--scale", "0.9995"], "scale must be in"),
        (["--shifts", "1", "--copies", "3"], "--copies are of random changes"),
    ):
        assert main(["expand", "mnist", "--out", out, *options]) == 2
        assert message in capsys.readouterr().err
    for options in (
        ["--rotate", "-3"],
        ["--scale", "1"],
        ["--shear", "90"],
        ["--copies", "0"],
        ["--elastic", "4", "nan"],
        ["--seed", str(1 << 64)],
    ):
        with pytest.raises(SystemExit):
            main(["expand", "mnist", "--out", out, *options])
    with pytest.raises(ValueError, match=r"^\[expand\] name must be one of mnist"):
        augment.expand_files("digits", out)
    assert not list(tmp_path.iterdir())


def test_what_fails_half_way_leaves_nothing(
    small_mnist: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "no space left")

    for function, message in (("os.rename", "no space"), ("os.fsync", r"cannot write .*ubyte: no")):
        with monkeypatch.context() as patched:
            patched.setattr(function, fail)
            with pytest.raises(OSError, match=message):
                augment.expand_files("mnist", tmp_path / "out", shifts=1)
        assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("channels", [1, 3])
def test_preview(channels: int, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    x = np.random.default_rng(0).random((10, channels, 8, 8), np.float32)
    path = tmp_path / "preview.png"
    augment.preview(x, augment.RandomRotation(20), path, rows=2)
    assert path.read_bytes().startswith(b"\x89PNG")
    given = []

    def noted(images: Array) -> Array:
        given.append(images)
        return images

    whole = (x * 255).astype(np.uint8)
    augment.preview(whole, noted, rows=1)
    assert np.array_equal(given[0], whole[:8] / np.float32(255))
