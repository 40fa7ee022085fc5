"""`Attribution`: what a method of attribution returns for a batch of documents."""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import Tensor

from seqlrp.engine.ledger import Ledger


class Attribution(NamedTuple):
    """Relevance of the words of a batch, and the other results of the same passes.

    Attributes:
        relevance: `[B, T]`, or `[B, C, T]` for `target="all"`; signed, raw, in units of the score.
        scores: `[B, C]`, as the model returned them.
        target: the class that is explained, int64 `[B]`, or None for all.
        ledger: the account of the whole score, or None if the method keeps none or the caller
            wanted none.
        against: for a contrast, the class that the target was compared with, int64 `[B]`.
        layers: relevance at the outputs of the requested modules, by name.
        units: relevance of the units of the requested modules, `[B, U]`, or `[B, C, U]` for
            `target="all"`, by name.
        error: the standard error of each relevance, of the same shape, where it is an estimate.
        unverified: why the model was not run on other words to verify that what passes for a
            constant is one (see `seqlrp.LRP`); "" where it was, or where the method needs no such
            run.
    """

    relevance: Tensor
    scores: Tensor
    target: Tensor | None
    ledger: Ledger | None
    against: Tensor | None = None
    layers: dict[str, Any] | None = None
    units: dict[str, Tensor] | None = None
    error: Tensor | None = None
    unverified: str = ""
