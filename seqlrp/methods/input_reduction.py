"""Input reduction: how little of a text is enough for the same prediction."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn

from seqlrp.batching import BatchTokens
from seqlrp.errors import NonFiniteError, OptionError, near
from seqlrp.lrp import Attribution, door
from seqlrp.lrp.documents import NOBODY
from seqlrp.methods.copies import arguments_of
from seqlrp.methods.explainer import Forward, GradientMode
from seqlrp.methods.removal import BATCH_TOKENS, Removal, RemovalExplainer

Ranking = Literal["gradient_x_input", "occlusion"]
_ROUNDING = 64  # in units in the last place of the score; importances so near are equal


class _ZeroedLeaves(GradientMode):
    """As `ZeroedWords`, with a graph from what the model reads."""

    def __init__(self, gone: Tensor) -> None:
        super().__init__()
        self.gone = gone.reshape(-1)

    def read(self, vectors: Tensor, origin: Tensor) -> Tensor:
        """As `InputMode.read`, of vectors of which some are zero."""
        gone = self.gone[origin] & (origin != NOBODY)
        return super().read(vectors.masked_fill(gone.unsqueeze(-1), 0), origin)


class _Question(NamedTuple):
    """What is being reduced: R texts, each for one of the targets."""

    run: Forward
    inputs: Tensor
    additional: Any
    documents: Tensor  # int64 [R]
    targets: Tensor  # which of the starts, int64 [R]
    sides: Tensor  # +1, or −1 where a single output is below 0, [R]

    def of(self, chosen: Tensor) -> _Question:
        """Some of the texts."""
        documents, targets = self.documents[chosen], self.targets[chosen]
        return self._replace(documents=documents, targets=targets, sides=self.sides[chosen])

    def asked(self, scores: Tensor) -> Tensor:
        """What is explained of scores `[R, C]`, `[R]`; high where it speaks for the prediction."""
        every = self.run.chosen(scores, self.documents)
        return every[self.targets, torch.arange(len(scores), device=scores.device)] * self.sides


class InputReduction(RemovalExplainer):
    """Input reduction: leave out the least important word while the prediction stays (Feng 2018).

    Of n words, the one that matters least for the target's score goes first, of equals that which
    stands first; importance is asked again of what is left, and so on, until the predicted class
    (or, of a single output, its sign) would change, or one word is left. With m words gone so far,
    the k-th to go has the value (k − m)/n, and those that remain have their ranks by importance, k
    = m + 1, …, n. So the values order the words for a deletion test, and

        positive: the reduced input, in the order of importance;
        0 and below: words that were left out. Negative is early, and does not speak against.

    For a target that is not the predicted class, words go in the order of that target's score. With
    a single output below 0, importance is for the lower score, and all signs are exchanged. The
    beam search of the paper is not done.

    Args:
        model: as for `seqlrp.LRP`; its answer must not depend on how a batch is padded.
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
        if ranking not in get_args(Ranking):
            hint = near(str(ranking), get_args(Ranking))
            raise OptionError(f"There is no ranking {ranking!r}. {hint}")
        super().__init__(model, removal, unknown=unknown, batch_tokens=batch_tokens, output=output)
        self.ranking = ranking

    @property
    def parameters(self) -> dict[str, Any]:
        """What is done with a word, and which goes first."""
        return {"ranking": self.ranking, **super().parameters}

    def rescaled(self, factors: Tensor) -> Tensor:
        """Ranks have no units, but a side."""
        return factors.sign()

    def attribution(
        self,
        inputs: Tensor,
        target: door.Target = "predicted",
        additional_forward_args: Any = None,
        *,
        padding: Tensor | None = None,
    ) -> Attribution:
        """Attribution `[B, T]` or `[B, C, T]`, 0 on padding; see the class for what it says.

        Raises:
            ModelError: the model returns no scores, or they do not depend on the input.
            InputError: ids, target or padding are not what was expected.
        """
        run = self.forward(inputs, target, additional_forward_args, padding)
        self.check_removable(inputs, additional_forward_args, run.padding, most=0)
        scores = run.scores
        count, starts = len(scores), len(run.starts)
        documents = torch.arange(count, device=scores.device).repeat(starts)
        targets = torch.arange(starts, device=scores.device).repeat_interleave(count)
        sides = torch.ones_like(documents)
        if scores.shape[1] == 1:
            sides = torch.where(scores[documents, 0] < 0, -1, 1)
        question = _Question(run, inputs, additional_forward_args, documents, targets, sides)
        values = self._reduced(question, scores)
        wide = torch.promote_types(scores.dtype, torch.float32)
        values = values.to(wide) * sides.reshape(-1, *[1] * (values.ndim - 1))
        return run.attribution(values.reshape(starts, *run.padding.shape))

    def _reduced(self, question: _Question, scores: Tensor) -> Tensor:
        """The values of the words of each text, `[R, *document]`, float64."""
        words = ~question.run.padding[question.documents].flatten(1)  # [R, places]
        shape = question.run.padding.shape[1:]
        predicted = _predicted(scores)[question.documents]
        gone = torch.zeros_like(words)
        rank = torch.zeros(words.shape, dtype=torch.float64, device=words.device)
        active = torch.arange(len(words), device=words.device)
        _, importance = self._look(question, gone.reshape(-1, *shape))
        count = words.sum(1)
        left = torch.zeros_like(count)  # m
        for step in range(1, int(count.max())):
            active = active[count[active] > step]  # one word stays
            if not len(active):
                break
            trial = gone[active]
            least = _least_first(importance[active], words[active] & ~trial)[:, 0]
            trial[torch.arange(len(active), device=trial.device), least] = True
            answers, seen = self._look(question.of(active), trial.reshape(-1, *shape))
            stays = _predicted(answers) == predicted[active]
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

    def _look(self, question: _Question, gone: Tensor) -> tuple[Tensor, Tensor]:
        """Scores `[R, C]` of what is left, and its words by importance: ranks `[R, places]`."""
        if self.ranking == "occlusion":
            scores, importance = self._without_each(question, gone)
            return scores, _ranks(scores, importance)

        def work(batch: Tensor) -> tuple[Tensor, Tensor]:
            return self._gradients(question.of(batch), gone[batch])

        scores, importance = self.in_order(gone, len(gone), work)
        if not bool(scores.isfinite().all()) or not bool(importance.isfinite().all()):
            raise NonFiniteError(
                "A score or a gradient is NaN or infinite when words are left out; look for "
                "overflowing weights or a division by the length of a vector."
            )
        return scores, _ranks(scores, importance)

    def _without_each(self, question: _Question, gone: Tensor) -> tuple[Tensor, Tensor]:
        inputs, additional = question.inputs, question.additional
        scores = self.scores_without(inputs, additional, question.documents, gone)
        present = ~(gone | question.run.padding[question.documents]).flatten(1)
        importance = scores.new_zeros(present.shape)
        present[present.sum(1) < 2] = False  # a last word stays, and is not asked about
        row, place = present.nonzero().T
        if len(row):
            without = gone.flatten(1)[row]
            without[torch.arange(len(row), device=row.device), place] = True
            without = without.reshape(-1, *gone.shape[1:])
            documents = question.documents[row]
            answers = self.scores_without(inputs, additional, documents, without)
            fall = question.of(row).asked(scores[row]) - question.of(row).asked(answers)
            importance[row, place] = fall
        return scores, importance

    def _gradients(self, question: _Question, gone: Tensor) -> tuple[Tensor, Tensor]:
        inputs, documents = question.inputs, question.documents
        texts = inputs[documents]
        mode = _ZeroedLeaves(gone) if self.removal == "zero" else GradientMode()
        kept = None
        if self.unknown is not None:
            texts = texts.masked_fill(gone, self.unknown)
        elif self.removal == "delete":
            texts, kept = self.shortened(texts, gone)
        arguments = arguments_of(question.additional, inputs, documents)
        scores = self.scored(texts, arguments, mode, graph=True)
        leaves = [reading.vectors for reading in mode.readings]
        start = question.asked(scores).sum()
        gradients = torch.autograd.grad(start, leaves, allow_unused=True)
        products = mode.gathered(
            [
                None if g is None else leaf.detach() * g
                for leaf, g in zip(leaves, gradients, strict=True)
            ]
        ).sum(-1)
        if kept is not None:
            places = products.new_zeros(gone.shape)
            products = places.scatter(1, kept, products)
        return scores.detach(), products.flatten(1)


def _ranks(scores: Tensor, importance: Tensor) -> Tensor:
    """The places `[R, n]` of importance in its order; what differs by rounding alone is equal.

    Without either of two equal neighbours a text is the same. Which of them has the smaller number
    is a matter of how the batch was computed, and must not decide which goes first.
    """
    values, order = importance.sort(dim=1)
    sizes = torch.maximum(scores.abs().amax(1), importance.abs().amax(1))
    rounding = _ROUNDING * torch.finfo(importance.dtype).eps * sizes
    steps = (values.diff(dim=1) > rounding.unsqueeze(1)).cumsum(1)
    ranks = nn.functional.pad(steps, (1, 0)).double()
    return torch.zeros_like(ranks).scatter(1, order, ranks)


def _least_first(importance: Tensor, among: Tensor) -> Tensor:
    """Places `[R, n]` by importance, the least first, of equals the first; others at the end."""
    return importance.masked_fill(~among, float("inf")).argsort(stable=True, dim=1)


def _predicted(scores: Tensor) -> Tensor:
    """The predicted class `[N]`; of a single output, whether it is below 0."""
    return (scores[:, 0] < 0).long() if scores.shape[1] == 1 else scores.argmax(1)
