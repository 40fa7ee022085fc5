"""Maxima and minima: shared by the winner for the text and the winner for the reference.

The two winners i and j of a maximum y enclose its change, Δx_j ≤ Δy ≤ Δx_i, so that Δy is a
weighted mean of theirs: `rules.share_of_winner`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from seqlrp.lrp.functions import spelled
from seqlrp.methods.deeplift import rules

if TYPE_CHECKING:
    from seqlrp.methods.deeplift.run import Lockstep


def extreme(run: Lockstep, function: Any, args: Any, kwargs: Any) -> Any:
    """`max`, `amax`, `min`, `amin` over dimensions, or of two tensors."""
    if len(args) > 1 and isinstance(args[1], Tensor):
        return larger(run, function, args, kwargs)
    given = args[0]
    rest = dict(kwargs)
    dim = rest.get("dim", args[1] if len(args) > 1 else None)
    keep = bool(rest.get("keepdim", args[2] if len(args) > 2 else False))
    least = (spelled(function) or "") in ("min", "amin")
    dims = (
        range(given.ndim) if dim is None or dim == () else (dim,) if isinstance(dim, int) else dim
    )
    dims = sorted(d % given.ndim for d in dims)
    others = [d for d in range(given.ndim) if d not in dims]
    # The dimensions that are reduced come last, as one.
    rows = run.call(torch.permute, (given, (*others, *dims)), {})
    rows = run.call(torch.flatten, (rows, len(others)), {}) if dims else rows
    if len(dims) == given.ndim:
        rows = run.call(torch.reshape, (rows, (-1,)), {})
    value, reference = rows.detach(), run.partner(rows)
    pick = torch.argmin if least else torch.argmax
    i, j = pick(value, -1, keepdim=True), pick(reference, -1, keepdim=True)
    y = _shared(run, rows, i, j, -1, least)
    shape = [1 if d in dims else n for d, n in enumerate(given.shape)]
    if not keep:
        shape = [given.shape[d] for d in others]
    y = run.call(torch.reshape, (y, tuple(shape)), {})
    if spelled(function) in ("amax", "amin") or dim is None:
        return y
    indices = i.reshape(shape)
    if not torch.equal(i, j):
        run.pair(indices, j.reshape(shape))
    kind = torch.return_types.min if least else torch.return_types.max
    return kind((y, indices))


def _shared(run: Lockstep, x: Tensor, i: Tensor, j: Tensor, dim: int, least: bool) -> Tensor:
    """The values at the winners `i`, whose multipliers the winners `j` of the reference share."""
    value, reference = x.detach(), run.partner(x)
    sign = -1 if least else 1
    lead = sign * (value.gather(dim, i) - value.gather(dim, j))
    lead0 = sign * (reference.gather(dim, j) - reference.gather(dim, i))
    share = rules.share_of_winner(lead, lead0)
    surrogate = x.gather(dim, i) * share + x.gather(dim, j) * (1 - share)
    return run.exact(surrogate, value.gather(dim, i), reference.gather(dim, j))


def larger(run: Lockstep, function: Any, args: Any, kwargs: Any) -> Tensor:
    """`maximum`, `minimum`, `fmax`, `fmin` of two tensors."""
    a, b = args[0], args[1] if len(args) > 1 else kwargs["other"]
    shape = (a.detach() + b.detach()).shape
    a, b = (run.call(torch.broadcast_to, (t, tuple(shape)), {}) for t in (a, b))
    both = run.call(torch.stack, ([a, b], -1), {})
    name = (spelled(function) or "").removesuffix("imum").removeprefix("f")
    least = torch.amin if name == "min" else torch.amax
    return run.call(least, (both, -1), {})  # type: ignore[no-any-return]


def max_pool(run: Lockstep, function: Any, args: Any, kwargs: Any) -> Any:
    """`max_pool1d`, `max_pool2d` and adaptive ones: a maximum for each window."""
    name = spelled(function) or ""
    flat = 2 if name.endswith("2d") else 1
    with_indices: Any = {
        "max_pool1d": F.max_pool1d_with_indices,
        "max_pool2d": F.max_pool2d_with_indices,
        "adaptive_max_pool1d": F.adaptive_max_pool1d_with_indices,
        "adaptive_max_pool2d": F.adaptive_max_pool2d_with_indices,
    }[name]
    asked = bool(kwargs.get("return_indices", False))
    rest = {k: v for k, v in kwargs.items() if k != "return_indices"}
    x = args[0]
    value, i = with_indices(x.detach(), *args[1:], **rest)
    _, j = with_indices(run.partner(x), *args[1:], **rest)
    rows = run.call(torch.flatten, (x, -flat), {})
    start = i.ndim - flat
    y = _shared(run, rows, i.flatten(start), j.flatten(start), -1, least=False)
    y = run.call(torch.Tensor.unflatten, (y, -1, tuple(value.shape[start:])), {})
    if not asked:
        return y
    if not torch.equal(i, j):
        run.pair(i, j)
    return y, i


def ordered(run: Lockstep, function: Any, args: Any, kwargs: Any) -> Any:
    """`sort`, `topk`: moves, where text and reference have the same order; else not to be used."""
    with torch.no_grad():
        found = function(*run.values(args), **run.values(kwargs))
        reference = function(*run.partners(args), **run.partners(kwargs))
    if torch.equal(found[1], reference[1]):
        return run.linear(function, args, kwargs)
    values, indices = found
    run.pair(values, reference[0], jumps=True)
    return type(found)((values, run.pair(indices, reference[1])))
