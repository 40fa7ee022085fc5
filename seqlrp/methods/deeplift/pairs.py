"""Runs a model on a text and on its reference in parallel: each value has a reference value.

Each value that depends on the words carries the value at the same position for the reference; each
function that the model calls is called for both, with the same ids, lengths and indices. So values
and references stay aligned however the model sorts, packs or writes in place. In the backward pass,
automatic differentiation computes multipliers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NoReturn, Self

import torch
from torch import Tensor, nn

from seqlrp.engine.dispatch import DispatchMode
from seqlrp.engine.following import constant
from seqlrp.engine.functions import Call, Function, full_name
from seqlrp.engine.inputs import Reading
from seqlrp.engine.marks import Mark, mark_of
from seqlrp.engine.nests import tensors_in
from seqlrp.errors import RefusedFunctionError
from seqlrp.methods.deeplift.rules import difference

Rule = Literal["rescale", "reveal_cancel"]
Reference = Callable[["PairedRun", Reading], Tensor]


@dataclass(slots=True, kw_only=True)
class Dual(Mark):
    """A mark with the value of the reference at the same position.

    Attributes:
        reference: same shape and dtype, without a graph.
        parts: Δ⁺ and Δ⁻, with the graph of their contributions, for RevealCancel; None: the value
            counts as one contribution.
        version: the number of writes to the value's memory before this mark was made.
        jumps: whether it was sorted by value, in another order than the reference; any use of it is
            refused.
    """

    reference: Tensor
    parts: tuple[Tensor, Tensor] | None = None
    version: int = 0
    jumps: bool = False


class PairedRun(DispatchMode[Dual]):
    """One forward pass of one model on words and their references.

    Args:
        model: the model; errors name its modules.
        rule: the rule of elementwise functions.
        reference: (run, reading) -> the references of the vectors that were just read.
    """

    refusal = "DeepLIFT has no rule for it, and a plain gradient would not add up"
    advice = (
        "Write the step with functions that have one (seqlrp.methods.deeplift.table.ruled() lists "
        "them), or explain the part of the model after it by handing its vectors [B, T, D] in."
    )

    def __init__(self, model: nn.Module, rule: Rule, reference: Reference) -> None:
        super().__init__(model, count=None, account=False)
        self.rule = rule
        self.references: list[Tensor] = []  # the reference of each reading, in order
        self._reference = reference

    def again(self, model: nn.Module) -> Self:
        """Return a new run with the same settings for a model like this one."""
        return type(self)(model, self.rule, self._reference)

    def read(self, reading: Reading) -> Tensor:
        """Pair the vectors that an embedding reads with their references."""
        with torch.inference_mode(False), torch.enable_grad():
            reading = reading._replace(vectors=constant(reading.vectors))
            reference = self._reference(self, reading)
            self.references.append(reference)
            return self.pair(super().read(reading), reference.clone())

    def note_bags(self, vectors: Tensor, index: Tensor, count: int) -> None:
        """Remember the bag of each id."""
        rows = torch.arange(len(vectors), device=vectors.device).unsqueeze(1)
        self.bag_owner = rows.new_zeros(count)
        self.bag_owner[index[index >= 0]] = rows.expand(index.shape)[index >= 0]

    # Marks

    def mark(self, tensor: Tensor, *, documents: Tensor | None = None) -> Tensor:
        """Mark a value that is the same for the text and the reference."""
        return self.pair(tensor, tensor)

    def pair(self, value: Tensor, reference: Tensor, *, jumps: bool = False) -> Tensor:
        """Pair a value with its reference, and return it."""
        reference = reference.detach()
        if value._base is None and reference.stride() != value.stride():
            # Both need the same memory layout if the model writes to them through views.
            reference = _empty_with_layout(value).copy_(reference)
        dual = Dual(run=self, reference=reference, version=value._version, jumps=jumps)
        return self.put(value, dual)

    def known(self, value: object) -> Dual | None:
        """Return the mark of a value that depends on the words; None for all others."""
        return self.checked(value)

    def checked(self, value: object) -> Dual | None:
        """Return the mark of a value that depends on the words, if it is still right.

        A view that is older than a write of words into its base gets the mark of that write.
        """
        mark = super().checked(value)
        if not isinstance(value, Tensor) or (mark is not None and not isinstance(mark, Dual)):
            return None
        if mark is not None and mark.jumps:
            self.refuse_choice()
        whole = None if value._base is None else super().checked(value._base)
        if not isinstance(whole, Dual) or (mark is not None and _share(mark, whole)):
            if mark is not None and mark.version != value._version:
                mark.parts = None  # they belong to the overwritten value
            return mark
        if mark is not None and mark.version == value._version:
            return mark
        base = value._base
        if base is None or mark is not None or whole.reference.stride() != base.stride():
            self.refuse_views()
        place = value.storage_offset() - base.storage_offset() + whole.reference.storage_offset()
        part = whole.reference.as_strided(value.shape, value.stride(), place)
        return Dual(run=self, reference=part, version=value._version)

    def partner(self, value: Tensor) -> Tensor:
        """Return the reference of a value, or the value itself if it is constant."""
        dual = self.known(value)
        return value.detach() if dual is None else dual.reference

    def signals(self, nest: Any) -> list[Tensor]:
        """Return the floating values among the arguments that depend on the words."""
        return [
            t for t in tensors_in(nest) if t.dtype.is_floating_point and self.known(t) is not None
        ]

    def delta(self, value: Tensor) -> Tensor:
        """Return Δ = x − x0 with the graph of x."""
        return value + (difference(value.detach(), self.partner(value)) - value.detach())

    # Results of laws

    def pair_results(self, result: Any, reference: Any) -> Any:
        """Pair nested results with their references; integers and masks must be equal for both."""
        theirs = tensors_in(reference)
        for mine, other in zip(tensors_in(result), theirs, strict=True):
            known = mark_of(mine, self)
            if isinstance(known, Dual) and known.reference is other:
                continue  # the same tensor, as returned by `contiguous`
            if mine.dtype.is_floating_point or not torch.equal(mine, other):
                self.pair(mine, other)
        return result

    def linear(self, call: Call) -> Any:
        """Call a function that is linear in the words: its multipliers are its gradient."""
        result = call.evaluate(self.raw)
        with torch.no_grad():
            reference = call.evaluate(self.partner)
        return self.pair_results(result, reference)

    def both(self, call: Call) -> tuple[Any, Any]:
        """Return the results of a function for the words and for the reference, without a graph."""
        with torch.no_grad():
            return call.evaluate(Tensor.detach), call.evaluate(self.partner)

    def exact(self, surrogate: Tensor, value: Tensor, reference: Tensor) -> Tensor:
        """Return `value` with the gradient of `surrogate` as its multipliers."""
        if value._base is not None:
            value = value.clone()
        y: Tensor = _Valued.apply(surrogate, (value.detach(),))  # type: ignore[no-untyped-call]
        return self.pair(y, reference)

    def overwrite(self, target: Tensor, result: Tensor) -> Tensor:
        """Write a result over a tensor, and the result's reference over the tensor's reference."""
        mine = self.reference_to_write(target)
        partner = self.partner(result)
        _ = target.grad_fn  # asked for, a view of what was written into gets its graph
        target.copy_(self.raw(result))
        mine.copy_(partner)
        return self.pair(target, mine)

    def reference_to_write(self, target: Tensor) -> Tensor:
        """Return the reference of a tensor that is about to be written into."""
        dual = self.known(target)
        if dual is not None:
            whole = None if target._base is None else self.known(target._base)
            if whole is not None and not _share(dual, whole):
                self.refuse_views()
            return dual.reference
        if self.is_parameter(target):
            self.refuse(Tensor.copy_, "the model writes into a parameter or buffer of its own")
        base = target if target._base is None else target._base
        self.pair(base, _empty_with_layout(base).copy_(base.detach()))
        return self.partner(target)

    def copy_marked(self, value: Tensor) -> Tensor:
        """Copy a value that is about to be overwritten, and its reference."""
        dual = self.known(value)
        return value.clone() if dual is None else self.pair(value.clone(), dual.reference.clone())

    def call_on_constants(
        self, function: Callable[..., Any], entry: Function | None, args: Any, kwargs: Any
    ) -> Any:
        """Call a function of constants outside of inference mode.

        Views made in inference mode could not be written into later.
        """
        with torch.inference_mode(False):
            return super().call_on_constants(function, entry, args, kwargs)

    # Choices by value

    def check_choices(self, function: Any, tensors: list[Tensor]) -> None:
        """Refuse masks and indices that are not the same for text and reference."""
        for tensor in tensors:
            if not tensor.dtype.is_floating_point:
                dual = self.known(tensor)
                if dual is not None and not torch.equal(tensor, dual.reference):
                    self.refuse_choice(function)

    def refuse_choice(self, function: Any = None) -> NoReturn:
        """Refuse a comparison or arg max with another result for the reference."""
        name = "" if function is None else f"{full_name(function)} in "
        raise RefusedFunctionError(
            f"{name}{self.describe_place()} uses a choice (a comparison, an arg max or an order of "
            f"values) that the words decide, and the baseline would choose otherwise: the "
            f"difference of the scores then jumps, and no multipliers add up to it. Write the "
            f"step with a function that has a rule (relu, maximum, max, clamp), or take a "
            f"baseline that chooses alike."
        )


def _empty_with_layout(value: Tensor) -> Tensor:
    return torch.empty_strided(value.shape, value.stride(), dtype=value.dtype, device=value.device)


def _share(one: Dual, other: Dual) -> bool:
    """Return whether two references share memory."""
    memory = (d.reference.untyped_storage().data_ptr() for d in (one, other))
    return len(set(memory)) == 1


class _Valued(torch.autograd.Function):
    """A value that was computed elsewhere, with the gradient of a surrogate."""

    @staticmethod
    def forward(ctx: Any, surrogate: Tensor, value: tuple[Tensor]) -> Tensor:
        return value[0]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        return gradient, None
