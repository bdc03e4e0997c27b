"""Pictures of runs, networks and what they get wrong. Needs matplotlib (extra ``plot``).

Each function returns a matplotlib ``Figure`` and, given a ``path``, also writes it: a PNG or an
SVG, as the name ends in .png or .svg. Nothing here imports pyplot, needs a display or keeps global
state, so plots of the caller's own are left alone. Arrays may be NumPy's or tensors of any device.
Raises ValueError for arrays of other shapes, numbers that are not finite, and another ending of the
name, ImportError without matplotlib.
"""

from .classes import confusion_matrix, latent_plane, reliability_diagram
from .curves import curves, gradient_norms, lr_finder
from .images import mistakes
from .layers import feature_maps, filters, weight_histograms

__all__ = [
    "confusion_matrix",
    "curves",
    "feature_maps",
    "filters",
    "gradient_norms",
    "latent_plane",
    "lr_finder",
    "mistakes",
    "reliability_diagram",
    "weight_histograms",
]
