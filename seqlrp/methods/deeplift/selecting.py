"""Maxima and minima: shared by the winner of the text and the winner of the reference.

The two winners i and j of a maximum y enclose its change, Δx_j ≤ Δy ≤ Δx_i, so that Δy is a
weighted mean of theirs: `rules.share_of_winner`.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from seqlrp.engine.functions import Call
from seqlrp.methods.deeplift import rules
from seqlrp.methods.deeplift.pairs import PairedRun


def extreme(run: PairedRun, call: Call) -> Any:
    """`max`, `amax`, `min`, `amin` over dimensions, or of two tensors."""
    given, dim, keep = call.args[0], call.argument(1, "dim"), call.argument(2, "keepdim", False)
    if isinstance(dim, Tensor):
        return larger(run, call)
    least = call.name in ("min", "amin")
    dims = (
        range(given.ndim) if dim is None or dim == () else (dim,) if isinstance(dim, int) else dim
    )
    dims = sorted(d % given.ndim for d in dims)
    others = [d for d in range(given.ndim) if d not in dims]
    # Move the reduced dimensions to the end and flatten them.
    rows = run.do(torch.permute, given, (*others, *dims))
    rows = run.do(torch.flatten, rows, len(others)) if dims else rows
    if len(dims) == given.ndim:
        rows = run.do(torch.reshape, rows, (-1,))
    value, reference = rows.detach(), run.partner(rows)
    pick = torch.argmin if least else torch.argmax
    i, j = pick(value, -1, keepdim=True), pick(reference, -1, keepdim=True)
    y = share_winners(run, rows, i, j, -1, least)
    shape = [1 if d in dims else n for d, n in enumerate(given.shape)]
    if not keep:
        shape = [given.shape[d] for d in others]
    y = run.do(torch.reshape, y, tuple(shape))
    if call.name in ("amax", "amin") or dim is None:
        return y
    indices = i.reshape(shape)
    if not torch.equal(i, j):
        run.pair(indices, j.reshape(shape))
    kind = torch.return_types.min if least else torch.return_types.max
    return kind((y, indices))


def share_winners(run: PairedRun, x: Tensor, i: Tensor, j: Tensor, dim: int, least: bool) -> Tensor:
    """Return the values at the winners `i`; the reference's winners `j` share their multipliers."""
    value, reference = x.detach(), run.partner(x)
    sign = -1 if least else 1
    lead = sign * (value.gather(dim, i) - value.gather(dim, j))
    lead0 = sign * (reference.gather(dim, j) - reference.gather(dim, i))
    share = rules.share_of_winner(lead, lead0)
    surrogate = x.gather(dim, i) * share + x.gather(dim, j) * (1 - share)
    return run.exact(surrogate, value.gather(dim, i), reference.gather(dim, j))


def larger(run: PairedRun, call: Call) -> Tensor:
    """`maximum`, `minimum`, `fmax`, `fmin` of two tensors."""
    a, b = call.args
    shape = (a.detach() + b.detach()).shape
    a, b = (run.do(torch.broadcast_to, t, tuple(shape)) for t in (a, b))
    both = run.do(torch.stack, [a, b], -1)
    name = call.name.removesuffix("imum").removeprefix("f")
    return run.do(torch.amin if name == "min" else torch.amax, both, -1)


def max_pool(run: PairedRun, call: Call) -> Any:
    """`max_pool1d`, `max_pool2d` and adaptive max pooling: a maximum for each window."""
    name = call.name
    flat = 2 if name.endswith("2d") else 1
    with_indices: Any = {
        "max_pool1d": F.max_pool1d_with_indices,
        "max_pool2d": F.max_pool2d_with_indices,
        "adaptive_max_pool1d": F.adaptive_max_pool1d_with_indices,
        "adaptive_max_pool2d": F.adaptive_max_pool2d_with_indices,
    }[name]
    x, *more = call.args
    rest = dict(call.kwargs)
    asked = bool(rest.pop("return_indices", False)) or call.function is with_indices
    value, i = with_indices(x.detach(), *more, **rest)
    _, j = with_indices(run.partner(x), *more, **rest)
    rows = run.do(torch.flatten, x, -flat)
    start = i.ndim - flat
    y = share_winners(run, rows, i.flatten(start), j.flatten(start), -1, least=False)
    y = run.do(Tensor.unflatten, y, -1, tuple(value.shape[start:]))
    if not asked:
        return y
    if not torch.equal(i, j):
        run.pair(i, j)
    return y, i


def ordered(run: PairedRun, call: Call) -> Any:
    """`sort`, `topk`: moves if text and reference have the same order; otherwise use is refused."""
    found, reference = run.both(call)
    if torch.equal(found[1], reference[1]):
        return run.linear(call)
    values, indices = found
    run.pair(values, reference[0], jumps=True)
    return type(found)((values, run.pair(indices, reference[1])))
