"""Datasets over arrays, and the loader that turns them into batches."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import Tensor, from_numpy, initial_seed

_DTYPES = frozenset(("float32", "float64", "int64", "int32", "uint8", "bool"))


class Dataset:
    """Examples by number: subclasses define ``__len__`` and ``__getitem__(int)``.

    An example is an array, a number, or a tuple or list of these.
    """

    def __len__(self) -> int:
        raise NotImplementedError

    def __getitem__(self, index: int) -> Any:
        raise NotImplementedError

    def batch(self, index: NDArray[np.intp]) -> tuple[NDArray[Any], ...]:
        """The examples ``index`` (B) as arrays with a first axis of B; override to be faster."""
        examples = [self[int(i)] for i in index]
        columns = zip(*(e if isinstance(e, (tuple, list)) else (e,) for e in examples), strict=True)
        return tuple(_checked(np.stack(column)) for column in columns)


class TensorDataset(Dataset):
    """Arrays of equal length: example i is ``(x[i], y[i], ...)``.

    The arrays are kept as they are, without a copy, but for labels: a 1-D integer array becomes
    int64. Raises ValueError for different lengths, TypeError for a dtype no tensor has.
    """

    def __init__(self, *arrays: ArrayLike) -> None:
        self.arrays = tuple(_checked(np.asarray(a)) for a in arrays)
        if not self.arrays or len({len(a) for a in self.arrays}) > 1:
            shapes = [a.shape for a in self.arrays]
            raise ValueError(f"[TensorDataset] arrays must have one length; got shapes {shapes}")

    def __len__(self) -> int:
        return len(self.arrays[0])

    def __getitem__(self, index: Any) -> tuple[Any, ...]:
        return tuple(a[index] for a in self.arrays)

    def batch(self, index: NDArray[np.intp]) -> tuple[NDArray[Any], ...]:
        """The examples ``index`` (B), gathered by one indexing operation an array."""
        return tuple(a.take(index, axis=0) for a in self.arrays)


class DataLoader:
    """Iterate over a dataset in batches of tensors.

    ``dataset`` is a `Dataset`, or a tuple of arrays such as ``(x, y)``. Every batch is a tuple of
    tensors with a first axis of ``batch_size``; the last may be shorter unless ``drop_last``.
    Floats keep their dtype, labels (1-D integers) are int64.

    With ``shuffle`` the order depends on ``seed``, by default that of ``manual_seed``, and on
    ``epoch`` alone, a counter that each ``iter()`` advances: the same seed gives the same batches,
    whatever else draws random numbers. Set ``loader.epoch`` to continue a run.

    Raises ValueError for a batch_size below 1 or an empty dataset.
    """

    def __init__(
        self,
        dataset: Dataset | Sequence[ArrayLike],
        batch_size: int = 1,
        shuffle: bool = False,
        drop_last: bool = False,
        seed: int | None = None,
    ) -> None:
        if not isinstance(dataset, Dataset):
            if not isinstance(dataset, (tuple, list)):
                raise TypeError(
                    f"[DataLoader] dataset must be a Dataset or a tuple of arrays such as (x, y); "
                    f"got {type(dataset).__name__}"
                )
            dataset = TensorDataset(*dataset)
        seed = initial_seed() if seed is None else seed
        for name, value, least in (("batch_size", batch_size, 1), ("seed", seed, 0)):
            whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
            if not whole or value < least:
                raise ValueError(f"[DataLoader] {name} must be an int >= {least}; got {value!r}")
        if len(dataset) == 0:
            raise ValueError("[DataLoader] dataset is empty")
        self.dataset, self.batch_size, self.shuffle = dataset, int(batch_size), shuffle
        self.drop_last, self.seed, self.epoch = drop_last, int(seed), 0

    def __len__(self) -> int:
        """The number of batches in an epoch."""
        batches = len(self.dataset) / self.batch_size
        return math.floor(batches) if self.drop_last else math.ceil(batches)

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        batches = self.batches()
        self.epoch += 1
        return batches

    def batches(self, first: int = 0, steps: int | None = None) -> Iterator[tuple[Tensor, ...]]:
        """The batches of this epoch from number `first` on, all or `steps` of them."""
        count, size = len(self.dataset), self.batch_size
        order = shuffled(count, self.seed, self.epoch) if self.shuffle else np.arange(count)
        end = len(self) if steps is None else min(len(self), first + steps)
        return (
            tuple(from_numpy(a) for a in self.dataset.batch(order[n * size : (n + 1) * size]))
            for n in range(first, end)
        )


@lru_cache(maxsize=1)  # for epochs that are run in parts
def shuffled(count: int, seed: int, epoch: int) -> NDArray[np.intp]:
    """The numbers below `count` in the order in which that epoch takes the examples."""
    order = np.arange(count)
    np.random.default_rng((seed, epoch)).shuffle(order)
    order.flags.writeable = False
    return order


def _checked(a: NDArray[Any]) -> NDArray[Any]:
    if a.ndim == 1 and a.dtype.kind in "iu" and np.can_cast(a.dtype, np.int64):
        return a.astype(np.int64, copy=False)
    if a.ndim == 0 or a.dtype.name not in _DTYPES or not a.dtype.isnative:
        raise TypeError(
            f"[TensorDataset] arrays must have a first axis and a dtype of {sorted(_DTYPES)}; "
            f"got shape {a.shape}, dtype {a.dtype}"
        )
    return a
