"""y = f(x) for each element by itself: activations, gates, and weights that are constants."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from seqlrp.lrp.functions import spelled
from seqlrp.lrp.laws.in_place import overwrite
from seqlrp.lrp.marks import substituted, tensors_in
from seqlrp.lrp.rules import identity_rule, slope_at_zero, squashing_rule

if TYPE_CHECKING:
    from seqlrp.lrp.propagate import Propagation


class _Elementwise(torch.autograd.Function):
    """y = f(x), whose γ goes back through a rule of its own."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, f: Any, back: Any, eager: bool) -> Tensor:
        y: Tensor = f(x)
        if eager:  # at once, so that x and y may be changed in place afterwards
            ctx.factor = back(torch.ones_like(y), x, y)
        else:
            ctx.back = back
            ctx.save_for_backward(x, y)
        return y

    @staticmethod
    def backward(ctx: Any, gamma: Tensor) -> Any:
        if hasattr(ctx, "factor"):
            return gamma * ctx.factor, None, None, None
        x, y = ctx.saved_tensors
        return ctx.back(gamma, x, y), None, None, None


def _elementwise(x: Tensor, f: Any, back: Any, *, eager: bool) -> Tensor:
    y: Tensor = _Elementwise.apply(x, f, back, eager)  # type: ignore[no-untyped-call]
    return y


def identity(run: Propagation, function: Any, args: Any, kwargs: Any) -> Tensor:
    """`y = f(x)` with f(0) = 0: the identity rule, R_x = R_y (Bach 2015)."""
    kwargs = dict(kwargs)
    given = args[0] if args else kwargs.pop("input")
    rest = args[1:]
    overwritten = kwargs.pop("inplace", False)
    mark = run.known(given)
    assert mark is not None
    x = run.signal(given, mark, spelled(function) or "")

    def f(value: Tensor) -> Tensor:
        return function(value, *rest, **kwargs)  # type: ignore[no-any-return]

    slope = slope_at_zero(f, x)
    y = _elementwise(x, f, lambda g, x, y: identity_rule(g, x, y, slope), eager=True)
    run.mark(y, documents=mark.documents)
    return overwrite(run, given, y) if overwritten else y


def gate(run: Propagation, function: Any, args: Any, kwargs: Any) -> Tensor:
    """`sigmoid`: a gate in a product; as a signal, f(x) / (x + ε·sign x)."""
    kwargs = dict(kwargs)
    given = args[0] if args else kwargs.pop("input")
    overwritten = kwargs.pop("inplace", False)
    mark = run.known(given)
    assert mark is not None
    if mark.gate and not given.requires_grad:
        return run.mark(function(given, *args[1:], **kwargs), gate=True, documents=mark.documents)
    # The ε-rule that is due at x is part of the ratio, unless its denominator is another value.
    given_signal = given if mark.denominator is None else run.signal(given, mark, "sigmoid")
    epsilon = run.epsilon
    book = None
    if run.account:
        book = run.booker("stabiliser", spelled(function) or "", run.place(), mark.documents)

    def back(gamma: Tensor, x: Tensor, y: Tensor) -> Tensor:
        gamma_x = squashing_rule(gamma, x, y, epsilon)
        if book is not None:
            book(gamma * y - gamma_x * x)
        return gamma_x

    y = _elementwise(given_signal, lambda x: function(x, *args[1:], **kwargs), back, eager=False)
    run.mark(y, gate=True, documents=mark.documents)
    return overwrite(run, given, y) if overwritten else y


def weights(run: Propagation, function: Any, args: Any, kwargs: Any) -> Tensor:
    """`softmax`, `exp`: constants in a product; as a signal they are refused."""
    nest = substituted((args, kwargs), lambda t: t.detach())
    result: Tensor = function(*nest[0], **nest[1])
    documents = run.documents_like((args, kwargs), result.ndim)
    return run.mark(result, gate=True, documents=documents)


def of_gates(run: Propagation, function: Any, args: Any, kwargs: Any) -> Tensor:
    """`log`, `clamp`, `sqrt` and the like, of gates: gates still; of signals they are refused."""
    if any((m := run.known(t)) is not None and not m.gate for t in tensors_in((args, kwargs))):
        run.refuse(function)
    return weights(run, function, args, kwargs)


def clamp(run: Propagation, function: Any, args: Any, kwargs: Any) -> Tensor:
    """`clamp(min=0)` is relu; other bounds keep a gate a gate, and are refused for signals."""
    mark = run.known(args[0])
    bounds = {"min": None, "max": None} | dict(zip(("min", "max"), args[1:], strict=False)) | kwargs
    low, high = bounds["min"], bounds["max"]
    if (
        mark is not None
        and not mark.gate
        and isinstance(low, (int, float))
        and low == 0
        and high is None
    ):
        return identity(run, torch.relu, args[:1], {})
    return of_gates(run, function, args, kwargs)
