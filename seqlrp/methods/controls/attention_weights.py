"""The attention weights of a model, as a control: attention is not relevance."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from seqlrp.engine.attribution import Attribution
from seqlrp.engine.checks import Target
from seqlrp.engine.dispatch import Law
from seqlrp.engine.explainer import Explainer, Forward
from seqlrp.engine.functions import Call, Kind
from seqlrp.engine.nests import tensors_among
from seqlrp.errors import IdsError, ModelError, OptionError, check_number
from seqlrp.lrp import Options, Propagation, Stabiliser

_PRODUCTS = (Kind.PRODUCT, Kind.MATRIX_PRODUCT, Kind.EINSUM)


def _record(law: Law[WeighingRun]) -> Law[WeighingRun]:
    """Wrap the law of a product, so that attention weights among its operands are recorded."""

    def record_and_apply(run: WeighingRun, call: Call) -> Any:
        run.record(tensors_among(call.args, call.kwargs))
        return law(run, call)

    return record_and_apply


class WeighingRun(Propagation):
    """A run under LRP's table that records the attention weights in products.

    LRP's marks identify the outputs of softmax and sigmoid and their documents, even after they are
    moved. An attention weight is such a value with one number for each step of a sequence.

    Attributes:
        found: the weights `[B, S]` of the S steps of each document, in the order of their use.
    """

    table = Propagation.table.with_wrapped_laws(_PRODUCTS, _record)

    def __init__(self, model: nn.Module, documents: int) -> None:
        super().__init__(
            model, Options(Stabiliser(0.0), on_unknown="absorb"), documents, account=False
        )
        self.documents = documents
        self.found: list[Tensor] = []
        self._noted: list[
            Tensor
        ] = []  # kept alive, so that a weight that is used twice counts once

    def record(self, operands: list[Tensor]) -> None:
        """Record the weights among the operands of a product with a signal."""
        marked = [(t, mark) for t in operands if (mark := self.known(t)) is not None]
        signals = [operand.numel() for operand, mark in marked if not mark.gate]
        for operand, mark in marked:
            if mark.gate and signals:
                self._record_gate(operand, max(signals))

    def _record_gate(self, gate: Tensor, weighed: int) -> None:
        weights, owner = gate.detach(), self.documents_of(gate)
        for dim in range(gate.ndim):
            if gate.stride(dim) == 0:  # expanded: the same weight for each unit
                weights = weights.narrow(dim, 0, 1)
                owner = None if owner is None else owner.narrow(dim, 0, 1)
        count = weights.numel()
        # A gate has a number for each unit of a step, an attention weight one for all its units.
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

    Attention weights multiply a sequence with one number per step: the output of a softmax over the
    steps, of a softmax written out, or of a sigmoid, in any layout. They are returned unchanged,
    with 0 on padding. Whether they explain the model's prediction is for a comparison to show (Jain
    and Wallace 2019).

    Args:
        model: an `nn.Module`, see `seqlrp.LRP`, with attention over the words of ids `[B, T]` or
            of vectors.
        which: the number of the attention, 0 for the one that is used first; None if there is only
            one.
        output: which part of the model's output holds the scores, if it returns several.

    Raises:
        OptionError: `which` is no number from 0 on.
        ModelError: the model cannot be run as it is.
    """

    name = "attention"

    def __init__(
        self, model: nn.Module, which: int | None = None, *, output: int | str | None = None
    ) -> None:
        if which is not None:
            check_number("which", which, least=0, whole=True)
        super().__init__(model, output=output)
        self.which = which

    @property
    def parameters(self) -> dict[str, Any]:
        """Return the number of the attention."""
        return {} if self.which is None else {"which": self.which}

    def relevance_factors(self, factors: Tensor) -> Tensor:
        """Return ones: attention weights do not depend on the score."""
        return torch.ones_like(factors)

    def compute(
        self, inputs: Tensor, target: Target, additional_forward_args: Any, padding: Tensor | None
    ) -> Attribution:
        """Compute weights `[B, T]` or `[B, C, T]`, 0 on padding, with the model's scores.

        Raises:
            ModelError: the model has no attention over its words, or several.
            InputError: ids, target or padding are not what was expected.
        """
        run = self.forward(inputs, target, additional_forward_args, padding)
        if run.padding.ndim != 2:
            raise IdsError(
                f"Got ids of shape {list(inputs.shape)}; attention weights are read for words "
                f"[B, T]."
            )
        mode = WeighingRun(self.model, len(inputs))
        with torch.enable_grad():
            mode.run(self.model, inputs, additional_forward_args)
        fitted = (_fit_to_words(weights, run) for weights in mode.found)
        weights = self._select_weights([weights for weights in fitted if weights is not None])
        weights = weights.to(torch.promote_types(weights.dtype, torch.float32))
        weights = weights.masked_fill(run.padding, 0)
        return run.attribution(weights.expand(len(run.starts), *weights.shape).contiguous())

    def _select_weights(self, found: list[Tensor]) -> Tensor:
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


def _fit_to_words(weights: Tensor, run: Forward) -> Tensor | None:
    """Pad weights `[B, S]` to `[B, T]`; None unless S is T, or T without common padding steps."""
    steps, words = weights.shape[1], run.padding.shape[1]
    if steps > words or not bool(run.padding[:, steps:].all()):
        return None
    return nn.functional.pad(weights, (0, words - steps))
