"""When a method's own account says that its relevance misses too much: one warning a call.

A method that has `doubt` is asked after all documents of a call, whatever the batches were.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from seqlrp.errors import AccountWarning
from seqlrp.lrp.ledger import Ledger


class Tally:
    """What the accounts of documents hold, without signs, summed over a call.

    Attributes:
        sizes: how much each kind of the ledger took.
        missing: how much the accounts miss of what they should add up to.
        due: how much the words should have: what is explained, less its baseline where there is
            one.
    """

    def __init__(self) -> None:
        self.sizes: dict[str, float] = {}
        self.missing = 0.0
        self.due = 0.0

    def add(self, amounts: Mapping[str, Any], start: Any) -> None:
        """Add documents: amounts by kind, numbers or arrays, and what they should add up to."""
        given = {kind: np.asarray(amount, np.float64) for kind, amount in amounts.items()}
        begun = np.asarray(start, np.float64)
        for kind, amount in given.items():
            self.sizes[kind] = self.sizes.get(kind, 0.0) + float(np.abs(amount).sum())
        self.missing += float(np.abs(begun - sum(given.values())).sum())
        self.due += float(np.abs(begun - given.get("baseline", 0.0)).sum())


def tally_for(method: Any) -> Tally | None:
    """An empty tally for a method that looks at it, None for others."""
    return Tally() if hasattr(method, "doubt") else None


def tell(method: Any, tally: Tally | None, *, stacklevel: int = 2) -> None:
    """Warn of what the method doubts of its own relevance, if anything."""
    said = None if tally is None else method.doubt(tally)
    if said is not None:
        warnings.warn(said, AccountWarning, stacklevel=stacklevel + 1)


def tell_of(method: Any, ledger: Ledger) -> None:
    """As `tell`, of the documents of one ledger."""
    tally = Tally()
    totals = {kind: amount.cpu().numpy() for kind, amount in ledger.totals.items()}
    tally.add(totals, ledger.score.cpu().numpy())
    tell(method, tally, stacklevel=3)
