"""Random changes of training images, batched, on the CPU and on GPUs, in recorded steps or out.

Each is a callable from images (N, C, H, W), float32 or float64, tensors or arrays, to a new tensor
of them; `MixUp` takes (images, targets). Names and arguments are those of
torchvision.transforms.v2, where it has them. Every image gets random numbers of its own, from the
generator that `manual_seed` starts. There is no gradient through them: they raise TypeError where
one is wanted and for integer images, and ValueError for other shapes.
"""

from .compose import Compose
from .expand import expand, expand_files
from .geometry import (
    ElasticTransform,
    RandomAffine,
    RandomCrop,
    RandomHorizontalFlip,
    RandomRotation,
    RandomVerticalFlip,
    Shift,
)
from .mix import MixUp
from .pixels import ColorJitter, Cutout, GaussianNoise, RandomErasing
from .preview import preview

__all__ = [
    "ColorJitter",
    "Compose",
    "Cutout",
    "ElasticTransform",
    "GaussianNoise",
    "MixUp",
    "RandomAffine",
    "RandomCrop",
    "RandomErasing",
    "RandomHorizontalFlip",
    "RandomRotation",
    "RandomVerticalFlip",
    "Shift",
    "expand",
    "expand_files",
    "preview",
]
