"""RMSprop."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from .._C import Tensor, rmsprop_step
from .optimizer import Batch, Group, Optimizer


class RMSprop(Optimizer):
    """s = alpha s + (1 - alpha) g^2;  w = w - lr g / (sqrt(s) + eps).

    From Hinton's lecture 6e (2012). `centered` subtracts the squared mean of g from s (Graves
    2013); with momentum, v = momentum v + g / (sqrt(s) + eps) and the step is lr v.
    """

    _ranges: ClassVar[dict[str, str]] = dict.fromkeys(
        ("lr", "alpha", "eps", "weight_decay", "momentum"), "[0, inf)"
    )

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "alpha": alpha,
            "eps": eps,
            "weight_decay": weight_decay,
            "momentum": momentum,
            "centered": centered,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def _slots(self, group: Group) -> tuple[str, ...]:
        slots: tuple[str, ...] = ("square_avg",)
        slots += ("momentum_buffer",) if group["momentum"] else ()
        return (*slots, "grad_avg") if group["centered"] else slots

    def _update(self, batch: Batch, grads: list[Tensor]) -> None:
        squares, means = batch.slots["square_avg"], batch.slots.get("grad_avg", [])
        buffers = batch.slots.get("momentum_buffer", [])
        rmsprop_step(batch.params, grads, squares, buffers, means, batch.hyper)
