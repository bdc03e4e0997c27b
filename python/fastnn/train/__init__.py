"""Training: standard networks and the loop that trains them."""

from .loop import History, cosine, evaluate, fit, predict
from .models import MODELS, cnn, lenet, mlp

__all__ = ["MODELS", "History", "cnn", "cosine", "evaluate", "fit", "lenet", "mlp", "predict"]
