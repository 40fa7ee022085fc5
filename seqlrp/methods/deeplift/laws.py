"""Laws for what moves, adds and multiplies values, and for elementwise functions.

Every law takes the run, the function as the model spelled it, and its arguments; it returns what
the model goes on with, whose gradient is a multiplier.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from seqlrp.lrp.functions import spelled, values_in
from seqlrp.lrp.marks import substituted, tensors_in
from seqlrp.methods.deeplift import contributions, rules

if TYPE_CHECKING:
    from seqlrp.methods.deeplift.run import Lockstep


def move(run: Lockstep, function: Any, args: Any, kwargs: Any) -> Any:
    """Slicing, reshaping, concatenating, packing: linear; multipliers move back."""
    name = spelled(function) or ""
    if kwargs.get("reduce"):
        run.refuse(function, "a reduction where it writes")
    if name == "view" and any(isinstance(a, torch.dtype) for a in (*args, *kwargs.values())):
        run.refuse(function, "the bits of a value read as another dtype")
    function = torch.where if name == "where" else function
    if not run.signals(values_in(name, args, kwargs)):  # one that only lends its shape
        return function(*run.values(args), **run.values(kwargs))
    return linear(run, function, args, kwargs)


def linear(run: Lockstep, function: Any, args: Any, kwargs: Any) -> Any:
    """A function that is linear in the words, with coefficients that are nowhere negative."""
    result = run.linear(function, args, kwargs)
    if run.rule == "reveal_cancel" and all(result is not t for t in tensors_in(args)):
        contributions.moved(run, function, args, kwargs, result)
    return result


def same(run: Lockstep, function: Any, args: Any, kwargs: Any) -> Any:
    """`detach`, `.data`, `requires_grad_`: about gradients, not about values."""
    return args[0]


def set_item(run: Lockstep, function: Any, args: Any, kwargs: Any) -> None:
    """`x[index] = value`, for the reference too."""
    base, index, value = args
    reference = run.written(base)
    _ = base.grad_fn  # asked for, a view of what was written into gets its graph
    base[index] = run.raw(value)
    reference[index] = run.partner(value) if isinstance(value, Tensor) else value
    run.pair(base, reference)


def copy(run: Lockstep, function: Any, args: Any, kwargs: Any) -> Tensor:
    """`x.copy_(y)`, for the reference too."""
    return run.overwrite(args[0], args[1])


# Sums and products


def add(run: Lockstep, function: Any, args: Any, kwargs: Any) -> Tensor:
    """`a + b`, `a - b`: linear."""
    result: Tensor = run.linear(function, args, kwargs)
    if run.rule == "reveal_cancel" and len(args) == 2 and not kwargs:
        signs = {"add": (1, 1), "sub": (1, -1)}[spelled(function) or ""]
        if getattr(function, "__name__", "") in ("rsub", "__rsub__"):
            signs = (-1, 1)
        contributions.summed(run, list(zip(args, signs, strict=True)), result)
    return result


def negative(run: Lockstep, function: Any, args: Any, kwargs: Any) -> Tensor:
    """`-x`."""
    result: Tensor = run.linear(function, args, kwargs)
    if run.rule == "reveal_cancel":
        contributions.scaled(run, function, args[0], -1, result)
    return result


def product(run: Lockstep, function: Any, args: Any, kwargs: Any) -> Tensor:
    """Products, contractions, maps: the exact Shapley value, Δ(ab) = b̄ Δa + ā Δb for two factors.

    With a single factor that depends on the words it is linear.
    """
    signals = run.signals((args, kwargs))
    if len(signals) == 1:
        result: Tensor = run.linear(function, args, kwargs)
        if run.rule == "reveal_cancel":
            _parts_of_product(run, function, args, kwargs, signals[0], result)
        return result
    return averaged(run, function, args, kwargs, len(signals))


def averaged(run: Lockstep, function: Any, args: Any, kwargs: Any, degree: int) -> Tensor:
    """A polynomial of the words of a degree: its gradient, averaged from reference to text."""

    def gradient_at(point: float) -> Tensor:
        def at(value: Tensor) -> Tensor:
            if run.known(value) is None or not value.dtype.is_floating_point:
                return run.raw(value)  # type: ignore[no-any-return]
            return value + (point - 1) * rules.difference(value.detach(), run.partner(value))

        nest = substituted((args, kwargs), at)
        return function(*nest[0], **nest[1])  # type: ignore[no-any-return]

    terms = [weight * gradient_at(point) for point, weight in rules.nodes(degree)]
    surrogate = sum(terms[1:], terms[0])
    with torch.no_grad():
        value = function(*run.values(args), **run.values(kwargs))
        reference = function(*run.partners(args), **run.partners(kwargs))
    return run.exact(surrogate, value, reference)


def product_of_all(run: Lockstep, function: Any, args: Any, kwargs: Any) -> Tensor:
    """`prod` over a dimension: the exact Shapley value of as many factors."""
    dim = kwargs.get("dim", args[1] if len(args) > 1 else None)
    degree = args[0].numel() if dim is None else args[0].shape[dim]
    return averaged(run, function, args, kwargs, degree)


def _parts_of_product(
    run: Lockstep, function: Any, args: Any, kwargs: Any, x: Tensor, result: Tensor
) -> None:
    name = spelled(function) or ""
    if name in ("addmm", "addmv", "baddbmm", "addcmul"):
        return  # taken apart before, where parts are wanted
    names = ("input", "weight", "bias")
    if name in ("linear", *(f"conv{t}{d}d" for t in ("", "_transpose") for d in (1, 2, 3))):
        given = dict(zip(names, args, strict=False)) | kwargs
        rest = {k: v for k, v in kwargs.items() if k not in names}
        if given["input"] is x:

            def mapped(value: Tensor, weight: Tensor) -> Tensor:
                return function(value, weight, None, *args[3:], **rest)  # type: ignore[no-any-return]

            contributions.note(
                run, result, [contributions.of_map(run, mapped, x, run.raw(given["weight"]))]
            )
        return
    others = [a for a in (*args, *kwargs.values()) if a is not x]
    tensors = [t for t in tensors_in((args, kwargs)) if t is not x]

    def f(value: Tensor, weight: Tensor | None = None) -> Tensor:
        def changed(t: Tensor) -> Tensor:
            if t is x:
                return value
            return run.raw(t) if weight is None else weight

        nest = substituted((args, kwargs), changed)
        return function(*nest[0], **nest[1])  # type: ignore[no-any-return]

    if name in ("mul", "div"):
        contributions.scaled(run, f, x, others[0], result)
    elif len(tensors) == 1:
        parts = contributions.of_map(run, f, x, run.raw(tensors[0]))
        contributions.note(run, result, [parts])


def add_product(run: Lockstep, function: Any, args: Any, kwargs: Any) -> Tensor:
    """`addmm`, `baddbmm`, `addcmul`: a product and a sum in one call."""
    name = spelled(function)
    if run.rule == "rescale" or kwargs or len(args) != 3:
        return product(run, function, args, kwargs)
    inner = torch.mul if name == "addcmul" else torch.matmul
    part = run.call(inner, args[1:], {})
    return run.call(torch.add, (args[0], part), {})  # type: ignore[no-any-return]


def divide(run: Lockstep, function: Any, args: Any, kwargs: Any) -> Tensor:
    """`a / b`: Δ(a / b) = (Δa − ȳ Δb) / b̄, from the product a = y·b; by a constant it is linear."""
    if kwargs.get("rounding_mode") is not None:
        run.refuse(function, "a division that rounds")
    top, bottom = [*args, *kwargs.values()][:2]
    if function in (Tensor.__rtruediv__, Tensor.__rdiv__):
        top, bottom = bottom, top
    if run.known(bottom) is None:
        return product(run, function, args, kwargs)
    with torch.no_grad():
        value = function(*run.values(args), **run.values(kwargs))
        reference = function(*run.partners(args), **run.partners(kwargs))
    b, b0 = bottom.detach(), run.partner(bottom)
    a, a0 = (top.detach(), run.partner(top)) if isinstance(top, Tensor) else (b * 0 + top,) * 2
    of_a, of_b = rules.quotient(a, a0, b, b0)
    surrogate = bottom * of_b
    if run.known(top) is not None:
        surrogate = surrogate + top * of_a
    return run.exact(surrogate, value, reference)


# One element by itself


def elementwise(run: Lockstep, function: Any, args: Any, kwargs: Any) -> Tensor:
    """y = f(x): Rescale, or RevealCancel where x is made by a map or a sum."""
    kwargs = dict(kwargs)
    overwritten = kwargs.pop("inplace", False)
    signals = run.signals((args, kwargs))
    x = signals[0]
    if any(t is not x for t in signals):
        run.refuse(function, "of two values that both depend on the words")

    def f(value: Tensor) -> Tensor:
        nest = substituted((args, kwargs), lambda t: value if t is x else run.raw(t))
        return function(*nest[0], **nest[1])  # type: ignore[no-any-return]

    dual = run.known(x)
    assert dual is not None
    with torch.no_grad():
        value, reference = f(x.detach()), f(dual.reference)
    if value.shape != x.shape:
        run.refuse(function, "spread over a constant of another shape")
    if dual.parts is None:
        m = rules.rescale(f, x.detach(), dual.reference, value, reference)
        surrogate = x * m
    else:
        up, down = dual.parts
        of_up, of_down = rules.reveal_cancel(
            f, x.detach(), dual.reference, up.detach(), down.detach()
        )
        surrogate = up * of_up + down * of_down
    y = run.exact(surrogate, value, reference)
    return run.overwrite(x, y) if overwritten else y
