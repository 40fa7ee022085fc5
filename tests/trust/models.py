"""All models of the suite."""

from __future__ import annotations

import importlib
from pathlib import Path

from trust.judge import CASES

for path in sorted(Path(__file__).parent.glob("models_*.py")):
    importlib.import_module(f"trust.{path.stem}")

__all__ = ["CASES"]
