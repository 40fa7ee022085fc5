"""Modified copies of documents, which go through the model in batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from seqlrp.engine.batches import (
    BatchTokens,
    Budget,
    in_batches,
    ran_out_of_memory,
    select_arguments,
)
from seqlrp.engine.checks import Target, check_documents, select_output
from seqlrp.engine.explainer import Explainer, Forward
from seqlrp.engine.inputs import InputMode
from seqlrp.errors import IdsError, ModelError, NonFiniteError
from seqlrp.lrp import SharedReading

BATCH_TOKENS = 8192
Result = TypeVar("Result")


class CopiesExplainer(Explainer):
    """Base class of methods that run the model on modified copies of a document.

    Args:
        model: an `nn.Module`, see `seqlrp.LRP`; its answer must not depend on how a batch is
            padded.
        batch_tokens: the most tokens in a batch of copies; halved when memory runs out. `"auto"`
            finds it.
        output: which part of the model's output holds the scores, if it returns several.
        verify: on the first call for a kind of input, also run a copy of the model on other words,
            and refuse the model if words reach its scores in a way that is not followed.

    Raises:
        OptionError: `batch_tokens` is neither `"auto"` nor a whole number from 1 on.
        ModelError: the model cannot be run as it is.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        batch_tokens: BatchTokens = BATCH_TOKENS,
        output: int | str | None = None,
        verify: bool | None = None,
    ) -> None:
        Budget(batch_tokens, torch.device("cpu"))  # checks batch_tokens
        super().__init__(model, output=output, verify=verify)
        self.batch_tokens = batch_tokens

    def forward(
        self,
        inputs: Tensor,
        target: Target,
        additional_forward_args: Any,
        padding: Tensor | None,
    ) -> Forward:
        """Run the model unchanged and free its graph; each document must have a row, to be copied.

        Raises:
            ModelError, InputError: see `Explainer.forward`; or the ids have one dimension.
        """
        run = super().forward(inputs, target, additional_forward_args, padding)
        if run.padding.ndim < 2:
            raise IdsError(
                f"Got ids of shape {list(inputs.shape)}; {self.name} needs a row for each "
                f"document, [B, T] or [B, S, W]."
            )
        check_documents(run.padding)
        return run._replace(scores=run.scores.detach())

    def runs_beside_others(self, inputs: Tensor) -> bool:
        """Return whether a text ever runs beside another one, or beside a copy of its own."""
        size = self.batch_tokens
        alone = len(inputs) == 1 and size != "auto" and size < 2 * inputs[0].numel()
        return inputs.ndim > 1 and not alone

    def iter_batches(
        self, documents: Tensor, copies: int, work: Callable[[Tensor], Result]
    ) -> Iterator[tuple[Tensor, Result]]:
        """Call `work` on batches of copies; yield the numbers of each batch and its result.

        Args:
            documents: a tensor with rows shaped as the ids of one document.
            copies: the number of all copies.
            work: a function of the numbers of a batch of copies, int64 `[N]`.
        """
        device = documents.device
        lengths = [documents.shape[1:].numel()] * copies
        budget = Budget(self.batch_tokens, device, halves=True)

        def run_batch(batch: list[int]) -> Result:
            return work(torch.tensor(batch, device=device))

        for batch, found in in_batches(lengths, budget, run_batch):
            yield torch.tensor(batch, device=device), found

    def map_copies(
        self, documents: Tensor, copies: int, work: Callable[[Tensor], tuple[Tensor, ...]]
    ) -> list[Tensor]:
        """Call `work` on batches of copies; concatenate its tensors, with one row for each copy."""
        batches, found = zip(*self.iter_batches(documents, copies, work), strict=True)
        order = torch.cat(batches).argsort()
        return [torch.cat(parts)[order] for parts in zip(*found, strict=True)]

    def score_copies(
        self, mode: InputMode, inputs: Tensor, additional: Any, rows: Tensor, *, graph: bool = False
    ) -> Tensor:
        """Return scores `[N, C]` of copies, with vectors modified by `mode`.

        Args:
            mode: the mode that modifies the vectors.
            inputs: ids or vectors of the documents.
            additional: the model's arguments after its input. Tensors with a row for each document
                are copied along with it.
            rows: the document of each copy, int64 `[N]`.
            graph: whether a gradient will be taken.

        Raises:
            NonFiniteError: a score is NaN or infinite.
        """
        arguments = select_arguments(additional, inputs, rows)
        found = self.score_texts(inputs[rows], arguments, mode, graph=graph)
        if not bool(found.detach().isfinite().all()):
            raise NonFiniteError(
                f"{self.name} changes the vectors of the words, and a score is then NaN or "
                f"infinite; look for overflowing weights or a division by the length of a vector, "
                f"or take another baseline."
            )
        return found

    def score_texts(
        self,
        texts: Tensor,
        arguments: tuple[Any, ...],
        mode: InputMode | None = None,
        *,
        graph: bool = False,
    ) -> Tensor:
        """Return scores `[N, C]` of texts, by the unchanged model or under `mode`."""
        with torch.set_grad_enabled(graph), SharedReading():
            try:
                if mode is None:
                    output = self.model(texts, *arguments)
                else:
                    output = mode.run(self.model, texts, arguments)
            except RuntimeError as error:
                if len(texts) == 1 or ran_out_of_memory(error):
                    raise
                raise ModelError(
                    f"{self.name} runs {len(texts)} copies of a text side by side, and "
                    f"{type(self.model).__name__} raises {type(error).__name__}: {error}. If it "
                    f"takes one text at a time, pass batch_tokens=1.",
                    code="fails_on_copies",
                ) from error
            found: Tensor = select_output(output, self.output)
            return found.reshape(len(texts), -1)

    def check_finite(self, relevance: Tensor) -> Tensor:
        """Check that relevance is finite, and return it.

        Raises:
            NonFiniteError: a value is NaN or infinite.
        """
        if not bool(relevance.isfinite().all()):
            raise NonFiniteError(
                f"{self.name} found a gradient that is NaN or infinite; look for a root or a "
                f"length of a vector at 0, where there is no gradient."
            )
        return relevance
