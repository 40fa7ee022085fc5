"""Reductions, pooling and selections over a dimension."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from seqlrp.engine import documents as docs
from seqlrp.engine.functions import Call, Kind, names_of_kind
from seqlrp.engine.nests import tensors_in
from seqlrp.engine.provenance import SEVERAL, Provenance
from seqlrp.lrp.laws.elementwise import is_bare, mixture
from seqlrp.lrp.laws.extremes import extremes
from seqlrp.lrp.run import Run

MANY = 2**17  # elements, from which on it pays to place γ of the largest ones here
_ALONG_ONE = names_of_kind(Kind.ORDER, Kind.RUNNING_SUM)


def reduced_dims(call: Call, ndim: int) -> tuple[list[int], bool]:
    """Return the dimensions that a reduction runs over, and whether it keeps them."""
    dim, keep = call.argument(1, "dim"), call.argument(2, "keepdim", False)
    if dim is None or dim == () or dim == []:
        return list(range(ndim)), bool(keep)
    dims = [dim] if isinstance(dim, int) else list(dim)
    return [d % max(ndim, 1) for d in dims], bool(keep)


def reduce(run: Run, call: Call) -> Any:
    """`sum`, `mean`: linear, without a bias. `max`, `amax`: the largest element gets all."""
    if len(call.args) > 1 and isinstance(call.args[1], Tensor):
        return larger(run, call)
    dims, keep = reduced_dims(call, call.args[0].ndim)
    largest, given = call.name in ("max", "min"), call.args[0]
    along = largest and call.argument(1, "dim") is not None
    # Autograd would share among equal elements.
    if (largest and not along) or call.name in ("amax", "amin"):
        call = Call(_first_extreme, call.name, (given, call.name, dims, keep), {})
    elif along and given.numel() >= MANY and not run.require_mark(given).gate:
        call = Call(extremes, call.name, (given, call), {})
    return select(run, call, dims, keep)


def _first_extreme(value: Tensor, name: str, dims: list[int], keep: bool) -> Tensor:
    """Return the largest or smallest element along `dims`; γ moves to the first of equal ones."""
    others = [d for d in range(value.ndim) if d not in dims]
    flat = value.permute(*others, *dims).flatten(len(others))
    chosen: Tensor = flat.max(-1).values if name in ("max", "amax") else flat.min(-1).values
    shape = [1 if d in dims else n for d, n in enumerate(value.shape)]
    return chosen.reshape(shape) if keep else chosen


def along_last(run: Run, call: Call) -> Any:
    """Pooling, interpolation, sorting, top-k and cumulative sums along one dimension or more."""
    if call.name in _ALONG_ONE:
        dims = [call.argument(2 if call.name == "topk" else 1, "dim", -1)]
    elif call.name == "interpolate":
        dims = list(range(2, call.args[0].ndim))
    else:
        dims = [-2, -1] if call.name.endswith("2d") else [-1]
    return select(run, call, [dim % call.args[0].ndim for dim in dims], keep=True)


def select(run: Run, call: Call, dims: list[int], keep: bool) -> Any:
    """Apply the function to a signal or gate."""
    given = call.args[0]
    mark = run.require_mark(given)
    value = given if mark.gate or mark.inert else run.signal(given, mark, call.name)
    result = call.function(value, *call.args[1:], **call.kwargs)
    documents = mark.documents
    if documents is not None:
        documents = docs.reduce(documents, dims, keep)
    for tensor in tensors_in(result):
        if tensor.dtype.is_floating_point:
            run.mark(
                tensor, gate=mark.gate, inert=mark.inert, mixed=mark.mixed, documents=documents
            )
    return result


def running(run: Run, call: Call) -> Any:
    """`cumprod`, `cummax`, `logcumsumexp` of gates are gates; those of signals are refused."""
    given = call.args[0]
    mark = run.require_mark(given)
    if not mark.gate:
        run.refuse(
            call.function,
            "of signals it has no law, only of gates. Write the recurrence step by step, "
            "h = a * h + b in a loop over the words",
        )
    documents = mark.documents
    if documents is not None:
        documents = docs.reduce(documents, [call.argument(1, "dim") % given.ndim], keepdim=True)
    result = call.evaluate(Tensor.detach)
    for tensor in tensors_in(result):
        if tensor.dtype.is_floating_point:
            run.mark(tensor, gate=True, mixed=mark.mixed, documents=documents)
    return result


def larger(run: Run, call: Call) -> Tensor:
    """`maximum`, `minimum` of two tensors: the selected value gets all, the first of equal ones."""
    a, b = call.args
    marks = [run.known(a), run.known(b)]
    if any(map(is_bare, (a, b), marks)) and any(m is not None and not m.gate for m in marks):
        return mixture(run, call)
    first = a.detach() >= b.detach()
    if call.name in ("minimum", "min", "fmin"):
        first = a.detach() <= b.detach()
    run.note(first, Provenance(torch.tensor(SEVERAL), answer=True, of_signals=True))
    return run.do(torch.where, first, a, b)
