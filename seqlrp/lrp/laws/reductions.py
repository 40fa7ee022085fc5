"""Reductions, pooling and selections over a dimension."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from seqlrp.lrp import documents as docs
from seqlrp.lrp.functions import spelled
from seqlrp.lrp.marks import tensors_in

if TYPE_CHECKING:
    from seqlrp.lrp.propagate import Propagation


def _dims(function: Any, args: Any, kwargs: Any, ndim: int) -> tuple[list[int], bool]:
    """The dimensions that a reduction runs over, and whether it keeps them."""
    dim = kwargs.get("dim", kwargs.get("axis", args[1] if len(args) > 1 else None))
    keep = bool(kwargs.get("keepdim", args[2] if len(args) > 2 else False))
    if dim is None or dim == () or dim == []:
        return list(range(ndim)), keep
    dims = [dim] if isinstance(dim, int) else list(dim)
    return [d % ndim for d in dims], keep


def reduce(run: Propagation, function: Any, args: Any, kwargs: Any) -> Any:
    """`sum`, `mean`: linear and without a bias. `max`, `amax`: the winner takes all."""
    given = args[0] if args else kwargs["input"]
    args = (given, *args[1:])
    kwargs = {key: value for key, value in kwargs.items() if key != "input"}
    if len(args) > 1 and isinstance(args[1], Tensor):
        return larger(run, function, args, kwargs)
    mark = run.known(given)
    assert mark is not None
    keeps_gate = mark.gate
    value = given if keeps_gate else run.signal(given, mark, spelled(function) or "")
    result = function(value, *args[1:], **kwargs)
    documents = None
    if mark.documents is not None:
        dims, keep = _dims(function, args, kwargs, given.ndim)
        documents = docs.reduced(mark.documents, dims, keep)
    for tensor in tensors_in(result):
        if tensor.dtype.is_floating_point:
            run.mark(tensor, gate=keeps_gate, documents=documents)
    return result


def along_last(run: Propagation, function: Any, args: Any, kwargs: Any) -> Any:
    """Pooling windows, sorting, the k largest, running sums: along one dimension or two."""
    given = args[0] if args else kwargs["input"]
    rest = {key: value for key, value in kwargs.items() if key != "input"}
    mark = run.known(given)
    assert mark is not None
    value = given if mark.gate else run.signal(given, mark, spelled(function) or "")
    result = function(value, *args[1:], **rest)
    documents = mark.documents
    if documents is not None:
        name = spelled(function) or ""
        if name in ("topk", "sort", "cumsum"):
            place = 2 if name == "topk" else 1
            dims = [rest.get("dim", args[place] if len(args) > place else -1)]
        else:
            dims = [-2, -1] if name.endswith("2d") else [-1]
        documents = docs.reduced(documents, [dim % given.ndim for dim in dims], keepdim=True)
    for tensor in tensors_in(result):
        if tensor.dtype.is_floating_point:
            run.mark(tensor, gate=mark.gate, documents=documents)
    return result


def larger(run: Propagation, function: Any, args: Any, kwargs: Any) -> Tensor:
    """`maximum`, `minimum` of two tensors: the winner takes all, the first where they are equal."""
    a, b = args[0], args[1] if len(args) > 1 else kwargs["other"]
    first = a.detach() >= b.detach()
    if spelled(function) in ("minimum", "min", "fmin"):
        first = a.detach() <= b.detach()
    return run.call(torch.where, (first, a, b), {})  # type: ignore[no-any-return]


def log_sum_exp(run: Propagation, function: Any, args: Any, kwargs: Any) -> Tensor:
    """`logsumexp`: Σ pᵢ xᵢ + H(p) with p = softmax(x) held constant; its entropy is a constant."""
    given = args[0]
    mark = run.known(given)
    assert mark is not None
    dims, keep = _dims(function, args, kwargs, given.ndim)
    x = run.signal(given, mark, "logsumexp")
    fixed = x.detach()
    y = torch.logsumexp(fixed, dims, keepdim=True)
    p = (fixed - y).exp()
    linear = (torch.where(p == 0, 0, x) * p).sum(dims, keepdim=keep)  # masks add -inf
    if not keep:
        y = torch.logsumexp(fixed, dims)
    entropy = y - linear.detach()
    documents = None if mark.documents is None else docs.reduced(mark.documents, dims, keep)
    result = run.absorb(linear + entropy, entropy, "constant", "logsumexp", documents)
    return run.mark(result, documents=documents)
