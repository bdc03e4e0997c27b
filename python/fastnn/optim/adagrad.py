"""Adagrad."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from .._C import Tensor, adagrad_step
from .optimizer import Batch, Group, Optimizer


class Adagrad(Optimizer):
    """s = s + g^2;  w = w - lr' g / (sqrt(s) + eps), lr' = lr / (1 + (t - 1) lr_decay) at step t.

    See Duchi, Hazan and Singer 2011.
    """

    _ranges: ClassVar[dict[str, str]] = dict.fromkeys(
        ("lr", "lr_decay", "weight_decay", "initial_accumulator_value", "eps"), "[0, inf)"
    )

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        lr_decay: float = 0.0,
        weight_decay: float = 0.0,
        initial_accumulator_value: float = 0.0,
        eps: float = 1e-10,
        *,
        maximize: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "lr_decay": lr_decay,
            "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value,
            "eps": eps,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def _slots(self, group: Group) -> tuple[str, ...]:
        return ("sum",)

    def _new_slot(self, group: Group, slot: str, parameter: Tensor) -> Tensor:
        return super()._new_slot(group, slot, parameter).fill_(group["initial_accumulator_value"])

    def _update(self, batch: Batch, grads: list[Tensor]) -> None:
        adagrad_step(batch.params, grads, batch.slots["sum"], batch.hyper)
