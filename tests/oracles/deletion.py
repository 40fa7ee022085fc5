"""The metrics of deletion, slowly, in loops over one text at a time, from the papers' formulas."""

from __future__ import annotations

import math
from fractions import Fraction

import torch
from torch import nn

MISSING = math.nan


def scores(
    model: nn.Module, ids: list[int], gone: set[int], removal: str, mask: list[float] | None = None
) -> list[float] | None:
    """Scores of one text without some words; None where nothing is left."""
    if removal == "delete":
        ids = [i for t, i in enumerate(ids) if t not in gone]
        gone = set()
        if not ids:
            return None
    if removal == "unk":
        ids = [1 if t in gone else i for t, i in enumerate(ids)]
        gone = set()

    def replace(module: nn.Module, inputs: object, output: torch.Tensor) -> torch.Tensor:
        output = output.clone()
        for t in gone:
            output[0, t] = 0 if removal == "zero" else torch.tensor(mask, dtype=output.dtype)
        return output

    with model.embedding.register_forward_hook(replace), torch.no_grad():
        row = model(torch.tensor([ids]))[0].tolist()
    return [-row[0], row[0]] if len(row) == 1 else row


def value(row: list[float] | None, wanted: int, score: str, single: bool) -> float:
    if row is None:
        return MISSING
    if score == "logit":
        return row[wanted]
    if score == "accuracy":
        return 1.0 if max(range(len(row)), key=lambda c: row[c]) == wanted else 0.0
    if single:  # one output s: the second class has 1 / (1 + e^-s)
        second = 1 / (1 + math.exp(-row[1]))
        return second if wanted == 1 else 1 - second
    return math.exp(row[wanted]) / sum(math.exp(s) for s in row)


def ranked(relevance: list[float], most_first: bool) -> list[int]:
    sign = -1 if most_first else 1
    return sorted(range(len(relevance)), key=lambda t: (sign * relevance[t], t))


class Oracle:
    """One text, its relevance for every class, and the model."""

    def __init__(
        self,
        model: nn.Module,
        ids: list[int],
        relevance: list[list[float]],
        removal: str,
        score: str,
        single: bool = False,
        mask: list[float] | None = None,
    ) -> None:
        self.model, self.ids, self.relevance = model, ids, relevance
        self.removal, self.score, self.single, self.mask = removal, score, single, mask
        self._rows: dict[frozenset[int], list[float] | None] = {}
        row = self._without(frozenset())
        assert row is not None
        self.predicted = max(range(len(row)), key=lambda c: row[c])

    def f(self, gone: list[int], wanted: int, score: str) -> float:
        return value(self._without(frozenset(gone)), wanted, score, self.single)

    def _without(self, gone: frozenset[int]) -> list[float] | None:
        """The scores without some words, for which the model is run once."""
        if gone not in self._rows:
            self._rows[gone] = scores(self.model, self.ids, set(gone), self.removal, self.mask)
        return self._rows[gone]

    def word_deletion(self, label: int, k: int, score: str) -> float:
        """Arras et al. 2017, sec. 4: after the k words that should change the answer."""
        if k > len(self.ids):
            return MISSING
        order = ranked(self.relevance[label], most_first=self.predicted == label)
        return self.f(order[:k], label, score)

    def curve(self, most_first: bool, k: int) -> float:
        """f(x^(k)): Samek et al. 2017, with the class of the whole text."""
        if k > len(self.ids):
            return MISSING
        order = ranked(self.relevance[self.predicted], most_first)
        return self.f(order[:k], self.predicted, self.score)

    def aopc(self, most_first: bool, ks: list[int]) -> float:
        """Samek et al. 2017, eq. 12, for one text: 1/(L+1) sum_k f(x^(0)) - f(x^(k))."""
        terms = [self.curve(most_first, 0) - self.curve(most_first, k) for k in ks]
        terms = [term for term in terms if not math.isnan(term)]
        return sum(terms) / len(terms) if len(terms) > 1 else MISSING

    def erasure(self, percent: int, keep: bool) -> float:
        """DeYoung et al. 2020, eq. 1 and 2, with at least one word in the rationale."""
        size = math.ceil(Fraction(percent) * len(self.ids) / 100)
        order = ranked(self.relevance[self.predicted], most_first=True)
        gone = order[size:] if keep else order[:size]
        if not gone:
            return MISSING
        whole = self.f([], self.predicted, self.score)
        return whole - self.f(gone, self.predicted, self.score)
