"""Training: the trainer and its callbacks, standard networks, evaluation."""

from . import callbacks
from .callbacks import Callback
from .evaluation import evaluate, predict
from .history import History
from .models import MODELS, cnn, lenet, mlp
from .nonfinite import NonFiniteLossError
from .range_test import RangeTest, lr_find
from .trainer import Trainer

__all__ = [
    "MODELS",
    "Callback",
    "History",
    "NonFiniteLossError",
    "RangeTest",
    "Trainer",
    "callbacks",
    "cnn",
    "evaluate",
    "lenet",
    "lr_find",
    "mlp",
    "predict",
]
