"""LIME: a linear model of the score in the neighbourhood of a text."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from seqlrp.engine.batches import BatchTokens
from seqlrp.errors import check_number
from seqlrp.methods.copies import BATCH_TOKENS
from seqlrp.methods.removal.coalitions import Bools, CoalitionExplainer, Game
from seqlrp.methods.removal.words import Removal


class LIME(CoalitionExplainer):
    """LIME for text: coefficients of a local linear model of the score (Ribeiro et al. 2016).

    Random texts lack 1 to n words, each number with equal probability. Their scores are regressed
    on the presence of each word by ridge regression with a free intercept; the weight of a text is
    √exp(−D²/σ²), where D = 100 (1 − √(s/n)) is the cosine distance of s words from all n. A word's
    value is its coefficient.

    Three choices are specific to this class: a word is a position, so that a word that occurs twice
    has two values; `removal` removes words; and the model predicts the target's score, not its
    probability. No features are selected. The values have no meaningful sum.

    Args:
        model: an `nn.Module`, see `seqlrp.LRP`; its answer must not depend on how a batch is
            padded.
        samples: random texts per document; None takes 1000, the published code 5000.
        seed: the seed of the random texts.
        removal: `"zero"` or `"unk"`, see `CoalitionExplainer`.
        kernel_width: σ > 0.
        ridge: the penalty on the square of a coefficient, ≥ 0.
        unknown: the id of the unknown word, for `"unk"`; 1 in a `seqlrp.Vocabulary`.
        batch_tokens: the most tokens in a batch of texts that lack words; halved when memory runs
            out. `"auto"` finds it.
        output: which part of the model's output holds the scores, if it returns several.
        progress: show a bar.

    Raises:
        OptionError: an option has a value that is not allowed.
        ModelError: the model cannot be run as it is.
    """

    name = "lime"
    default_samples = 1000
    adds_up = False

    def __init__(
        self,
        model: nn.Module,
        samples: int | None = None,
        seed: int = 0,
        removal: Removal = "zero",
        *,
        kernel_width: float = 25.0,
        ridge: float = 1.0,
        unknown: int | None = None,
        batch_tokens: BatchTokens = BATCH_TOKENS,
        output: int | str | None = None,
        progress: bool = False,
    ) -> None:
        super().__init__(
            model, samples, seed, removal, unknown=unknown, batch_tokens=batch_tokens,
            output=output, progress=progress,
        )  # fmt: skip
        check_number("kernel_width", kernel_width, above=0)
        check_number("ridge", ridge, least=0)
        self.kernel_width = float(kernel_width)
        self.ridge = float(ridge)

    @property
    def parameters(self) -> dict[str, Any]:
        """Return the kind of removal, the sampling and the options of the regression."""
        return {**super().parameters, "kernel_width": self.kernel_width, "ridge": self.ridge}

    def coalitions(self, words: int, drawn: np.random.Generator) -> Bools:
        """Draw random subsets `[N, n]`, from which 1 to n words are absent."""
        assert self.samples is not None
        absent = drawn.integers(1, words + 1, self.samples)
        rank = drawn.permuted(np.tile(np.arange(words), (self.samples, 1)), axis=1)
        kept: Bools = rank >= absent[:, None]
        return kept

    def solve(self, game: Game) -> tuple[Tensor, None]:
        """Return the coefficients `[K, n]`."""
        z = torch.cat([torch.ones_like(game.kept[:1]), game.kept]).double()
        scores = torch.cat([game.everyone.unsqueeze(1), game.values], 1)
        distance = 100 * (1 - z.mean(1).sqrt())
        weight = torch.exp(-(distance.square()) / self.kernel_width**2).sqrt()
        share = weight / weight.sum()
        z = z - share @ z  # the intercept is free
        scores = scores - (scores @ share).unsqueeze(1)
        root = weight.sqrt()
        penalty = self.ridge**0.5 * torch.eye(z.shape[1], dtype=z.dtype, device=z.device)
        design = torch.cat([root.unsqueeze(1) * z, penalty])
        answer = torch.cat([(root * scores).T, z.new_zeros(z.shape[1], len(scores))])
        # By the pseudo-inverse: without ridge, words with equal columns share their coefficient.
        return (torch.linalg.pinv(design) @ answer).T, None
