"""Explanations by their words and numbers alone, for tests of sums over documents."""

from __future__ import annotations

from typing import Any

from samples.explanations import explanation
from seqlrp.explanations.record import Explanation


def words(text: str, relevance: list[float], **changes: Any) -> Explanation:
    """An explanation of these words with these numbers."""
    return explanation(text, relevance=relevance, ledger={}, **changes)
