"""Scalers in scikit-learn's words: fit on the training part, transform every part."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


class Scaler:
    """``y = (x - shift_) / scale_``, one shift and scale for each index of axis 1.

    Axis 1 holds the features of (N, F), the channels of (N, C, L) and (N, C, H, W). For one
    figure per pixel, flatten the images first. float64 stays float64, all else becomes float32.
    """

    shift_: NDArray[np.float64]  # (C)
    scale_: NDArray[np.float64]  # (C), never 0

    def _measure(
        self, x: NDArray[Any], axes: tuple[int, ...]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        raise NotImplementedError

    def fit(self, x: ArrayLike) -> Scaler:
        """Measure ``x`` (N, C, ...), which is to be the training part only; returns self.

        Raises ValueError for an empty array, one without an axis 1, NaN or infinity.
        """
        a = self._checked(x)
        if a.size == 0:
            raise ValueError(f"[{type(self).__name__}] x is empty; got shape {a.shape}")
        shift, scale = self._measure(a, (0, *range(2, a.ndim)))
        if not (np.isfinite(shift).all() and np.isfinite(scale).all()):
            raise ValueError(f"[{type(self).__name__}] x must be finite; it holds NaN or infinity")
        # A constant feature, such as the dark corner of every digit, becomes 0 and not 0 / 0.
        self.shift_, self.scale_ = shift, np.where(scale == 0, 1.0, scale)
        return self

    def transform(self, x: ArrayLike) -> NDArray[Any]:
        """Scale ``x`` (N, C, ...) with what ``fit`` measured; returns a new array."""
        a = self._checked(x)
        if not hasattr(self, "shift_"):
            raise ValueError(f"[{type(self).__name__}] transform before fit")
        if a.shape[1] != len(self.shift_):
            raise ValueError(
                f"[{type(self).__name__}] fitted on {len(self.shift_)} features or channels; "
                f"got shape {a.shape}"
            )
        dtype = np.float64 if a.dtype == np.float64 else np.float32
        per_channel = (len(self.shift_),) + (1,) * (a.ndim - 2)
        y: NDArray[Any] = np.subtract(
            a, self.shift_.reshape(per_channel).astype(dtype), dtype=dtype
        )
        y /= self.scale_.reshape(per_channel).astype(dtype)
        return y

    def fit_transform(self, x: ArrayLike) -> NDArray[Any]:
        """``fit(x).transform(x)``."""
        return self.fit(x).transform(x)

    def _checked(self, x: ArrayLike) -> NDArray[Any]:
        a = np.asarray(x)
        if a.ndim < 2 or a.dtype.kind not in "fiub":
            raise ValueError(
                f"[{type(self).__name__}] x must be a numeric array (N, C, ...); "
                f"got shape {a.shape}, dtype {a.dtype}"
            )
        return a


class StandardScaler(Scaler):
    """Standardise to mean 0 and standard deviation 1 over the training part."""

    def _measure(
        self, x: NDArray[Any], axes: tuple[int, ...]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        mean = np.mean(x, axes, dtype=np.float64, keepdims=True)
        # In pieces: NumPy's var would hold a float64 copy of the whole set.
        pieces = np.array_split(x, -(-len(x) // 1024))
        total: NDArray[np.float64] = sum(
            (np.square(piece - mean).sum(axes) for piece in pieces), np.zeros(x.shape[1])
        )
        return mean.reshape(-1), np.sqrt(total * x.shape[1] / x.size)


class MinMaxScaler(Scaler):
    """Normalise to the range 0 to 1 over the training part."""

    def _measure(
        self, x: NDArray[Any], axes: tuple[int, ...]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        low = x.min(axes).astype(np.float64)
        return low, x.max(axes).astype(np.float64) - low
