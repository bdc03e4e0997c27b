"""What moves pixels: affine maps and elastic fields, several of them in one bilinear resampling."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .. import Tensor
from .._C import warp
from ..nn._checks import integers, number
from ._images import images

Size = tuple[int, int]
Range = tuple[float, float]
NONE: Range = (0.0, 0.0)
MOST_STAGES = 8
"""Maps that one resampling takes."""


@dataclass(frozen=True)
class Stage:
    """A random affine map: flips, then shears and scale, a turn, a shift by whole pixels.

    Each range is uniform, flips are probabilities; angles are in degrees, positive ones clockwise.
    The rest happens about the centre (x, y) of the image.
    """

    degrees: Range = NONE
    x: Range = NONE
    y: Range = NONE
    scale: Range = (1.0, 1.0)
    shear_x: Range = NONE
    shear_y: Range = NONE
    flips: tuple[float, float] = NONE
    centre: tuple[float, float] = NONE

    def numbers(self) -> list[float]:
        """As the operation takes them."""
        ranges = (self.degrees, self.x, self.y, self.scale, self.shear_x, self.shear_y)
        return [*(end for ends in ranges for end in ends), *self.flips, *self.centre]


class Geometric:
    """What changes images by places alone; `Compose` joins neighbours that have one fill."""

    fill: float | str | None = None  # of what is outside; None where nothing of that comes in
    alpha, sigma = 0.0, 1.0  # of the elastic field, if there is one

    def result(self, size: Size) -> Size:
        """The (height, width) that images of this one get."""
        return size

    def stages(self, size: Size) -> list[Stage]:
        """The affine maps, in the order in which they are applied."""
        return []

    def __call__(self, x: Any) -> Tensor:
        """Images (N, C, H, W), resampled."""
        return resample([self], x)

    def __repr__(self) -> str:
        shown = (f"{key}={value!r}" for key, value in vars(self).items() if key[0] != "_")
        return f"{type(self).__name__}({', '.join(shown)})"


def resample(transforms: Sequence[Geometric], x: Any) -> Tensor:
    """Images (N, C, H, W) after these transforms, of one fill and at most one field."""
    tensor = images(type(transforms[0]).__name__, x)
    size: Size = tuple(tensor.shape[2:])
    numbers = []
    for t in transforms:
        numbers += [stage.numbers() for stage in t.stages(size)]
        size = t.result(size)
    alpha, sigma = next(((t.alpha, t.sigma) for t in transforms if t.alpha), (0.0, 1.0))
    fill = next((t.fill for t in transforms if t.fill is not None), 0.0)
    edge = fill == "edge"
    resampled: Tensor = warp(tensor, numbers, size, alpha, sigma, 0.0 if edge else fill, edge)
    return resampled


class RandomAffine(Geometric):
    """Turn, shift, scale and shear about the centre.

    ``degrees``: a number d for angles in (-d, d), or a range (low, high). ``translate`` (a, b):
    shifts by at most the shares a of the width and b of the height, in [0, 1], to whole pixels.
    ``scale`` (low, high), in [0.001, 1000]. ``shear``: degrees along x, a number, a range, or
    ranges (x low, x high, y low, y high). ``fill``: what is outside, a number, or "edge" for the
    nearest pixel. Between pixels it is bilinear. Raises ValueError for a value outside these.
    """

    def __init__(
        self,
        degrees: float | Sequence[float],
        translate: Sequence[float] | None = None,
        scale: Sequence[float] | None = None,
        shear: float | Sequence[float] | None = None,
        fill: float | str = 0.0,
    ) -> None:
        self.degrees = _range("RandomAffine", "degrees", degrees, "(-inf, inf)")
        self.translate = (
            None
            if translate is None
            else _numbers("RandomAffine", "translate", translate, 2, "[0, 1]")
        )
        self.scale = (
            None if scale is None else _pair("RandomAffine", "scale", scale, "[0.001, 1000]")
        )
        self.shear = None if shear is None else _shear(shear)
        self.fill = _fill("RandomAffine", fill)

    def stages(self, size: Size) -> list[Stage]:
        h, w = size
        x, y = (0.0, 0.0) if self.translate is None else self.translate
        return [
            Stage(
                degrees=self.degrees,
                x=(-x * w, x * w),
                y=(-y * h, y * h),
                scale=self.scale or (1.0, 1.0),
                shear_x=self.shear[:2] if self.shear else NONE,
                shear_y=self.shear[2:] if self.shear else NONE,
                centre=_centre(size),
            )
        ]


class RandomRotation(Geometric):
    """Turn about the centre, counter-clockwise, by an angle in (-degrees, degrees) or of a range.

    ``fill`` as in `RandomAffine`. Raises ValueError for negative degrees.
    """

    def __init__(self, degrees: float | Sequence[float], fill: float | str = 0.0) -> None:
        self.degrees = _range("RandomRotation", "degrees", degrees, "(-inf, inf)")
        self.fill = _fill("RandomRotation", fill)

    def stages(self, size: Size) -> list[Stage]:
        low, high = self.degrees
        return [Stage(degrees=(-high, -low), centre=_centre(size))]


class Shift(Geometric):
    """Shift by a whole number of pixels, of -``pixels`` to ``pixels`` in x and in y: nothing blurs.

    ``pixels``: an int, or a pair (y, x). ``fill`` as in `RandomAffine`.
    """

    def __init__(self, pixels: int | Sequence[int], fill: float | str = 0.0) -> None:
        self.pixels = integers("Shift", "pixels", pixels, 2, 0)
        self.fill = _fill("Shift", fill)

    def stages(self, size: Size) -> list[Stage]:
        y, x = self.pixels
        return [Stage(x=_whole(-x, x), y=_whole(-y, y))]


class RandomCrop(Geometric):
    """A part of ``size``, an int or (height, width), at a random whole pixel of the padded image.

    ``padding``: pixels added on every side, an int or a pair (left and right, top and bottom), with
    ``fill`` as in `RandomAffine`. Raises ValueError, when called, for images that are too small.
    """

    def __init__(
        self,
        size: int | Sequence[int],
        padding: int | Sequence[int] | None = None,
        fill: float | str = 0.0,
    ) -> None:
        self.size = integers("RandomCrop", "size", size, 2)
        self.padding = integers("RandomCrop", "padding", 0 if padding is None else padding, 2, 0)
        self.fill = _fill("RandomCrop", fill)

    def result(self, size: Size) -> Size:
        return self.size[0], self.size[1]

    def stages(self, size: Size) -> list[Stage]:
        (h, w), (pad_x, pad_y) = size, self.padding
        room_y, room_x = h + 2 * pad_y - self.size[0], w + 2 * pad_x - self.size[1]
        if room_y < 0 or room_x < 0:
            raise ValueError(
                f"[RandomCrop] size {self.size} is larger than images of {size} with padding "
                f"{self.padding}"
            )
        return [Stage(x=_whole(pad_x - room_x, pad_x), y=_whole(pad_y - room_y, pad_y))]


class RandomHorizontalFlip(Geometric):
    """Left and right exchanged, with probability ``p``."""

    def __init__(self, p: float = 0.5) -> None:
        self.p = float(number("RandomHorizontalFlip", "p", p, "[0, 1]"))

    def stages(self, size: Size) -> list[Stage]:
        return [Stage(flips=(self.p, 0.0), centre=_centre(size))]


class RandomVerticalFlip(Geometric):
    """Top and bottom exchanged, with probability ``p``."""

    def __init__(self, p: float = 0.5) -> None:
        self.p = float(number("RandomVerticalFlip", "p", p, "[0, 1]"))

    def stages(self, size: Size) -> list[Stage]:
        return [Stage(flips=(0.0, self.p), centre=_centre(size))]


class ElasticTransform(Geometric):
    """Elastic distortion: every pixel moves by a smooth random field.

    Uniform noise on (-1, 1), smoothed by a Gaussian of ``sigma`` pixels and multiplied by
    ``alpha``, in pixels: Simard, Steinkraus and Platt, "Best practices for convolutional neural
    networks applied to visual document analysis", ICDAR 2003, who take 34 and 4 for digits of 29 x
    29. (torchvision's alpha is in half pixels: twice this one.) The noise goes on around the
    borders, so that the field is alike everywhere. ``fill`` as in `RandomAffine`. Raises ValueError
    for alpha below 0 and sigma outside (0, 10000].
    """

    def __init__(self, alpha: float = 34.0, sigma: float = 4.0, fill: float | str = 0.0) -> None:
        self.alpha = float(number("ElasticTransform", "alpha", alpha, "[0, inf)"))
        self.sigma = float(number("ElasticTransform", "sigma", sigma, "(0, 10000]"))
        self.fill = _fill("ElasticTransform", fill)


def _centre(size: Size) -> tuple[float, float]:
    return (size[1] - 1) / 2, (size[0] - 1) / 2


def _whole(low: int, high: int) -> Range:
    """The range that rounds to each whole number of [low, high] alike."""
    return low - 0.5, high + 0.5


def _fill(name: str, fill: float | str) -> float | str:
    if isinstance(fill, str):
        if fill != "edge":
            raise ValueError(f"[{name}] fill must be a number or 'edge'; got {fill!r}")
        return fill
    return float(number(name, "fill", fill, "(-inf, inf)"))


def _numbers(
    name: str, argument: str, values: Sequence[float], count: int, interval: str
) -> tuple[float, ...]:
    if isinstance(values, str) or not isinstance(values, Sequence) or len(values) != count:
        raise ValueError(f"[{name}] {argument} must have {count} values; got {values!r}")
    return tuple(float(number(name, argument, v, interval)) for v in values)


def _range(name: str, argument: str, value: float | Sequence[float], interval: str) -> Range:
    """(low, high) from such a pair, or (-value, value)."""
    if isinstance(value, str) or not isinstance(value, Sequence):
        half = float(number(name, argument, value, "[0, inf)"))
        return -half, half
    return _pair(name, argument, value, interval)


def _pair(name: str, argument: str, value: Sequence[float], interval: str) -> Range:
    """(low, high) from such a pair."""
    low, high = _numbers(name, argument, value, 2, interval)
    if low > high:
        raise ValueError(f"[{name}] {argument} must be (low, high); got {value!r}")
    return low, high


def _shear(shear: float | Sequence[float]) -> tuple[float, float, float, float]:
    if isinstance(shear, Sequence) and len(shear) == 4:
        x, y = shear[:2], shear[2:]
    else:
        x, y = shear, (0.0, 0.0)  # type: ignore[assignment]
    ranges = _range("RandomAffine", "shear", x, "(-90, 90)") + _range(
        "RandomAffine", "shear", y, "(-90, 90)"
    )
    for angle in ranges:
        number("RandomAffine", "shear", angle, "(-90, 90)")
    return ranges
