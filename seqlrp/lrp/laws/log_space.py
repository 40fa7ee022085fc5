"""Log space: between `log` of a signal and `exp` stands relevance itself instead of γ.

For ℓ = log u of a signal u, ∂s/∂ℓ = u · ∂s/∂u: what flows back to ℓ as a gradient is γ_u · u = R_u.
Multiplying by exp(g) is adding g, and a sum is a `logsumexp`, of which p = exp(ℓ - result) are the
shares of its terms. So autograd is right between `log` and `exp`; the laws here say what is a
constant. Nothing is computed outside of log space, where it might not be finite. The recurrence
h_t = a_t h_{t-1} + b_t of minGRU and minLSTM, as `exp(A + logcumsumexp(log b - A))` with
A = cumsum(log a) (Heinsen 2023), has the relevance of the loop. As all terms of a sum are positive,
its denominator needs no stabiliser.
"""

from __future__ import annotations

import math
from typing import Any, NoReturn

import torch
from torch import Tensor

from seqlrp.engine import decompositions
from seqlrp.engine import documents as docs
from seqlrp.engine.dispatch import Table
from seqlrp.engine.following import constant
from seqlrp.engine.functions import Call, Kind
from seqlrp.engine.moves import mixes, moved_values
from seqlrp.engine.nests import map_tensors, tensors_in
from seqlrp.lrp.laws import moving
from seqlrp.lrp.laws.elementwise import gate_function, is_bare, mixture
from seqlrp.lrp.laws.reductions import reduced_dims
from seqlrp.lrp.rules import equal_shares, squashing_rule
from seqlrp.lrp.run import Run


