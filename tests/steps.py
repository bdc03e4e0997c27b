"""Training with fn.compile and without it, for the tests that compare the two bit for bit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from devices import handed, place

import fastnn as fn
from fastnn import nn
from fastnn.nn import functional as F

Array = np.ndarray


def flat(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """(path, bits) of everything in nested containers, such as a state_dict."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from flat(item, f"{path}.{key}")
    elif isinstance(value, (tuple, list)):
        for i, item in enumerate(value):
            yield from flat(item, f"{path}.{i}")
    elif isinstance(value, fn.Tensor):
        array = value.detach().cpu().numpy()
        yield path, (array.dtype.name, array.shape, array.tobytes())
    else:
        yield path, value


def same_bits(train: Callable[[Any], Any], recordings: int | None = None) -> None:
    """Asserts that `train(compile)` returns the same bits with fn.compile and without it.

    Both draw the same random numbers; Python runs the compiled functions `recordings` times.
    """
    calls = 0

    def plain(function: Callable[..., Any], keep_grads: bool = False) -> Any:
        return lambda *args: function(*(place(a) if isinstance(a, np.ndarray) else a for a in args))

    def counted(function: Callable[..., Any], **options: Any) -> Any:
        def step(*args: Any) -> Any:
            nonlocal calls
            calls += 1
            return function(*args)

        compiled = fn.compile(step, **options)
        return lambda *args: compiled(*map(handed, args))

    results = []
    for compile in (plain, counted):
        fn.manual_seed(0)
        results.append(dict(flat((train(compile), fn.rand(2)))))
    eager, compiled = results
    assert compiled.keys() == eager.keys()
    different = [path for path in eager if compiled[path] != eager[path]]
    assert not different
    assert recordings in (None, calls)


def training_step(model: nn.Module, opt: Any, loss: Callable[..., Any] = F.cross_entropy) -> Any:
    """The step that everyone writes."""

    def step(x: Any, y: Any) -> Any:
        opt.zero_grad()
        value = loss(model(x), y)
        value.backward()
        opt.step()
        return value

    return step


def examples(steps: int, n: int, *shape: int, dtype: Any = np.float32) -> list[tuple[Any, ...]]:
    """(x, y) of `steps` batches: normal inputs (n, *shape) and labels below 5."""
    rng = np.random.default_rng(0)
    return [
        (rng.standard_normal((n, *shape)).astype(dtype), rng.integers(0, 5, n))
        for _ in range(steps)
    ]


def batches(*sizes: int, **options: Any) -> list[tuple[Any, ...]]:
    """The `examples`, as a compiled step takes them."""
    return [tuple(map(handed, batch)) for batch in examples(*sizes, **options)]


def mixed_net() -> nn.Sequential:
    """Every kind of layer that keeps something or draws numbers, for inputs (N, 2, 6, 6)."""
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.3),
        nn.Linear(36, 5),
    )


def mlp(activation: type[nn.Module] = nn.ReLU) -> nn.Sequential:
    """For inputs (N, 12)."""
    return nn.Sequential(nn.Linear(12, 16), activation(), nn.Dropout(0.3), nn.Linear(16, 5))


def mlp_without_dropout() -> nn.Sequential:
    """For inputs (N, 12)."""
    return nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 5))
