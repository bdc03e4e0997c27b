"""Where a loss that is not finite came from, and the way back to before it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .. import Tensor, nn, no_grad
from .checkpoint import copied
from .feed import Means

if TYPE_CHECKING:
    from .trainer import Trainer

DATA = ("the inputs", "the targets")


class NonFiniteLossError(ValueError):
    """The loss is NaN or infinite, in `epoch` (from 1) and `batch` (from 0), first in `layer`.

    `layer` is None, and the model as before an earlier batch, `at`, where the steps do not repeat.
    """

    def __init__(
        self, loss: float, epoch: int, batch: int, layer: str | None, rate: float, at: int
    ) -> None:
        self.loss, self.epoch, self.batch, self.layer = loss, epoch, batch, layer
        self.rate, self.at = rate, at
        super().__init__(
            f"[fit] the loss is {loss} in epoch {epoch}, batch {batch}"
            + (f", first in {layer}" if layer else "")
            + ("" if layer in DATA else f": try a learning rate below {rate:g} or clip_norm")
            + "; the model is as before "
            + (f"batch {at}: the steps after it do not repeat" if layer is None else "it")
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.loss, self.epoch, self.batch, self.layer, self.rate, self.at)


class Snapshot:
    """What a trainer was before some batch of an epoch, which it takes from its private parts."""

    def __init__(self, trainer: Trainer) -> None:
        self.trainer, self.at, self.step = trainer, trainer._at, trainer.step
        self.state, self.since = copied(trainer._step.state_dict()), trainer._since.state_dict()

    def restore(self) -> None:
        trainer = self.trainer
        trainer._at, trainer.step, trainer._since = self.at, self.step, Means(**self.since)
        trainer._step.load_state_dict(self.state)

    def explain(self, loss: float) -> NonFiniteLossError:
        """The error for the batch that was just trained on; the trainer goes back to before it.

        Or, where the steps do not repeat, to the snapshot: data may be drawn anew.
        """
        trainer, layer = self.trainer, None
        assert trainer._feed is not None
        number = trainer._at - 1
        self.restore()
        if self.at == 0 < number:
            trainer._begin_epoch()
        if number == self.at or math.isfinite(trainer._advance(number - self.at)):
            with trainer._step.aside():
                batch = trainer._step.augmented(*trainer._feed.batch(number))
                layer = culprit(trainer.model, trainer.loss, *batch)
        rate = max(group["lr"] for group in trainer.optimizer.param_groups)
        if layer is None:
            self.restore()
        return NonFiniteLossError(loss, trainer.epoch + 1, number, layer, rate, trainer._at)


def culprit(
    model: nn.Module, loss: Callable[[Tensor, Tensor], Tensor], x: Tensor, y: Tensor
) -> str | None:
    """The first of data, layers and what comes after them that is not finite, or None."""
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
    return None if _is_finite(value) else "the loss"


def _is_finite(x: Tensor) -> bool:
    total = (x.detach() * 0).sum().item()
    return bool(total == 0)
