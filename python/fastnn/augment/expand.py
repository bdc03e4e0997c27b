"""A larger training set, made once and kept: shifted and augmented copies of its images."""

from __future__ import annotations

import json
import os
import shutil
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import manual_seed
from ..data import sets
from ..io import errors_saying
from ..nn._checks import integer, one_of
from .compose import images_alone

_BATCH = 1000  # images augmented at once


def expand(
    x: NDArray[Any],
    y: NDArray[Any],
    *,
    shifts: int = 0,
    augment: Callable[[Any], Any] | None = None,
    copies: int = 1,
) -> tuple[NDArray[Any], NDArray[Any]]:
    """The images x (N, C, H, W) and labels y (N), followed by copies of all of them.

    First, for each number of pixels up to ``shifts``, all images moved up, down, left and right by
    it, with zeros where they were; so `shifts=1` makes five images of each. Then ``copies`` times
    all images as ``augment`` changes them, which draws from the generator of `manual_seed`. uint8
    images are augmented as numbers in [0, 1] and rounded back; other dtypes are kept.

    Raises ValueError for arrays of other shapes, shifts as large as the images, and an ``augment``
    that changes their shape, TypeError for one that changes targets too.
    """
    x, y = np.asarray(x), np.asarray(y)
    integer("expand", "shifts", shifts, 0)
    integer("expand", "copies", copies, 0)
    if x.ndim != 4 or y.shape != x.shape[:1]:
        raise ValueError(
            f"[expand] expected images (N, C, H, W) and labels (N); got {x.shape} and {y.shape}"
        )
    if shifts >= min(x.shape[2:]):
        raise ValueError(f"[expand] shifts must be below {min(x.shape[2:])} pixels; got {shifts}")
    images_alone("expand", augment)
    directions = ((-1, 0), (1, 0), (0, -1), (0, 1))
    parts = [x]
    parts += [_moved(x, n * dy, n * dx) for n in range(1, shifts + 1) for dy, dx in directions]
    if augment is not None:
        parts += [_augmented(x, augment) for _ in range(copies)]
    return np.concatenate(parts), np.concatenate([y] * len(parts))


def expand_files(
    name: str,
    out: str | os.PathLike[str],
    *,
    root: str | os.PathLike[str] = "data",
    download: bool = False,
    first: int | None = None,
    seed: int = 0,
    **how: Any,
) -> tuple[int, int]:
    """Writes the data set ``name`` to the new folder ``out``, its training part expanded.

    ``how``: what `expand` takes. The files are torchvision's, so that ``fastnn.data.<name>(out)``
    reads them; the test part stays as it is. ``first``: only so many training images are expanded
    and written, so that those kept for validation stay out. `expanded.json` beside them says how
    many originals there are; image i + k times that number is a copy of image i. The folder is
    there whole or not at all. Returns the numbers of training images before and after.

    Raises FileExistsError where ``out`` exists, ValueError for another data set or too large a
    ``first``.
    """
    one_of("expand", "name", name, sets.EXPANDABLE)
    if os.path.lexists(out):
        raise FileExistsError(f"[expand] {os.fspath(out)} exists already")
    (x, y), test = getattr(sets, name)(root, download)
    count = len(x) if first is None else integer("expand", "first", first)
    if count > len(x):
        raise ValueError(f"[expand] first must be at most {len(x)}; got {count}")
    unchanged = min(originals(root, name, len(x)), count)
    if count % unchanged:
        raise ValueError(f"[expand] first must be a multiple of {unchanged} originals; got {count}")
    manual_seed(seed)
    train = expand(_bytes(x[:count]), y[:count], **how)
    _, folder, files = sets._TORCHVISION[name]
    target = Path(out)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex}.tmp")
    try:
        (temporary / folder).mkdir(parents=True)
        arrays = (train[0][:, 0], train[1], _bytes(test[0])[:, 0], test[1])
        for file, array in zip(files, arrays, strict=True):
            _write_idx(temporary / folder / file, array.astype(np.uint8))
        _note(temporary, name).write_text(json.dumps({"originals": unchanged}))
        os.rename(temporary, target)
    except BaseException:  # Ctrl-C too
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return count, len(train[0])


def originals(root: str | os.PathLike[str], name: str, count: int) -> int:
    """How many of the ``count`` training images of this data set in the folder are no copies.

    All of them, where `expand_files` has not made it.
    Raises ValueError where `expanded.json` does not fit them.
    """
    if name not in sets.EXPANDABLE or not (file := _note(Path(root), name)).is_file():
        return count
    try:
        number = integer("expand", "originals", json.loads(file.read_bytes())["originals"])
        if count % number == 0:
            return number
    except (ValueError, KeyError, TypeError):
        pass
    raise ValueError(f"[expand] {file} does not say of how many images {count} are copies")


def _note(root: Path, name: str) -> Path:
    return root / Path(sets._TORCHVISION[name][1]).parent / "expanded.json"


def _moved(x: NDArray[Any], dy: int, dx: int) -> NDArray[Any]:
    """All images shifted down by dy and right by dx, with zeros where they were."""
    y = np.zeros_like(x)
    h, w = x.shape[2:]
    to = np.s_[..., max(dy, 0) : h + min(dy, 0), max(dx, 0) : w + min(dx, 0)]
    of = np.s_[..., max(-dy, 0) : h + min(-dy, 0), max(-dx, 0) : w + min(-dx, 0)]
    y[to] = x[of]
    return y


def _augmented(x: NDArray[Any], augment: Callable[[Any], Any]) -> NDArray[Any]:
    y = np.empty_like(x)
    for at in range(0, len(x), _BATCH):
        part = x[at : at + _BATCH]
        changed = np.asarray(augment(part / np.float32(255) if x.dtype == np.uint8 else part))
        if changed.shape != part.shape:
            raise ValueError(
                f"[expand] augment must keep the shape of images; it made {changed.shape[1:]} of "
                f"{part.shape[1:]}"
            )
        y[at : at + _BATCH] = _bytes(changed) if x.dtype == np.uint8 else changed
    return y


def _bytes(x: NDArray[Any]) -> NDArray[np.uint8]:
    y: NDArray[np.uint8] = np.rint(x.clip(0, 1) * 255).astype(np.uint8)
    return y


def _write_idx(path: Path, array: NDArray[np.uint8]) -> None:
    """The format of MNIST: two zeros, the type, the number of dimensions, the sizes, the bytes."""
    with errors_saying(f"cannot write {path}"), open(path, "xb") as file:
        file.write(bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes())
        file.write(np.ascontiguousarray(array).data)
        file.flush()
        os.fsync(file.fileno())
