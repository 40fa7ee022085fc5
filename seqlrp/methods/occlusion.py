"""What a text loses without a word: each word is left out in turn, and the model is asked again."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from seqlrp.lrp import Attribution, door
from seqlrp.methods.removal import RemovalExplainer


class Occlusion(RemovalExplainer):
    """Occlusion: by how much the score falls without the word (Zeiler and Fergus 2014; Li 2016).

    R_t = score(text) − score(text without word t). A document of T words takes T more passes
    forward, which run many at a time.
    """

    name = "occlusion"

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
        self.check_removable(inputs, additional_forward_args, run.padding)
        places = (~run.padding).nonzero().T  # [dimensions of the ids, N]: N words to leave out
        rows = places[0]
        gone = torch.zeros(len(rows), *run.padding.shape[1:], dtype=torch.bool, device=rows.device)
        gone[(torch.arange(len(rows), device=rows.device), *places[1:])] = True
        answers = self.scores_without(inputs, additional_forward_args, rows, gone)
        scores = run.scores.detach()
        wide = torch.promote_types(scores.dtype, torch.float32)
        change = run.chosen(scores[rows].to(wide), rows) - run.chosen(answers.to(wide), rows)
        relevance = change.new_zeros(len(change), *run.padding.shape)
        relevance[(slice(None), *places)] = change
        return run.attribution(relevance)
