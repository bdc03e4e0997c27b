"""Averages of weights along the training, with PyTorch's names (torch.optim.swa_utils).

Izmailov et al. 2018 (stochastic weight averaging); Polyak and Juditsky 1992.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from .._C import Tensor, float32, float64, int64, zeros
from ..autograd import no_grad
from ..nn._checks import as_tensor, integer, number, one_of
from ..nn.module import Module
from ..nn.norm import _BatchNorm
from ..nn.parameter import Parameter
from .lr_scheduler.cyclic import for_groups
from .lr_scheduler.schedules import LRScheduler, cosine
from .optimizer import Optimizer

AverageFunction = Callable[[list[Tensor], list[Tensor], Tensor], None]


def get_ema_multi_avg_fn(decay: float = 0.999) -> AverageFunction:
    """The moving average decay a + (1 - decay) w, which begins as the first w."""
    number("get_ema_multi_avg_fn", "decay", decay, "[0, 1]")
    return _moving(lambda count: (count > 0).to(float64) * decay)


def get_swa_multi_avg_fn() -> AverageFunction:
    """The mean of all w so far."""
    return _moving(lambda count: count.to(float64) / (count + 1))


def _moving(kept: Callable[[Tensor], Tensor]) -> AverageFunction:
    """kept(count) a + (1 - kept(count)) w. At count 0 nothing is kept: that update is a copy."""

    def update(averaged: list[Tensor], current: list[Tensor], count: Tensor) -> None:
        share = kept(count)
        shares = {dtype: share.to(dtype) for dtype in {a.dtype for a in averaged}}
        for a, w in zip(averaged, current, strict=True):
            a.sub_(w).mul_(shares[a.dtype]).add_(w)  # where a is w, it stays that to the bit

    return update


class AveragedModel(Module):
    """A copy of `model`, in `module`, whose parameters are averages of the model's.

    `update_parameters(model)` takes the model's parameters in; the first time they are copied. It
    is right inside a recorded step as well. `multi_avg_fn(averaged, current, num_averaged)` does it
    in place for lists of tensors, the mean of all if None; num_averaged is a tensor of how many
    there were, and unlike PyTorch's the function is called with 0 too. With `use_buffers` floating
    buffers (running statistics) are averaged alike; other buffers are copied from the model each
    time. `update_bn` computes running statistics anew, for the averaged weights.
    """

    module: Module
    n_averaged: Tensor  # (), int64: how many updates there were

    def __init__(
        self,
        model: Module,
        *,
        multi_avg_fn: AverageFunction | None = None,
        use_buffers: bool = False,
    ) -> None:
        super().__init__()
        if not isinstance(model, Module):
            kind = type(model).__name__
            raise TypeError(f"[AveragedModel] model must be a Module; got {kind}")
        self.module = copy.deepcopy(model)
        device = next((p.device for p in model.parameters()), None)
        self.register_buffer("n_averaged", zeros((), dtype=int64, device=device))
        self.multi_avg_fn = get_swa_multi_avg_fn() if multi_avg_fn is None else multi_avg_fn
        self.use_buffers = bool(use_buffers)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.module(*args, **kwargs)

    def update_parameters(self, model: Module) -> None:
        """Takes in the parameters of `model`, which must be like the one that was copied.

        Raises ValueError where names or shapes differ.
        """
        own, new = _tensors(self.module), _tensors(model)
        if _shapes(own) != _shapes(new):
            raise ValueError(
                f"[update_parameters] expected a model of {_shapes(own)}; got {_shapes(new)}"
            )
        averaged = [name for name, tensor in own.items() if self._averages(tensor)]
        with no_grad():
            a, w = ([tensors[name].detach() for name in averaged] for tensors in (own, new))
            self.multi_avg_fn(a, w, self.n_averaged)
            for name, tensor in own.items():
                if not self._averages(tensor):
                    tensor.copy_(new[name])
            self.n_averaged.add_(1)

    def _averages(self, tensor: Tensor) -> bool:
        floating = tensor.dtype in (float32, float64)
        return isinstance(tensor, Parameter) or (self.use_buffers and floating)


def _tensors(model: Module) -> dict[str, Tensor]:
    return {**dict(model.named_parameters()), **dict(model.named_buffers())}


def _shapes(tensors: dict[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def update_bn(loader: Iterable[Any], model: Module, device: Any = None) -> None:
    """Computes the running statistics of all batch normalisations anew: means over the batches.

    `loader` yields inputs, or tuples and lists that begin with them; they go to `device` if given.
    The model is run in training mode (with dropout, that is) and afterwards is in the mode it had.
    """
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    training = model.training
    try:
        model.train()
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # the plain average
        with no_grad():
            for batch in loader:
                x = batch[0] if isinstance(batch, (tuple, list)) else batch
                model(x if device is None else as_tensor("update_bn", x).to(device))
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        model.train(training)


class SWALR(LRScheduler):
    """From the rate that it finds at its first step to swa_lr in anneal_epochs, and no further.

    The rate to begin with may be what another schedule has left. `anneal_strategy` is "cos" or
    "linear", swa_lr one number or one for each group.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        swa_lr: float | Sequence[float],
        anneal_epochs: int = 10,
        anneal_strategy: str = "cos",
        last_epoch: int = -1,
    ) -> None:
        self.anneal_epochs = integer("SWALR", "anneal_epochs", anneal_epochs, 0)
        choices = ("cos", "linear")
        self.anneal_strategy = one_of("SWALR", "anneal_strategy", anneal_strategy, choices)
        self.swa_lrs = for_groups("SWALR", "swa_lr", swa_lr, optimizer)
        super().__init__(optimizer, last_epoch)

    def _rates(self, t: float) -> list[float]:
        if t <= 1:
            self.base_lrs = self.get_last_lr()
        done = min(t / self.anneal_epochs, 1) if self.anneal_epochs else 1.0
        share = 1 - cosine(done) if self.anneal_strategy == "cos" else done
        pairs = zip(self.base_lrs, self.swa_lrs, strict=True)
        return [base + (swa - base) * share for base, swa in pairs]
