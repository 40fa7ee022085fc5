"""Softmax and logsumexp by eˣ under Rescale; and a check of decomposed functions."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from seqlrp.engine.decompositions import softmax_arguments
from seqlrp.engine.dispatch import Law
from seqlrp.engine.functions import Call
from seqlrp.engine.nests import tensors_in
from seqlrp.methods.deeplift import rules
from seqlrp.methods.deeplift.pairs import PairedRun


def check_parts(law: Law[Any]) -> Law[PairedRun]:
    """Wrap the law of a decomposed function, to refuse it if the parts do not give its value."""

    def apply_and_check(run: PairedRun, call: Call) -> Any:
        result = law(run, call)
        with torch.no_grad():
            own = call.evaluate(Tensor.detach)
        for mine, theirs in zip(tensors_in(result), tensors_in(own), strict=True):
            near = torch.finfo(mine.dtype).eps ** 0.5
            size = float(theirs.abs().nan_to_num(0.0, posinf=0.0).max()) if theirs.numel() else 0.0
            if mine.shape != theirs.shape or not torch.allclose(
                mine.detach(), theirs, rtol=near, atol=near * size, equal_nan=True
            ):
                run.refuse(
                    call.function, "with arguments for which it is not known how to take it apart"
                )
        return result

    return apply_and_check


class _Exponentials:
    """Rescale slopes of eˣ, and its sums for text and reference, with a shift against overflow."""

    def __init__(self, run: PairedRun, x: Tensor, dim: Any) -> None:
        x0, x = run.partner(x), x.detach()
        shift = torch.maximum(x.amax(dim, keepdim=True), x0.amax(dim, keepdim=True))
        shift = shift.masked_fill(~shift.isfinite(), 0)
        x, x0 = x - shift, x0 - shift
        e, e0 = x.exp(), x0.exp()
        self.slopes = rules.rescale(torch.exp, x, x0, e, e0)
        self.sums = e.sum(dim, keepdim=True), e0.sum(dim, keepdim=True)


def softmax(run: PairedRun, call: Call) -> Tensor:
    """`softmax`: eˣ under Rescale, divided by its sum; every multiplier is at most 2."""
    x, dim = softmax_arguments(run, call)
    parts = _Exponentials(run, x, dim)
    mean_sum = (parts.sums[0] + parts.sums[1]) / 2
    value, reference = torch.softmax(x.detach(), dim), torch.softmax(run.partner(x), dim)
    exponentials = torch.where(parts.slopes == 0, 0, x) * parts.slopes  # masks add -inf
    total = exponentials.sum(dim, keepdim=True)
    surrogate = (exponentials - (value + reference) / 2 * total) / mean_sum
    return run.exact(surrogate, value, reference)


def log_sum_exp(run: PairedRun, call: Call) -> Tensor:
    """`logsumexp`: log Σ eˣ, Rescale on both; the multipliers are weights that add up to ≤ 1."""
    x, dim, keep = call.args[0], call.argument(1, "dim"), call.argument(2, "keepdim", False)
    dim = tuple(range(x.ndim)) if dim is None else dim
    parts = _Exponentials(run, x, dim)
    y, y0 = torch.logsumexp(x.detach(), dim, True), torch.logsumexp(run.partner(x), dim, True)
    middle = (parts.sums[0] + parts.sums[1]) / 2
    slope = rules.secant(*parts.sums, y, y0, 1 / middle)
    weights = parts.slopes * slope
    surrogate = (torch.where(weights == 0, 0, x) * weights).sum(dim, keepdim=True)
    result = run.exact(surrogate, y, y0)
    if keep:
        return result
    shape = torch.logsumexp(x.detach(), dim).shape
    return run.do(torch.reshape, result, tuple(shape))
