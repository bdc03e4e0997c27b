"""Adam and AdamW."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from .._C import Tensor, adam_step
from .optimizer import Batch, Group, Optimizer


class Adam(Optimizer):
    """m = beta1 m + (1 - beta1) g;  v = beta2 v + (1 - beta2) g^2;  w = w - lr m'/(sqrt(v') + eps).

    m' and v' are m / (1 - beta1^t) and v / (1 - beta2^t) at step t (Kingma and Ba 2015); `amsgrad`
    takes the largest v so far (Reddi et al. 2018). `weight_decay` is added to the gradient.
    """

    _ranges: ClassVar[dict[str, str]] = {
        "lr": "[0, inf)",
        "betas": "[0, 1)",
        "eps": "[0, inf)",
        "weight_decay": "[0, inf)",
    }
    _decoupled = False

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "amsgrad": amsgrad,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def _check(self, group: Group) -> None:
        super()._check(group)
        if not isinstance(group["betas"], (tuple, list)) or len(group["betas"]) != 2:
            raise ValueError(f"[{self._name}] betas must be two numbers; got {group['betas']!r}")

    def _slots(self, group: Group) -> tuple[str, ...]:
        slots = ("exp_avg", "exp_avg_sq")
        return (*slots, "max_exp_avg_sq") if group["amsgrad"] else slots

    def _update(self, batch: Batch, grads: list[Tensor]) -> None:
        batch.hyper.decoupled = self._decoupled
        largest = batch.slots.get("max_exp_avg_sq", [])
        means, squares = batch.slots["exp_avg"], batch.slots["exp_avg_sq"]
        adam_step(batch.params, grads, means, squares, largest, batch.hyper)


class AdamW(Adam):
    """Adam whose weight decay acts on the weights alone: w = w - lr weight_decay w beforehand.

    See Loshchilov and Hutter 2019.
    """

    _decoupled = True

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, maximize=maximize)
