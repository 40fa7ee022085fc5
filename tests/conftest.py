"""Fixtures and settings for all tests."""

from __future__ import annotations

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


@pytest.fixture
def classifier() -> TextClassifier:
    """Random but fixed weights, two classes."""
    return small_classifier()
