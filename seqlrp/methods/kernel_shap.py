"""Kernel SHAP: Shapley values as the solution of a weighted regression."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from seqlrp.batching import BatchTokens
from seqlrp.errors import OptionError
from seqlrp.methods.coalitions import Bools, EstimatingExplainer, Game, every_coalition
from seqlrp.methods.removal import BATCH_TOKENS, Removal


class KernelSHAP(EstimatingExplainer):
    """Shapley values by the regression of Lundberg and Lee (2017), theorem 2.

    With z_S the indicator of the words in S and v(S) the score of the text with these alone, φ
    minimises Σ_S w(|S|) (v(∅) + z_S·φ − v(S))² under Σ φ = v(all) − v(∅), which holds exactly;
    w(s) = (n − 1) / ((n over s) s (n − s)).

    Where there are no more than `samples` coalitions between none and all they are all asked, and
    the values are exact. Else their sizes are drawn with p(s) ∝ (n − 1) / (s (n − s)), each in a
    pair with its complement (Covert and Lee 2021), and count the same. The standard error is the
    sandwich estimate of the regression, with pairs as the independent observations: right for many
    pairs, and too small for few.

    Args:
        model: as for `seqlrp.LRP`; its answer must not depend on how a batch is padded.
        samples: coalitions for each document, an even number; None takes 2n + 2048 for n words.
        seed: another seed draws others.
        removal: `"zero"` sets the embeddings of absent words to zero, `"unk"` puts the unknown
            word in their place.
        unknown: the id of the unknown word, for `"unk"`; 1 in a `seqlrp.Vocabulary`.
        batch_tokens: the most tokens in a batch of texts that lack words.
        output: which part of the model's output holds the scores, if it returns several.
        progress: show a bar over the documents of each call.

    Raises:
        OptionError: an option has a value that is not allowed, or `samples` are too few for the
            words of a document.
        ModelError: the model cannot be run as it is.
    """

    name = "kernel_shap"
    least_samples = 2

    def __init__(
        self,
        model: nn.Module,
        samples: int | None = None,
        seed: int = 0,
        removal: Removal = "zero",
        *,
        unknown: int | None = None,
        batch_tokens: BatchTokens = BATCH_TOKENS,
        output: int | str | None = None,
        progress: bool = False,
    ) -> None:
        super().__init__(
            model, samples, seed, removal, unknown=unknown, batch_tokens=batch_tokens,
            output=output, progress=progress,
        )  # fmt: skip
        if samples is not None and samples % 2:
            raise OptionError(
                f"Got samples={samples}; coalitions come in pairs, one and its complement, so "
                f"expected an even number."
            )

    def budget(self, words: int) -> int:
        """How many coalitions are asked for at most."""
        return 2 * words + 2048 if self.samples is None else self.samples

    def enumerates(self, words: int) -> bool:
        """Whether all coalitions of so many words are asked."""
        return bool(2**words - 2 <= self.budget(words))

    def coalitions(self, words: int, drawn: np.random.Generator) -> Bools:
        """All coalitions, or pairs of a drawn one and its complement, `[N, n]`."""
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

    def solved(self, game: Game) -> tuple[Tensor, Tensor]:
        """The solution of the regression, and its standard errors, `[K, n]`."""
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
        # φ = gain / n + U ψ with 1ᵀU = 0, so that the constraint holds and nothing else is left.
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
        # Where each pair stands for itself: residuals of a fit are smaller than those of the truth.
        freedom = max(pairs - (words - 1), 1)
        spread = pull.transpose(1, 2) @ pull / (pairs * freedom)
        half = free @ torch.linalg.inv(normal)
        return values, (half @ spread @ half.T).diagonal(dim1=1, dim2=2).clamp(min=0).sqrt()


def _orthogonal_to_ones(words: int, device: torch.device) -> Tensor:
    """Orthonormal columns `[n, n − 1]` that each add up to 0 (Helmert 1876)."""
    columns = torch.zeros(words, words - 1, dtype=torch.float64, device=device)
    for k in range(1, words):
        columns[:k, k - 1] = 1
        columns[k, k - 1] = -k
    lengths = columns.square().sum(0).sqrt()
    return columns / lengths
