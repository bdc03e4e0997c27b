"""Pictures of a network's inside: filters, feature maps, weights."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .. import Tensor, nn, no_grad
from ..nn._checks import integer
from ..train.evaluation import in_mode
from ._figure import PathLike, array, colours, displayable, done, in_unit, mosaic, new

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def filters(
    weight: Any,
    path: PathLike | None = None,
    *,
    shape: Sequence[int] | None = None,
    limit: int = 64,
) -> Figure:
    """The weights of a first layer as pictures: blue below 0, white at 0, red above.

    ``weight`` (O, C, kh, kw) or (O, C, k) of a convolution, a picture for each filter, with
    several input channels a row of pictures. ``weight`` (O, I) of a linear layer takes ``shape``,
    that of the I inputs: (C, H, W), (H, W) or (L,). At most ``limit`` pictures; the title says
    what is left out.
    """
    integer("filters", "limit", limit)
    values = array("filters", "weight", weight, (2, 3, 4))
    if values.ndim == 2:
        if shape is None or not 1 <= len(shape) <= 3 or math.prod(shape) != values.shape[1]:
            raise ValueError(
                f"[filters] expected shape, one to three axes of together {values.shape[1]} "
                f"inputs, for weight {values.shape}; got {shape}"
            )
        values = values.reshape(len(values), *shape)
        values = values[:, None] if len(shape) < 3 else values
    elif shape is not None:
        raise ValueError(f"[filters] shape is for weight (O, I) alone; got weight {values.shape}")
    values = values[:, :, None] if values.ndim == 3 else values
    outputs, channels, h, w = values.shape
    shown_channels = min(channels, max(1, math.isqrt(limit)))
    values = values[: max(1, limit // shown_channels), :shown_channels]
    columns = min(8, len(values)) if channels == 1 else shown_channels
    title = f"{len(values)} of {outputs}" if len(values) < outputs else f"{outputs}"
    title += f" filters of {h}×{w}"
    if channels > 1:
        some = f"{shown_channels} of " if shown_channels < channels else ""
        title += f", {some}{channels} input channels"
    tiles = values.reshape(-1, h, w)
    figure, axes = _for_mosaic(tiles, columns)
    peak = float(np.abs(values).max()) or 1.0
    image = mosaic(axes, tiles, columns, "RdBu_r", -peak, peak)
    axes.set_title(title, fontsize=10)
    axes.set_ylabel("filter")
    if channels > 1:
        axes.set_xlabel("input channel")
        axes.set_yticks(axes.get_yticks(), range(len(values)))
    figure.colorbar(image, ax=axes, label="weight", shrink=0.8)
    return done("filters", figure, path)


def _for_mosaic(tiles: NDArray[Any], columns: int) -> tuple[Figure, Any]:
    """A figure as tall as the tiles need, with one axes."""
    _, h, w = tiles.shape
    rows = -(-len(tiles) // columns)
    width = min(6.0, 0.75 * columns)
    height = min(12.0, max(0.8, width * rows * h / (columns * w)))
    figure = new(width + 1.6, height + 0.7)
    return figure, figure.subplots()


def feature_maps(
    model: nn.Sequential,
    image: Any,
    layer: int,
    path: PathLike | None = None,
    *,
    limit: int = 64,
) -> Figure:
    """What the layers up to number ``layer`` make of one ``image``, a picture for each map.

    ``image`` is a single input of the model, (C, H, W) or (C, L), without batch axis; it is shown
    at the left. The output of ``model[:layer + 1]``, in evaluation mode, must have maps:
    (1, C, H, W) or (1, C, L).
    """
    if not isinstance(model, nn.Sequential):
        raise TypeError(f"[feature_maps] expected an nn.Sequential; got {type(model).__name__}")
    integer("feature_maps", "limit", limit)
    x = array("feature_maps", "image", image, (2, 3))
    last = model[layer]  # refuses a number that is none
    layer = layer % len(model)
    maps = array("feature_maps", "activations", _outputs(model[: layer + 1], x), (2, 3, 4))[0]
    if maps.ndim == 1:
        raise ValueError(
            f"[feature_maps] expected a layer with maps, (1, C, H, W) or (1, C, L); layer {layer}, "
            f"{type(last).__name__}, gives (1, {len(maps)})"
        )
    maps = maps if maps.ndim == 3 else maps[:, None]
    count = len(maps)
    maps = maps[:limit]
    columns = min(8, len(maps))
    figure, axes = _for_mosaic(maps, columns)
    width, height = figure.get_size_inches()
    figure.set_size_inches(width + 1.8, max(height, 2.2))
    figure.clear()
    left, axes = figure.subplots(1, 2, width_ratios=(1.8, width))
    if x.ndim == 3:
        left.imshow(displayable(in_unit([x])[0]), cmap="gray")
        left.set(xticks=[], yticks=[])
    else:
        left.plot(x.T)
    left.set_title("input", fontsize=10)
    picture = mosaic(axes, maps, columns, "viridis", float(maps.min()), float(maps.max()))
    some = f"{len(maps)} of " if len(maps) < count else ""
    axes.set_title(f"{some}{count} maps of layer {layer}, {type(last).__name__}", fontsize=10)
    figure.colorbar(picture, ax=axes, label="activation", shrink=0.8)
    return done("feature_maps", figure, path)


def _outputs(layers: nn.Sequential, x: NDArray[Any]) -> Tensor:
    first = next(layers.parameters(), None)
    kind = {} if first is None else {"dtype": first.dtype, "device": first.device}
    with no_grad(), in_mode(layers, training=False):
        output: Tensor = layers(Tensor(x[None]).to(**kind))
    return output


def weight_histograms(
    weights: nn.Module | Mapping[str, Any], path: PathLike | None = None, *, bins: int = 50
) -> Figure:
    """How the weights of each layer are distributed, with their mean and standard deviation.

    ``weights`` is a model or a state_dict; drawn are its parameters or arrays of two or more axes.
    Raises ValueError where there are none, and for weights that are NaN or infinite.
    """
    integer("weight_histograms", "bins", bins)
    if isinstance(weights, nn.Module):
        weights = dict(weights.named_parameters())
    drawn = {key: value for key, value in weights.items() if len(value.shape) > 1}
    if not drawn:
        raise ValueError(
            f"[weight_histograms] expected weights of two or more axes; got {list(weights)}"
        )
    columns = min(2 if len(drawn) == 4 else 3, len(drawn))
    rows = -(-len(drawn) // columns)
    figure = new(0.4 + 3 * columns, 0.4 + 2.3 * rows)
    grid = figure.subplots(rows, columns, squeeze=False).flat
    for axes, (key, value) in zip(grid, drawn.items(), strict=False):
        values = array("weight_histograms", key, value, range(2, 9))
        axes.hist(values.ravel(), bins=bins, color=colours(1)[0])
        axes.set_title(
            f"{key}  {'×'.join(map(str, values.shape))}\n"
            f"mean {values.mean():.2g}, standard deviation {values.std():.2g}",
            fontsize=8,
        )
        axes.tick_params(labelsize=8)
        axes.locator_params(axis="x", nbins=5)
        axes.grid(alpha=0.3)
    for axes in figure.axes[len(drawn) :]:
        axes.set_axis_off()
    figure.supxlabel("weight", fontsize=9)
    figure.supylabel("count", fontsize=9)
    return done("weight_histograms", figure, path)
