"""Δz⁺ and Δz⁻: positive and negative contributions to a value, for the RevealCancel rule.

By the Linear rule (Shrikumar et al. 2017, sec. 3.5.1) each input of a map z = Σ wᵢ xᵢ + b adds
wᵢ Δxᵢ to Δz⁺ or to Δz⁻, by its sign. Later functions up to the next activation keep the two apart:
moves, sums, scaling by a constant. A sum is a map, too; each of its terms without parts of its own
is one contribution. Elsewhere a value counts as one contribution, for which RevealCancel equals
Rescale. Both parts have the graph of their contributions, so that an activation only needs to
compute a multiplier for each part.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from seqlrp.engine.functions import Call
from seqlrp.engine.nests import tensors_in
from seqlrp.methods.deeplift.pairs import PairedRun

Parts = tuple[Tensor, Tensor]


def parts_of(run: PairedRun, value: Tensor) -> Parts:
    """Return Δ⁺ and Δ⁻ of a value that depends on the words; split by sign if it has no parts."""
    dual = run.known(value)
    assert dual is not None
    return split_by_sign(run, value) if dual.parts is None else dual.parts


def split_by_sign(run: PairedRun, value: Tensor) -> Parts:
    """Split Δ by sign into Δ⁺ and Δ⁻, with each element as one contribution."""
    delta = run.delta(value)
    up = delta.detach() > 0
    # A Δ of 0 contributes nothing; its multiplier is the mean of both multipliers.
    still = torch.where(delta.detach() == 0, 0.5, 0.0).to(delta.dtype)
    return delta * (up + still), delta * (delta.detach().lt(0) + still)


def map_parts(run: PairedRun, f: Callable[[Tensor, Tensor], Tensor], x: Tensor, w: Tensor) -> Parts:
    """Return Δz⁺ and Δz⁻ of z = f(x, w), linear in both, with constant weights w."""
    up, down = split_by_sign(run, x)
    positive, negative = w.clamp(min=0), w.clamp(max=0)
    return (
        f(up, positive) + f(down, negative),
        f(up, negative) + f(down, positive),
    )


def note_parts(run: PairedRun, result: Any, parts: list[Parts]) -> None:
    """Store parts on the results of a law, in order."""
    for tensor, both in zip(tensors_in(result), parts, strict=False):
        dual = run.known(tensor)
        if dual is not None:
            dual.parts = both


def move_parts(run: PairedRun, call: Call, result: Any) -> None:
    """Apply a function that moves, sums or averages values to their parts."""
    if not any(_has_parts(run, t) for t in run.signals((call.args, call.kwargs))):
        return
    both: list[list[Tensor]] = []
    for side in (0, 1):

        def part(value: Tensor, side: int = side) -> Tensor:
            if not value.dtype.is_floating_point:
                return value
            known = run.known(value) is not None
            return parts_of(run, value)[side] if known else torch.zeros_like(value)

        both.append(tensors_in(call.evaluate(part)))
    note_parts(run, result, list(zip(*both, strict=True)))


def _has_parts(run: PairedRun, value: Tensor) -> bool:
    dual = run.known(value)
    return dual is not None and dual.parts is not None


def sum_parts(run: PairedRun, terms: list[tuple[Any, int]], result: Tensor) -> None:
    """Compute the parts of a sum of terms with signs; constants contribute nothing."""
    ups: list[Tensor] = []
    downs: list[Tensor] = []
    for term, sign in terms:
        if run.known(term) is None:
            continue
        up, down = parts_of(run, term)
        ups.append(up if sign > 0 else -down)
        downs.append(down if sign > 0 else -up)
    if len(ups) == 1 and not any(_has_parts(run, t) for t, _ in terms if isinstance(t, Tensor)):
        return
    up, down = sum(ups[1:], ups[0]), sum(downs[1:], downs[0])
    note_parts(run, result, [(up.expand_as(result), down.expand_as(result))])


def scale_parts(
    run: PairedRun, f: Callable[[Tensor], Tensor], x: Tensor, sign: Any, y: Tensor
) -> None:
    """Compute the parts of y = f(x), x times or divided by a constant with the sign `sign`."""
    if not _has_parts(run, x):
        return
    up, down = (f(part) for part in parts_of(run, x))
    positive = torch.as_tensor(sign, device=y.device) > 0
    parts = torch.where(positive, up, down), torch.where(positive, down, up)
    note_parts(run, y, [parts])
