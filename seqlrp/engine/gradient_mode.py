"""Modes that run a model so that a plain gradient to its vectors can be taken."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Self

import torch
from torch import Tensor, nn

from seqlrp.engine.checks import refuse_no_embedding
from seqlrp.engine.dispatch import set_to_zero
from seqlrp.engine.failures import HOOKED
from seqlrp.engine.following import FollowingMode
from seqlrp.engine.functions import (
    Kind,
    full_name,
    function_name,
    identify,
    writes_over_first,
)
from seqlrp.engine.inputs import InputMode, Reading, Tensors
from seqlrp.engine.marks import Mark, put_mark
from seqlrp.engine.nests import map_tensors, out_of_inference_mode, tensors_among, tensors_in
from seqlrp.engine.recurrent_calls import LAYERS, parse_layer
from seqlrp.errors import RefusedFunctionError


class GradientMode(InputMode):
    """Runs a model so that a gradient can be taken, also where cuDNN computes its recurrences.

    In evaluation mode cuDNN refuses the backward pass of a recurrence, because its forward pass
    does not save intermediate values. So this mode runs that one function call as in training, with
    a dropout of 0: the numbers are the same, and neither the model nor a global flag is changed.
    """

    def call(
        self, function: Callable[..., Any], args: Any, kwargs: Any, found: Tensors = None
    ) -> Any:
        """Call a function; run a recurrence on CUDA as in training, but without dropout."""
        name = function_name(function)
        if name in LAYERS and self.needs_training_mode(args):
            args = parse_layer(name, args)._replace(dropout=0.0, training=True).positional
        found = tensors_among(args, kwargs) if found is None else found
        if any(t.is_inference() for t in found):
            args, kwargs = map_tensors((args, kwargs), out_of_inference_mode)
        return super().call(function, args, kwargs)

    @staticmethod
    def needs_training_mode(args: Any) -> bool:
        """Return whether a recurrence with these arguments has a gradient in training mode only."""
        return bool(args) and isinstance(args[0], Tensor) and args[0].is_cuda


def _check_gradient(function: Callable[..., Any], result: Tensor) -> None:
    """Refuse a function for which torch has no backward pass, and would return zeros."""
    node = result.grad_fn
    if node is not None and node.name().endswith("NotImplemented"):
        name = full_name(function)
        raise RefusedFunctionError(
            f"{name} has no gradient in torch (a quantized layer, say), so that every gradient "
            f"through it would be 0. Explain the model as it was before it was quantized, or "
            f"take a method that asks the model alone, such as 'occlusion'.",
            function=name,
        )


def _graph(tensor: Tensor) -> Iterator[Any]:
    """Yield the nodes of the graph of a tensor."""
    seen, nodes = set(), [tensor.grad_fn]
    while nodes:
        node = nodes.pop()
        if node is not None and node not in seen:
            seen.add(node)
            yield node
            nodes += [before for before, _ in node.next_functions]


class FollowedGradientMode(FollowingMode[Mark], GradientMode):
    """Runs a model as `GradientMode` does, and marks each value that depends on the words.

    It changes no value. What it marks is known to depend on the words, so that `SecondRun` can
    compare all else that meets it; so is what autograd alone follows, as through an autograd
    function of the model's own.

    Args:
        model: the model.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__(model, count=None, account=False)

    def again(self, model: nn.Module) -> Self:
        """Return a new mode for a model like this one."""
        return type(self)(model)

    def mark(self, tensor: Tensor, *, documents: Tensor | None = None) -> Tensor:
        """Mark a tensor as dependent on the words, and return it."""
        return put_mark(tensor, Mark(run=self))

    def is_signal(self, tensor: object) -> bool:
        """Return whether a tensor, or one whose memory it shows, depends on the words."""
        if not isinstance(tensor, Tensor):
            return False
        if super().is_signal(tensor) or super().is_signal(tensor._base):
            return True
        if not self._reaches_words(tensor):
            return False
        self.mark(tensor)
        return True

    def _reaches_words(self, tensor: Tensor) -> bool:
        """Return whether a tensor has a graph back to the vectors of words."""
        words = {id(reading.vectors) for reading in self.readings}
        return any(id(getattr(node, "variable", None)) in words for node in _graph(tensor))

    def connect_scores(self, output: Tensor, scores: Tensor) -> Tensor:
        """Return the scores.

        Raises:
            NoEmbeddingError: the model detaches them from all of its words.
            RefusedFunctionError: a part of the model is checkpointed, and runs again in a backward
                pass of its own.
        """
        if any(node.name() == "CheckpointFunctionBackward" for node in _graph(scores)):
            raise RefusedFunctionError(HOOKED)
        if not self._reaches_words(scores):
            refuse_no_embedding()
        return scores

    def read(self, reading: Reading) -> Tensor:
        """Make the vectors of a reading a leaf; return those that the model uses, marked."""
        return self.mark(super().read(reading))

    def note_bags(self, vectors: Tensor, index: Tensor, count: int) -> None:
        """Do nothing: no ledger is kept."""

    def call(
        self, function: Callable[..., Any], args: Any, kwargs: Any, found: Tensors = None
    ) -> Any:
        """Call a function, and mark what depends on the words."""
        entry = identify(function)
        found = tensors_among(args, kwargs) if found is None else found
        follows = any(self.is_signal(t) for t in found)
        if follows and self.constants is not None:
            self.constants.note(self, function, entry, args, kwargs)
        elif not follows:
            self.record_question(function, entry, args, kwargs)
        result = set_to_zero(entry, super().call(function, args, kwargs, found))
        if not follows:
            return result
        written = args[:1] if writes_over_first(function, entry) else ()
        made = entry is not None and entry.kind is Kind.ANSWER  # of the shape alone
        for tensor in tensors_in((result, written)):
            _check_gradient(function, tensor)
            if not made and (tensor.dtype.is_floating_point or tensor.dtype.is_complex):
                self.mark(tensor)
                if written and tensor._base is not None:
                    self.mark(tensor._base)
        truth = isinstance(result, Tensor) and result.dtype == torch.bool
        if entry is not None and (truth or entry.kind in (Kind.ANSWER, Kind.COUNT)):
            self.note_answer(entry, result)
        return result
