"""Pictures from files, made to look like the examples a model was trained on."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._extras import need


def read_image(
    path: str, shape: tuple[int, ...], invert: bool = False
) -> tuple[NDArray[np.float32], str]:
    """A picture as an array of ``shape`` (C, H, W) in [0, 1], and what was done to make it so.

    Turned to grayscale or colour as C is 1 or 3, and resized. Transparency is laid on white.
    Raises FileNotFoundError, and ValueError for a file that is no picture.
    """
    library = need("PIL.Image", "train", "predict")
    if len(shape) != 3 or shape[0] not in (1, 3):
        raise ValueError(f"[predict] this model takes inputs of shape {shape}, not pictures")
    channels, height, width = shape
    try:
        with library.open(path) as image:
            picture, done = _convert(library, image, "L" if channels == 1 else "RGB")
    except FileNotFoundError:
        raise FileNotFoundError(f"[predict] no file {path}") from None
    except Exception as error:  # decoders raise OSError, SyntaxError, zlib.error, ...
        raise ValueError(f"[predict] {path} cannot be read as a picture: {error}") from error
    if picture.size != (width, height):
        done.append(f"resized from {picture.width}x{picture.height} to {width}x{height}")
        # A smaller picture is made of means, as the digits themselves were.
        shrinks = picture.width > width and picture.height > height
        kind = library.Resampling.BOX if shrinks else library.Resampling.BILINEAR
        picture = picture.resize((width, height), kind)
    array: NDArray[np.float32] = np.asarray(picture, dtype=np.float32) / np.float32(255)
    if invert:
        array = np.float32(1) - array
        done.append("inverted")
    elif channels == 1 and np.concatenate([array[[0, -1]].ravel(), array[:, 0]]).mean() > 0.5:
        print(
            f"{path}: the background is light; if training images are light on dark, as digits "
            f"are, use --invert",
            file=sys.stderr,
        )
    return array.reshape(height, width, channels).transpose(2, 0, 1), ", ".join(done) or "as it is"


def _convert(library: Any, image: Any, mode: str) -> tuple[Any, list[str]]:
    done = []
    if image.mode.startswith("I"):  # 16 bits: Pillow's own conversion clips at 255
        image = library.fromarray(np.clip(np.asarray(image) // 257, 0, 255).astype(np.uint8))
        done.append("16 bits to 8")
    if "A" in image.getbands() or "transparency" in image.info:
        image = image.convert("RGBA")
        image = library.alpha_composite(library.new("RGBA", image.size, "white"), image)
        done.append("laid on white")
    if image.mode != mode:
        done.append("to grayscale" if mode == "L" else "to RGB")
    return image.convert(mode), done
