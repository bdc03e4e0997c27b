"""What a `Trainer` calls between its steps: to show, to save, to stop."""

from .base import Callback
from .logs import CSVLogger, NormLogger, ProgressBar, TensorBoardLogger
from .saving import Checkpoint
from .stopping import EarlyStopping, TimeLimit

__all__ = [
    "CSVLogger",
    "Callback",
    "Checkpoint",
    "EarlyStopping",
    "NormLogger",
    "ProgressBar",
    "TensorBoardLogger",
    "TimeLimit",
]
