"""Optional packages, imported at the moment they are used."""

from __future__ import annotations

import importlib
from typing import Any


def need(module: str, extra: str, user: str) -> Any:
    """Import ``module``; where that fails, an ImportError says for whom and what to install."""
    package = module.partition(".")[0]
    try:
        importlib.import_module(package)
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != package:
            raise _broken(package, user, error) from error
        name = {"sklearn": "scikit-learn", "PIL": "pillow"}.get(package, package)
        raise ImportError(
            f"[{user}] needs {package}, which is not installed: pip install {name}, or install "
            f"fastnn with its extra {extra!r}"
        ) from None
    except Exception as error:  # a compiled package can fail in any way: torch and torchvision do
        raise _broken(package, user, error) from error


def _broken(package: str, user: str, error: Exception) -> ImportError:
    return ImportError(
        f"[{user}] {package} is installed but cannot be imported "
        f"({type(error).__name__}: {error}): reinstall it with the packages it needs"
    )
