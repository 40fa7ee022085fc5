"""Softmax and its logarithm: weights that are constants, or signals under the rule of AttnLRP."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from seqlrp.engine import documents as docs
from seqlrp.engine.functions import Call
from seqlrp.lrp.laws.elementwise import weights
from seqlrp.lrp.laws.reductions import reduced_dims, select
from seqlrp.lrp.run import Run


def softmax(run: Run, call: Call) -> Tensor:
    """`softmax`: weights that are constants, or a signal under the rule of AttnLRP.

    AttnLRP, R_x = x · (R_s − s · Σ R_s) (Achtibat et al. 2024, prop. 3.1), is gradient × input of
    the softmax, so γ flows back like a gradient; the rest of R_s is booked as a constant.
    """
    given = call.args[0]
    mark = run.require_mark(given)
    if mark.mixed and mark.gate and run.options.attention != "constant":
        run.refuse_mixed("softmax")
    # Gates may carry no graph.
    if run.options.attention == "constant" or not given.requires_grad:
        return weights(run, call)
    x = run.signal(given, mark, "softmax")
    book = run.booker("constant", "softmax", run.ledger_place(), mark.documents)
    y: Tensor = _Softmax.apply(  # type: ignore[no-untyped-call]
        x, lambda value: call.function(value, *call.args[1:], **call.kwargs), book
    )
    return run.mark(y, documents=mark.documents)


class _Softmax(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, f: Any, book: Any) -> Tensor:
        ctx.f, ctx.book = f, book
        ctx.save_for_backward(x)
        return f(x)  # type: ignore[no-any-return]

    @staticmethod
    def backward(ctx: Any, gamma: Tensor) -> Any:
        (x,) = ctx.saved_tensors
        with torch.enable_grad():
            leaf = x.detach().requires_grad_()
            y = ctx.f(leaf)
        (gamma_x,) = torch.autograd.grad(y, leaf, gamma)
        passed = (gamma_x * x).masked_fill(gamma_x == 0, 0)  # masks add -inf
        ctx.book(gamma * y.detach() - passed)
        return gamma_x, None, None


def log_sum_exp(run: Run, call: Call) -> Tensor:
    """`logsumexp`: Σ pᵢ xᵢ + H(p) with p = softmax(x) held constant; its entropy is a constant."""
    given = call.args[0]
    mark = run.require_mark(given)
    dims, keep = reduced_dims(call, given.ndim)
    if mark.gate and not given.requires_grad:
        pooled: Tensor = select(run, call, dims, keep)
        return pooled
    x = run.signal(given, mark, "logsumexp")
    fixed = x.detach()
    y = torch.logsumexp(fixed, dims, keepdim=True)
    p = (fixed - y).exp()
    linear = (torch.where(p == 0, 0, x) * p).sum(dims, keepdim=keep)  # masks add -inf
    if not keep:
        y = torch.logsumexp(fixed, dims)
    entropy = y - linear.detach()
    documents = None if mark.documents is None else docs.reduce(mark.documents, dims, keep)
    result = run.absorb(linear + entropy, entropy, "constant", "logsumexp", documents)
    return run.mark(result, documents=documents)
