"""y = f(x) for each element by itself: activations, gates, and weights that are constants."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from seqlrp.lrp.functions import spelled
from seqlrp.lrp.laws.in_place import overwrite
from seqlrp.lrp.laws.normalisation import scale
from seqlrp.lrp.marks import substituted, tensors_in
from seqlrp.lrp.rules import divided, identity_rule, slope_at_zero, squashing_rule

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
    if mark.inert and not given.requires_grad:  # a constant, as the signal of its product is
        y = function(given, *rest, **kwargs)
        return run.mark(y, gate=True, inert=True, documents=mark.documents)
    x = run.signal(given, mark, spelled(function) or "")

    def f(value: Tensor) -> Tensor:
        return function(value, *rest, **kwargs)  # type: ignore[no-any-return]

    slope = slope_at_zero(f, x, tuple(x.shape) if spelled(function) == "prelu" else ())
    y = _elementwise(x, f, lambda g, x, y: identity_rule(g, x, y, slope), eager=True)
    run.mark(y, documents=mark.documents)
    return overwrite(run, given, y) if overwritten else y


def gate(run: Propagation, function: Any, args: Any, kwargs: Any) -> Tensor:
    """`sigmoid`: a gate in a product; as a signal, f(x) / (x + ε·sign x)."""
    return _squashed(run, function, args, kwargs, is_gate=True)


def squashing(run: Propagation, function: Any, args: Any, kwargs: Any) -> Tensor:
    """`softplus`, a signal with f(0) ≠ 0: f(x) / (x + ε·sign x)."""
    return _squashed(run, function, args, kwargs, is_gate=False)


def _squashed(run: Propagation, function: Any, args: Any, kwargs: Any, *, is_gate: bool) -> Tensor:
    kwargs = dict(kwargs)
    given = args[0] if args else kwargs.pop("input")
    overwritten = kwargs.pop("inplace", False)
    mark = run.known(given)
    assert mark is not None
    if mark.gate and not given.requires_grad:
        return run.mark(function(given, *args[1:], **kwargs), gate=True, documents=mark.documents)
    # f(x)/x has a pole at 0: the ε-rule that is due at x is taken into the ratio, and where it is
    # no plain one, it tames the ratio when it is settled.
    due, epsilon, x = mark.due, run.epsilon, given
    if due is not None and due.plain and due.denominator is None:
        epsilon = due.epsilon
    elif due is not None:
        x = run.signal(given, mark, spelled(function) or "")
        epsilon = 0.0 if due.rule is None else epsilon
    book = None
    if run.account:
        book = run.booker("stabiliser", spelled(function) or "", run.place(), mark.documents)

    withheld_at = run.watched.get(id(given))

    def back(gamma: Tensor, x: Tensor, y: Tensor) -> Tensor:
        gamma_x = squashing_rule(gamma, x, y, epsilon)
        withheld = gamma * y - gamma_x * x
        if book is not None:
            book(withheld)
        if withheld_at is not None:
            withheld_at(divided(withheld, x))
        return gamma_x

    y = _elementwise(x, lambda x: function(x, *args[1:], **kwargs), back, eager=False)
    run.mark(y, gate=is_gate, documents=mark.documents)
    return overwrite(run, given, y) if overwritten else y


def weights(run: Propagation, function: Any, args: Any, kwargs: Any) -> Tensor:
    """`softmax`, `exp`: constants in a product; as a signal they are refused."""
    nest = substituted((args, kwargs), lambda t: t.detach())
    result: Tensor = function(*nest[0], **nest[1])
    documents = run.documents_like((args, kwargs), result.ndim)
    return run.mark(result, gate=True, documents=documents)


def of_gates(run: Propagation, function: Any, args: Any, kwargs: Any) -> Tensor:
    """`log` and the like, of gates: gates still; of signals they are refused."""
    if any((m := run.known(t)) is not None and not m.gate for t in tensors_in((args, kwargs))):
        run.refuse(function)
    return weights(run, function, args, kwargs)


def root_or_power(run: Propagation, function: Any, args: Any, kwargs: Any) -> Tensor:
    """`sqrt`, `square`, `x ** n` with n > 0: f(0) = 0, the identity rule; of gates, gates."""
    mark = run.known(args[0])
    exponent = kwargs.get("exponent", args[1] if len(args) > 1 else 1)
    if mark is None or mark.gate or isinstance(exponent, Tensor):
        return of_gates(run, function, args, kwargs)
    if exponent > 0:
        return identity(run, function, args, kwargs)
    return scale(run, torch.reciprocal, (run.call(torch.pow, (args[0], -exponent), {}),), {})  # type: ignore[no-any-return]


def clamp(run: Propagation, function: Any, args: Any, kwargs: Any) -> Tensor:
    """`clamp` to bounds about 0 is an activation with f(0) = 0; it keeps a gate a gate."""
    mark = run.known(args[0])
    names = ("max",) if spelled(function) == "clamp_max" else ("min", "max")
    bounds = dict.fromkeys(("min", "max")) | dict(zip(names, args[1:], strict=False)) | kwargs
    low, high = bounds["min"], bounds["max"]
    numbers = all(bound is None or isinstance(bound, (int, float)) for bound in (low, high))
    about_zero = numbers and (low is None or low <= 0) and (high is None or high >= 0)
    if mark is not None and not mark.gate and about_zero:
        return identity(run, torch.clamp, args[:1], {"min": low, "max": high})
    return of_gates(run, function, args, kwargs)


def gated_linear_unit(run: Propagation, function: Any, args: Any, kwargs: Any) -> Tensor:
    """`glu`: the first half times the sigmoid of the second (Dauphin et al. 2017)."""
    dim = kwargs.get("dim", args[1] if len(args) > 1 else -1)
    signal, gating = run.call(torch.chunk, (args[0], 2, dim), {})
    return run.call(torch.mul, (signal, run.call(torch.sigmoid, (gating,), {})), {})  # type: ignore[no-any-return]


def interpolation(run: Propagation, function: Any, args: Any, kwargs: Any) -> Tensor:
    """`lerp`: (1 − w) · a + w · b, the update of a gated unit."""
    a, b = args[0], args[1] if len(args) > 1 else kwargs["end"]
    w = args[2] if len(args) > 2 else kwargs["weight"]
    rest = run.call(torch.rsub, (w, 1), {}) if isinstance(w, Tensor) else 1 - w
    return run.call(  # type: ignore[no-any-return]
        torch.add, (run.call(torch.mul, (a, rest), {}), run.call(torch.mul, (b, w), {})), {}
    )
