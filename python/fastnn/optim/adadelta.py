"""Adadelta."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from .._C import Tensor, adadelta_step
from .optimizer import Batch, Group, Optimizer


class Adadelta(Optimizer):
    """s = rho s + (1 - rho) g^2;  d = sqrt(u + eps) / sqrt(s + eps) g;  w = w - lr d.

    u is the running mean of d^2 before this step (Zeiler 2012).
    """

    _ranges: ClassVar[dict[str, str]] = {
        "lr": "[0, inf)",
        "rho": "[0, 1]",
        "eps": "[0, inf)",
        "weight_decay": "[0, inf)",
    }

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "rho": rho,
            "eps": eps,
            "weight_decay": weight_decay,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def _slots(self, group: Group) -> tuple[str, ...]:
        return ("square_avg", "acc_delta")

    def _update(self, batch: Batch, grads: list[Tensor]) -> None:
        squares, deltas = batch.slots["square_avg"], batch.slots["acc_delta"]
        adadelta_step(batch.params, grads, squares, deltas, batch.hyper)
