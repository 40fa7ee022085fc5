"""Fixtures for all tests."""

from __future__ import annotations

import pytest
from classifier_samples import small_classifier
from hypothesis import settings

from seqlrp.text_classifier import TextClassifier

# A busy machine is no failure; first examples load packages.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")


@pytest.fixture
def classifier() -> TextClassifier:
    """Random but fixed weights, two classes."""
    return small_classifier()
