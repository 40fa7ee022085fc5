"""scikit-learn, which the analysis of a corpus needs: loaded on first use, or how to install it."""

from __future__ import annotations

import importlib
from typing import Any

from seqlrp.errors import MissingPackageError


def scikit(module: str) -> Any:
    """Import a module of scikit-learn, such as "neighbors".

    Raises:
        MissingPackageError: scikit-learn is not installed.
    """
    try:
        return importlib.import_module(f"sklearn.{module}")
    except ImportError as error:
        raise MissingPackageError(
            "The analysis of a corpus needs scikit-learn, which is not installed: "
            'pip install "seqlrp[sklearn]"'
        ) from error
