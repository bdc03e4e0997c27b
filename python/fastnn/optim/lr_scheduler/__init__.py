"""Schedules of the learning rate, with PyTorch's names, arguments and defaults.

A schedule says what the learning rate is after t steps of its own, epochs or batches as its caller
likes: it sets that of t = 0 when it is made, and the next one in each `step()`. Rates are computed
from t alone, not from the rate before, so that a schedule goes on exactly where its state is
loaded. `CompiledStep.run_epoch(before_step=...)` is where a schedule by batches belongs.
"""

from .cyclic import CosineAnnealingWarmRestarts, CyclicLR, OneCycleLR
from .plateau import HalvingLR, ReduceLROnPlateau
from .schedules import (
    ConstantLR,
    CosineAnnealingLR,
    ExponentialLR,
    LambdaLR,
    LinearLR,
    LRScheduler,
    MultiStepLR,
    PolynomialLR,
    SequentialLR,
    StepLR,
)

__all__ = [
    "ConstantLR",
    "CosineAnnealingLR",
    "CosineAnnealingWarmRestarts",
    "CyclicLR",
    "ExponentialLR",
    "HalvingLR",
    "LRScheduler",
    "LambdaLR",
    "LinearLR",
    "MultiStepLR",
    "OneCycleLR",
    "PolynomialLR",
    "ReduceLROnPlateau",
    "SequentialLR",
    "StepLR",
]
