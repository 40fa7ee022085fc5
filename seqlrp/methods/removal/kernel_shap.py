"""Kernel SHAP: Shapley values as the solution of a weighted regression."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from seqlrp.engine.attribution import Attribution
from seqlrp.errors import OptionError
from seqlrp.methods.removal.coalitions import (
    Bools,
    CoalitionExplainer,
    Game,
    every_coalition,
    standard_error,
)


class KernelSHAP(CoalitionExplainer):
    """Shapley values by the regression of Lundberg and Lee (2017), theorem 2.

    With z_S the indicator of the words in S and v(S) the score of the text with these alone, φ
    minimises Σ_S w(|S|) (v(∅) + z_S·φ − v(S))² under Σ φ = v(all) − v(∅), which holds exactly;
    w(s) = (n − 1) / ((n over s) s (n − s)).

    If there are at most `samples` coalitions between none and all, all of them are scored, and the
    values are exact. Otherwise their sizes are drawn with p(s) ∝ (n − 1) / (s (n − s)), each paired
    with its complement (Covert and Lee 2021), with equal weights. The standard error is the
    sandwich estimate of the regression, with pairs as independent observations: correct for many
    pairs, and too small for few.

    The options are those of `CoalitionExplainer`; `samples` is the even number of coalitions, and
    None takes 2n + 2048 for n words. `attribute(…, return_error=True)` also returns the standard
    errors.
    """

    name = "kernel_shap"
    extras: ClassVar[Mapping[str, Callable[[Attribution], Any]]] = {"return_error": standard_error}
    least_samples = 2
    pairs = "one and its complement"

    def budget(self, words: int) -> int:
        """Return the largest number of coalitions to be scored."""
        return 2 * words + 2048 if self.samples is None else self.samples

    def enumerates(self, words: int) -> bool:
        """Return whether all coalitions of n words are scored."""
        return bool(2**words - 2 <= self.budget(words))

    def coalitions(self, words: int, drawn: np.random.Generator) -> Bools:
        """Return all coalitions, or pairs of a random one and its complement, `[N, n]`."""
        if self.enumerates(words):
            return every_coalition(words)
        pairs = self.budget(words) // 2
        if pairs < words:
            raise OptionError(
                f"A document has {words} words, for which samples={self.samples} are too few; "
                f"expected at least {2 * words}, or None for {2 * words + 2048}."
            )
        sizes = np.arange(1, words)
        share = 1 / (sizes * (words - sizes))
        size = drawn.choice(sizes, pairs, p=share / share.sum())
        rank = drawn.permuted(np.tile(np.arange(words), (pairs, 1)), axis=1)
        kept = rank < size[:, None]
        both: Bools = np.stack([kept, ~kept], 1).reshape(-1, words)
        return both

    def solve(self, game: Game) -> tuple[Tensor, Tensor]:
        """Solve the regression; return the values and their standard errors, `[K, n]`."""
        z = game.kept.double()
        words = z.shape[1]
        gain = (game.everyone - game.nobody).unsqueeze(1)  # [K, 1]
        if words == 1:
            return gain, torch.zeros_like(gain)
        enumerated = self.enumerates(words)
        weight = torch.ones(len(z), dtype=torch.float64, device=z.device)
        if enumerated:
            sizes = z.sum(1)
            # log (n over s), so that it does not overflow; the factor n − 1 cancels.
            chosen = (
                torch.lgamma(torch.tensor(words + 1.0, dtype=torch.float64))
                - torch.lgamma(sizes + 1) - torch.lgamma(words - sizes + 1)
            )  # fmt: skip
            weight = torch.exp(-chosen) / (sizes * (words - sizes))
        weight = weight / weight.sum()
        # φ = gain / n + U ψ with 1ᵀU = 0: the constraint holds for every ψ.
        free = _orthogonal_to_ones(words, z.device)  # U, [n, n − 1]
        design = z @ free
        rest = game.values - game.nobody.unsqueeze(1) - gain * z.mean(1)  # [K, N]
        normal = design.T @ (weight.unsqueeze(1) * design)
        if not enumerated and int(torch.linalg.matrix_rank(normal, hermitian=True)) < words - 1:
            raise OptionError(
                f"A document has {words} words, which the {len(z)} coalitions drawn for it do not "
                f"tell apart; take more samples than {self.samples}."
            )
        psi = torch.linalg.solve(normal, design.T @ (weight * rest).T)  # [n − 1, K]
        values = gain / words + (free @ psi).T
        if enumerated:
            return values, torch.zeros_like(values)
        residual = rest - (design @ psi).T
        pull = residual.unsqueeze(-1) * design
        pull = (pull[:, ::2] + pull[:, 1::2]) / 2  # [K, pairs, n − 1]
        pairs = pull.shape[1]
        # Correct for degrees of freedom: residuals of a fit are smaller than the true errors.
        freedom = max(pairs - (words - 1), 1)
        spread = pull.transpose(1, 2) @ pull / (pairs * freedom)
        half = free @ torch.linalg.inv(normal)
        return values, (half @ spread @ half.T).diagonal(dim1=1, dim2=2).clamp(min=0).sqrt()


def _orthogonal_to_ones(words: int, device: torch.device) -> Tensor:
    """Return orthonormal columns `[n, n − 1]` that each add up to 0 (Helmert 1876)."""
    columns = torch.zeros(words, words - 1, dtype=torch.float64, device=device)
    for k in range(1, words):
        columns[:k, k - 1] = 1
        columns[k, k - 1] = -k
    lengths = columns.square().sum(0).sqrt()
    return columns / lengths
