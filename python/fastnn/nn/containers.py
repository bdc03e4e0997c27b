"""Modules that hold modules in order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from typing import Any, TypeVar, overload

from ._checks import integer
from .module import Module

Self = TypeVar("Self", bound="_Ordered")


class _Ordered(Module):
    """Children named "0", "1", ...: a list of modules."""

    _modules: dict[str, Module]  # type: ignore[assignment]

    def _slice(self: Self, part: slice) -> Self:
        raise NotImplementedError

    def _fill(self, modules: Iterable[Module], keep: bool = False) -> None:
        modules = list(modules)
        for module in modules:
            if not isinstance(module, Module):
                raise TypeError(
                    f"[{type(self).__name__}] expected modules; got {type(module).__name__}"
                )
        for name in () if keep else list(self._modules):
            delattr(self, name)
        for i, module in enumerate(modules, len(self)):
            self.add_module(str(i), module)

    def _name(self, index: int) -> str:
        i, n = integer(type(self).__name__, "index", index, -(1 << 62)), len(self)
        if not -n <= i < n:
            name = type(self).__name__
            raise IndexError(f"[{name}] index must be in [{-n}, {n}); got {index}")
        return list(self._modules)[i]

    @overload
    def __getitem__(self, index: int) -> Module: ...
    @overload
    def __getitem__(self: Self, index: slice) -> Self: ...

    def __getitem__(self: Self, index: int | slice) -> Module | Self:
        """The module at a position, or a container of the same kind for a slice."""
        if isinstance(index, slice):
            return self._slice(index)
        return self._modules[self._name(index)]

    def __setitem__(self, index: int, module: Module) -> None:
        setattr(self, self._name(index), module)

    def __delitem__(self, index: int | slice) -> None:
        modules = list(self)
        if not isinstance(index, slice):
            self._name(index)
        del modules[index]
        self._fill(modules)

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Module]:
        return iter(self._modules.values())

    def append(self: Self, module: Module) -> Self:
        """Adds a module at the end."""
        self._fill([module], keep=True)
        return self

    def extend(self: Self, modules: Iterable[Module]) -> Self:
        """Adds modules at the end."""
        self._fill(modules, keep=True)
        return self

    def insert(self: Self, index: int, module: Module) -> Self:
        """Adds a module before the one at `index`."""
        modules = list(self)
        modules.insert(index, module)
        self._fill(modules)
        return self


class Sequential(_Ordered):
    """Modules called one after the other, each with the output of the one before.

    `Sequential(a, b)` names them "0", "1"; `Sequential({"first": a, "second": b})` by the keys.
    """

    def __init__(self, *modules: Any) -> None:
        super().__init__()
        if len(modules) == 1 and isinstance(modules[0], Mapping):
            for name, module in modules[0].items():
                self.add_module(name, module)
        else:
            self._fill(modules)

    def _slice(self, part: slice) -> Sequential:
        return type(self)(dict(list(self._modules.items())[part]))

    def forward(self, input: Any) -> Any:
        for module in self._modules.values():
            input = module(input)
        return input


class ModuleList(_Ordered):
    """A list of modules whose parameters belong to the module that holds the list."""

    def __init__(self, modules: Iterable[Module] = ()) -> None:
        super().__init__()
        self._fill(modules)

    def _slice(self, part: slice) -> ModuleList:
        return type(self)(list(self)[part])

    def _child_reprs(self) -> list[tuple[str, str]]:
        # Runs of equal modules take one line: (0-2): 3 x Linear(...)
        lines, start = [], 0
        for text, run in groupby(map(repr, self)):
            n = len(list(run))
            last = start + n - 1
            lines.append((f"{start}-{last}", f"{n} x {text}") if n > 1 else (str(start), text))
            start += n
        return lines
