"""Arrays in, batches out: datasets, loaders, splits and scalers over NumPy arrays."""

from .loader import DataLoader, Dataset, TensorDataset
from .scale import MinMaxScaler, StandardScaler
from .sets import (
    CLASSES,
    cifar10,
    digits,
    fashion_mnist,
    kmnist,
    mnist,
    mnist1d,
)
from .split import train_val_test_split

__all__ = [
    "CLASSES",
    "DataLoader",
    "Dataset",
    "MinMaxScaler",
    "StandardScaler",
    "TensorDataset",
    "cifar10",
    "digits",
    "fashion_mnist",
    "kmnist",
    "mnist",
    "mnist1d",
    "train_val_test_split",
]
