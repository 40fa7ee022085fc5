"""Input reduction: the smallest part of a text that still gives the same prediction."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn

from seqlrp.engine.attribution import Attribution
from seqlrp.engine.batches import BatchTokens, select_arguments
from seqlrp.engine.checks import Target
from seqlrp.engine.documents import NOBODY
from seqlrp.engine.explainer import Forward
from seqlrp.engine.gradient_mode import GradientMode
from seqlrp.engine.inputs import Reading
from seqlrp.errors import NonFiniteError, check_choice
from seqlrp.methods.copies import BATCH_TOKENS
from seqlrp.methods.gradients.gradient import gather_products
from seqlrp.methods.removal.words import Removal, RemovalExplainer

Ranking = Literal["gradient_x_input", "occlusion"]
_ROUNDING = 64  # in units in the last place of the score; closer importances count as equal


class _ZeroedLeaves(GradientMode):
    """Runs a model with the embeddings of some words set to zero, with a graph from the vectors."""

    def __init__(self, gone: Tensor) -> None:
        super().__init__()
        self.gone = gone.reshape(-1)

    def read(self, reading: Reading) -> Tensor:
        """Set the vectors of removed words to zero, and make the vectors leaves of the graph."""
        gone = self.gone[reading.origin] & (reading.origin != NOBODY)
        vectors = reading.vectors.masked_fill(gone.unsqueeze(-1), 0)
        return super().read(reading._replace(vectors=vectors))


class _Reduction(NamedTuple):
    """The R texts to be reduced, each for one target."""

    run: Forward
    inputs: Tensor
    additional: Any
    documents: Tensor  # int64 [R]
    targets: Tensor  # the index of the target, int64 [R]
    sides: Tensor  # +1, or −1 if a single output is below 0, [R]

    def take(self, chosen: Tensor) -> _Reduction:
        """Select some of the texts."""
        documents, targets = self.documents[chosen], self.targets[chosen]
        return self._replace(documents=documents, targets=targets, sides=self.sides[chosen])

    def select_starts(self, scores: Tensor) -> Tensor:
        """Select the target scores `[R]` from `[R, C]`; the sign is that of the prediction."""
        every = self.run.select(scores, self.documents)
        return every[self.targets, torch.arange(len(scores), device=scores.device)] * self.sides


class InputReduction(RemovalExplainer):
    """Input reduction: remove the least important word while the prediction stays (Feng 2018).

    Of n words, the least important one for the target's score is removed first (the first of equal
    ones). Then importance is computed again for the rest, and so on, until the predicted class (or
    the sign of a single output) would change, or one word is left. If m words are removed, the k-th
    one has the value (k − m)/n, and the remaining words have the values (k − m)/n for their ranks
    by importance k = m + 1, …, n. So the values order the words for a deletion test, and

        positive: the reduced input, in the order of importance;
        0 and below: removed words; a more negative word was removed earlier, and is not evidence
        against the target.

    For a target that is not the predicted class, words are removed in the order of that target's
    score. With a single output below 0, importance is for the lower score, and all signs are
    reversed. The beam search of the paper is not implemented.

    Args:
        model: an `nn.Module`, see `seqlrp.LRP`; its answer must not depend on how a batch is
            padded.
        ranking: importance of a word in what is left: `"gradient_x_input"`, as in the paper, one
            pass a word; or `"occlusion"`, by how much the score falls without it, T/2 as many.
        removal: `"zero"` sets the word's embedding to zero and keeps the length, `"delete"` makes
            the sequence shorter, as in the paper; `"unk"` puts the unknown word in its place.
        unknown: the id of the unknown word, for `"unk"`; 1 in a `seqlrp.Vocabulary`.
        batch_tokens: the most tokens in a batch of texts that lack words; halved when memory runs
            out. `"auto"` finds it.
        output: which part of the model's output holds the scores, if it returns several.

    Raises:
        OptionError: an unknown ranking or removal, or `"unk"` without `unknown`.
        ModelError: the model cannot be run as it is.
    """

    name = "input_reduction"

    def __init__(
        self,
        model: nn.Module,
        ranking: Ranking = "gradient_x_input",
        removal: Removal = "zero",
        *,
        unknown: int | None = None,
        batch_tokens: BatchTokens = BATCH_TOKENS,
        output: int | str | None = None,
    ) -> None:
        check_choice("ranking", ranking, get_args(Ranking))
        super().__init__(model, removal, unknown=unknown, batch_tokens=batch_tokens, output=output)
        self.ranking = ranking

    @property
    def parameters(self) -> dict[str, Any]:
        """Return the kind of removal and the ranking."""
        return {"ranking": self.ranking, **super().parameters}

    def relevance_factors(self, factors: Tensor) -> Tensor:
        """Return the signs of the factors, because ranks have no units."""
        return factors.sign()

    def compute(
        self, inputs: Tensor, target: Target, additional_forward_args: Any, padding: Tensor | None
    ) -> Attribution:
        """Compute an attribution `[B, T]` or `[B, C, T]`, 0 on padding; the class describes it."""
        run = self.forward(inputs, target, additional_forward_args, padding)
        self.check_removable(inputs, additional_forward_args, run.padding, most=0)
        scores = run.scores
        count, starts = len(scores), len(run.starts)
        documents = torch.arange(count, device=scores.device).repeat(starts)
        targets = torch.arange(starts, device=scores.device).repeat_interleave(count)
        sides = torch.ones_like(documents)
        if scores.shape[1] == 1:
            sides = torch.where(scores[documents, 0] < 0, -1, 1)
        reduction = _Reduction(run, inputs, additional_forward_args, documents, targets, sides)
        values = self._reduce(reduction, scores)
        wide = torch.promote_types(scores.dtype, torch.float32)
        values = values.to(wide) * sides.reshape(-1, *[1] * (values.ndim - 1))
        return run.attribution(values.reshape(starts, *run.padding.shape))

    def _reduce(self, reduction: _Reduction, scores: Tensor) -> Tensor:
        """Return the values of the words of each text, `[R, *document]`, float64."""
        words = ~reduction.run.padding[reduction.documents].flatten(1)  # [R, places]
        shape = reduction.run.padding.shape[1:]
        predicted = _predict(scores)[reduction.documents]
        gone = torch.zeros_like(words)
        rank = torch.zeros(words.shape, dtype=torch.float64, device=words.device)
        active = torch.arange(len(words), device=words.device)
        _, importance = self._rank_words(reduction, gone.reshape(-1, *shape))
        count = words.sum(1)
        left = torch.zeros_like(count)  # m
        for step in range(1, int(count.max())):
            active = active[count[active] > step]  # one word is always kept
            if not len(active):
                break
            trial = gone[active]
            least = _least_first(importance[active], words[active] & ~trial)[:, 0]
            trial[torch.arange(len(active), device=trial.device), least] = True
            answers, seen = self._rank_words(reduction.take(active), trial.reshape(-1, *shape))
            stays = _predict(answers) == predicted[active]
            active, seen, least = active[stays], seen[stays], least[stays]
            gone[active] = trial[stays]
            importance[active] = seen
            rank[active, least] = step
            left[active] = step
        remaining = words & ~gone
        places = _least_first(importance, remaining).argsort(1) + 1 + left.unsqueeze(1)
        rank = torch.where(remaining, places.double(), rank)
        values = (rank - left.unsqueeze(1)) / count.unsqueeze(1)
        return values.masked_fill(~words, 0).reshape(-1, *shape)

    def _rank_words(self, reduction: _Reduction, gone: Tensor) -> tuple[Tensor, Tensor]:
        """Return scores `[R, C]` of the remaining texts, and ranks `[R, places]` of their words."""
        if self.ranking == "occlusion":
            scores, importance = self._occlude_each(reduction, gone)
            return scores, _ranks(scores, importance)

        def work(batch: Tensor) -> tuple[Tensor, Tensor]:
            return self._gradients(reduction.take(batch), gone[batch])

        scores, importance = self.map_copies(gone, len(gone), work)
        if not bool(scores.isfinite().all()) or not bool(importance.isfinite().all()):
            raise NonFiniteError(
                "A score or a gradient is NaN or infinite when words are left out; look for "
                "overflowing weights or a division by the length of a vector."
            )
        return scores, _ranks(scores, importance)

    def _occlude_each(self, reduction: _Reduction, gone: Tensor) -> tuple[Tensor, Tensor]:
        inputs, additional = reduction.inputs, reduction.additional
        scores = self.score_without(inputs, additional, reduction.documents, gone)
        present = ~(gone | reduction.run.padding[reduction.documents]).flatten(1)
        importance = scores.new_zeros(present.shape)
        present[present.sum(1) < 2] = False  # a last word stays, and is not asked about
        row, place = present.nonzero().T
        if len(row):
            without = gone.flatten(1)[row]
            without[torch.arange(len(row), device=row.device), place] = True
            without = without.reshape(-1, *gone.shape[1:])
            documents = reduction.documents[row]
            answers = self.score_without(inputs, additional, documents, without)
            asked = reduction.take(row)
            importance[row, place] = asked.select_starts(scores[row]) - asked.select_starts(answers)
        return scores, importance

    def _gradients(self, reduction: _Reduction, gone: Tensor) -> tuple[Tensor, Tensor]:
        inputs, documents = reduction.inputs, reduction.documents
        texts = inputs[documents]
        mode = _ZeroedLeaves(gone) if self.removal == "zero" else GradientMode()
        kept = None
        if self.unknown is not None:
            texts = texts.masked_fill(gone, self.unknown)
        elif self.removal == "delete":
            texts, kept = self.shorten(texts, gone)
        arguments = select_arguments(reduction.additional, inputs, documents)
        scores = self.score_texts(texts, arguments, mode, graph=True)
        leaves = [reading.vectors for reading in mode.readings]
        start = reduction.select_starts(scores).sum()
        gradients = torch.autograd.grad(start, leaves, allow_unused=True)
        products = gather_products(mode, (leaf.detach() for leaf in leaves), gradients)
        if kept is not None:
            places = products.new_zeros(gone.shape)
            products = places.scatter(1, kept, products)
        return scores.detach(), products.flatten(1)


def _ranks(scores: Tensor, importance: Tensor) -> Tensor:
    """Return the ranks `[R, n]` of importance; values that differ only by rounding are equal.

    Without either of two equal neighbours a text is the same. Rounding, which depends on the batch,
    must not decide which of them is removed first.
    """
    values, order = importance.sort(dim=1)
    sizes = torch.maximum(scores.abs().amax(1), importance.abs().amax(1))
    rounding = _ROUNDING * torch.finfo(importance.dtype).eps * sizes
    steps = (values.diff(dim=1) > rounding.unsqueeze(1)).cumsum(1)
    ranks = nn.functional.pad(steps, (1, 0)).double()
    return torch.zeros_like(ranks).scatter(1, order, ranks)


def _least_first(importance: Tensor, among: Tensor) -> Tensor:
    """Sort positions `[R, n]` by importance, least first, stably; others come at the end."""
    return importance.masked_fill(~among, float("inf")).argsort(stable=True, dim=1)


def _predict(scores: Tensor) -> Tensor:
    """Return the predicted class `[N]`; for a single output, whether it is below 0."""
    return (scores[:, 0] < 0).long() if scores.shape[1] == 1 else scores.argmax(1)
