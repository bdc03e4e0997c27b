"""A tensor that a module owns and an optimizer trains."""

from __future__ import annotations

from .._C import Tensor


class Parameter(Tensor):  # type: ignore[misc]
    """A leaf tensor that registers itself when it is set as a module's attribute.

    `Parameter(data)` shares `data`'s storage. Raises TypeError where `data` is not a Tensor, or
    where its dtype has no gradients.
    """

    def __init__(self, data: Tensor, requires_grad: bool = True) -> None:
        if not isinstance(data, Tensor):
            raise TypeError(f"[Parameter] expected data to be a Tensor; got {type(data).__name__}")
        super().__init__(data)
        self.requires_grad = requires_grad
