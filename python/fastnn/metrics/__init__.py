"""Measures of classifiers: errors, calibration, and how sure one can be of them.

They take outputs (N, C), NumPy arrays or tensors on the CPU, and labels (N), integers. Those that
only compare outputs (accuracies, confusion matrix, precision, recall, F1) take logits or
probabilities alike; the rest take logits, and probabilities where `from_logits` is False. Raises
ValueError for shapes that do not fit, labels out of range and outputs that are NaN, TypeError for
what is no number; ImportError without scikit-learn and SciPy (extra ``train``) where they are used.
"""

from .calibration import (
    Reliability,
    expected_calibration_error,
    fit_temperature,
    reliability_curve,
)
from .classification import (
    accuracy,
    confusion_matrix,
    f1,
    log_loss,
    precision,
    recall,
    report,
    top_k_accuracy,
)
from .significance import McNemar, mcnemar, proportion_interval

__all__ = [
    "McNemar",
    "Reliability",
    "accuracy",
    "confusion_matrix",
    "expected_calibration_error",
    "f1",
    "fit_temperature",
    "log_loss",
    "mcnemar",
    "precision",
    "proportion_interval",
    "recall",
    "reliability_curve",
    "report",
    "top_k_accuracy",
]
