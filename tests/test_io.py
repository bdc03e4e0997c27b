"""Saving and loading: what comes back, what is refused, what a crash leaves behind."""

from __future__ import annotations

import inspect
import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from devices import place

import fastnn as fn
from fastnn import io, nn

pytest.importorskip("safetensors")


def network(width=3):
    return nn.Sequential(nn.Linear(4, width), nn.ReLU(), nn.Linear(width, 2))


def state(model):
    return {key: value.cpu().numpy().copy() for key, value in model.state_dict().items()}


def assert_same_state(a, b):
    assert a.keys() == b.keys()
    for key, value in a.items():
        assert value.dtype == b[key].dtype
        assert value.shape == b[key].shape
        np.testing.assert_array_equal(value, b[key])


IMAGE = (2, 4, 9, 9)
EXAMPLES = {  # each layer with arguments that are not its defaults, and an input shape
    "AdaptiveAvgPool2d": (nn.AdaptiveAvgPool2d((3, None)), IMAGE),
    "AvgPool2d": (nn.AvgPool2d((3, 2), 1, 1, count_include_pad=False), IMAGE),
    "BatchNorm1d": (nn.BatchNorm1d(5, eps=1e-3, momentum=None), (2, 5)),
    "BatchNorm2d": (nn.BatchNorm2d(4, momentum=0.3, affine=False), IMAGE),
    "Conv1d": (nn.Conv1d(4, 6, 3, stride=2, padding=1, bias=False), (2, 4, 9)),
    "Conv2d": (nn.Conv2d(4, 6, (3, 5), padding="same", dilation=2, groups=2), IMAGE),
    "Dropout": (nn.Dropout(0.2), IMAGE),
    "Flatten": (nn.Flatten(2), IMAGE),
    "GELU": (nn.GELU("tanh"), IMAGE),
    "Identity": (nn.Identity(), IMAGE),
    "LPPool2d": (nn.LPPool2d(2, 3, stride=2), IMAGE),
    "LeakyReLU": (nn.LeakyReLU(0.3), IMAGE),
    "Linear": (nn.Linear(5, 3, bias=False), (2, 5)),
    "LogSoftmax": (nn.LogSoftmax(1), IMAGE),
    "MaxPool2d": (nn.MaxPool2d(3, (1, 2), 1, ceil_mode=True), IMAGE),
    "ReLU": (nn.ReLU(), IMAGE),
    "SiLU": (nn.SiLU(), IMAGE),
    "Sigmoid": (nn.Sigmoid(), IMAGE),
    "Softmax": (nn.Softmax(-1), IMAGE),
    "Tanh": (nn.Tanh(), IMAGE),
}


@pytest.mark.parametrize("name", io.LAYERS)
def test_every_layer_comes_back_as_it_was(tmp_path, name):
    layer, shape = EXAMPLES[name]
    x = place(np.random.default_rng(0).standard_normal(shape).astype(np.float32))
    model = nn.Sequential(layer).train()
    model(x)  # moves the running statistics
    io.save(model, tmp_path / "run")
    loaded = io.load(tmp_path / "run")
    assert repr(loaded) == repr(model)
    assert_same_state(state(loaded), state(model))
    np.testing.assert_array_equal(
        loaded(x).detach().cpu().numpy(), model.eval()(x).detach().cpu().numpy()
    )


@pytest.mark.parametrize("name", io.LAYERS)
def test_the_table_of_layers_knows_every_constructor_argument(name):
    named = inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY
    parameters = inspect.signature(getattr(nn, name)).parameters.values()
    known = {p.name for p in parameters if p.kind in named} - {"device", "dtype", "inplace"}
    assert set(io.LAYERS[name]) == known


def test_nested_and_named_models_come_back_in_evaluation_mode(tmp_path):
    model = nn.Sequential({"body": network(), "head": nn.Sequential(nn.Linear(2, 1))})
    io.save(model, tmp_path / "a" / "b")
    loaded = io.load(tmp_path / "a" / "b")
    assert_same_state(state(loaded), state(model))
    assert model.training
    assert not any(module.training for module in loaded.modules())


def test_float64_is_not_cast_down(tmp_path):
    model = network().double()
    io.save(model, tmp_path)
    assert_same_state(state(io.load(tmp_path)), state(model))


def test_state_dict_of_every_kind_of_tensor(tmp_path):
    strided = fn.tensor(np.arange(6.0).reshape(2, 3)).transpose(0, 1)
    tensors = {
        "float32": fn.tensor(np.float32([[1, np.nan]])),
        "strided": strided,
        "scalar": fn.tensor(np.int64(7)),
        "empty": fn.tensor(np.zeros((0, 3), np.float32)),
        "int32": fn.tensor(np.int32([-1])),
        "bytes": fn.tensor(np.uint8([255])),
        "flags": fn.tensor(np.array([True, False])),
    }
    io.save(tensors, tmp_path / "t.safetensors")
    loaded = io.load(tmp_path / "t.safetensors")
    expected = {key: value.cpu().numpy() for key, value in tensors.items()}
    assert_same_state({key: value.cpu().numpy() for key, value in loaded.items()}, expected)
    loaded["bytes"].fill_(0)  # not a view of the file


def test_meta(tmp_path):
    io.save(network(), tmp_path, {"classes": ["a", "b"], "shift": [0.1]})
    assert io.load_meta(tmp_path) == {"classes": ["a", "b"], "shift": [0.1]}


# --- what is refused --------------------------------------------------------------------------


class Custom(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 2)


class Linear(nn.Linear):
    """A subclass may compute anything: its name alone does not describe it."""


