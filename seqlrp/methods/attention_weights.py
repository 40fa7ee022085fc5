"""The weights that a model gives to its words itself, as a control: attention is not relevance."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from seqlrp.errors import IdsError, ModelError, OptionError
from seqlrp.lrp import Attribution, door
from seqlrp.lrp.functions import spelled
from seqlrp.lrp.marks import tensors_in
from seqlrp.lrp.options import Options
from seqlrp.lrp.propagate import Propagation
from seqlrp.methods.explainer import Explainer, Forward

_PRODUCTS = ("mul", "matmul", "bmm", "mm", "mv", "baddbmm", "einsum")


class Weighing(Propagation):
    """Runs a model as LRP does, and notes each gate with a number a step that weighs a sequence.

    LRP knows what a softmax or sigmoid made, and whose it is, through whatever moves it about.

    Attributes:
        found: the weights `[B, S]` of the S steps of each document, in the order of their use.
    """

    def __init__(self, model: nn.Module, documents: int) -> None:
        super().__init__(model, Options(0.0, on_unknown="absorb"), documents, account=False)
        self.documents = documents
        self.found: list[Tensor] = []
        self._noted: list[Tensor] = []  # held, so that a weight that is used twice is one

    def call(self, function: Any, args: Any, kwargs: Any) -> Any:
        """As `Propagation.call`."""
        if spelled(function) in _PRODUCTS:
            operands = tensors_in((args, kwargs))
            marks = [self.known(operand) for operand in operands]
            signals = [
                operand.numel()
                for operand, mark in zip(operands, marks, strict=True)
                if mark is not None and not mark.gate
            ]
            for operand, mark in zip(operands, marks, strict=True):
                if mark is not None and mark.gate and signals:
                    self._note(operand, max(signals))
        return super().call(function, args, kwargs)

    def _note(self, gate: Tensor, weighed: int) -> None:
        weights, owner = gate.detach(), self.numbers(gate)
        for dim in range(gate.ndim):
            if gate.stride(dim) == 0:  # the same weight for each unit, by `expand`
                weights = weights.narrow(dim, 0, 1)
                owner = None if owner is None else owner.narrow(dim, 0, 1)
        count = weights.numel()
        # A gate within a step is as large as what it multiplies; a weight serves all its units.
        if count % self.documents or count >= weighed:
            return
        steps = count // self.documents
        order = torch.arange(count, device=gate.device)
        if owner is not None:  # batch first or time first, a document's steps come in order
            owner = owner.reshape(-1)
            order = owner.argsort(stable=True)
            each = torch.arange(self.documents, device=owner.device).repeat_interleave(steps)
            if not torch.equal(owner[order], each):
                return
        if any(_same_values(gate, other) for other in self._noted):
            return
        self._noted.append(gate)
        self.found.append(weights.reshape(-1)[order].reshape(self.documents, steps))


def _same_values(one: Tensor, other: Tensor) -> bool:
    same = one.untyped_storage().data_ptr() == other.untyped_storage().data_ptr()
    return same and one.storage_offset() == other.storage_offset()


class AttentionWeights(Explainer):
    """The model's own attention weight of each word, never negative, the same for each class.

    The weights are those that multiply a sequence with one number a step: what a softmax over the
    steps made, or a softmax written out, or a sigmoid, in any layout. They are as the model has
    them, padding apart, and whether they say what the model answers by is what a comparison can
    show (Jain and Wallace 2019).

    Args:
        model: as for `seqlrp.LRP`, with attention over the words of ids `[B, T]` or vectors.
        which: which of several attentions, 0 for the one that is used first; None where there is
            one only.
        output: which part of the model's output holds the scores, if it returns several.

    Raises:
        OptionError: `which` is no number from 0 on.
        ModelError: the model cannot be run as it is.
    """

    name = "attention"

    def __init__(
        self, model: nn.Module, which: int | None = None, *, output: int | str | None = None
    ) -> None:
        number = isinstance(which, int) and not isinstance(which, bool) and which >= 0
        if which is not None and not number:
            raise OptionError(f"Got which={which!r}; expected a number from 0 on, or None.")
        super().__init__(model, output=output)
        self.which = which

    @property
    def parameters(self) -> dict[str, Any]:
        """Which of several attentions."""
        return {} if self.which is None else {"which": self.which}

    def rescaled(self, factors: Tensor) -> Tensor:
        """The score has no part in it."""
        return torch.ones_like(factors)

    def attribution(
        self,
        inputs: Tensor,
        target: door.Target = "predicted",
        additional_forward_args: Any = None,
        *,
        padding: Tensor | None = None,
    ) -> Attribution:
        """Weights `[B, T]` or `[B, C, T]`, 0 on padding, with the model's scores.

        Raises:
            ModelError: the model weighs its words nowhere, or more than once.
            InputError: ids, target or padding are not what was expected.
        """
        run = self.forward(inputs, target, additional_forward_args, padding)
        if run.padding.ndim != 2:
            raise IdsError(
                f"Got ids of shape {list(inputs.shape)}; attention weights are read for words "
                f"[B, T]."
            )
        mode = Weighing(self.model, len(inputs))
        with torch.enable_grad():
            mode.run(self.model, inputs, additional_forward_args)
        fitted = (_fitted(weights, run) for weights in mode.found)
        weights = self._chosen([weights for weights in fitted if weights is not None])
        weights = weights.to(torch.promote_types(weights.dtype, torch.float32))
        weights = weights.masked_fill(run.padding, 0)
        return run.attribution(weights.expand(len(run.starts), *weights.shape).contiguous())

    def _chosen(self, found: list[Tensor]) -> Tensor:
        if not found:
            raise ModelError(
                "The model has no attention over its words: nothing that a softmax made weighs a "
                "sequence with one number a word. Explain it with another method."
            )
        if self.which is None and len(found) > 1:
            raise ModelError(
                f"The model weighs its words {len(found)} times; say which=0 for the first, up to "
                f"which={len(found) - 1}."
            )
        if self.which is not None and self.which >= len(found):
            raise OptionError(
                f"Got which={self.which}; the model weighs its words {len(found)} times, counted "
                f"from 0."
            )
        return found[self.which or 0]


def _fitted(weights: Tensor, run: Forward) -> Tensor | None:
    """Weights `[B, S]` as `[B, T]`, where S is T, or T without steps that are padding for all."""
    steps, words = weights.shape[1], run.padding.shape[1]
    if steps > words or not bool(run.padding[:, steps:].all()):
        return None
    return nn.functional.pad(weights, (0, words - steps))
