"""The ledger: where relevance ends, by operation and document, recorded in the backward pass.

    score = Σ tokens + Σ padding + Σ biases + Σ stabilisers + Σ initial states + Σ constants
            + Σ gates that pass nothing on + Σ inputs of exactly 0 + Σ functions without a law

Each entry is measured in the operation where relevance ends, as Σ γ·a; no entry is a difference of
other entries, so `Ledger.residual` is an independent check.

Methods that compare a text with a baseline keep a shorter account, `AGAINST_BASELINE`:

    score = Σ tokens + the baseline's score + what the method fails to account for
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from seqlrp.errors import OptionError, near

KINDS = (
    "tokens", "padding", "bias", "stabiliser", "initial state", "constant", "gate", "zero input",
    "refused",
)  # fmt: skip
AGAINST_BASELINE = ("tokens", "baseline")


@dataclass(frozen=True)
class Entry:
    """Relevance that ended in one operation.

    Attributes:
        kind: one of the ledger's `kinds`.
        operation: the operation that absorbed it, e.g. `"linear"` or `"lstm bias_ih_l0"`.
        module: the dotted name of the module it ran in; "" is the model itself.
        amount: relevance, float64 `[B]`, or `[B, C]` for `target="all"`; units of the score.
    """

    kind: str
    operation: str
    module: str
    amount: Tensor


@dataclass(frozen=True, repr=False)
class Ledger:
    """The account of a whole score: float64 `[B]`, or `[B, C]` for `target="all"`."""

    score: Tensor
    entries: tuple[Entry, ...]
    kinds: tuple[str, ...] = KINDS

    def __repr__(self) -> str:
        """Show the totals over all documents that are not 0; `entries` has everything."""
        shown = {kind: total for kind, total in self.totals.items() if bool((total != 0).any())}
        sums = ", ".join(f"{kind} {float(total.sum()):+.4g}" for kind, total in shown.items())
        return f"Ledger(score {float(self.score.sum()):+.4g} = {sums}; {len(self.entries)} entries)"

    def total(self, kind: str, module: str | None = None) -> Tensor:
        """Sum the relevance of one kind, in one module or in all, shaped as `score`."""
        if kind not in self.kinds:
            raise OptionError(
                f"This ledger has no entries of kind {kind!r}. {near(kind, self.kinds)}",
                option="kind",
                got=kind,
                known=self.kinds,
            )
        amounts = [
            entry.amount
            for entry in self.entries
            if entry.kind == kind and module in (None, entry.module)
        ]
        return torch.stack(amounts).sum(0) if amounts else torch.zeros_like(self.score)

    @cached_property
    def totals(self) -> dict[str, Tensor]:
        """The relevance of each of `kinds`, in that order, shaped as `score`."""
        return {kind: self.total(kind) for kind in self.kinds}

    def scale(self, factors: Tensor) -> Ledger:
        """Return the account of `factors · score`; `factors` `[B]`, or `[1, C]` for `[B, C]`."""

        def scale_amount(amount: Tensor) -> Tensor:
            return (amount if factors.ndim == 1 else amount.unsqueeze(1)) * factors

        entries = (replace(entry, amount=scale_amount(entry.amount)) for entry in self.entries)
        return Ledger(scale_amount(self.score), tuple(entries), self.kinds)

    @cached_property
    def residual(self) -> Tensor:
        """The score less the sum of all entries: only rounding, unless something is wrong."""
        return self.score - torch.stack(list(self.totals.values())).sum(0)


class Books:
    """Collects the entries of one backward pass."""

    def __init__(self, documents: int) -> None:
        self.documents = documents
        self._amounts: dict[tuple[str, str, str], Tensor] = {}

    def book(
        self,
        kind: str,
        operation: str,
        module: str,
        relevance: Tensor,
        documents: Tensor | None,
    ) -> None:
        """Add relevance of any shape to an entry; `documents` has the document of each element."""
        amount = sum_by_document(relevance, documents, self.documents)
        key = (kind, operation, module)
        self._amounts[key] = self._amounts[key] + amount if key in self._amounts else amount

    def close(self) -> dict[tuple[str, str, str], Tensor]:
        """Return the amounts of the pass that has ended, and start the next pass with none."""
        amounts, self._amounts = self._amounts, {}
        return amounts


def sum_by_document(relevance: Tensor, documents: Tensor | None, count: int) -> Tensor:
    """Sum relevance by document to `[count]`, float64; `documents` is None for one document.

    `documents` has as many dimensions as `relevance` and broadcasts to it; -1 is no document.
    """
    total = torch.zeros(count, dtype=torch.float64, device=relevance.device)
    if documents is None:
        return total + relevance.sum(dtype=torch.float64)
    alike = [d for d in range(relevance.ndim) if documents.shape[d] == 1]
    if alike:
        relevance = relevance.sum(alike, keepdim=True, dtype=torch.float64)
    documents = documents.expand(relevance.shape).reshape(-1).long()
    relevance = relevance.double().reshape(-1).masked_fill(documents < 0, 0)
    return total.index_add(0, documents.clamp(min=0), relevance)
