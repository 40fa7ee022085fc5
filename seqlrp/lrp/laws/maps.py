"""Linear maps with weights and a bias: `linear` and convolutions."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from seqlrp.engine import documents as docs
from seqlrp.engine.following import constant
from seqlrp.engine.functions import Call
from seqlrp.lrp.run import Run


def affine(
    run: Run,
    f: Callable[[Tensor, Tensor], Tensor],
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    operation: str,
    documents: Tensor | None,
    features: int,
) -> Tensor:
    """Return f(x, weight) + bias for a signal x, under the map's rule; `bias` broadcasts to it.

    A gate with a graph is a signal here.
    """
    mark = run.require_mark(x)
    if mark.inert and not x.requires_grad:  # a constant, as the signal of its product is
        y = f(x, weight) if bias is None else f(x, weight) + bias.detach()
        return run.mark(y, gate=True, inert=True, documents=documents)
    ready = run.signal(x, mark, operation)
    y = f(ready, weight)
    held = bias if run.known(bias) is None else None
    deferred = run.defer_map(
        f, ready, weight, operation,
        documents=documents, documents_of_x=mark.documents, bias=held, features=features,
    )  # fmt: skip
    if held is not None:
        y = y + held
    if (
        deferred is not None and deferred.rule is not None
    ):  # γ flows through the parts, which have booked the bias
        y = run.end(y)
    elif held is not None:
        y = run.absorb(y, held, "bias", operation, documents)
    return run.mark(y, deferred=deferred, documents=documents)


def linear(run: Run, call: Call) -> Tensor:
    """`W x + b`: the ε-rule (Bach 2015, eq. 58) or another; a bias keeps its share of R_z."""
    x, weight, bias = call.arguments("input", "weight", "bias")
    constant_bias = None if bias is None or run.known(bias) is not None else constant(bias)
    mark = run.known(x)
    if run.known(weight) is not None:  # the weight depends on the input: a product of matrices
        y = run.do(torch.matmul, x, run.do(torch.t, weight))
    elif mark is None:  # only the bias depends on the input
        y = F.linear(x, weight)
    else:
        documents = None if mark.documents is None else mark.documents.narrow(-1, 0, 1)
        y = affine(run, F.linear, x, constant(weight), constant_bias, "linear", documents, -1)
        if bias is None or constant_bias is not None:
            return y
    return y if bias is None else run.do(torch.add, y, bias)


def convolution(run: Run, call: Call) -> Tensor:
    """`conv1d`, `conv2d`, `conv3d` and transposed convolutions: maps with shared weights."""
    x, weight, bias = call.arguments("input", "weight", "bias")
    mark = run.known(x)
    if mark is None or run.known(weight) is not None or run.known(bias) is not None:
        run.refuse(call.function, "weights that depend on the input")
    named = {k: v for k, v in call.kwargs.items() if k not in ("input", "weight", "bias")}

    def f(value: Tensor, w: Tensor) -> Tensor:
        y: Tensor = call.function(value, w, None, *call.args[3:], **named)
        return y

    dims = int(call.name[-2])
    documents = mark.documents
    if documents is not None:
        documents = docs.reduce(documents, range(x.ndim - dims - 1, x.ndim), keepdim=True)
    if bias is not None:
        bias = run.raw(bias).reshape(-1, *(1,) * dims)
    return affine(run, f, x, run.raw(weight), bias, call.name, documents, x.ndim - dims - 1)
