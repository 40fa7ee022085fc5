"""Fixtures for all tests."""

from __future__ import annotations

import pytest
from classifier_samples import small_classifier

from seqlrp.text_classifier import TextClassifier


@pytest.fixture
def classifier() -> TextClassifier:
    """Random but fixed weights, two classes."""
    return small_classifier()
