"""Laws for functions that move, add and multiply values, and for elementwise functions.

Every law takes the run and the call; it returns the value with which the model continues, with
multipliers in place of its gradient.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from seqlrp.engine.decompositions import (
    adds_up,
    index_put_adding,
    quotient_operands,
    refuse_two_writes,
)
from seqlrp.engine.functions import Call, Kind, names_of_kind
from seqlrp.engine.moves import moved_values, reads_bits
from seqlrp.engine.nests import tensors_among, tensors_in
from seqlrp.methods.deeplift import contributions, rules
from seqlrp.methods.deeplift.pairs import PairedRun

_MAPS = names_of_kind(Kind.LINEAR, Kind.CONVOLUTION)
_SCALINGS = names_of_kind(Kind.PRODUCT, Kind.QUOTIENT)
_ADDED_PRODUCTS = names_of_kind(Kind.ADDED_PRODUCT)


def move(run: PairedRun, call: Call) -> Any:
    """Slicing, reshaping, concatenating, packing: linear; multipliers move back."""
    if adds_up(call):
        return index_put_adding(run, call)
    refuse_two_writes(run, call)
    if call.kwargs.get("reduce"):
        run.refuse(call.function, "a reduction where it writes")
    if reads_bits(call):
        run.refuse(call.function, "the bits of a value read as another dtype")
    if not run.signals(moved_values(call)):  # only the shape of a value is used
        return call.evaluate(Tensor.detach)
    return linear(run, call)


def linear(run: PairedRun, call: Call) -> Any:
    """A function that is linear in the words, with coefficients that are never negative."""
    result = run.linear(call)
    if run.rule == "reveal_cancel" and all(result is not t for t in tensors_in(call.args)):
        contributions.move_parts(run, call, result)
    return result


def interpolate(run: PairedRun, call: Call) -> Any:
    """`F.interpolate`: linear. The weights of cubic polynomials may be negative."""
    if run.rule == "reveal_cancel" and call.argument(3, "mode") == "bicubic":
        run.refuse(call.function, "mode='bicubic', with RevealCancel")
    return linear(run, call)


def same(run: PairedRun, call: Call) -> Any:
    """`detach`, `.data`, `requires_grad_`: they affect gradients only, not values."""
    return call.args[0]


def dropout(run: PairedRun, call: Call) -> Any:
    """The identity in evaluation mode.

    Raises:
        TrainingModeError: dropout is on, and its output would change from call to call.
    """
    run.check_dropout(call)
    return call.args[0]


def assign(run: PairedRun, call: Call) -> None:
    """`x[index] = value`, for the reference too."""
    refuse_two_writes(run, call)
    base, index, value = call.args
    reference = run.reference_to_write(base)
    _ = base.grad_fn  # asked for, a view of what was written into gets its graph
    base[index] = run.raw(value)
    reference[index] = run.partner(value) if isinstance(value, Tensor) else value
    run.pair(base, reference)


def copy(run: PairedRun, call: Call) -> Tensor:
    """`x.copy_(y)`, for the reference too."""
    return run.overwrite(call.args[0], call.args[1])


# Sums and products


def add(run: PairedRun, call: Call) -> Tensor:
    """`a + b`, `a - b`: linear."""
    result: Tensor = run.linear(call)
    if run.rule == "reveal_cancel" and len(call.args) == 2 and not call.kwargs:
        signs = {"add": (1, 1), "sub": (1, -1)}[call.name]
        if getattr(call.function, "__name__", "") in ("rsub", "__rsub__"):
            signs = (-1, 1)
        contributions.sum_parts(run, list(zip(call.args, signs, strict=True)), result)
    return result


def negate(run: PairedRun, call: Call) -> Tensor:
    """`-x`: linear."""
    result: Tensor = run.linear(call)
    if run.rule == "reveal_cancel":
        contributions.scale_parts(run, call.function, call.args[0], -1, result)
    return result


def product(run: PairedRun, call: Call) -> Tensor:
    """Products, contractions, maps: the exact Shapley value, Δ(ab) = b̄ Δa + ā Δb for two factors.

    With a single factor that depends on the words, the function is linear.
    """
    signals = run.signals((call.args, call.kwargs))
    if len(signals) > 1:
        return average_gradient(run, call, len(signals))
    result: Tensor = run.linear(call)
    if run.rule == "reveal_cancel":
        _note_parts_of_product(run, call, signals[0], result)
    return result


def average_gradient(run: PairedRun, call: Call, degree: int) -> Tensor:
    """Call a polynomial of the words, with its gradient averaged from reference to text."""

    def gradient_at(point: float) -> Tensor:
        def at(value: Tensor) -> Tensor:
            if run.known(value) is None or not value.dtype.is_floating_point:
                return run.raw(value)  # type: ignore[no-any-return]
            return value + (point - 1) * rules.difference(value.detach(), run.partner(value))

        return call.evaluate(at)  # type: ignore[no-any-return]

    terms = [weight * gradient_at(point) for point, weight in rules.nodes(degree)]
    return run.exact(sum(terms[1:], terms[0]), *run.both(call))


def product_of_all(run: PairedRun, call: Call) -> Tensor:
    """`prod` over a dimension: the exact Shapley value of its factors."""
    x, dim = call.args[0], call.argument(1, "dim")
    return average_gradient(run, call, x.numel() if dim is None else x.shape[dim])


def _note_parts_of_product(run: PairedRun, call: Call, x: Tensor, result: Tensor) -> None:
    if call.name in _ADDED_PRODUCTS:
        return  # with RevealCancel, it was decomposed before
    if call.name in _MAPS:
        given, weight = call.arguments("input", "weight")
        named = {k: v for k, v in call.kwargs.items() if k not in ("input", "weight", "bias")}

        def apply_map(value: Tensor, w: Tensor) -> Tensor:
            return call.function(value, w, None, *call.args[3:], **named)  # type: ignore[no-any-return]

        if given is x:
            parts = contributions.map_parts(run, apply_map, x, run.raw(weight))
            contributions.note_parts(run, result, [parts])
        return
    others = [a for a in (*call.args, *call.kwargs.values()) if a is not x]
    tensors = [t for t in tensors_among(call.args, call.kwargs) if t is not x]

    def f(value: Tensor, weight: Tensor | None = None) -> Tensor:
        def change(t: Tensor) -> Any:
            if t is x:
                return value
            return run.raw(t) if weight is None else weight

        return call.evaluate(change)  # type: ignore[no-any-return]

    if call.name in _SCALINGS:
        contributions.scale_parts(run, f, x, others[0], result)
    elif len(tensors) == 1:
        parts = contributions.map_parts(run, f, x, run.raw(tensors[0]))
        contributions.note_parts(run, result, [parts])


def add_product(run: PairedRun, call: Call) -> Tensor:
    """`addmm`, `baddbmm`, `addcmul`: a product and a sum in one call."""
    if run.rule == "rescale" or call.kwargs or len(call.args) != 3:
        return product(run, call)
    inner = torch.mul if call.name == "addcmul" else torch.matmul
    return run.do(torch.add, call.args[0], run.do(inner, *call.args[1:]))


def divide(run: PairedRun, call: Call) -> Tensor:
    """`a / b`: Δ(a / b) = (Δa − ȳ Δb) / b̄, from the product a = y·b; by a constant it is linear."""
    top, bottom = quotient_operands(run, call)
    if run.known(bottom) is None:
        return product(run, call)
    value, reference = run.both(call)
    b, b0 = bottom.detach(), run.partner(bottom)
    a, a0 = (top.detach(), run.partner(top)) if isinstance(top, Tensor) else (b * 0 + top,) * 2
    of_a, of_b = rules.quotient(a, a0, b, b0)
    surrogate = bottom * of_b
    if run.known(top) is not None:
        surrogate = surrogate + top * of_a
    return run.exact(surrogate, value, reference)


# Elementwise functions


def elementwise(run: PairedRun, call: Call) -> Tensor:
    """y = f(x): Rescale, or RevealCancel where x is made by a map or a sum."""
    kwargs = dict(call.kwargs)
    overwritten = kwargs.pop("inplace", False)
    call = call._replace(kwargs=kwargs)
    signals = run.signals((call.args, kwargs))
    x = signals[0]
    if any(t is not x for t in signals):
        run.refuse(call.function, "of two values that both depend on the words")

    def f(value: Tensor) -> Tensor:
        return call.evaluate(lambda t: value if t is x else run.raw(t))  # type: ignore[no-any-return]

    dual = run.known(x)
    assert dual is not None
    with torch.no_grad():
        value, reference = f(x.detach()), f(dual.reference)
    if value.shape != x.shape:
        run.refuse(call.function, "spread over a constant of another shape")
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
