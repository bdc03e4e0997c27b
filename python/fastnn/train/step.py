"""A training step: what is recorded of it, and what it changes."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from .. import Tensor, get_rng_state, nn, no_grad, optim, set_rng_state
from ..augment.compose import takes_targets
from ..compile import compile
from ..nn._checks import one_of
from .checkpoint import copied, described
from .evaluation import in_mode
from .schedule import Schedule


class TrainingStep:
    """Trains `model` on a batch; `recorded(x, y)` returns (loss, outputs). See `Trainer`."""

    def __init__(
        self,
        model: nn.Module,
        loss: Callable[[Tensor, Tensor], Tensor],
        optimizer: optim.Optimizer,
        schedule: Schedule | None,
        clip_norm: float | None,
        augment: Callable[..., Any] | None,
        penalty: Callable[[nn.Module], Tensor] | None,
        constraint: Callable[[nn.Module], Any] | None,
        average: Any,
        average_every: str,
    ) -> None:
        if average is not None and not callable(getattr(average, "update_parameters", None)):
            raise TypeError(f"[Trainer] average must be an AveragedModel; got {average!r}")
        optional = {"augment": augment, "penalty": penalty, "constraint": constraint}
        for name, f in {"loss": loss, **{k: f for k, f in optional.items() if f}}.items():
            if not callable(f):
                raise TypeError(f"[Trainer] {name} must be a function; got {f!r}")
        parameters = {id(p) for p in model.parameters()}
        trained = [p for group in optimizer.param_groups for p in group["params"]]
        if not any(id(p) in parameters for p in trained):
            raise ValueError("[Trainer] optimizer must be of the model's parameters; it has none")
        self.model, self.loss, self.optimizer, self.schedule = model, loss, optimizer, schedule
        self.clip_norm, self.augment = clip_norm, augment
        self.penalty, self.constraint = penalty, constraint
        self.average = average
        self.average_every = one_of("Trainer", "average_every", average_every, ("epoch", "step"))
        self.averages = False  # whether the average follows the weights yet
        self.averaged = False  # whether it has done so
        self.takes_targets = augment is not None and (takes_targets(augment) or _arity(augment) > 1)
        # What its passes change: the model, and a loss that has parameters or buffers of its own.
        parts = {"model": model, "loss": loss}
        self._modules = {k: part for k, part in parts.items() if isinstance(part, nn.Module)}
        self.recorded = compile(self._run)

    def _run(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        total, loss, output = self.losses(*self.augmented(x, y))
        self.optimizer.zero_grad()
        total.backward()
        if self.clip_norm is not None:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.clip_norm)
        self.optimizer.step()
        if self.constraint is not None:
            with no_grad():
                self.constraint(self.model)
        if self.averages and self.average_every == "step":
            self.average.update_parameters(self.model)
        return loss, output

    def augmented(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """The batch as it is trained on."""
        if self.augment is None:
            return x, y
        if not self.takes_targets:
            return self.augment(x), y
        x, y = self.augment(x, y)
        return x, y

    def losses(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The loss that is minimised, the one that is reported, and the outputs."""
        output = self.model(x)
        loss = self.loss(output, y)
        return loss if self.penalty is None else loss + self.penalty(self.model), loss, output

    def gradients(self, x: Tensor, y: Tensor) -> dict[str, Tensor]:
        """{name: gradient} of the model for a batch; nothing else changes."""
        with self.aside():
            self._zero_grad()
            self.losses(*self.augmented(x, y))[0].backward()
            named = self.model.named_parameters()
            grads = {name: p.grad.clone() for name, p in named if p.grad is not None}
            self._zero_grad()
        return grads

    def _zero_grad(self) -> None:
        for module in self._modules.values():
            module.zero_grad()

    def begin_averaging(self) -> None:
        """From here on the average follows the weights."""
        if self.average is not None and not self.averages:
            self.averages = True
            self.recorded = compile(self._run)  # another step than before

    @contextlib.contextmanager
    def unchanged(self) -> Iterator[Callable[[Tensor, Tensor], float]]:
        """Gives step(x, y) -> loss, for batches; what it trains is restored afterwards."""
        before = copied(self.state_dict())
        try:
            with self.aside():  # for buffers that are not in a state
                yield lambda x, y: float(self.recorded(x, y)[0].item())
        finally:
            self.load_state_dict(before)
            self._zero_grad()

    @contextlib.contextmanager
    def aside(self, training: bool = True) -> Iterator[None]:
        """In that mode, passes leave modes, random numbers and running statistics alone."""
        buffers = [b for module in self._modules.values() for b in module.buffers()]
        rng, before = get_rng_state(), [b.clone() for b in buffers]
        try:
            with in_mode(self.model, training):
                yield
        finally:
            set_rng_state(rng)
            with no_grad():
                for buffer, old in zip(buffers, before, strict=True):
                    buffer.copy_(old)

    def fingerprint(self) -> tuple[Any, ...]:
        """Something else, but by chance, once parameters, rates or random numbers have changed."""
        groups = self.optimizer.param_groups
        sums = [p.detach().sum().item() for p in self.model.parameters()]
        rates = [{k: v for k, v in g.items() if k != "params"} for g in groups]
        return sums, rates, get_rng_state()

    def kinds(self) -> dict[str, str | None]:
        """What a state must be of."""
        return {
            "optimizer": type(self.optimizer).__name__,
            "scheduler": None if self.schedule is None else str(self.schedule),
            "average": None if self.average is None else type(self.average).__name__,
            "loss": getattr(self.loss, "__name__", described(self.loss)),
            "model": described(self.model),
        }

    def modules_state(self) -> dict[str, Any]:
        """Of the model, and of a loss that is a module."""
        return {name: module.state_dict() for name, module in self._modules.items()}

    def load_modules(self, state: Mapping[str, Any]) -> None:
        """Goes back to `modules_state()`."""
        for name, module in self._modules.items():
            module.load_state_dict(state[name])

    def state_dict(self) -> dict[str, Any]:
        """All that a step changes."""
        return {
            **self.modules_state(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": None if self.schedule is None else self.schedule.state_dict(),
            "average": None if self.average is None else self.average.state_dict(),
            "averages": [self.averages, self.averaged],
            "rng": get_rng_state(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.load_modules(state)
        slots = state["optimizer"]["state"]  # JSON makes texts of the parameters' numbers
        self.optimizer.load_state_dict(
            {**state["optimizer"], "state": {int(number): s for number, s in slots.items()}}
        )
        if self.schedule is not None:
            self.schedule.load_state_dict(state["schedule"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        averages, self.averaged = state["averages"]
        if averages != self.averages:
            self.averages, self.recorded = averages, compile(self._run)
        set_rng_state(tuple(state["rng"]))


def _arity(f: Callable[..., Any]) -> int:
    """How many arguments it must be given; one where it doesn't say."""
    try:
        parameters = inspect.signature(f.forward if isinstance(f, nn.Module) else f).parameters
    except (TypeError, ValueError):  # of functions from C++
        return 1
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(p.kind in positional and p.default is p.empty for p in parameters.values())
