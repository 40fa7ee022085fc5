"""Shapley values: what a word adds to the score, averaged over all orders in which words come."""

from __future__ import annotations

from math import comb

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from seqlrp.batching import BatchTokens
from seqlrp.errors import OptionError
from seqlrp.methods.coalitions import Bools, EstimatingExplainer, Game, every_coalition
from seqlrp.methods.removal import BATCH_TOKENS, Removal


class Shapley(EstimatingExplainer):
    """Shapley values of the words by sampled permutations (Castro 2009; Štrumbelj 2014).

    v(S) is the score of the text with the words S alone. For a permutation π, word π_k adds
    v(π_1 … π_k) − v(π_1 … π_k−1); its value is the mean of that, φ_i = E_π Δ_i. Permutations come
    in pairs, one and its reverse (Mitchell et al. 2022, antithetic sampling), and the standard
    error is that of the mean of the pairs. Σ φ = v(all) − v(none) holds for each permutation, and
    so for any number of them.

    A document of n words takes n − 1 passes a permutation; where all 2^n − 2 coalitions take no
    more than that, they are all asked and the values are exact, with standard errors of 0.

    Args:
        model: as for `seqlrp.LRP`; its answer must not depend on how a batch is padded.
        samples: permutations for each document, an even number from 4 on.
        seed: another seed draws others.
        removal: `"zero"` sets the embeddings of absent words to zero, `"unk"` puts the unknown
            word in their place.
        unknown: the id of the unknown word, for `"unk"`; 1 in a `seqlrp.Vocabulary`.
        batch_tokens: the most tokens in a batch of texts that lack words.
        output: which part of the model's output holds the scores, if it returns several.
        progress: show a bar over the documents of each call.

    Raises:
        OptionError: an option has a value that is not allowed.
        ModelError: the model cannot be run as it is.
    """

    name = "shapley"
    least_samples = 4

    def __init__(
        self,
        model: nn.Module,
        samples: int = 50,
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
        if samples % 2:
            raise OptionError(
                f"Got samples={samples}; permutations come in pairs, one and its reverse, so "
                f"expected an even number."
            )

    def coalitions(self, words: int, drawn: np.random.Generator) -> Bools:
        """All coalitions, or those that grow along each permutation: `[P (n − 1), n]`."""
        if self.enumerates(words):
            return every_coalition(words)
        orders = self.orders(words, drawn)
        rank = orders.argsort(1)  # the place of each word in each order
        kept: Bools = rank[:, None, :] < np.arange(1, words)[None, :, None]
        return kept.reshape(-1, words)

    def enumerates(self, words: int) -> bool:
        """Whether all coalitions of so many words are asked, for they are no more."""
        assert self.samples is not None
        return bool(2**words - 2 <= self.samples * (words - 1))

    def orders(self, words: int, drawn: np.random.Generator) -> npt.NDArray[np.int64]:
        """Permutations `[P, n]`, each followed by its reverse."""
        assert self.samples is not None
        half = drawn.permuted(np.tile(np.arange(words), (self.samples // 2, 1)), axis=1)
        return np.stack([half, half[:, ::-1]], 1).reshape(-1, words)

    def solved(self, game: Game) -> tuple[Tensor, Tensor]:
        """The means of what the words add, and their standard errors, `[K, n]`."""
        words = game.kept.shape[1]
        if self.enumerates(words):
            values = exact(game)
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


def exact(game: Game) -> Tensor:
    """Shapley values `[K, n]` of a game of which every coalition is known (Shapley 1953).

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
