"""Weight decay for weights alone."""

from __future__ import annotations

from typing import Any

from ..nn.module import Module


def param_groups_weight_decay(model: Module, weight_decay: float) -> list[dict[str, Any]]:
    """Two groups for an optimizer: the weights with this decay, everything else with none.

    Weights have two and more dimensions; biases and the parameters of normalisations have one.
    Nielsen's cost (lambda / 2n) sum w^2, n being the number of training examples, is
    `SGD(param_groups_weight_decay(model, lambda / n), lr)`. With AdamW the decay is decoupled from
    the gradient, and with SGD without momentum there is no difference. A group of nothing is left
    out. The name is timm's.
    """
    groups: list[dict[str, Any]] = [
        {"params": [p for p in model.parameters() if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in model.parameters() if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]
