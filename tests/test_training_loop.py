"""The training loop that everyone writes, from `examples/`, here and with PyTorch's imports."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from devices import skip_if_emulated

import fastnn as fn
from fastnn import data

DEVICE = str(fn.get_default_device())
EXAMPLES = Path(__file__).parents[1] / "examples"
IMPORTS = {
    "import fastnn as torch": "import torch",
    "from fastnn import nn, optim": "from torch import nn, optim",
    "from fastnn.data import DataLoader": "from torch.utils.data import DataLoader",
}


def loop(swap_imports: bool) -> Callable[..., list[tuple[float, float]]]:
    """The example's `train`, of this library or with its imports made PyTorch's."""
    source = (EXAMPLES / "mnist_like_pytorch.py").read_text()
    for ours, theirs in IMPORTS.items():
        assert source.count(ours) == 1
        source = source.replace(ours, theirs) if swap_imports else source
    namespace: dict = {"__name__": "example"}
    exec(compile(source, "mnist_like_pytorch.py", "exec"), namespace)
    return namespace["train"]


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    pytest.importorskip("sklearn")
    return data.digits()[0]


def test_digits(digits):
    skip_if_emulated("675 steps")
    losses, accuracies = zip(*loop(swap_imports=False)(*digits, 15, DEVICE), strict=True)
    assert losses[-1] < 0.1 * losses[0]
    assert all(after < before for before, after in pairwise(losses))
    assert accuracies[-1] > 0.95


def test_the_same_seed_gives_the_same_losses(digits):
    x, y = (part[:200] for part in digits)
    train = loop(swap_imports=False)
    assert train(x, y, 2, DEVICE) == train(x, y, 2, DEVICE)


def test_only_the_imports_differ_from_pytorch(digits):
    pytest.importorskip("torch").set_num_threads(1)
    skip_if_emulated("225 steps")
    ours = loop(swap_imports=False)(*digits, 5, DEVICE)[-1]
    theirs = loop(swap_imports=True)(*digits, 5)[-1]
    assert abs(ours[0] - theirs[0]) < 0.3 * theirs[0]
    assert abs(ours[1] - theirs[1]) < 0.04


@pytest.mark.mnist
@pytest.mark.skipif("FASTNN_TEST_DATA" not in os.environ, reason="FASTNN_TEST_DATA is not set")
def test_mnist_first_epoch():
    pytest.importorskip("torchvision")
    skip_if_emulated("an epoch of MNIST")
    x, y = data.mnist(os.environ["FASTNN_TEST_DATA"])[0]
    loss, accuracy = loop(swap_imports=False)(x, y, 1, DEVICE)[0]
    assert abs(accuracy - 0.8959) < 0.01  # a lecture's first epoch; single runs vary by 0.2 %
    assert loss < 0.5


@pytest.mark.parametrize("name", ["mnist_like_pytorch.py", "autograd_by_hand.py"])
def test_examples_run(name: str):
    pytest.importorskip("sklearn")
    arguments = ["--epochs", "1", "--device", DEVICE] if name.startswith("mnist") else []
    command = [sys.executable, "-W", "error", str(EXAMPLES / name), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "accuracy" in done.stdout or "gradients agree" in done.stdout
