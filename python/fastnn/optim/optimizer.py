"""The base class of the optimizers: parameter groups, state, and one kernel call per group."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from operator import is_
from typing import Any, ClassVar, NamedTuple

from .._C import Hyper, Tensor, clear_grads, forget_plans, only_once
from ..nn._checks import cast_state, number


class Parameters(list[Tensor]):
    """The parameters of a group. Recorded steps know them, and end where they change."""


def _forgetting(name: str) -> Callable[..., Any]:
    plain = getattr(list, name)

    def changed(self: Parameters, *args: Any, **kwargs: Any) -> Any:
        forget_plans()
        return plain(self, *args, **kwargs)

    return changed


for _name in (
    *("append", "extend", "insert", "remove", "pop", "clear", "sort", "reverse"),
    *("__setitem__", "__delitem__", "__iadd__", "__imul__"),
):
    setattr(Parameters, _name, _forgetting(_name))


class Group(dict[str, Any]):
    """The parameters of a group and their options; a change reaches recorded steps as well."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.hypers: list[Hyper] = []  # of the batches it is divided into
        if "params" in self:
            super().__setitem__("params", Parameters(self["params"]))

    def __reduce__(self) -> Any:
        return Group, (dict(self),)

    def __setitem__(self, name: str, value: Any) -> None:
        # What only changes a number is read by a recorded step, the rest needs another one.
        if name == "params" or bool(value) != bool(self.get(name)):
            forget_plans()
        if name == "params":
            value = Parameters(value)
        super().__setitem__(name, value)
        for hyper in self.hypers:
            _assign(hyper, name, value)

    def update(self, *args: Any, **kwargs: Any) -> None:
        for name, value in dict(*args, **kwargs).items():
            self[name] = value

    def __ior__(self, other: Any) -> Group:  # type: ignore[override,misc]
        self.update(other)
        return self

    def hyper(self, step: int) -> Hyper:
        """The options as the kernels take them."""
        hyper = Hyper()
        hyper.step = step
        for name, value in self.items():
            _assign(hyper, name, value)
        self.hypers.append(hyper)
        return hyper


def _assign(hyper: Hyper, name: str, value: Any) -> None:
    if name == "betas":
        hyper.beta1, hyper.beta2 = value
    elif hasattr(hyper, name):
        setattr(hyper, name, value)


class Batch:
    """Parameters of a group that one kernel call updates: same dtype, same number of steps."""

    def __init__(self, hyper: Hyper, new: bool, slots: tuple[str, ...]) -> None:
        self.hyper = hyper  # its `step` says how many they have had
        self.new = new  # whether their state was made just now
        self.index: list[int] = []  # where in group["params"]
        self.params: list[Tensor] = []
        self.states: list[dict[str, Any]] = []  # one for each parameter
        self.slots: dict[str, list[Tensor]] = {slot: [] for slot in slots}  # {"exp_avg": [...]}


class Plan(NamedTuple):
    """The batches of a group, and what they depend on."""

    params: list[Tensor]
    has_grad: list[bool]
    slots: tuple[str, ...]
    batches: list[Batch]
    lasting: bool  # False where new state makes this step a special one


