"""What a text loses without a word: each word is left out in turn, and the model is asked again."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from seqlrp.batching import BatchTokens
from seqlrp.errors import OptionError
from seqlrp.lrp import Attribution, door
from seqlrp.methods.removal import BATCH_TOKENS, Removal, RemovalExplainer


class Occlusion(RemovalExplainer):
    """Occlusion: by how much the score falls without the word (Zeiler and Fergus 2014; Li 2016).

    R_t = score(text) − score(text without word t). A document of T words takes T more passes
    forward, which run many at a time.

    With `ngram` n, windows of n consecutive words are left out together, and a word's value is the
    mean over the windows that hold it: n of them, fewer near the ends of the text. So it is in
    units of the score of a window, not of a word. A text of fewer than n words is one window.

    Args:
        model: as for `seqlrp.LRP`; its answer must not depend on how a batch is padded.
        removal: `"zero"` sets the word's embedding to zero and keeps the length, `"delete"` makes
            the sequence shorter, `"unk"` puts the unknown word in its place.
        ngram: how many consecutive words are left out at a time.
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
        if isinstance(ngram, bool) or not isinstance(ngram, int) or ngram < 1:
            raise OptionError(f"Got ngram={ngram!r}; expected a whole number from 1 on.")
        self.ngram = ngram

    @property
    def parameters(self) -> dict[str, Any]:
        """What is done with a word, and how many go at a time if it is more than one."""
        return super().parameters | ({} if self.ngram == 1 else {"ngram": self.ngram})

    def attribution(
        self,
        inputs: Tensor,
        target: door.Target = "predicted",
        additional_forward_args: Any = None,
        *,
        padding: Tensor | None = None,
    ) -> Attribution:
        """Attribution `[B, T]` or `[B, C, T]`, 0 on padding; all classes come from the same passes.

        Of `additional_forward_args`, tensors with a row for each document go along with it; with
        `"delete"` there may be none, for lengths would no longer fit.

        Raises:
            ModelError: the model returns no scores, or they do not depend on the input.
            InputError: ids, target or padding are not what was expected.
        """
        run = self.forward(inputs, target, additional_forward_args, padding)
        self.check_removable(inputs, additional_forward_args, run.padding, self.ngram)
        rows, gone = self.windows(run.padding)
        answers = self.scores_without(inputs, additional_forward_args, rows, gone)
        wide = torch.promote_types(run.scores.dtype, torch.float32)
        change = run.chosen(run.scores[rows].to(wide), rows) - run.chosen(answers.to(wide), rows)
        relevance = change.new_zeros(len(change), *run.padding.shape)
        held, *places = gone.nonzero().T  # the windows, and the words that each holds
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
        """The document of each window `[N]`, and what it leaves out, bool `[N, *document]`."""
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
