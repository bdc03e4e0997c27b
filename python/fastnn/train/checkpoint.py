"""The state of a training run as one file: data only, whole or not there.

A safetensors file of all tensors; its metadata holds the rest of the state as JSON, where
{"tensor": name} stands for a tensor and {"tensor": [value]} for a dict of that key, and a checksum
of both.
"""

from __future__ import annotations

import json
import os
import re
import zlib
from collections.abc import Mapping
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import Tensor, tensor
from .._extras import need
from ..io import arrays_of, pack_arrays, write_atomic

FORMAT = "fastnn-checkpoint-3"


def write(path: str | os.PathLike[str], state: Mapping[str, Any]) -> None:
    """Replace the file by this state of dicts, lists, tensors, numbers, strings and None.

    Raises OSError naming the file where it can't be written; what was there before is whole then.
    """
    tensors: dict[str, Tensor] = {}
    text = json.dumps(_without_tensors(state, "", tensors))
    arrays = arrays_of(tensors)
    metadata = {"format": FORMAT, "state": text, "crc32": _sum(text, arrays)}
    write_atomic(Path(path), pack_arrays(arrays, metadata))


def read(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The state that `write` wrote, its tensors on the CPU.

    Raises FileNotFoundError, and ValueError for a file that is no checkpoint, is one of another
    version, or is corrupt.
    """
    library = need("safetensors", "train", "checkpoint")
    if not Path(path).is_file():
        raise FileNotFoundError(f"[checkpoint] no file {path}")
    try:
        with library.safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            arrays = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        found = metadata.get("format", "no checkpoint")
        text = metadata["state"] if found == FORMAT else "{}"
        if found == FORMAT and metadata["crc32"] != _sum(text, arrays):
            raise ValueError("its checksum is of other data")
        state: dict[str, Any] = _with_tensors(json.loads(text), arrays)
    except Exception as error:  # the format's own error class, OSError, KeyError, ...
        raise ValueError(f"[checkpoint] {path} is corrupt or truncated: {error}") from None
    if found != FORMAT:
        raise ValueError(f"[checkpoint] {path} is {found}; this version reads {FORMAT}")
    return state


def _sum(text: str, arrays: Mapping[str, NDArray[Any]]) -> str:
    """A checksum of all that a checkpoint holds."""
    total = zlib.crc32(text.encode())
    for name in sorted(arrays):
        total = zlib.crc32(np.ascontiguousarray(arrays[name]).data, total)
    return f"{total:08x}"


def weights(state: Mapping[str, Any]) -> dict[str, Tensor]:
    """The state_dict of the model that was validated: of its average, once there was one."""
    if not state["averages"][1]:
        return dict(state["model"])
    average = state["average"].items()
    return {k.removeprefix("module."): v for k, v in average if k.startswith("module.")}


def described(part: object) -> str:
    """The part's `repr` without addresses, which another process has others of."""
    return re.sub(r" at 0x[0-9a-f]+", "", repr(part))


def check_kinds(saved: Mapping[str, Any], own: Mapping[str, Any]) -> None:
    """Raises ValueError where what was saved is of another kind, naming the line that differs."""
    for what, kind in own.items():
        if saved[what] != kind:
            lines = zip_longest(str(saved[what]).split("\n"), str(kind).split("\n"))
            old, new = next((a, b) for a, b in lines if a != b)
            raise ValueError(f"expected {what} {old}; got {new}")


def copied(state: Any) -> Any:
    """The state with copies of its tensors, which training does not change."""
    if isinstance(state, Tensor):
        return state.detach().clone()
    if isinstance(state, Mapping):
        return {key: copied(value) for key, value in state.items()}
    return type(state)(map(copied, state)) if type(state) in (list, tuple) else state


def _without_tensors(state: Any, name: str, tensors: dict[str, Tensor]) -> Any:
    if isinstance(state, Tensor):
        while name in tensors:  # {"x.y": ...} beside {"x": {"y": ...}}
            name += "'"
        tensors[name] = state
        return {"tensor": name}
    if isinstance(state, Mapping):
        if state.keys() == {"tensor"}:
            return {"tensor": [_without_tensors(state["tensor"], f"{name}.tensor", tensors)]}
        return {
            str(key): _without_tensors(value, f"{name}.{key}" if name else str(key), tensors)
            for key, value in state.items()
        }
    if isinstance(state, (list, tuple)):
        return [_without_tensors(value, f"{name}.{i}", tensors) for i, value in enumerate(state)]
    return state.item() if isinstance(state, np.generic) else state


def _with_tensors(state: Any, arrays: dict[str, Any]) -> Any:
    if isinstance(state, list):
        return [_with_tensors(value, arrays) for value in state]
    if not isinstance(state, dict):
        return state
    if state.keys() == {"tensor"}:
        name = state["tensor"]
        if isinstance(name, list):
            return {"tensor": _with_tensors(name[0], arrays)}
        return tensor(arrays[name])
    return {key: _with_tensors(value, arrays) for key, value in state.items()}
