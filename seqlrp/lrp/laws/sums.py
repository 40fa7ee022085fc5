"""Sums and affine maps: the ε-rule on what is added, constants and biases among it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from seqlrp.lrp.functions import spelled
from seqlrp.lrp.laws.products import belongs, constant, multiply, multiply_matrices, product

if TYPE_CHECKING:
    from seqlrp.lrp.marks import Mark
    from seqlrp.lrp.propagate import Propagation


def add(run: Propagation, function: Any, args: Any, kwargs: Any) -> Tensor:
    """`a + b`, `a - b`: a sum under the ε-rule (Arras 2017); a constant in it is a bias."""
    terms = [*args[:2], *(kwargs[k] for k in ("other",) if k in kwargs)]
    if spelled(function) == "add" and any(isinstance(t, (int, float)) and t == 0 for t in terms):
        return next(t for t in terms if isinstance(t, Tensor))  # Python's sum() starts with 0
    marks = [run.known(t) for t in terms]
    rest = {key: value for key, value in kwargs.items() if key != "other"}
    if all(m is None or m.gate for m in marks):
        return _add_gates(run, function, terms, marks, args[2:], rest)
    # A gate times a constant is a constant here: its signal takes all, and that is no word.
    fixed = [m is None or m.inert for m in marks]
    for term, mark, is_fixed in zip(terms, marks, fixed, strict=True):
        if mark is not None and mark.gate and not is_fixed:
            run.signal(term, mark, spelled(function) or "")  # refuses a gate without a graph
    ready = [constant(t) if c else t for t, c in zip(terms, fixed, strict=True)]
    y: Tensor = function(*ready, *args[2:], **rest)
    documents = run.documents_like(terms, y.ndim)
    if any(fixed) and run.account:
        shares = [t if c else _nothing(t) for t, c in zip(ready, fixed, strict=True)]
        share = function(*shares, *args[2:], **rest)
        kind = run.constant_kind(terms)
        y = run.absorb(y, share, kind, spelled(function) or "", documents)
    maps = all(c or (m is not None and m.due == "map") for m, c in zip(marks, fixed, strict=True))
    return run.mark(y, due="map" if maps else "sum", documents=documents)


def _add_gates(
    run: Propagation,
    function: Any,
    terms: list[Any],
    marks: list[Mark | None],
    args: Any,
    rest: Any,
) -> Tensor:
    """`1 - z` and the like: a gate still; should it become a signal, a sum as any other."""
    inert = all(m is None or m.inert for m in marks)
    graph = all(m is None or t.requires_grad for t, m in zip(terms, marks, strict=True))
    ready = [run.raw(t) if graph else constant(t) for t in terms]
    y: Tensor = function(*ready, *args, **rest)
    documents = run.documents_like(terms, y.ndim)
    if graph and run.account and any(m is None for m in marks):
        shares = [t if m is None else _nothing(t) for t, m in zip(ready, marks, strict=True)]
        share = function(*shares, *args, **rest)
        y = run.absorb(y, share, "constant", spelled(function) or "", documents)
    return run.mark(y, gate=True, inert=inert, due="sum" if graph else None, documents=documents)


def _nothing(value: Any) -> Any:
    return torch.zeros_like(value) if isinstance(value, Tensor) else 0


def negative(run: Propagation, function: Any, args: Any, kwargs: Any) -> Tensor:
    """`-x`: as `x`, with the sign changed."""
    mark = run.known(args[0])
    assert mark is not None
    denominator = None if mark.denominator is None else -mark.denominator
    return run.mark(
        function(args[0]),
        gate=mark.gate,
        due=mark.due,
        denominator=denominator,
        documents=mark.documents,
        made=mark.made,
    )


def linear(run: Propagation, function: Any, args: Any, kwargs: Any) -> Tensor:
    """`W x + b`: the ε-rule (Bach 2015, eq. 58); the bias keeps b / (z + ε·sign z) of R_z."""
    given = dict(zip(("input", "weight", "bias"), args, strict=False)) | kwargs
    x, weight, bias = given["input"], given["weight"], given.get("bias")
    found = run.documents_of([x])
    whose = found[0][1].narrow(-1, 0, 1) if found else None
    if run.known(weight) is not None and run.account and run.count != 1:
        run.refuse(function, "weights that depend on the input")
    y = belongs(run, product(run, F.linear, [x, weight], "linear", maps=True), whose)
    if bias is None:
        return y
    if run.known(bias) is not None:
        return add(run, torch.add, (y, bias), {})
    mark = run.known(y)
    assert mark is not None
    y = run.absorb(y + bias.detach(), bias, "bias", "linear", whose)
    return run.mark(y, due=mark.due, documents=whose, made=mark.made)


def add_product(run: Propagation, function: Any, args: Any, kwargs: Any) -> Tensor:
    """`addmm`, `baddbmm`, `addcmul`: a product and a sum in one call."""
    if kwargs:
        run.refuse(function, "with a scale or a named argument")
    term, a, b = args
    combine = multiply if spelled(function) == "addcmul" else multiply_matrices
    inner = torch.mul if combine is multiply else torch.matmul
    if run.known(a) is None and run.known(b) is None:
        part = inner(run.raw(a), run.raw(b))
    else:
        part = combine(run, inner, (a, b), {})
    return add(run, torch.add, (part, term), {})
