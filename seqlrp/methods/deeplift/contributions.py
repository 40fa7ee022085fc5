"""Δz⁺ and Δz⁻: what raises a value and what lowers it, kept apart for the RevealCancel rule.

By the Linear rule (Shrikumar et al. 2017, sec. 3.5.1) each input of a map z = Σ wᵢ xᵢ + b adds
wᵢ Δxᵢ to Δz⁺ or to Δz⁻, by its sign. What follows, up to the next activation, keeps the two apart:
moves, sums, scaling by a constant. A sum is a map too; every term of it without parts of its own
is one contribution. Elsewhere a value counts as one contribution, for which RevealCancel is
Rescale. Both parts carry the graph of what they are made of, so that a multiplier for each is all
that an activation has to give.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from seqlrp.lrp.marks import substituted, tensors_in

if TYPE_CHECKING:
    from seqlrp.methods.deeplift.run import Lockstep

Parts = tuple[Tensor, Tensor]


def parts_of(run: Lockstep, value: Tensor) -> Parts:
    """Δ⁺ and Δ⁻ of a value that depends on the words, by its own sign if it has no parts."""
    dual = run.known(value)
    assert dual is not None
    if dual.parts is not None:
        return dual.parts
    delta = run.delta(value)
    up = delta.detach() > 0
    # A Δ of 0 contributes nothing; its multiplier is the mean of both.
    still = torch.where(delta.detach() == 0, 0.5, 0.0).to(delta.dtype)
    return delta * (up + still), delta * (delta.detach().lt(0) + still)


def of_map(run: Lockstep, f: Callable[[Tensor, Tensor], Tensor], x: Tensor, w: Tensor) -> Parts:
    """Δz⁺ and Δz⁻ of z = f(x, w), linear in both, with constant weights w."""
    up, down = parts_by_sign(run, x)
    positive, negative = w.clamp(min=0), w.clamp(max=0)
    return (
        f(up, positive) + f(down, negative),
        f(up, negative) + f(down, positive),
    )


def parts_by_sign(run: Lockstep, x: Tensor) -> Parts:
    """Δx where it is positive and where it is negative: an input of a map is one contribution."""
    dual = run.known(x)
    assert dual is not None
    if dual.parts is None:
        return parts_of(run, x)
    held, dual.parts = dual.parts, None
    parts = parts_of(run, x)
    dual.parts = held
    return parts


def note(run: Lockstep, result: Any, parts: list[Parts]) -> Any:
    """Put parts on the results of a law, in order."""
    for tensor, both in zip(tensors_in(result), parts, strict=False):
        dual = run.known(tensor)
        if dual is not None:
            dual.parts = both
    return result


def moved(run: Lockstep, function: Any, args: Any, kwargs: Any, result: Any) -> Any:
    """Parts through a function that moves values, adds them up or takes their mean."""
    if not any(_split(run, t) for t in run.signals((args, kwargs))):
        return result
    both: list[list[Tensor]] = []
    for side in (0, 1):

        def part(value: Tensor, side: int = side) -> Tensor:
            if run.known(value) is not None:
                return parts_of(run, value)[side] if value.dtype.is_floating_point else value
            return torch.zeros_like(value) if value.dtype.is_floating_point else value

        nest = substituted((args, kwargs), part)
        both.append(tensors_in(function(*nest[0], **nest[1])))
    return note(run, result, list(zip(*both, strict=True)))


def _split(run: Lockstep, value: Tensor) -> bool:
    dual = run.known(value)
    return dual is not None and dual.parts is not None


def summed(run: Lockstep, terms: list[tuple[Any, int]], result: Tensor) -> Tensor:
    """Parts of a sum of terms with signs; a constant among them contributes nothing."""
    ups: list[Tensor] = []
    downs: list[Tensor] = []
    for term, sign in terms:
        if run.known(term) is None:
            continue
        up, down = parts_of(run, term)
        ups.append(up if sign > 0 else -down)
        downs.append(down if sign > 0 else -up)
    if len(ups) == 1 and not any(_split(run, t) for t, _ in terms if isinstance(t, Tensor)):
        return result
    up, down = sum(ups[1:], ups[0]), sum(downs[1:], downs[0])
    note(run, result, [(up.expand_as(result), down.expand_as(result))])
    return result


def scaled(run: Lockstep, f: Callable[[Tensor], Tensor], x: Tensor, sign: Any, y: Tensor) -> Tensor:
    """Parts of y = f(x), x times a constant, or divided by one, whose sign is `sign`."""
    if not _split(run, x):
        return y
    up, down = (f(part) for part in parts_of(run, x))
    positive = torch.as_tensor(sign, device=y.device) > 0
    parts = torch.where(positive, up, down), torch.where(positive, down, up)
    note(run, y, [parts])
    return y
