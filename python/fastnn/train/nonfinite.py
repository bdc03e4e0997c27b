"""Where a loss that is not finite came from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import Tensor, nn, no_grad

DATA = ("the inputs", "the targets")


class NonFiniteLossError(ValueError):
    """The loss is NaN or infinite, in `epoch` (from 1) and `batch` (from 0), first in `layer`."""

    def __init__(self, loss: float, epoch: int, batch: int, layer: str | None, rate: float) -> None:
        self.loss, self.epoch, self.batch, self.layer = loss, epoch, batch, layer
        super().__init__(
            f"[fit] the loss is {loss} in epoch {epoch}, batch {batch}"
            + (f", first in {layer}" if layer else "")
            + ("" if layer in DATA else f": try a learning rate below {rate:g} or clip_norm")
            + "; the model is as before it"
        )


def culprit(
    model: nn.Module, loss: Callable[[Tensor, Tensor], Tensor], x: Tensor, y: Tensor
) -> str:
    """The first of data, layers and what comes after them that is not finite."""
    for name, part in zip(DATA, (x, y), strict=True):
        if not _is_finite(part):
            return name
    found: list[str] = []

    def watched(name: str, layer: nn.Module, forward: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            output = forward(*args, **kwargs)
            if not found and isinstance(output, Tensor) and not _is_finite(output):
                found.append(f"layer {name or 'model'} ({type(layer).__name__})")
            return output

        return call

    leaves = [(n, m) for n, m in model.named_modules() if not list(m.children())]
    with no_grad():
        try:
            for name, layer in leaves:
                # Not as an attribute, which would end recorded steps.
                layer.__dict__["forward"] = watched(name, layer, layer.forward)
            outputs = model(x)
            value = loss(outputs, y)
        finally:
            for _, layer in leaves:
                layer.__dict__.pop("forward", None)
    if found:
        return found[0]
    if not _is_finite(outputs):
        return "the model's own operations, after its layers"
    return "the penalty or the update" if _is_finite(value) else "the loss"


def _is_finite(x: Tensor) -> bool:
    total = (x.detach() * 0).sum().item()
    return bool(total == 0)
