"""A table of a network's layers: output shapes, parameters, FLOPs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from .._C import Tensor, zeros
from ..autograd import no_grad

if TYPE_CHECKING:
    from .module import Module


class Row(NamedTuple):
    """One call of one layer."""

    name: str
    type: str
    output_shape: tuple[int, ...] | None  # of one example; None where there is no tensor
    params: int  # 0 at the second and later calls
    flops: int


class Summary:
    """The rows in the order of the calls, and the totals; `str()` is the table."""

    def __init__(self, rows: list[Row], total_params: int, trainable_params: int) -> None:
        self.rows = rows
        self.total_params = total_params
        self.trainable_params = trainable_params
        self.total_flops = sum(row.flops for row in rows)

    def __str__(self) -> str:
        head = ("Layer", "Type", "Output shape", "Parameters", "FLOPs")
        cells = [
            (r.name, r.type, _shape(r.output_shape), f"{r.params:,}", f"{r.flops:,}")
            for r in self.rows
        ]
        total = ("Total", "", "", f"{self.total_params:,}", f"{self.total_flops:,}")
        widths = [max(map(len, column)) for column in zip(head, *cells, total, strict=True)]
        lines = ["  ".join(map(_aligned, row, widths, range(5))) for row in (head, *cells, total)]
        rule = "-" * len(lines[0])
        frozen = self.total_params - self.trainable_params
        notes = "FLOPs: one example forward, two per multiply-add of linear and convolution layers."
        if frozen:
            notes += f"\nFrozen parameters: {frozen:,}."
        return "\n".join([lines[0], rule, *lines[1:-1], rule, lines[-1], notes])

    __repr__ = __str__


def _shape(shape: tuple[int, ...] | None) -> str:
    return "-" if shape is None else str(shape)


def _aligned(text: str, width: int, column: int) -> str:
    return text.rjust(width) if column >= 3 else text.ljust(width)


def summary(model: Module, input_shape: tuple[int, ...]) -> Summary:
    """Runs one example of zeros of `input_shape` (no batch axis: `(1, 28, 28)`) through `model`.

    The model is in evaluation mode while that lasts, and as before afterwards. Counted are the
    layers (modules without children, or with parameters of their own) and, as FLOPs, two for
    every multiply-add of linear and convolution layers.
    """
    own = {m: [p for p in m._parameters.values() if p is not None] for m in model.modules()}
    layers = {
        module: path or type(model).__name__
        for path, module in model.named_modules()
        if own[module] or not module._modules
    }
    rows: list[Row] = []
    waiting = {id(p): p for p in model.parameters()}  # not counted yet

    def add_row(module: Module, output: Any = None) -> None:
        params = sum(_size(waiting.pop(id(p))) for p in own[module] if id(p) in waiting)
        known = isinstance(output, Tensor)
        shape = tuple(output.shape[1:]) if known else None
        flops = module._flops(output) if known else 0
        rows.append(Row(layers[module], type(module).__name__, shape, params, flops))

    first = next(model.parameters(), None)
    kind = {} if first is None else {"dtype": first.dtype, "device": first.device}
    with _watching(model, layers, add_row), no_grad():
        model(zeros((1, *input_shape), **kind))
    for module in layers:  # that the forward did not call
        if any(id(p) in waiting for p in own[module]):
            add_row(module)
    total = sum(map(_size, model.parameters()))
    return Summary(rows, total, sum(_size(p) for p in model.parameters() if p.requires_grad))


@contextmanager
def _watching(
    model: Module, layers: Iterable[Module], called: Callable[[Module, Any], None]
) -> Iterator[None]:
    """Evaluation mode, with each call of a layer reported; puts everything back at the end."""

    def watched(module: Module, forward: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            output = forward(*args, **kwargs)
            called(module, output)
            return output

        return call

    training = [(module, module.training) for module in model.modules()]
    own_forward = [(module, module.__dict__.get("forward")) for module in layers]
    try:
        model.eval()
        for module, _ in own_forward:
            module.__dict__["forward"] = watched(module, module.forward)
        yield
    finally:
        for module, mode in training:
            module.training = mode
        for module, forward in own_forward:
            module.__dict__.pop("forward", None)
            if forward is not None:
                module.__dict__["forward"] = forward


def _size(tensor: Tensor) -> int:
    size: int = math.prod(tensor.shape)
    return size