@pytest.mark.parametrize("layer", [Custom(), Linear(2, 2), nn.ModuleList([])])
def test_save_refuses_what_json_cannot_describe(tmp_path, layer):
    name = type(layer).__name__
    with pytest.raises(ValueError, match=rf"\[save\] {name} cannot be described.*state_dict"):
        io.save(nn.Sequential(layer), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_save_refuses_shared_layers_but_not_shared_activations(tmp_path):
    linear, relu = nn.Linear(2, 2), nn.ReLU()
    with pytest.raises(ValueError, match="one Linear stands at two places"):
        io.save(nn.Sequential(linear, relu, linear), tmp_path)
    io.save(nn.Sequential(linear, relu, nn.Linear(2, 2), relu), tmp_path)


@pytest.mark.parametrize("thing", [3, [1], {"a": 3}, {1: fn.zeros(1)}, {"a": np.zeros(1)}])
def test_save_refuses_other_things(tmp_path, thing):
    with pytest.raises(TypeError, match=r"\[save\]"):
        io.save(thing, tmp_path / "x")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("share", [0, 0.001, 0.3, 0.9, 0.999])
@pytest.mark.parametrize("name", ["model.safetensors", "model.json"])
def test_truncated_files_are_refused_by_name(tmp_path, name, share):
    io.save(network(100), tmp_path)
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(ValueError, match=f"{name} is corrupt or truncated"):
        io.load(tmp_path)


@pytest.mark.parametrize("name", ["model.safetensors", "model.json"])
def test_garbage_is_refused_by_name(tmp_path, name):
    io.save(network(), tmp_path)
    for garbage in (b"\xff" * 64, b"\x80\x04cposix\nsystem\n.", b"[" * 100_000):
        (tmp_path / name).write_bytes(garbage)
        with pytest.raises(ValueError, match=f"{name} is corrupt or truncated"):
            io.load(tmp_path)


@pytest.mark.parametrize("name", ["model.safetensors", "model.json"])
def test_missing_files_are_named(tmp_path, name):
    io.save(network(), tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(FileNotFoundError, match=name):
        io.load(tmp_path)


def first_layer(**changes):
    def change(content):
        content["model"]["layers"]["0"].update(changes)

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (first_layer(layer="Module"), "names the layer 'Module'"),
        (first_layer(layer="os.system"), "names the layer 'os.system'"),
        (first_layer(layer="__init__"), "names the layer '__init__'"),
        (first_layer(layer=["Linear"]), "does not describe a layer"),
        (first_layer(layer="Sequential"), "names the layer 'Sequential'"),
        (first_layer(in_features=0), "wrong arguments for Linear: .*in_features"),
        (first_layer(in_features=None), "wrong arguments for Linear"),
        (first_layer(width=3), "wrong arguments for Linear: .*width"),
        (first_layer(in_features=5), "model.safetensors does not fit .*model.json"),
        (lambda content: content.update(format="other"), "not a model of this format"),
        (lambda content: content.pop("meta"), "lacks 'model' or 'meta'"),
        (lambda content: content.update(model=7), "does not describe a layer: 7"),
    ],
)
def test_wrong_descriptions_are_refused_by_file_and_layer(tmp_path, change, message):
    io.save(network(), tmp_path)
    content = json.loads((tmp_path / "model.json").read_bytes())
    change(content)
    (tmp_path / "model.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"\[load\] .*model\.json") as error:
        io.load(tmp_path)
    error.match(f"(?s){message}")


# --- crashes ----------------------------------------------------------------------------------


@pytest.mark.parametrize("call", ["fsync", "replace"])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_failed_save_leaves_the_old_model_and_nothing_else(tmp_path, monkeypatch, call, error):
    old = network()
    io.save(old, tmp_path)

    def fail(*arguments):
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fail)
        with pytest.raises(type(error)):
            io.save(network(), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.json", "model.safetensors"]
    assert_same_state(state(io.load(tmp_path)), state(old))


def test_a_disk_that_is_full_after_one_file_leaves_both_old_ones(tmp_path, monkeypatch):
    old = network()
    io.save(old, tmp_path, {"classes": "ab"})
    calls = []

    def fail(file):
        calls.append(file)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(OSError, match=r"cannot write .*model\.json: No space"):
            io.save(nn.Sequential(nn.Linear(3, 2)), tmp_path, {"classes": "cd"})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.json", "model.safetensors"]
    assert_same_state(state(io.load(tmp_path)), state(old))
    assert io.load_meta(tmp_path) == {"classes": "ab"}


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL")
def test_a_killed_save_leaves_the_old_model(tmp_path):
    old = network()
    io.save(old, tmp_path)
    script = (
        "import os, signal, sys\n"
        "from fastnn import io\n"
        "model = io.load(sys.argv[1])\n"
        "os.replace = lambda *names: os.kill(os.getpid(), signal.SIGKILL)\n"
        "io.save(model.state_dict(), os.path.join(sys.argv[1], 'model.safetensors'))\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL
    assert_same_state(state(io.load(tmp_path)), state(old))


def test_a_file_is_on_the_disk_before_it_replaces_the_old_one(tmp_path, monkeypatch):
    calls = []
    for name in ("fsync", "replace"):
        real = getattr(os, name)

        def note(*arguments, name=name, real=real):
            calls.append(name)
            return real(*arguments)

        monkeypatch.setattr(os, name, note)
    io.save({"a": fn.zeros(1)}, tmp_path / "a")
    assert calls == ["fsync", "replace", "fsync"]  # the file, its name, the folder
