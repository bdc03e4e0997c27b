"""Stochastic gradient descent."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from .._C import Tensor, sgd_step
from .optimizer import Batch, Group, Optimizer


class SGD(Optimizer):
    """g = dw + weight_decay w;  v = momentum v + (1 - dampening) g;  w = w - lr v.

    With `nesterov` the step is g + momentum v (Sutskever et al. 2013), with momentum 0 it is g.
    The first v is g itself. `maximize` climbs.
    """

    _ranges: ClassVar[dict[str, str]] = {
        "lr": "[0, inf)",
        "momentum": "[0, inf)",
        "weight_decay": "[0, inf)",
    }
    _counts_steps = False

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def _check(self, group: Group) -> None:
        super()._check(group)
        momentum, dampening = group["momentum"], group["dampening"]
        if group["nesterov"] and (momentum == 0 or dampening != 0):
            raise ValueError(
                "[SGD] nesterov must have a momentum above 0 and dampening 0; "
                f"got momentum {momentum} and dampening {dampening}"
            )

    def _slots(self, group: Group) -> tuple[str, ...]:
        return ("momentum_buffer",) if group["momentum"] else ()

    def _update(self, batch: Batch, grads: list[Tensor]) -> None:
        buffers = batch.slots.get("momentum_buffer", [])
        sgd_step(batch.params, grads, buffers, batch.hyper, batch.new)
