"""Shapley values: the change of the score by adding a word, averaged over all orders of words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import comb
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from seqlrp.engine.attribution import Attribution
from seqlrp.methods.removal.coalitions import (
    Bools,
    CoalitionExplainer,
    Game,
    every_coalition,
    standard_error,
)


class Shapley(CoalitionExplainer):
    """Shapley values of the words by sampled permutations (Castro 2009; Štrumbelj 2014).

    v(S) is the score of the text with the words S alone. For a permutation π, word π_k adds
    v(π_1 … π_k) − v(π_1 … π_k−1); its value is the mean of that, φ_i = E_π Δ_i. Permutations come
    in pairs, one and its reverse (Mitchell et al. 2022, antithetic sampling), and the standard
    error is that of the mean of the pairs. Σ φ = v(all) − v(none) holds for each permutation, and
    so for any number of them.

    A document of n words takes n − 1 passes per permutation; if all 2^n − 2 coalitions take no more
    passes than that, all are scored and the values are exact, with standard errors of 0.

    The options are those of `CoalitionExplainer`; `samples` is the number of permutations, even and
    at least 4, 50 by default. `attribute(…, return_error=True)` also returns the standard errors.
    """

    name = "shapley"
    extras: ClassVar[Mapping[str, Callable[[Attribution], Any]]] = {"return_error": standard_error}
    default_samples = 50
    least_samples = 4
    pairs = "one and its reverse"

    def coalitions(self, words: int, drawn: np.random.Generator) -> Bools:
        """Return all coalitions, or the growing ones of each permutation: `[P (n − 1), n]`."""
        if self.enumerates(words):
            return every_coalition(words)
        orders = self.orders(words, drawn)
        rank = orders.argsort(1)  # the position of each word in each order
        kept: Bools = rank[:, None, :] < np.arange(1, words)[None, :, None]
        return kept.reshape(-1, words)

    def enumerates(self, words: int) -> bool:
        """Return whether all coalitions of n words take no more passes than the samples."""
        assert self.samples is not None
        return bool(2**words - 2 <= self.samples * (words - 1))

    def orders(self, words: int, drawn: np.random.Generator) -> npt.NDArray[np.int64]:
        """Draw permutations `[P, n]`, each followed by its reverse."""
        assert self.samples is not None
        half = drawn.permuted(np.tile(np.arange(words), (self.samples // 2, 1)), axis=1)
        return np.stack([half, half[:, ::-1]], 1).reshape(-1, words)

    def solve(self, game: Game) -> tuple[Tensor, Tensor]:
        """Return the mean contributions of the words, and their standard errors, `[K, n]`."""
        words = game.kept.shape[1]
        if self.enumerates(words):
            values = exact_values(game)
            return values, torch.zeros_like(values)
        steps = game.kept.reshape(-1, words - 1, words)  # [P, n − 1, n]
        rank = words - 1 - steps.sum(1)  # a word that comes first is in all n − 1 coalitions
        grown = game.values.reshape(len(game.values), -1, words - 1)  # [K, P, n − 1]
        ends = torch.ones_like(grown[..., :1])
        grown = torch.cat(
            [ends * game.nobody[:, None, None], grown, ends * game.everyone[:, None, None]], -1
        )
        added = grown.diff(dim=-1).gather(-1, rank.expand(len(grown), -1, -1))  # [K, P, n]
        pairs = (added[:, ::2] + added[:, 1::2]) / 2
        return pairs.mean(1), pairs.std(1) / pairs.shape[1] ** 0.5


def exact_values(game: Game) -> Tensor:
    """Compute the Shapley values `[K, n]` of a game with all coalitions known (Shapley 1953).

    φ_i = Σ_S∌i |S|! (n − |S| − 1)! / n! · (v(S ∪ i) − v(S)).
    """
    words = game.kept.shape[1]
    # |S|! (n − |S| − 1)! / n! = 1 / (n · (n − 1 over |S|)); v(S) counts for members with |S| − 1.
    weight = torch.tensor(
        [1 / (words * comb(words - 1, size)) for size in range(words)],
        dtype=torch.float64, device=game.values.device,
    )  # fmt: skip
    sizes = game.kept.sum(1)
    joined, apart = weight[sizes - 1], weight[sizes.clamp(max=words - 1)]
    factors = torch.where(game.kept, joined.unsqueeze(1), -apart.unsqueeze(1))
    ends = (game.everyone - game.nobody) / words
    return game.values @ factors + ends.unsqueeze(1)
