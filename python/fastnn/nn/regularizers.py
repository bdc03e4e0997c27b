"""What keeps the weights of a model small, in training steps that are recorded or not.

Weights are the trained parameters of two and more dimensions: matrices of dense layers, kernels of
convolutions. Biases, and what a normalisation scales and shifts by, are none. All of these take a
model or a part of one, and are modules, so that a recorded step learns when a number is changed.
"""

from __future__ import annotations

from collections.abc import Callable

from .. import abs
from .._C import Tensor
from ..autograd import no_grad
from ._checks import number
from .module import Module
from .parameter import Parameter


class _Regularizer(Module):
    def _chosen(self, model: Module, biases: bool) -> list[Parameter]:
        """The trained weights, and biases if asked for; never none."""
        trained = [p for p in model.parameters() if p.requires_grad]
        chosen = [p for p in trained if biases or p.ndim > 1]
        if not chosen:
            what = "parameters" if biases else "weights"
            raise ValueError(f"[{type(self).__name__}] the model must have trained {what}; got 0")
        return chosen


class _Penalty(_Regularizer):
    _size: Callable[[Tensor], Tensor]

    def __init__(self, factor: float, biases: bool = False) -> None:
        super().__init__()
        self.factor = number(type(self).__name__, "factor", factor, "[0, inf)")
        self.biases = bool(biases)

    def forward(self, model: Module) -> Tensor:
        first, *rest = (self._size(p).sum() for p in self._chosen(model, self.biases))
        return self.factor * sum(rest, first)

    def extra_repr(self) -> str:
        return f"{self.factor}, biases={self.biases}"


class L1Penalty(_Penalty):
    """factor sum |w|, a scalar to add to the loss: it pulls every weight to 0 and leaves few.

    Its gradient is factor sign(w), with sign(0) = 0. `biases` takes all trained parameters. A sum
    that is reported has the penalty in it; a `train.Trainer` reports the loss without. Raises
    ValueError for a model without weights.
    """

    _size = staticmethod(abs)


class L2Penalty(_Penalty):
    """factor sum w^2, a scalar to add to the loss; the gradient is 2 factor w.

    For SGD that is a weight_decay of 2 factor, which costs nothing; in Nielsen's book factor is
    lambda / 2n, n being the number of training examples. Reported as `L1Penalty` is.
    `biases` takes all trained parameters. Raises ValueError for a model without weights.
    """

    _size = staticmethod(lambda w: w * w)


class MaxNorm(_Regularizer):
    """Scales the incoming weights of each unit (row of a matrix, kernel of a map) to a length of at
    most max_norm, in place; shorter ones stay as they are.

    For after `optimizer.step()`. Srivastava et al. 2014, with dropout: 3 or 4. Raises ValueError
    for a model without weights.
    """

    def __init__(self, max_norm: float) -> None:
        super().__init__()
        self.max_norm = number("MaxNorm", "max_norm", max_norm, "(0, inf)")

    def forward(self, model: Module) -> None:
        with no_grad():
            for w in self._chosen(model, biases=False):
                lengths = (w * w).sum(tuple(range(1, w.ndim)), keepdim=True).sqrt()
                w.mul_(self.max_norm / lengths.clamp(min=self.max_norm))

    def extra_repr(self) -> str:
        return f"{self.max_norm}"
