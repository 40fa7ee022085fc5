"""Copies of documents, each changed in some way: many go through the model at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from seqlrp.batching import BatchTokens, Budget, in_batches
from seqlrp.errors import IdsError, NonFiniteError
from seqlrp.lrp import door
from seqlrp.lrp.inputs import InputMode
from seqlrp.methods.explainer import Explainer, Forward

BATCH_TOKENS = 8192
Found = TypeVar("Found")


class CopiesExplainer(Explainer):
    """A method that asks the model about copies of a document whose words differ.

    Args:
        model: as for `seqlrp.LRP`; its answer must not depend on how a batch is padded.
        batch_tokens: the most tokens in a batch of copies; halved when memory runs out. `"auto"`
            finds it.
        output: which part of the model's output holds the scores, if it returns several.

    Raises:
        OptionError: `batch_tokens` is none.
        ModelError: the model cannot be run as it is.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        batch_tokens: BatchTokens = BATCH_TOKENS,
        output: int | str | None = None,
    ) -> None:
        Budget(batch_tokens, torch.device("cpu"))  # refuses what is none
        super().__init__(model, output=output)
        self.batch_tokens = batch_tokens

    def forward(
        self,
        inputs: Tensor,
        target: door.Target,
        additional_forward_args: Any,
        padding: Tensor | None,
    ) -> Forward:
        """As `Explainer.forward`, but its graph is gone; a document must have a row to be copied.

        Raises:
            ModelError, InputError: as there; ids of one dimension.
        """
        run = super().forward(inputs, target, additional_forward_args, padding)
        if run.padding.ndim < 2:
            raise IdsError(
                f"Got ids of shape {list(inputs.shape)}; {self.name} needs a row for each "
                f"document, [B, T] or [B, S, W]."
            )
        door.check_padding(run.padding)
        return run._replace(scores=run.scores.detach())

    def in_batches(
        self, documents: Tensor, copies: int, work: Callable[[Tensor], Found]
    ) -> Iterator[tuple[Tensor, Found]]:
        """Work on copies numbered 0, 1, …, some at a time; gives their numbers and what was found.

        Args:
            documents: a tensor whose rows are shaped as the ids of one document.
            copies: how many there are in all.
            work: gets the numbers of a batch of copies, int64 `[N]`.
        """
        device = documents.device
        lengths = [documents.shape[1:].numel()] * copies
        budget = Budget(self.batch_tokens, device, halves=True)

        def numbered(batch: list[int]) -> Found:
            return work(torch.tensor(batch, device=device))

        for batch, found in in_batches(lengths, budget, numbered):
            yield torch.tensor(batch, device=device), found

    def in_order(
        self, documents: Tensor, copies: int, work: Callable[[Tensor], tuple[Tensor, ...]]
    ) -> list[Tensor]:
        """As `in_batches`, for work that gives tensors with a row for each copy: all rows."""
        batches, found = zip(*self.in_batches(documents, copies, work), strict=True)
        order = torch.cat(batches).argsort()
        return [torch.cat(parts)[order] for parts in zip(*found, strict=True)]

    def answers(
        self, mode: InputMode, inputs: Tensor, additional: Any, rows: Tensor, *, graph: bool = False
    ) -> Tensor:
        """Scores `[N, C]` of copies, whose vectors are as `mode` makes them.

        Args:
            mode: hands the model its vectors.
            inputs: ids or vectors of the documents, as for `attribution`.
            additional: what the model takes after its input. Tensors with a row for each document
                go along with it.
            rows: which document each of the copies is of, int64 `[N]`.
            graph: whether a gradient will be taken.

        Raises:
            NonFiniteError: a score is NaN or infinite.
        """
        arguments = arguments_of(additional, inputs, rows)
        found = self.scored(inputs[rows], arguments, mode, graph=graph)
        if not bool(found.detach().isfinite().all()):
            raise NonFiniteError(
                f"{self.name} changes the vectors of the words, and a score is then NaN or "
                f"infinite; look for overflowing weights or a division by the length of a vector, "
                f"or take another baseline."
            )
        return found

    def scored(
        self,
        texts: Tensor,
        arguments: tuple[Any, ...],
        mode: InputMode | None = None,
        *,
        graph: bool = False,
    ) -> Tensor:
        """Scores `[N, C]` of texts, by the model as it is or as `mode` runs it."""
        with torch.set_grad_enabled(graph):
            if mode is None:
                output = self.model(texts, *arguments)
            else:
                output = mode.run(self.model, texts, arguments)
            found: Tensor = door.selected(output, self.output)
            return found.reshape(len(texts), -1)

    def check_found(self, relevance: Tensor) -> Tensor:
        """The same relevance, which must be finite.

        Raises:
            NonFiniteError: it is not.
        """
        if not bool(relevance.isfinite().all()):
            raise NonFiniteError(
                f"{self.name} found a gradient that is NaN or infinite; look for a root or a "
                f"length of a vector at 0, where there is no gradient."
            )
        return relevance


def arguments_of(additional: Any, inputs: Tensor, rows: Tensor) -> tuple[Any, ...]:
    """What the model takes after its input; tensors with a row for each document lend `rows`."""
    arguments = additional if isinstance(additional, tuple) else (additional,)
    return tuple(
        a[rows] if isinstance(a, Tensor) and a.shape[:1] == inputs.shape[:1] else a
        for a in (() if additional is None else arguments)
    )