class Optimizer:
    """Updates parameters in place from their gradients.

    `params` are tensors, or dicts {"params": tensors, option: value, ...}: groups with options of
    their own. `param_groups` may be changed at any time (`group["lr"] = 0.01`); `state`, keyed by
    parameter, is changed through `load_state_dict`. Raises TypeError for what is no tensor and
    ValueError for one that is no leaf, for one given twice, and for an option out of its range.
    """

    _ranges: ClassVar[dict[str, str]]  # of the options that are numbers (or pairs of numbers)
    _counts_steps = True  # whether the state of a parameter has a "step"

    def __init__(self, params: Iterable[Any], defaults: dict[str, Any]) -> None:
        self.defaults = defaults
        self.param_groups: list[Group] = []
        self._state: dict[Tensor, dict[str, Any]] = {}
        self._plans: list[Plan | None] = []
        if isinstance(params, (Tensor, Mapping)):
            kind = type(params).__name__
            raise TypeError(f"[{self._name}] params must be an iterable of Tensors; got one {kind}")
        groups = list(params)
        if not groups:
            raise ValueError(f"[{self._name}] params must hold at least one Tensor; got none")
        for group in groups if isinstance(groups[0], Mapping) else [{"params": groups}]:
            self.add_param_group(group)

    # --- what an optimizer defines ------------------------------------------------------------

    def _slots(self, group: Group) -> tuple[str, ...]:
        """Names of the state tensors that each parameter needs with these options."""
        return ()

    def _new_slot(self, group: Group, slot: str, parameter: Tensor) -> Tensor:
        """A new state tensor, laid out in memory as the parameter."""
        return _zeros(parameter)

    def _update(self, batch: Batch, grads: list[Tensor]) -> None:
        """Calls the kernel, which counts the step."""
        raise NotImplementedError

    def _check(self, group: Group) -> None:
        """Raises TypeError and ValueError for options that cannot be."""
        for name, interval in self._ranges.items():
            values = group[name] if isinstance(group[name], (tuple, list)) else (group[name],)
            for value in values:
                number(self._name, name, value, interval)

    # --- what a training loop calls -----------------------------------------------------------

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forgets the gradients; with `set_to_none=False` sets them to zero in place."""
        for group in self.param_groups:
            if set_to_none:
                clear_grads(group["params"])
                continue
            for parameter in group["params"]:
                if parameter.grad is not None:
                    parameter.grad.zero_()

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Updates every parameter that has a gradient; returns what `closure`, if given, did."""
        loss = None if closure is None else closure()
        for i, group in enumerate(self.param_groups):
            params, plan = group["params"], self._plans[i]
            grads = [parameter.grad for parameter in params]
            has_grad = [grad is not None for grad in grads]
            if (
                plan is None
                or has_grad != plan.has_grad
                or self._slots(group) != plan.slots
                or not all(map(is_, params, plan.params))
            ):
                if plan is not None:
                    forget_plans()  # they hold on to its batches
                plan = self._plans[i] = self._plan(group, has_grad)
            for batch in plan.batches:
                everything = len(batch.index) == len(params)
                taken = grads if everything else [grads[j] for j in batch.index]
                self._update(batch, taken)
            if not plan.lasting:
                self._count_steps(plan)
                self._plans[i] = None
                only_once("the optimizer made its state")
        return loss

    def _count_steps(self, plan: Plan | None) -> None:
        if plan is not None and self._counts_steps:
            for batch in plan.batches:
                for state in batch.states:
                    state["step"] = batch.hyper.step

    @property
    def state(self) -> dict[Tensor, dict[str, Any]]:
        """{parameter: its state}: the steps it has had, and tensors like it."""
        for plan in self._plans:
            self._count_steps(plan)
        return self._state

    def _plan(self, group: Group, has_grad: list[bool]) -> Plan:
        slots = self._slots(group)
        group.hypers.clear()
        batches: dict[Any, Batch] = {}
        all_states = self.state
        for i, parameter in enumerate(group["params"]):
            if not has_grad[i]:
                continue
            state = all_states.get(parameter, {})
            new = any(state.get(slot) is None for slot in slots)
            if new:
                all_states[parameter] = state
            for slot in slots:
                if state.get(slot) is None:
                    state[slot] = self._new_slot(group, slot, parameter)
            key = (state.get("step", 0), new, str(parameter.dtype), str(parameter.device))
            if key not in batches:
                batches[key] = Batch(group.hyper(step=key[0]), new, slots)
            batch = batches[key]
            batch.index.append(i)
            batch.params.append(parameter)
            batch.states.append(state)
            for slot in slots:
                batch.slots[slot].append(state[slot])
        lasting = not any(batch.new for batch in batches.values())
        return Plan(list(group["params"]), has_grad, slots, list(batches.values()), lasting)

    # --- groups and state -----------------------------------------------------------------------

    def add_param_group(self, param_group: Mapping[str, Any]) -> None:
        """Adds parameters with options of their own; options not given have their defaults."""
        params = param_group["params"]
        params = [params] if isinstance(params, Tensor) else list(params)
        known = {id(p) for group in self.param_groups for p in group["params"]}
        for parameter in params:
            if not isinstance(parameter, Tensor):
                kind = type(parameter).__name__
                raise TypeError(f"[{self._name}] params must be Tensors; got {kind}")
            if not parameter.is_leaf:
                raise ValueError(f"[{self._name}] params must be leaf tensors, not results")
            if id(parameter) in known:
                raise ValueError(f"[{self._name}] a parameter appears more than once")
            known.add(id(parameter))
        group = Group({**self.defaults, **param_group, "params": params})
        self._check(group)
        forget_plans()
        self.param_groups.append(group)
        self._plans.append(None)

    def _numbered(self) -> dict[int, Tensor]:
        params = (p for group in self.param_groups for p in group["params"])
        return dict(enumerate(params))

    def state_dict(self) -> dict[str, Any]:
        """{"state": {number: {...}}, "param_groups": [...]}, parameters being numbered in order."""
        number = {id(p): n for n, p in self._numbered().items()}
        groups = [
            {**group, "params": [number[id(p)] for p in group["params"]]}
            for group in self.param_groups
        ]
        state = {number[id(p)]: dict(values) for p, values in self.state.items()}
        return {"state": dict(sorted(state.items())), "param_groups": groups}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Takes options and copies of the state from `state_dict()`, of this or a like optimizer.

        Raises ValueError where groups, parameters or shapes differ; nothing has changed then.
        """
        groups, params = state_dict["param_groups"], self._numbered()
        expected = [len(group["params"]) for group in self.param_groups]
        got = [len(group["params"]) for group in groups]
        if expected != got:
            raise ValueError(
                f"[load_state_dict] expected {expected} parameters in groups; got {got}"
            )
        loaded = [
            Group({**own, **new, "params": own["params"]})
            for own, new in zip(self.param_groups, groups, strict=True)
        ]
        for group in loaded:
            self._check(group)
        # A saved number counts parameters in the order of the saved groups.
        saved = [n for group in groups for n in group["params"]]
        state = {
            params[n]: _copied(params[n], state_dict["state"][key])
            for n, key in enumerate(saved)
            if key in state_dict["state"]
        }
        self.param_groups, self._state = loaded, state
        forget_plans()
        self._plans = [None] * len(loaded)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_state": self.state, "_plans": [None] * len(self._plans)}

    @property
    def _name(self) -> str:
        return type(self).__name__

    def __repr__(self) -> str:
        lines = []
        for i, group in enumerate(self.param_groups):
            lines.append(f"Parameter Group {i}")
            lines += [f"    {name}: {group[name]}" for name in sorted(group) if name != "params"]
        return f"{self._name} (\n" + "\n".join(lines) + "\n)"


def _zeros(parameter: Tensor) -> Tensor:
    return parameter.detach().clone().zero_()  # a clone keeps the order of memory


def _copied(parameter: Tensor, state: Mapping[str, Any]) -> dict[str, Any]:
    """A parameter's state from a state dict, PyTorch's included (where "step" is a tensor)."""
    copy: dict[str, Any] = {}
    for name, value in state.items():
        if name == "step":
            copy[name] = int(value)
        elif value is not None:
            copy[name] = _zeros(parameter).copy_(cast_state(parameter, value))
    return copy
