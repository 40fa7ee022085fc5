"""Fixtures and settings for all tests."""

from __future__ import annotations

import gc
import os

# Small models compute faster on one thread, and processes share the cores. This is set before NumPy
# and torch are imported, and processes that tests start inherit it.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch
from hypothesis import settings
from samples.classifiers import small_classifier
from samples.examples import PART, THOROUGH

from seqlrp.models.classifier import TextClassifier

torch.set_num_threads(1)
# A busy machine is no failure, so there is no deadline.
settings.register_profile("default", deadline=None, max_examples=THOROUGH // PART)
settings.register_profile("thorough", deadline=None, max_examples=THOROUGH)
settings.load_profile("default")


def pytest_collection() -> None:
    """Look for no garbage in modules and tests, of which none is."""
    gc.disable()


def pytest_collection_finish() -> None:
    """From now on look for it in what the tests make."""
    gc.freeze()
    gc.enable()


@pytest.fixture
def classifier() -> TextClassifier:
    """Random but fixed weights, two classes."""
    return small_classifier()


@pytest.fixture
def without_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Save evaluations with empty pictures, where a test is not about these: they take a second."""
    from matplotlib.figure import Figure

    from seqlrp import EvaluationReport

    for name in ("plot", "plot_results"):
        monkeypatch.setattr(EvaluationReport, name, lambda report: Figure((1, 1)))
