"""The base class of all layers and networks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from .._C import Tensor, clear_grads, float32, float64, forget_plans
from .._tensor import gpu_name
from ..autograd import no_grad
from ._checks import cast_state
from .parameter import Parameter
from .summary import Summary, summary

Self = TypeVar("Self", bound="Module")
Registry = dict[str, Any]


class LoadResult(NamedTuple):
    """The keys that a `load_state_dict(..., strict=False)` passed over."""

    missing_keys: list[str]
    unexpected_keys: list[str]

    def __repr__(self) -> str:
        if not any(self):
            return "<All keys matched successfully>"
        return f"LoadResult(missing_keys={self[0]}, unexpected_keys={self[1]})"


def _unimplemented(self: Module, *args: Any, **kwargs: Any) -> Any:
    raise NotImplementedError(f"[{type(self).__name__}] this module has no forward()")


class Module:
    """A function with parameters: subclass it, set layers as attributes, write `forward`.

    Parameters, buffers and child modules register themselves when they are set as attributes.
    Each is kept twice, in its registry and in the instance's `__dict__`, so that `self.weight` in
    `forward` is a plain attribute access.
    """

    training: bool
    _parameters: dict[str, Parameter | None]
    _buffers: dict[str, Tensor | None]
    _modules: dict[str, Module | None]
    _not_saved: set[str]  # names of buffers that are no part of the state_dict

    forward: Callable[..., Any] = _unimplemented

    def __init__(self) -> None:
        # Not through __setattr__, which needs the registries.
        self.__dict__.update(
            training=True, _parameters={}, _buffers={}, _modules={}, _not_saved=set()
        )

    if TYPE_CHECKING:

        def __call__(self, *args: Any, **kwargs: Any) -> Any: ...
    else:
        # model(x) is model.forward(x), with no Python function in between: half the time of a call.
        __call__ = property(attrgetter("forward"))

    # --- attributes ---------------------------------------------------------------------------

    def __setattr__(self, name: str, value: Any) -> None:
        forget_plans()  # what a recorded step took for granted
        if isinstance(value, Parameter):
            self._put(self._parameters, name, value)
        elif isinstance(value, Module):
            self._put(self._modules, name, value)
        else:
            self._set_plain(name, value)

    def __getattr__(self, name: str) -> Any:  # reached only when the usual lookup has failed
        if name in Module.__annotations__:
            message = "call super().__init__() before setting parameters and layers"
            raise AttributeError(f"[{type(self).__name__}] {message}")
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    def __delattr__(self, name: str) -> None:
        forget_plans()
        super().__delattr__(name)
        for registry in self._registries():
            registry.pop(name, None)
        self._not_saved.discard(name)

    def _registries(self) -> tuple[Registry, Registry, Registry]:
        return self._parameters, self._buffers, self._modules

    def _put(self, registry: Registry, name: str, value: Any) -> None:
        for other in self._registries():
            if other is not registry:
                other.pop(name, None)
        forget_plans()
        registry[name] = self.__dict__[name] = value

    def _set_plain(self, name: str, value: Any) -> None:
        for registry, kind in zip(
            self._registries(), ("Parameter", "Tensor", "Module"), strict=True
        ):
            if name in registry:
                if value is not None and not (kind == "Tensor" and isinstance(value, Tensor)):
                    raise TypeError(
                        f"[{type(self).__name__}] {name} must be a {kind} or None; "
                        f"got {type(value).__name__}"
                    )
                registry[name] = value
        super().__setattr__(name, value)

    def _register(self, registry: Registry, kind: type, name: str, value: Any, what: str) -> None:
        layer = type(self).__name__
        if not isinstance(name, str) or not name or "." in name:
            raise ValueError(f"[{layer}] {what} name must be a string without dots; got {name!r}")
        if name not in registry and hasattr(self, name):
            raise ValueError(f"[{layer}] {what} name {name!r} is already an attribute")
        if value is not None and not isinstance(value, kind):
            raise TypeError(
                f"[{layer}] {what} {name!r} must be a {kind.__name__} or None; "
                f"got {type(value).__name__}"
            )
        self._put(registry, name, value)

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Adds a parameter by name; None reserves the name (a layer without bias)."""
        self._register(self._parameters, Parameter, name, param, "parameter")

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Adds a tensor that belongs to the state but is not trained (running statistics)."""
        self._register(self._buffers, Tensor, name, tensor, "buffer")
        (self._not_saved.discard if persistent else self._not_saved.add)(name)

    def register_module(self, name: str, module: Module | None) -> None:
        """Adds a child module by name."""
        self._register(self._modules, Module, name, module, "module")

    add_module = register_module

    # --- walking the tree: parents come before children, a shared one comes once ----------------

    def named_modules(
        self, memo: set[int] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        """(path, module) of this module (path "") and all below it."""
        memo = set() if memo is None else memo
        if remove_duplicate:
            if id(self) in memo:
                return
            memo.add(id(self))
        yield prefix, self
        for name, child in self._modules.items():
            if child is not None:
                path = f"{prefix}.{name}" if prefix else name
                yield from child.named_modules(memo, path, remove_duplicate)

    def modules(self) -> Iterator[Module]:
        """This module and all below it."""
        return (module for _, module in self.named_modules())

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """(name, module) of the direct children."""
        seen: set[int] = set()
        for name, child in self._modules.items():
            if child is not None and id(child) not in seen:
                seen.add(id(child))
                yield name, child

    def children(self) -> Iterator[Module]:
        """The direct children."""
        return (child for _, child in self.named_children())

    def _named(
        self, registry: str, prefix: str, recurse: bool, remove_duplicate: bool
    ) -> Iterator[tuple[str, Any]]:
        seen: set[int] = set()
        for path, module in self.named_modules(None, prefix, remove_duplicate):
            for name, value in module.__dict__[registry].items():
                if value is None or id(value) in seen:
                    continue
                if remove_duplicate:
                    seen.add(id(value))
                yield f"{path}.{name}" if path else name, value
            if not recurse:
                return

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """(path, parameter), in the order of registration."""
        return self._named("_parameters", prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """All parameters, what an optimizer takes."""
        return (parameter for _, parameter in self.named_parameters(recurse=recurse))

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """(path, buffer), in the order of registration."""
        return self._named("_buffers", prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """All buffers."""
        return (buffer for _, buffer in self.named_buffers(recurse=recurse))

    # --- saving and loading ---------------------------------------------------------------------

    def state_dict(self, prefix: str = "", keep_vars: bool = False) -> dict[str, Tensor]:
        """{path: tensor} of parameters and persistent buffers, in PyTorch's names and layouts.

        The tensors share the module's storage and are detached, unless `keep_vars`.
        """
        state: dict[str, Tensor] = {}
        for path, module in self.named_modules(None, prefix.rstrip("."), remove_duplicate=False):
            for name, value in (*module._parameters.items(), *module._buffers.items()):
                if value is not None and name not in module._not_saved:
                    state[f"{path}.{name}" if path else name] = (
                        value if keep_vars else value.detach()
                    )
        return state

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True) -> LoadResult:
        """Copies values into the parameters and buffers of the same paths.

        The values are tensors or arrays (anything `numpy.asarray` takes), cast to the dtype here.
        Raises ValueError that lists every wrong shape or dtype and, where `strict`, every missing
        and unexpected key. A call that raises has changed nothing.
        """
        own = self.state_dict()
        missing = [key for key in own if key not in state_dict]
        unexpected = [key for key in state_dict if key not in own]
        problems = [f"missing key: {key!r}" for key in missing] if strict else []
        problems += [f"unexpected key: {key!r}" for key in unexpected] if strict else []
        copies: list[tuple[Tensor, Tensor]] = []
        for key in (key for key in own if key in state_dict):
            try:
                copies.append((own[key], cast_state(own[key], state_dict[key])))
            except (TypeError, ValueError) as error:
                problems.append(f"{key!r}: {error}")
        if problems:
            listed = "".join(f"\n    {problem}" for problem in problems)
            raise ValueError(f"[load_state_dict] {type(self).__name__} cannot be loaded:{listed}")
        with no_grad():
            for target, source in copies:
                target.copy_(source)
        return LoadResult(missing, unexpected)

    # --- changing the whole tree ----------------------------------------------------------------

    def train(self: Self, mode: bool = True) -> Self:
        """Switches this module and all below to training (dropout on, batch statistics) or not."""
        if not isinstance(mode, bool):
            raise TypeError(f"[train] mode must be a bool; got {mode!r}")
        for module in self.modules():
            if module.training is not mode:
                module.training = mode
        return self

    def eval(self: Self) -> Self:
        """Switches to evaluation: `train(False)`."""
        return self.train(False)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forgets the gradients; with `set_to_none=False` sets them to zero in place."""
        if set_to_none:
            clear_grads(list(self.parameters()))
            return
        for parameter in self.parameters():
            if parameter.grad is not None:
                parameter.grad.zero_()

    def requires_grad_(self: Self, requires_grad: bool = True) -> Self:
        """Trains all parameters of this module, or freezes them."""
        for parameter in self.parameters():
            parameter.requires_grad = requires_grad
        return self

    def apply(self: Self, fn: Callable[[Module], Any]) -> Self:
        """Calls `fn` on every module, children first (to initialise weights, say)."""
        for module in self.children():
            module.apply(fn)
        fn(self)
        return self

    def to(self: Self, *targets: Any, device: Any = None, dtype: Any = None) -> Self:
        """Moves to a device and casts to a floating dtype, given in any order or by name.

        Integer buffers keep their dtype; parameters stay the same objects. Raises TypeError where
        the dtype is not a floating one.
        """
        for target in targets:
            if isinstance(target, type(float32)):
                dtype = target
            else:
                device = target
        if dtype is not None and dtype not in (float32, float64):
            raise TypeError(f"[to] expected dtype float32 or float64; got {dtype}")

        for tensor in (*self.parameters(), *self.buffers()):
            grad = tensor.grad
            if device is not None and tensor.device != str(device):
                tensor.data = tensor.data.to(device)
                grad = None if grad is None else grad.to(device)
            if (
                dtype is not None
                and tensor.dtype in (float32, float64)
                and tensor.dtype is not dtype
            ):
                tensor.data = tensor.data.to(dtype)
                grad = None if grad is None else grad.to(dtype)
            tensor.grad = grad
        return self

    def cuda(self: Self, device: Any = None) -> Self:
        """Moves to a GPU: `to("cuda")`, or another by its number or name."""
        return self.to(gpu_name(device))

    def cpu(self: Self) -> Self:
        """Moves to the CPU."""
        return self.to("cpu")

    def float(self: Self) -> Self:
        """Casts to float32."""
        return self.to(dtype=float32)

    def double(self: Self) -> Self:
        """Casts to float64."""
        return self.to(dtype=float64)

    # --- showing --------------------------------------------------------------------------------

    def summary(self, input_shape: tuple[int, ...]) -> Summary:
        """Output shape, parameters and FLOPs of every layer, for one example of `input_shape`."""
        return summary(self, input_shape)

    def _flops(self, output: Tensor) -> int:
        """Floating-point operations that gave `output`, of multiply-adds only."""
        return 0

    def extra_repr(self) -> str:
        """What stands between the parentheses of the repr."""
        return ""

    def _child_reprs(self) -> list[tuple[str, str]]:
        return [(name, repr(child)) for name, child in self._modules.items()]

    def __repr__(self) -> str:
        extra = self.extra_repr()
        children = [f"({name}): {text}" for name, text in self._child_reprs()]
        if not children and "\n" not in extra:
            return f"{type(self).__name__}({extra})"
        lines = "\n".join([extra, *children] if extra else children).replace("\n", "\n  ")
        return f"{type(self).__name__}(\n  {lines}\n)"
