"""Several models as one: means and votes, by seed, by fold of the data, over augmented copies.

A member is a model, any callable that gives outputs (N, C) for inputs (N, ...), such as the
`predict` of a trainer, or an array of outputs. Outputs are logits, or probabilities where
`from_logits` is False.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import Tensor, from_numpy, nn
from ._extras import need
from .augment.compose import images_alone
from .data import DataLoader
from .metrics._inputs import checked_labels, checked_outputs, probabilities
from .nn._checks import integer
from .train import Trainer, predict
from .train.feed import as_arrays

Array = NDArray[Any]
Member = nn.Module | Callable[[Array], ArrayLike] | ArrayLike


def mean(
    members: Sequence[Member], x: Array | None = None, from_logits: bool = True
) -> NDArray[np.float64]:
    """The mean of the members' probabilities for `x` (N, ...): (N, C), float64."""
    p: NDArray[np.float64] = _members("mean", members, x, from_logits).mean(0)
    return p


def vote(
    members: Sequence[Member], x: Array | None = None, from_logits: bool = True
) -> NDArray[np.int64]:
    """The class that most members say for `x` (N, ...): (N), int64.

    Of classes with equally many votes it is the one whose mean probability, over all members, is
    the highest.
    """
    p = _members("vote", members, x, from_logits)
    votes = (p.argmax(2)[:, :, None] == np.arange(p.shape[2])).sum(0)
    tied = votes == votes.max(1, keepdims=True)
    winners: NDArray[np.int64] = np.where(tied, p.mean(0), -1).argmax(1)
    return winners


def tta(
    predict: Callable[[Array], ArrayLike],
    x: Array,
    augment: Callable[[Tensor], Tensor],
    copies: int = 10,
    from_logits: bool = True,
) -> NDArray[np.float64]:
    """The mean of the probabilities for `copies` augmented `x` (N, ...): (N, C), float64.

    Test-time augmentation: `augment` is what training had, and draws anew for each copy from the
    generator that `manual_seed` sets. `x` as it is takes no part.
    """
    images_alone("tta", augment)
    images = from_numpy(x)
    drawn = (augment(images).numpy() for _ in range(integer("tta", "copies", copies)))
    total: Any = sum(_probabilities("tta", predict, copy, from_logits) for copy in drawn)
    return total / copies  # type: ignore[no-any-return]


def k_fold(
    x: Array, y: Array, k: int = 5, seed: int = 0, stratified: bool = True
) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """k pairs (training, validation) of indices; each example is in one validation part.

    With `stratified` every part has its share of each class of `y` (N), to within an example.
    `seed` shuffles. Raises ValueError where there are fewer than k examples, or with `stratified`
    fewer than k of a class.
    """
    k = integer("k_fold", "k", k, 2)
    if len(x) != len(y):
        raise ValueError(f"[k_fold] expected x and y of one length; got {len(x)} and {len(y)}")
    if stratified:
        labels = checked_labels("k_fold", "labels", y)
        classes, counts = np.unique(labels, return_counts=True)
        if counts.min() < k:
            rare = counts.argmin()
            raise ValueError(
                f"[k_fold] class {classes[rare]} has {counts[rare]} examples, fewer than k, {k}"
            )
    elif len(y) < k:
        raise ValueError(f"[k_fold] expected at least k, {k}, examples; got {len(y)}")
    selection = need("sklearn.model_selection", "train", "k_fold")
    make = selection.StratifiedKFold if stratified else selection.KFold
    return list(make(k, shuffle=True, random_state=seed).split(np.zeros(len(y)), y))


