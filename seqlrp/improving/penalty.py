"""Right for the right reasons: relevance of a shortcut as a part of the loss (Ross et al. 2017).

Relevance is gradient × input of the vectors of the words, which has a gradient of its own. The
backward pass of LRP has none: its laws are not written to be differentiated again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from seqlrp.errors import ModelError
from seqlrp.improving.labelled_texts import LabelledTexts, Mask
from seqlrp.improving.shortcut import Located
from seqlrp.models.optimisation import LabelledBatch

STRENGTH = 10.0


class RelevancePenalty:
    """λ · mean over texts of Σ_t Σ_d (x_td ∂f/∂x_td)² over the words t of shortcuts.

    f is the score of the class of the shortcut less the mean of the others, so that the penalty
    does not depend on what all scores have in common. Ross et al. (2017), equation 1, with the
    score in place of the log-probabilities, whose gradient vanishes where the model is sure.

    Args:
        model: looks its vectors up in an `nn.Embedding`.
        texts: those that are trained on.
        located: the shortcuts in them.
        strength: λ.
    """

    def __init__(
        self, model: nn.Module, texts: LabelledTexts, located: Sequence[Located], strength: float
    ) -> None:
        self.texts, self.strength = texts, strength
        self._embeddings = [m for m in model.modules() if isinstance(m, nn.Embedding)]
        if not self._embeddings:
            raise ModelError(
                "The model has no nn.Embedding, where the relevance of a word could be penalised.",
                "Repair it with how='data' or how='project'.",
            )
        self._marks = [_united(located, k) for k in range(len(texts))]
        classes = np.zeros(len(texts), np.int64)
        for one in located:
            classes[one.held] = one.shortcut.class_ or 0
        self._classes = torch.from_numpy(classes)
        self._vectors: list[Tensor] = []

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Keep the vectors that the embeddings give, as long as it lasts."""

        def keep(module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
            if not torch.is_grad_enabled():
                return output
            vectors = output if output.requires_grad else output.requires_grad_()
            self._vectors.append(vectors)
            return vectors

        hooks = [module.register_forward_hook(keep) for module in self._embeddings]
        try:
            # cuDNN has no second derivative of a recurrence.
            with torch.backends.cudnn.flags(enabled=False):
                yield
        finally:
            for hook in hooks:
                hook.remove()
            self._vectors.clear()

    def __call__(self, scores: Tensor, batch: LabelledBatch, chosen: Sequence[int]) -> Tensor:
        """The penalty of the texts of a batch, after the model has read them."""
        vectors = [v for v in self._vectors if v.shape[:-1] == batch.ids.shape]
        self._vectors.clear()
        held = [row for row, k in enumerate(chosen) if self._marks[k].any()]
        if not held or not vectors:
            return scores.new_zeros(())
        mark = torch.zeros(batch.words.shape, dtype=torch.bool)
        mark[batch.words.cpu()] = torch.from_numpy(np.concatenate([self._marks[k] for k in chosen]))
        classes = self._classes[list(chosen)].to(scores.device)
        own = scores.gather(1, classes.unsqueeze(1)).squeeze(1)
        others = (scores.sum(dim=1) - own) / max(scores.shape[1] - 1, 1)
        gradients = torch.autograd.grad((own - others)[held].sum(), vectors, create_graph=True)
        total = scores.new_zeros(())
        for vector, gradient in zip(vectors, gradients, strict=True):
            relevance = (vector * gradient)[mark.to(scores.device)]
            total = total + relevance.square().sum()
        return self.strength * total / len(held)


def _united(located: Sequence[Located], k: int) -> Mask:
    """The tokens of text k that belong to any of some shortcuts."""
    found: Mask = np.any([one.mark(k) for one in located], axis=0)
    return found