class _Elementwise(torch.autograd.Function):
    """y = f(x), with a constant for dy/dx in the backward pass."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, f: Any, slope: Tensor) -> Tensor:
        ctx.slope = slope
        return f(x)  # type: ignore[no-any-return]

    @staticmethod
    def backward(ctx: Any, gamma: Tensor) -> Any:
        return (gamma * ctx.slope).masked_fill(gamma == 0, 0), None, None  # 1 / 0 of log(0)


def logarithm(run: Run, call: Call) -> Tensor:
    """`log`: that of a gate is a gate; that of a signal is in log space, γ_x = R / x."""
    given = call.args[0]
    mark = run.known(given)
    if mark is None or mark.gate:
        return gate_function(run, call)
    if run.bias_factor or run.options.gate_rule != "all":
        run.refuse(call.function, "the logarithm of a signal, under a gate_rule or a bias_factor")
    x = run.signal(given, mark, "log")
    y: Tensor = _Elementwise.apply(x, call.function, x.detach().reciprocal())  # type: ignore[no-untyped-call]
    run.in_log_space = True
    return run.mark(y, logarithm=True, documents=mark.documents)


def exponential(run: Run, call: Call) -> Tensor:
    """`exp`: out of log space, R = γ_y · y."""
    x = call.args[0]
    y: Tensor = _Elementwise.apply(x, call.function, call.function(x.detach()))  # type: ignore[no-untyped-call]
    return run.mark(y, documents=run.require_mark(x).documents)


def add(run: Run, call: Call) -> Tensor:
    """`log u + g`: u times the weight exp(g); `log u + log v`: two signals, which get half each."""
    if call.args[2:] or call.kwargs:
        refuse(run, call)
    terms = list(call.args[:2])
    logarithms = [_is_logarithm(run, term) for term in terms]
    if call.name == "sub":
        reversed_ = call.function is Tensor.__rsub__
        logarithms[0 if reversed_ else 1] = False  # a divisor is a constant
    if not any(logarithms):  # exp(g) / u weighs something
        return mixture(run, call)
    ready = [t if log else constant(t) for t, log in zip(terms, logarithms, strict=True)]
    y: Tensor = call.function(*ready)
    if all(logarithms):
        y = run.on_gamma(y, lambda gamma: equal_shares(gamma, 2))
    return run.mark(y, logarithm=True, documents=run.combine_documents(terms, y.ndim))


def total(run: Run, call: Call) -> Tensor:
    """`logsumexp`, `logcumsumexp`: log Σ u, each u gets its part of the sum."""
    x = call.args[0]
    mark = run.require_mark(x)
    running = call.name == "logcumsumexp"
    dims, keep = reduced_dims(call, x.ndim)
    nothing = x.detach() == -math.inf  # of which the gradient is not a number
    terms = run.on_gamma(x.view_as(x), lambda gamma: gamma.masked_fill(nothing, 0))
    y = call.function(terms, *call.args[1:], **call.kwargs)
    documents = mark.documents
    if documents is not None:
        documents = docs.reduce(documents, dims, keep or running)
    return run.mark(y, logarithm=True, documents=documents)


def largest(run: Run, call: Call) -> Any:
    """The largest logarithm: the m of `log(sum(exp(x - m))) + m`, a constant for whatever m."""
    result = call.evaluate(Tensor.detach)
    dims, keep = reduced_dims(call, call.args[0].ndim)
    documents = run.combine_documents((call.args, call.kwargs), call.args[0].ndim)
    if documents is not None and call.name not in ("maximum", "minimum", "fmax", "fmin"):
        documents = docs.reduce(documents, dims, keep or call.name.startswith("cum"))
    for tensor in tensors_in(result):
        if tensor.dtype.is_floating_point:
            run.mark(tensor, gate=True, mixed=True, documents=documents)
    return result


def move(run: Run, call: Call) -> Any:
    """Moved in log space; a constant c beside logarithms stands for exp(c), and is booked."""
    values = moved_values(call)
    if not any(_is_logarithm(run, value) for value in values):  # its shape alone is used
        return moving.move(run, call)
    moving.check_move(run, call)
    args, kwargs = map_tensors(
        (call.args, call.kwargs),
        lambda t: _ready(run, t, call.name) if any(t is v for v in values) else run.raw(t),
    )
    ready = call._replace(args=args, kwargs=kwargs)
    result = moving.function_of(call)(*args, **kwargs)
    owners = iter(moving.moved_documents(run, ready))

    def mark(moved: Tensor) -> Tensor:
        if moved.dtype.is_floating_point:
            run.mark(moved, logarithm=True, documents=next(owners, None))
        return moved

    result = map_tensors(result, mark)
    if not (mixes(call.name) and run.account):
        return result
    share = moving.constant_elements(run, ready).to(result)
    documents = run.require_mark(result).documents
    return run.absorb(result, share, "constant", call.name, documents)


def _is_logarithm(run: Run, value: Any) -> bool:
    mark = run.known(value)
    return mark is not None and mark.logarithm


def _ready(run: Run, value: Tensor, user: str) -> Tensor:
    """Return a value that joins logarithms as one: log u, a constant, or the log of a sigmoid.

    log σ(x), as `-softplus(-x)`, is known by its bounds. As what it is the logarithm of joins
    signals, it is a signal itself: f(x) / (x + ε·sign x) as for a sigmoid.
    """
    mark = run.known(value)
    if mark is None or mark.logarithm:
        return value if mark is not None else constant(value)
    if mark.bounds != (-math.inf, 0.0) or mark.gate or is_bare(value, mark):
        run.refuse(
            getattr(torch, user, user),
            "a value that is no logarithm is put together with logarithms of signals; of gates "
            "-softplus(-x) may be, the logarithm of sigmoid(x)",
        )
    x = run.signal(value, mark, user)
    epsilon, one = run.at_sums.absolute, torch.ones_like(x)
    slope = squashing_rule(one, x.detach(), one, epsilon)
    y: Tensor = _Elementwise.apply(x, torch.clone, slope)  # type: ignore[no-untyped-call]
    y = run.absorb(y, 1 - slope * x.detach(), "stabiliser", user, mark.documents)
    return run.mark(y, logarithm=True, documents=mark.documents)


def refuse(run: Run, call: Call) -> NoReturn:
    """Other functions of logarithms of signals are refused."""
    run.refuse(
        call.function,
        "of the logarithm of a signal. In log space there are laws for sums with gates, constants "
        "and other logarithms, for logsumexp, logcumsumexp and logaddexp, for functions that move "
        "values, and for exp",
    )


LOG_SPACE: Table[Run] = Table(
    {
        Kind.MOVE: move,
        Kind.CAST: moving.cast,
        Kind.SAME: moving.same,
        Kind.DROPOUT: moving.dropout,
        Kind.QUESTION: moving.ask,
        Kind.ANSWER: moving.ask,
        Kind.EXPONENTIAL: exponential,
        Kind.SUM: add,
        Kind.EXTREME: largest,
        Kind.LARGER: largest,
    },
    {
        "logsigmoid": refuse,
        "logsumexp": total,
        "logcumsumexp": total,
        "cummax": largest,
        "logaddexp": decompositions.take_apart,
    },
)
