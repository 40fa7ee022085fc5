"""Sums: the ε-rule on what is added, constants and biases among it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from seqlrp.lrp.due import Due, summed
from seqlrp.lrp.functions import spelled
from seqlrp.lrp.laws.gated import constant
from seqlrp.lrp.laws.products import multiply, multiply_matrices

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
    plain = spelled(function) == "add" and not args[2:] and not rest
    if plain and _exclusive(marks):  # m · a + (1 - m) · b with a mask m chooses, and adds nothing
        ready = [run.signal(t, m, "add") for t, m in zip(ready, marks, strict=True) if m]
        y: Tensor = torch.add(*ready)
        return run.mark(y, documents=run.documents_like(terms, y.ndim))
    dues = [m.due for m, c in zip(marks, fixed, strict=True) if m is not None and not c]
    if not plain or not _one_denominator(dues):
        ready = [_settled(run, t) if not c else t for t, c in zip(ready, fixed, strict=True)]
        dues = []
    ruled = _ruled(dues)
    y = function(*ready, *args[2:], **rest)
    documents = run.documents_like(terms, y.ndim)
    held, kind = None, run.constant_kind(terms)
    if any(fixed) and (run.account or run.options.bias_factor or ruled):
        shares = [t if c else _nothing(t) for t, c in zip(ready, fixed, strict=True)]
        held = function(*shares, *args[2:], **rest)
        if not ruled:  # whose parts book their own
            y = run.absorb(y, held, kind, spelled(function) or "", documents)
    signals = [t for t, c in zip(ready, fixed, strict=True) if not c]
    return run.mark(y, due=summed(run, signals, y, held, kind, documents), documents=documents)


def _exclusive(marks: list[Mark | None]) -> bool:
    """Whether, at each place, a mask has left one of two terms only."""
    blanks = [None if m is None or m.gate else m.blank for m in marks]
    if len(blanks) != 2 or blanks[0] is None or blanks[1] is None:
        return False
    return bool((blanks[0] | blanks[1]).all())


def _ruled(dues: list[Due | None]) -> bool:
    return any(due is not None and due.rule is not None for due in dues)


def _one_denominator(dues: list[Due | None]) -> bool:
    """Whether the terms of a sum may wait for its own denominator."""
    return not _ruled(dues) or all(due is not None and due.joins(dues[0]) for due in dues)


def _settled(run: Propagation, term: Tensor) -> Tensor:
    """A term whose own rule is applied before it is added, if that is not the plain ε-rule."""
    mark = run.known(term)
    assert mark is not None
    if mark.due is None or mark.due.plain:
        return term
    return run.mark(run.signal(term, mark, "add"), documents=mark.documents)


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
    due = Due("sum", run.epsilon, ("add", run.place())) if graph else None
    return run.mark(y, gate=True, inert=inert, due=due, documents=documents)


def _nothing(value: Any) -> Any:
    return torch.zeros_like(value) if isinstance(value, Tensor) else 0


def negative(run: Propagation, function: Any, args: Any, kwargs: Any) -> Tensor:
    """`-x`: as `x`, with the sign changed."""
    mark = run.known(args[0])
    assert mark is not None
    x, due = args[0], mark.due
    if due is not None and not due.plain:
        x, due = run.signal(x, mark, "neg"), None
    if due is not None and due.denominator is not None:
        due = replace(due, denominator=-due.denominator)
    return run.mark(function(x), gate=mark.gate, due=due, documents=mark.documents)


def add_product(run: Propagation, function: Any, args: Any, kwargs: Any) -> Tensor:
    """`addmm`, `baddbmm`, `addcmul`: a product and a sum in one call."""
    scales = {name: kwargs.get(name, 1) for name in ("alpha", "beta", "value")}
    if set(kwargs) - set(scales) or len(args) != 3:
        run.refuse(function, "with arguments that are not known")
    term, a, b = args
    combine = multiply if spelled(function) == "addcmul" else multiply_matrices
    inner = torch.mul if combine is multiply else torch.matmul
    if run.known(a) is None and run.known(b) is None:
        part = inner(run.raw(a), run.raw(b))
    else:
        part = combine(run, inner, (a, b), {})
    if scales["alpha"] * scales["value"] != 1:
        part = run.call(torch.mul, (part, scales["alpha"] * scales["value"]), {})
    if scales["beta"] != 1:
        term = run.call(torch.mul, (term, scales["beta"]), {})
    return add(run, torch.add, (part, term), {})
