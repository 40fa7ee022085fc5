"""Occlusion: the change of the score when each word is removed in turn."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from seqlrp.engine.attribution import Attribution
from seqlrp.engine.batches import BatchTokens
from seqlrp.engine.checks import Target
from seqlrp.errors import check_number
from seqlrp.methods.copies import BATCH_TOKENS
from seqlrp.methods.removal.words import Removal, RemovalExplainer


class Occlusion(RemovalExplainer):
    """Occlusion: the decrease of the score without the word (Zeiler and Fergus 2014; Li 2016).

    R_t = score(text) − score(text without word t). A document of T words takes T more forward
    passes, which run in batches.

    With `ngram` n, windows of n consecutive words are removed together, and a word's value is the
    mean over the windows that contain it: n of them, fewer near the ends of the text. So a value is
    the effect of a window, not of a word. A text of fewer than n words is one window.

    Args:
        model: an `nn.Module`, see `seqlrp.LRP`; its answer must not depend on how a batch is
            padded.
        removal: `"zero"` sets the word's embedding to zero and keeps the length, `"delete"` makes
            the sequence shorter, `"unk"` puts the unknown word in its place.
        ngram: the number of consecutive words that are removed together.
        unknown: the id of the unknown word, for `"unk"`; 1 in a `seqlrp.Vocabulary`.
        batch_tokens: the most tokens in a batch of texts that lack words; halved when memory runs
            out. `"auto"` finds it.
        output: which part of the model's output holds the scores, if it returns several.

    Raises:
        OptionError: an unknown removal, `"unk"` without `unknown`, or an `ngram` below 1.
        ModelError: the model cannot be run as it is.
    """

    name = "occlusion"

    def __init__(
        self,
        model: nn.Module,
        removal: Removal = "zero",
        *,
        ngram: int = 1,
        unknown: int | None = None,
        batch_tokens: BatchTokens = BATCH_TOKENS,
        output: int | str | None = None,
    ) -> None:
        super().__init__(model, removal, unknown=unknown, batch_tokens=batch_tokens, output=output)
        check_number("ngram", ngram, least=1, whole=True)
        self.ngram = int(ngram)

    @property
    def parameters(self) -> dict[str, Any]:
        """Return the kind of removal, and `ngram` if it is not 1."""
        return super().parameters | ({} if self.ngram == 1 else {"ngram": self.ngram})

    def compute(
        self, inputs: Tensor, target: Target, additional_forward_args: Any, padding: Tensor | None
    ) -> Attribution:
        """Compute `[B, T]` or `[B, C, T]`, 0 on padding; all classes share the same passes.

        Tensors in `additional_forward_args` with a row for each document are copied with it;
        `"delete"` allows no such arguments, because lengths would no longer be correct.

        Raises:
            ModelError: the model returns no scores, or they do not depend on the input.
            InputError: ids, target or padding are not what was expected.
        """
        run = self.forward(inputs, target, additional_forward_args, padding)
        self.check_removable(inputs, additional_forward_args, run.padding, self.ngram)
        rows, gone = self.windows(run.padding)
        answers = self.score_without(inputs, additional_forward_args, rows, gone)
        wide = torch.promote_types(run.scores.dtype, torch.float32)
        change = run.select(run.scores[rows].to(wide), rows) - run.select(answers.to(wide), rows)
        relevance = change.new_zeros(len(change), *run.padding.shape)
        held, *places = gone.nonzero().T  # the window and the position of each removed word
        words = (slice(None), rows[held], *places)
        if self.ngram == 1:
            relevance[words] = change
            return run.attribution(relevance)
        counts = torch.zeros(run.padding.shape, dtype=torch.int64, device=gone.device)
        counts.index_put_(words[1:], torch.ones_like(held), accumulate=True)
        every = (torch.arange(len(change), device=gone.device).unsqueeze(1), *words[1:])
        relevance.index_put_(every, change[:, held], accumulate=True)
        return run.attribution(relevance / counts.clamp(min=1))

    def windows(self, padding: Tensor) -> tuple[Tensor, Tensor]:
        """Return the document of each window `[N]` and its words, bool `[N, *document]`."""
        places = (~padding).nonzero().T  # [dimensions of the ids, words]
        row = places[0]
        number = torch.arange(len(row), device=row.device)
        counts = torch.bincount(row, minlength=len(padding))
        start = counts.cumsum(0) - counts  # of each document among the words
        held = counts.clamp(max=self.ngram)  # words in each window of a document
        begins = number - start[row] <= (counts - held)[row]
        rows, first = row[begins], number[begins]
        gone = torch.zeros(len(rows), *padding.shape[1:], dtype=torch.bool, device=row.device)
        window = torch.arange(len(rows), device=row.device)
        for k in range(self.ngram):
            inside = k < held[rows]
            gone[(window[inside], *places[1:, first[inside] + k])] = True
        return rows, gone
