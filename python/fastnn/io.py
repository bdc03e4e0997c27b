"""Saving and loading. Files hold data only: nothing in them is ever executed.

A model is a folder of two files, ``model.safetensors`` (every tensor of the state_dict) and
``model.json`` (the layers, by name and constructor argument); a state_dict is one safetensors file.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import Tensor, float64, nn, tensor
from ._extras import need

PathLike = str | os.PathLike[str]

_POOL = ("kernel_size", "stride", "padding", "ceil_mode")
_CONV = ("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation")
_NORM = ("num_features", "eps", "momentum", "affine", "track_running_stats")
LAYERS: dict[str, tuple[str, ...]] = {
    "AdaptiveAvgPool2d": ("output_size",),
    "AvgPool2d": (*_POOL, "count_include_pad", "divisor_override"),
    "BatchNorm1d": _NORM,
    "BatchNorm2d": _NORM,
    "Conv1d": (*_CONV, "groups", "bias", "padding_mode"),
    "Conv2d": (*_CONV, "groups", "bias", "padding_mode"),
    "Dropout": ("p",),
    "Flatten": ("start_dim", "end_dim"),
    "GELU": ("approximate",),
    "Identity": (),
    "LPPool2d": ("norm_type", "kernel_size", "stride", "ceil_mode"),
    "LeakyReLU": ("negative_slope",),
    "Linear": ("in_features", "out_features", "bias"),
    "LogSoftmax": ("dim",),
    "MaxPool2d": (*_POOL, "dilation", "return_indices"),
    "ReLU": (),
    "SiLU": (),
    "Sigmoid": (),
    "Softmax": ("dim",),
    "Tanh": (),
}
"""The layers a model file may name, each with the constructor arguments that describe it."""


def save(
    obj: nn.Module | Mapping[str, Any], path: PathLike, meta: Mapping[str, Any] | None = None
) -> None:
    """Save a model to the folder ``path``, or a state_dict to the file ``path``.

    A model is an ``nn.Sequential`` of the layers in `LAYERS`, nested at will; of any other, save
    ``model.state_dict()``. ``meta`` is anything JSON can hold, kept in model.json and read back by
    `load_meta`. A file is replaced only when its successor is safely on the disk, so that a full
    one or a crash leaves the old one whole. Both files of a model are written before either is
    replaced: only what ends the process between the two renames leaves one new and one old.

    Raises ValueError for a layer that is not in `LAYERS`, ImportError without safetensors.
    """
    if isinstance(obj, nn.Module):
        folder = Path(path)
        text = json.dumps(
            {"format": "fastnn-1", "model": _describe(obj, []), "meta": meta or {}}, indent=1
        )
        tensors = _pack(obj.state_dict())
        folder.mkdir(parents=True, exist_ok=True)
        write_together(
            {folder / "model.safetensors": tensors, folder / "model.json": text.encode()}
        )
    elif isinstance(obj, Mapping):
        write_atomic(Path(path), _pack(obj))
    else:
        raise TypeError(f"[save] expected a model or a state_dict; got {type(obj).__name__}")


def load(path: PathLike) -> Any:
    """Load what `save` wrote: a model from a folder, a state_dict from a file.

    The model comes in evaluation mode. Raises FileNotFoundError, and ValueError that names the
    file where it is corrupt, truncated, or names a layer that is not in `LAYERS`.
    """
    if not Path(path).is_dir():
        return _unpack(Path(path))
    description = Path(path) / "model.json"
    weights = Path(path) / "model.safetensors"
    model = _build(_read_json(description)["model"], description)
    state = _unpack(weights)
    if any(t.dtype is float64 for t in state.values()):
        model.double()
    try:
        model.load_state_dict(state)
    except ValueError as error:
        raise ValueError(f"[load] {weights} does not fit {description}: {error}") from None
    return model.eval()


def load_meta(path: PathLike) -> dict[str, Any]:
    """The ``meta`` that was saved with the model in the folder ``path``. Raises as `load`."""
    meta: dict[str, Any] = _read_json(Path(path) / "model.json")["meta"]
    return meta


def write_atomic(path: Path, data: bytes) -> None:
    """Replace the file ``path`` by ``data``, in one step that has happened or has not.

    Raises OSError that names the file.
    """
    write_together({path: data})


def write_together(files: Mapping[Path, bytes]) -> None:
    """Replace files of one folder as `write_atomic` does, once all data are on the disk."""
    temporary: dict[Path, Path] = {}
    try:
        for path, data in files.items():
            temporary[path] = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
            with errors_saying(f"cannot write {path}"), open(temporary[path], "xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        for path, written in temporary.items():
            with errors_saying(f"cannot write {path}"):
                os.replace(written, path)
    except BaseException:  # Ctrl-C too
        for written in temporary.values():
            written.unlink(missing_ok=True)
        raise
    if hasattr(os, "O_DIRECTORY"):  # a new name is on the disk only when its folder is
        with errors_saying(f"cannot write {path}"):
            folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)


@contextlib.contextmanager
def errors_saying(text: str) -> Iterator[None]:
    """An OSError within says this before its reason; that of a full disk names no file itself."""
    try:
        yield
    except OSError as error:
        raise type(error)(error.errno, f"{text}: {error.strerror or error}") from error


def check_folder(user: str, folder: Path) -> None:
    """Make the folder if it isn't there. Raises OSError where no file can be made in it."""
    with errors_saying(f"[{user}] cannot write to the folder {folder}"):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass


