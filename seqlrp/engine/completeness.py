"""Warns once per call when the ledger of a method leaves out much of the score.

A method that supports this check has `describe_incompleteness`, which is called after all documents
of a call, however they were batched.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from seqlrp.engine.ledger import Ledger
from seqlrp.errors import AccountWarning


class CompletenessTotals:
    """Absolute amounts of the ledgers of many documents, summed.

    Attributes:
        sizes: Σ |amount| of each kind of entry.
        missing: Σ |score − all entries|.
        expected: Σ |score − its baseline|, or Σ |score| where the ledger has no baseline: the
            relevance that the words should have.
    """

    def __init__(self) -> None:
        self.sizes: dict[str, float] = {}
        self.missing = 0.0
        self.expected = 0.0

    def add(self, amounts: Mapping[str, Any], score: Any) -> None:
        """Add documents: amounts by kind, numbers or arrays, and the scores they account for."""
        by_kind = {kind: np.asarray(amount, np.float64) for kind, amount in amounts.items()}
        score = np.asarray(score, np.float64)
        for kind, amount in by_kind.items():
            self.sizes[kind] = self.sizes.get(kind, 0.0) + float(np.abs(amount).sum())
        self.missing += float(np.abs(score - sum(by_kind.values())).sum())
        self.expected += float(np.abs(score - by_kind.get("baseline", 0.0)).sum())

    @classmethod
    def of_ledger(cls, ledger: Ledger) -> CompletenessTotals:
        """Return the totals of the documents of one ledger."""
        totals = cls()
        amounts = {kind: amount.cpu().numpy() for kind, amount in ledger.totals.items()}
        totals.add(amounts, ledger.score.cpu().numpy())
        return totals


def totals_for(method: Any) -> CompletenessTotals | None:
    """Return empty totals for a method with `describe_incompleteness`, None for others."""
    return CompletenessTotals() if hasattr(method, "describe_incompleteness") else None


def warn_if_incomplete(
    method: Any, totals: CompletenessTotals | None, *, stacklevel: int = 2
) -> None:
    """Warn if the method finds that its relevance leaves out too much of the score.

    Args:
        method: the method.
        totals: the totals of all documents of the call; None where the method has no such check.
        stacklevel: the frame that the warning names: 1 is the caller, 2 the caller's caller.
    """
    message = None if totals is None else method.describe_incompleteness(totals)
    if message is not None:
        warnings.warn(message, AccountWarning, stacklevel=stacklevel + 1)