@dataclass(frozen=True)
class Ensemble:
    """Trainers that have run, each with its scores on validation data."""

    trainers: list[Trainer]
    scores: list[dict[str, float]]

    def spread(self, name: str = "accuracy") -> tuple[float, float]:
        """Mean and standard deviation (of n - 1) of a score; of one trainer the latter is NaN."""
        for score in self.scores:
            if name not in score:
                raise ValueError(f"[spread] name must be one of {', '.join(score)}; got {name!r}")
        values = [score[name] for score in self.scores]
        return statistics.fmean(values), statistics.stdev(values) if values[1:] else float("nan")

    def predict_proba(self, x: Array) -> NDArray[np.float64]:
        """The mean of the trainers' probabilities for `x` (N, ...): (N, C), as `mean`."""
        return mean([trainer.predict for trainer in self.trainers], x)

    def vote(self, x: Array) -> NDArray[np.int64]:
        """The class that most trainers say for `x` (N, ...): (N), as `vote`."""
        return vote([trainer.predict for trainer in self.trainers], x)


def by_seed(
    make_trainer: Callable[[int], Trainer],
    seeds: Iterable[int],
    train: Any,
    validation: tuple[Array, Array],
    epochs: int = 1,
    **fit: Any,
) -> Ensemble:
    """One trainer a seed, `make_trainer(seed)`, all on the same data.

    `make_trainer` is to call `manual_seed(seed)` before it makes the model, so that models differ.
    `train`, `validation`, one pair (x, y) or a loader, `epochs` and `fit` are those of
    `Trainer.fit`; scores are what `Trainer.evaluate` gives for `validation` at the end. The order
    of a `DataLoader` is that of its own seed, for all of them. Raises ValueError where there are no
    seeds.
    """
    validation = as_arrays("by_seed", "validation", validation)
    ensemble = Ensemble([], [])
    for seed in seeds:
        _fit(ensemble, make_trainer(seed), train, validation, epochs, fit)
    if not ensemble.trainers:
        raise ValueError("[by_seed] expected one or more seeds; got none")
    return ensemble


def cross_validate(
    make_trainer: Callable[[int], Trainer],
    x: Array,
    y: Array,
    k: int = 5,
    epochs: int = 1,
    *,
    seed: int = 0,
    stratified: bool = True,
    **fit: Any,
) -> Ensemble:
    """One trainer a fold of `x` (N, ...) and `y` (N), each validated on what it has not seen.

    Fold i is trained by `make_trainer(seed + i)`; the folds are those of `k_fold`. Scores are what
    `Trainer.evaluate` gives at the end for the fold left out. They are fair as long as nothing was
    chosen by that fold: an early stop by its loss makes them a little too good.
    """
    ensemble = Ensemble([], [])
    for i, (train, left_out) in enumerate(k_fold(x, y, k, seed, stratified)):
        part, validation = (x[train], y[train]), (x[left_out], y[left_out])
        _fit(ensemble, make_trainer(seed + i), part, validation, epochs, fit)
    return ensemble


def _fit(
    ensemble: Ensemble,
    trainer: Trainer,
    train: Any,
    validation: Any,
    epochs: int,
    fit: dict[str, Any],
) -> None:
    epoch = train.epoch if isinstance(train, DataLoader) else 0
    trainer.fit(train, validation, epochs, **fit)
    if isinstance(train, DataLoader):  # the next one begins where this one did
        train.epoch = epoch
    ensemble.trainers.append(trainer)
    ensemble.scores.append(trainer.evaluate(validation))


def _members(
    name: str, members: Sequence[Member], x: Array | None, from_logits: bool
) -> NDArray[np.float64]:
    """Probabilities (members, N, C)."""
    if len(members) == 0:
        raise ValueError(f"[{name}] expected one or more members; got none")
    found = [_probabilities(name, member, x, from_logits) for member in members]
    if len({p.shape for p in found}) > 1:
        shapes = [p.shape for p in found]
        raise ValueError(f"[{name}] expected outputs of one shape of all members; got {shapes}")
    return np.stack(found)


def _probabilities(
    name: str, member: Member, x: Array | None, from_logits: bool
) -> NDArray[np.float64]:
    if not callable(member):
        return probabilities(name, checked_outputs(name, member), from_logits)
    if x is None:
        raise ValueError(f"[{name}] expected x, since a member is not an array; got None")
    if isinstance(member, nn.Module):
        outputs: ArrayLike = predict(member, x)
    else:
        outputs = member(x)
    return probabilities(name, checked_outputs(name, outputs), from_logits)