def discard_unfinished(folder: Path, pattern: str) -> None:
    """Remove what `write_atomic` left of files of such names when its process was killed."""
    for file in folder.glob(f".{pattern}.*.tmp"):
        file.unlink(missing_ok=True)


def _describe(module: nn.Module, seen: list[nn.Module]) -> dict[str, Any]:
    name = type(module).__name__
    if type(module) is nn.Sequential:
        children = module._modules.items()
        return {"layer": name, "layers": {key: _describe(m, seen) for key, m in children}}
    if name not in LAYERS or type(module) is not getattr(nn, name):
        raise ValueError(
            f"[save] {name} cannot be described in model.json, which takes nn.Sequential of "
            f"{', '.join(LAYERS)}; save model.state_dict() instead"
        )
    if any(module is other for other in seen) and list(module.parameters()):
        raise ValueError(f"[save] one {name} stands at two places: model.json cannot say so")
    seen.append(module)
    arguments = {key: getattr(module, key) for key in LAYERS[name]}
    if "bias" in arguments:
        arguments["bias"] = arguments["bias"] is not None
    return {"layer": name, **arguments}


def _build(description: Any, file: Path) -> nn.Module:
    if not isinstance(description, dict) or not isinstance(description.get("layer"), str):
        raise ValueError(f"[load] {file} does not describe a layer: {description!r:.60}")
    name = description["layer"]
    arguments: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value
        for key, value in description.items()
        if key != "layer"
    }
    if name == "Sequential" and isinstance(arguments.get("layers"), dict):
        children = {key: _build(layer, file) for key, layer in arguments["layers"].items()}
        make: Callable[[], nn.Module] = partial(nn.Sequential, children)
    elif name in LAYERS:
        make = partial(getattr(nn, name), **arguments)
    else:
        raise ValueError(
            f"[load] {file} names the layer {name!r}; known are Sequential, {', '.join(LAYERS)}"
        )
    try:
        return make()
    except (TypeError, ValueError, OverflowError, MemoryError) as error:
        raise ValueError(f"[load] {file} has wrong arguments for {name}: {error}") from None


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"[load] {path} is corrupt or truncated: {error}") from None
    if not isinstance(content, dict) or content.get("format") != "fastnn-1":
        raise ValueError(f"[load] {path} is not a model of this format (fastnn-1)")
    if "model" not in content or not isinstance(content.get("meta"), dict):
        raise ValueError(f"[load] {path} lacks 'model' or 'meta'")
    return content


def _pack(state: Mapping[str, Any]) -> bytes:
    for key, value in state.items():
        if not isinstance(key, str) or not isinstance(value, Tensor):
            raise TypeError(
                f"[save] a state_dict maps names to tensors; got {key!r}: {type(value).__name__}"
            )
    return pack_arrays(arrays_of(state))


def arrays_of(tensors: Mapping[str, Tensor]) -> dict[str, NDArray[Any]]:
    """The tensors as row-major arrays: safetensors writes the bytes that lie behind the pointer."""
    return {k: np.asarray(t.detach().cpu().numpy(), order="C") for k, t in tensors.items()}


def pack_arrays(
    arrays: Mapping[str, NDArray[Any]], metadata: Mapping[str, str] | None = None
) -> bytes:
    """A safetensors file of row-major arrays."""
    packed: bytes = need("safetensors.numpy", "train", "save").save(dict(arrays), metadata)
    return packed


def _unpack(path: Path) -> dict[str, Any]:
    library = need("safetensors.numpy", "train", "load")
    data = path.read_bytes()
    try:
        return {key: tensor(array) for key, array in library.load(data).items()}
    except Exception as error:  # the format's own error class, KeyError, ValueError, ...
        raise ValueError(f"[load] {path} is corrupt or truncated: {error}") from None
