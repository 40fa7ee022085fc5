"""Linear maps with weights and a bias: `linear`, convolutions, `bilinear`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from seqlrp.lrp import documents as docs
from seqlrp.lrp.functions import spelled
from seqlrp.lrp.laws.sums import add

if TYPE_CHECKING:
    from seqlrp.lrp.propagate import Propagation


def affine(
    run: Propagation,
    f: Callable[[Tensor, Tensor], Tensor],
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    operation: str,
    documents: Tensor | None,
    features: int,
) -> Tensor:
    """f(x, weight) + bias for a signal x, by the rule of the map; `bias` broadcasts to the result.

    A gate that carries a graph is a signal here.
    """
    mark = run.known(x)
    assert mark is not None
    if mark.inert and not x.requires_grad:  # a constant, as the signal of its product is
        y = f(x, weight) if bias is None else f(x, weight) + bias.detach()
        return run.mark(y, gate=True, inert=True, documents=documents)
    ready = run.signal(x, mark, operation)
    y = f(ready, weight)
    held = bias if bias is not None and run.known(bias) is None else None
    due = run.due_of_map(
        f, ready, weight, operation,
        documents=documents, whose=mark.documents, bias=held, features=features,
    )  # fmt: skip
    if held is not None:
        y = y + held
    if due is not None and due.rule is not None:  # the parts lead on, and have booked the bias
        y = run.end(y)
    elif held is not None:
        y = run.absorb(y, held, "bias", operation, documents)
    return run.mark(y, due=due, documents=documents)


def linear(run: Propagation, function: Any, args: Any, kwargs: Any) -> Tensor:
    """`W x + b`: the ε-rule (Bach 2015, eq. 58) or another; a bias keeps its share of R_z."""
    given = dict(zip(("input", "weight", "bias"), args, strict=False)) | kwargs
    x, weight, bias = given["input"], given["weight"], given.get("bias")
    if run.known(weight) is not None:
        return _made_weights(run, x, weight, bias)
    mark = run.known(x)
    if mark is None:  # only the bias depends on the input
        return add(run, torch.add, (F.linear(x, weight), bias), {})
    whose = None if mark.documents is None else mark.documents.narrow(-1, 0, 1)
    held = None if bias is None or run.known(bias) is not None else run.raw(bias)
    y = affine(run, F.linear, x, run.raw(weight), held, "linear", whose, -1)
    return y if bias is None or held is not None else add(run, torch.add, (y, bias), {})


def _made_weights(run: Propagation, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Weights that depend on the input: a product of matrices."""
    y: Tensor = run.call(torch.matmul, (x, run.call(torch.t, (weight,), {})), {})
    return y if bias is None else add(run, torch.add, (y, bias), {})


def convolution(run: Propagation, function: Any, args: Any, kwargs: Any) -> Tensor:
    """`conv1d`, `conv2d`, `conv3d` and transposed ones: maps, whose weights are shared."""
    names = ("input", "weight", "bias")
    given = dict(zip(names, args, strict=False)) | kwargs
    rest = {key: value for key, value in kwargs.items() if key not in names}
    more = args[3:]
    x, weight, bias = given["input"], given["weight"], given.get("bias")
    mark = run.known(x)
    if mark is None or run.known(weight) is not None or run.known(bias) is not None:
        run.refuse(function, "weights that depend on the input")

    def f(value: Tensor, w: Tensor) -> Tensor:
        y: Tensor = function(value, w, None, *more, **rest)
        return y

    dims = int((spelled(function) or "conv1d")[-2])
    documents = mark.documents
    if documents is not None:
        documents = docs.reduced(documents, range(x.ndim - dims - 1, x.ndim), keepdim=True)
    if bias is not None:
        bias = run.raw(bias).reshape(-1, *(1,) * dims)
    name = spelled(function) or ""
    return affine(run, f, x, run.raw(weight), bias, name, documents, x.ndim - dims - 1)


def bilinear(run: Propagation, function: Any, args: Any, kwargs: Any) -> Tensor:
    """`x1ᵀ W x2 + b`: two signals share equally, a constant beside a signal is a weight."""
    names = ("input1", "input2", "weight", "bias")
    given = dict(zip(names, args, strict=False)) | kwargs
    a, b, weight, bias = (given.get(name) for name in names)
    assert weight is not None
    rows = [run.call(torch.reshape, (x, (-1, x.shape[-1])), {}) for x in (a, b)]
    left = run.call(torch.einsum, ("ni,oij->noj", rows[0], weight), {})
    flat = run.call(torch.einsum, ("noj,nj->no", left, rows[1]), {})
    y: Tensor = run.call(torch.reshape, (flat, (*given["input1"].shape[:-1], len(weight))), {})
    return y if bias is None else add(run, torch.add, (y, bias), {})
