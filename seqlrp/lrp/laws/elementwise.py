"""y = f(x) for each element by itself: activations, gates, and weights that are constants."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from seqlrp.engine.functions import Call
from seqlrp.engine.nests import tensors_among
from seqlrp.lrp.marks import Value
from seqlrp.lrp.rules import identity_rule, quotient_or_zero, slope_at_zero, squashing_rule
from seqlrp.lrp.run import Run


class _Elementwise(torch.autograd.Function):
    """y = f(x) with a rule of its own for γ in the backward pass."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, f: Any, back: Any, eager: bool) -> Tensor:
        y: Tensor = f(x)
        if eager:  # at once, so that x and y may be changed in place afterwards
            ctx.factor = back(y.new_ones(()), x, y)
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


def identity(run: Run, call: Call) -> Tensor:
    """`y = f(x)` with f(0) = 0: the identity rule, R_x = R_y (Bach 2015)."""
    given, rest, kwargs = call.args[0], call.args[1:], dict(call.kwargs)
    overwritten = kwargs.pop("inplace", False)
    mark = run.require_mark(given)
    if mark.gate and not given.requires_grad:  # if inert, a constant as its signal is
        y = call.function(given, *rest, **kwargs)
        return run.mark(y, gate=True, inert=mark.inert, mixed=mark.mixed, documents=mark.documents)
    x = run.signal(given, mark, call.name)

    def f(value: Tensor) -> Tensor:
        return call.function(value, *rest, **kwargs)  # type: ignore[no-any-return]

    slope = slope_at_zero(f, x, tuple(x.shape) if call.name == "prelu" else ())
    y = _elementwise(x, f, lambda g, x, y: identity_rule(g, x, y, slope), eager=True)
    run.mark(y, documents=mark.documents)
    return run.overwrite(given, y) if overwritten else y


def gate(run: Run, call: Call) -> Tensor:
    """`sigmoid`: a gate in a product; as a signal, f(x) / (x + ε·sign x)."""
    return _squash(run, call, is_gate=True)


def squashing(run: Run, call: Call) -> Tensor:
    """`softplus`, a signal with f(0) ≠ 0: f(x) / (x + ε·sign x)."""
    return _squash(run, call, is_gate=False)


def _squash(run: Run, call: Call, *, is_gate: bool) -> Tensor:
    given, rest, kwargs = call.args[0], call.args[1:], dict(call.kwargs)
    overwritten = kwargs.pop("inplace", False)
    mark = run.require_mark(given)
    if mark.gate and not given.requires_grad:
        y = call.function(given, *rest, **kwargs)
        mixed = mark.mixed and not is_gate
        return run.mark(y, gate=True, mixed=mixed, documents=mark.documents)
    # f(x)/x has a pole at 0: a plain ε-rule that is deferred at x goes into the ratio; any other
    # deferred rule bounds the ratio when it is applied.
    deferred, x = mark.deferred, given
    epsilon: float | Tensor = run.at_sums.absolute
    if deferred is not None and deferred.plain and deferred.denominator is None:
        epsilon = deferred.epsilon(given.detach())
    elif deferred is not None:
        x = run.signal(given, mark, call.name)
        epsilon = 0.0 if deferred.rule is None else epsilon
    book = None
    if run.account:
        book = run.booker("stabiliser", call.name, run.place(), mark.documents)
    withheld_at = run.withheld_at(given)

    def back(gamma: Tensor, x: Tensor, y: Tensor) -> Tensor:
        gamma_x = squashing_rule(gamma, x, y, epsilon)
        withheld = gamma * y - gamma_x * x
        if book is not None:
            book(withheld)
        if withheld_at is not None:
            withheld_at(quotient_or_zero(withheld, x))
        return gamma_x

    y = _elementwise(x, lambda x: call.function(x, *rest, **kwargs), back, eager=False)
    run.mark(y, gate=is_gate, documents=mark.documents)
    return run.overwrite(given, y) if overwritten else y


def weights(run: Run, call: Call) -> Tensor:
    """`softmax`, `exp`: constants in a product; as a signal they are refused."""
    result: Tensor = call.evaluate(Tensor.detach)
    documents = run.combine_documents((call.args, call.kwargs), result.ndim)
    return run.mark(result, gate=True, documents=documents)


def is_bare(value: Any, mark: Value | None) -> bool:
    """Return whether a value is a gate without a graph that does not count as a constant."""
    return mark is not None and mark.gate and not mark.inert and not value.requires_grad


def mixture(run: Run, call: Call) -> Tensor:
    """A sum or maximum of a signal and a gate without a graph, which serves to compute gates."""
    y = weights(run, call)
    run.require_mark(y).mixed = True
    return y


def gate_function(run: Run, call: Call) -> Tensor:
    """A function of a gate is a gate; of a signal it is refused."""
    marks = [run.known(t) for t in tensors_among(call.args, call.kwargs)]
    if any(mark is not None and not mark.gate for mark in marks):
        run.refuse(call.function)
    if any(mark is not None and mark.mixed for mark in marks):
        return mixture(run, call)
    return weights(run, call)


def root_or_power(run: Run, call: Call) -> Tensor:
    """`sqrt`, `square`, `x ** n` with n > 0: f(0) = 0, the identity rule; a gate stays a gate."""
    mark = run.known(call.args[0])
    exponent = call.argument(1, "exponent", 1)
    if mark is None or mark.gate or isinstance(exponent, Tensor) or exponent == 0:
        return gate_function(run, call)
    if exponent > 0:
        return identity(run, call)
    return run.do(torch.reciprocal, run.do(torch.pow, call.args[0], -exponent))


def clamp(run: Run, call: Call) -> Tensor:
    """`clamp` to bounds about 0 is an activation with f(0) = 0; it keeps a gate a gate."""
    mark = run.known(call.args[0])
    names = ("max",) if call.name == "clamp_max" else ("min", "max")
    bounds: dict[str, Any] = dict.fromkeys(("min", "max"))
    bounds |= dict(zip(names, call.args[1:], strict=False)) | call.kwargs
    low, high = bounds["min"], bounds["max"]
    numbers = all(bound is None or isinstance(bound, (int, float)) for bound in (low, high))
    about_zero = numbers and (low is None or low <= 0) and (high is None or high >= 0)
    if mark is not None and not mark.gate and about_zero:
        bounds = {"min": low, "max": high}
        return identity(run, Call(torch.clamp, call.name, call.args[:1], bounds))
    if mark is not None and not mark.gate:
        run.refuse(
            call.function,
            "a clamp of a signal has a law only where its bounds are numbers about 0, so that it "
            "leaves 0 as it is (x.clamp(-1, 1), x.clamp_min(0)); a divisor is kept from 0 by a "
            "sum (x.abs() + 1e-6) or by F.normalize",
        )
    return gate_function(run, call)
