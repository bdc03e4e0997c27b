"""What changes the values of pixels in place: erased rectangles, noise, brightness and contrast."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import Tensor, empty
from .._C import erase
from ..nn._checks import integers, number
from ._images import images

_GREY = (0.2989, 0.587, 0.114)  # of red, green and blue, as torchvision weighs them


class _Pixels:
    def __repr__(self) -> str:
        shown = ", ".join(f"{key}={value!r}" for key, value in vars(self).items())
        return f"{type(self).__name__}({shown})"


class RandomErasing(_Pixels):
    """A rectangle set to ``value``, in an image with probability ``p`` (Zhong et al., AAAI 2020).

    ``scale`` (low, high): its share of the image, in [0, 1]. ``ratio`` (low, high): its height over
    its width, uniform in the logarithm. An image in which none of ten draws fits stays as it is.
    """

    def __init__(
        self,
        p: float = 0.5,
        scale: Sequence[float] = (0.02, 0.33),
        ratio: Sequence[float] = (0.3, 3.3),
        value: float = 0.0,
    ) -> None:
        self.p = float(number("RandomErasing", "p", p, "[0, 1]"))
        self.scale = _ordered("RandomErasing", "scale", scale, "[0, 1]")
        self.ratio = _ordered("RandomErasing", "ratio", ratio, "(0, inf)")
        self.value = float(number("RandomErasing", "value", value, "(-inf, inf)"))

    def __call__(self, x: Any) -> Tensor:
        return erase(
            images(type(self).__name__, x), self.p, self.scale, self.ratio, value=self.value
        )


class Cutout(_Pixels):
    """A rectangle about a random pixel of each image set to ``value``, cut off at the borders.

    ``size``: an int or (height, width). DeVries and Taylor, "Improved regularization of
    convolutional neural networks with cutout", arXiv 1708.04552.
    """

    def __init__(self, size: int | Sequence[int], value: float = 0.0) -> None:
        self.size = integers("Cutout", "size", size, 2)
        self.value = float(number("Cutout", "value", value, "(-inf, inf)"))

    def __call__(self, x: Any) -> Tensor:
        return erase(images(type(self).__name__, x), size=self.size, value=self.value)


class GaussianNoise(_Pixels):
    """Normal noise of ``mean`` and standard deviation ``sigma`` added to every number.

    ``clip``: the result is kept within [0, 1], as torchvision does.
    """

    def __init__(self, mean: float = 0.0, sigma: float = 0.1, clip: bool = True) -> None:
        self.mean = float(number("GaussianNoise", "mean", mean, "(-inf, inf)"))
        self.sigma = float(number("GaussianNoise", "sigma", sigma, "[0, inf)"))
        self.clip = clip

    def __call__(self, x: Any) -> Tensor:
        clean = images(type(self).__name__, x)
        noise = empty(*clean.shape, dtype=clean.dtype, device=str(clean.device))
        y = clean + noise.normal_(self.mean, self.sigma)
        return y.clip(0, 1) if self.clip else y


class ColorJitter(_Pixels):
    """Brightness, then contrast, of each image times random factors; the result is in [0, 1].

    ``brightness`` and ``contrast``: a number v for factors in [max(0, 1 - v), 1 + v], or a range
    (low, high). Contrast is about the mean of the image's grey values, which of 3 channels are
    0.2989 red + 0.587 green + 0.114 blue, and else the channels' mean.
    """

    def __init__(
        self, brightness: float | Sequence[float] = 0.0, contrast: float | Sequence[float] = 0.0
    ) -> None:
        self.brightness = _factors("brightness", brightness)
        self.contrast = _factors("contrast", contrast)

    def __call__(self, x: Any) -> Tensor:
        y = images(type(self).__name__, x)
        if self.brightness != (1.0, 1.0):
            y = (y * _drawn(y, self.brightness)).clip(0, 1)
        if self.contrast != (1.0, 1.0):
            mean = _grey(y).mean((1, 2, 3), keepdim=True)
            y = (mean + (y - mean) * _drawn(y, self.contrast)).clip(0, 1)
        return y


def _drawn(x: Tensor, factors: tuple[float, float]) -> Tensor:
    """A factor (N, 1, 1, 1) for each image."""
    made: Tensor = empty(len(x), 1, 1, 1, dtype=x.dtype, device=str(x.device))
    return made.uniform_(*factors)


def _grey(x: Tensor) -> Tensor:
    if x.shape[1] != 3:
        return x
    red, green, blue = (x[:, i : i + 1] * weight for i, weight in enumerate(_GREY))
    return red + green + blue


def _factors(argument: str, value: float | Sequence[float]) -> tuple[float, float]:
    if isinstance(value, Sequence):
        return _ordered("ColorJitter", argument, value, "[0, inf)")
    v = float(number("ColorJitter", argument, value, "[0, inf)"))
    return max(0.0, 1 - v), 1 + v


def _ordered(
    name: str, argument: str, values: Sequence[float], interval: str
) -> tuple[float, float]:
    if len(values) != 2 or not values[0] <= values[1]:
        raise ValueError(f"[{name}] {argument} must be (low, high); got {values!r}")
    low, high = (float(number(name, argument, v, interval)) for v in values)
    return low, high
