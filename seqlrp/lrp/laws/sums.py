"""Sums: the ε-rule over all terms, constants and biases included."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from seqlrp.engine.following import constant
from seqlrp.engine.functions import Call
from seqlrp.lrp.deferred import DeferredRule
from seqlrp.lrp.laws.elementwise import is_bare, mixture
from seqlrp.lrp.marks import Value
from seqlrp.lrp.run import Run


def add(run: Run, call: Call) -> Tensor:
    """`a + b`, `a - b`: a sum under the ε-rule (Arras 2017); a constant in it is a bias."""
    terms = list(call.args[:2])
    if call.name == "add" and any(isinstance(t, (int, float)) and t == 0 for t in terms):
        # Python's sum() starts with 0. A copy, because the model may change the sum in place.
        return run.copy_marked(next(t for t in terms if isinstance(t, Tensor)))
    marks = [run.known(t) for t in terms]
    if all(m is None or m.gate for m in marks):
        return _add_gates(run, call, terms, marks)
    # A gate times a constant is a constant here: its signal, the constant, gets all relevance.
    fixed = [m is None or m.inert for m in marks]
    if any(is_bare(t, m) for t, m in zip(terms, marks, strict=True)):
        if run.options.on_unknown == "raise":
            return mixture(run, call)
        terms = [_absorb_gate(run, t, call.name) for t in terms]
        marks = [run.known(t) for t in terms]
    ready = [constant(t) if c else t for t, c in zip(terms, fixed, strict=True)]
    scaled = bool(call.args[2:] or call.kwargs)  # by alpha
    plain = call.name == "add" and not scaled
    if plain and _exclusive(marks):  # m · a + (1 - m) · b with a mask m selects, and does not add
        ready = [run.signal(t, m, "add") for t, m in zip(ready, marks, strict=True) if m]
        chosen = torch.add(*ready)
        return run.mark(chosen, documents=run.combine_documents(terms, chosen.ndim))
    rules = [m.deferred for m, c in zip(marks, fixed, strict=True) if m is not None and not c]
    if not plain or not _one_denominator(rules):
        ready = [_apply_other(run, t) if not c else t for t, c in zip(ready, fixed, strict=True)]
        rules = []
    ruled = _any_other_rule(rules)
    y: Tensor = call.function(*ready, *call.args[2:], **call.kwargs)
    documents = run.combine_documents(terms, y.ndim)
    held, kind = None, run.constant_kind(terms)
    if any(fixed) and (run.account or run.options.bias_factor or ruled):
        shares = [t if c else _nothing(t) for t, c in zip(ready, fixed, strict=True)]
        held = call.function(*shares, *call.args[2:], **call.kwargs)
        if not ruled:  # the parts of other rules book their own relevance
            y = run.absorb(y, held, kind, call.name, documents)
    signals = [t for t, c in zip(ready, fixed, strict=True) if not c]
    deferred = _defer_sum(run, signals, y, held, kind, documents)
    return run.mark(y, deferred=deferred, documents=documents)


def _absorb_gate(run: Run, term: Any, user: str) -> Any:
    """Return a term; a gate without a graph ends here under `on_unknown="absorb"`."""
    mark = run.known(term)
    if mark is None or not is_bare(term, mark):
        return term
    return run.mark(run.signal(term, mark, user), documents=mark.documents)


def _exclusive(marks: list[Value | None]) -> bool:
    """Return whether a mask leaves at most one of two terms at each position."""
    blanks = [None if m is None or m.gate else m.blank for m in marks]
    if len(blanks) != 2 or blanks[0] is None or blanks[1] is None:
        return False
    return bool((blanks[0] | blanks[1]).all())


def _defer_sum(
    run: Run,
    terms: list[Tensor],
    y: Tensor,
    constant: Tensor | None,
    kind: str,
    documents: Tensor | None,
) -> DeferredRule:
    """Return the deferred rule of a sum `y` of signals and a `constant`, booked as `kind`."""
    rules = [None if (mark := run.known(term)) is None else mark.deferred for term in terms]
    first = rules[0]
    maps = all(deferred is not None and deferred.kind == "map" for deferred in rules)
    if (
        first is not None and first.rule is not None
    ):  # `add` combines such rules only if they can join
        same = zip(*(rule.parts for rule in rules if rule is not None), strict=True)
        parts = [sum(part[1:], part[0]) for part in same]
        if constant is not None:
            biases = first.rule.biased(constant)
            parts = [
                part if b is None else run.absorb(part + b, b, kind, "add", documents)
                for part, b in zip(parts, biases, strict=True)
            ]
        return replace(first, parts=tuple(p.expand_as(y) for p in parts))
    place = run.ledger_place()
    operation = first.made[0] if first is not None and maps else "sum"
    if first is not None and maps:
        deferred = DeferredRule("map", first.stabiliser, (operation, place), None, first.features)
    else:
        deferred = DeferredRule("sum", run.at_sums, (operation, place))
    if not run.bias_factor:
        return deferred
    units: Tensor = torch.zeros_like(y[..., :1])
    count: Tensor | int = 0
    held = constant
    for term, rule in zip(terms, rules, strict=True):
        if rule is not None and rule.units is not None:
            units, count = units + rule.units, count + rule.count
            if rule.constant is not None:
                held = rule.constant if held is None else held + rule.constant
        else:
            ones = run.stand_in(term.expand_as(y), torch.ones_like(y), documents)
            units, count = units + ones.sum(-1, keepdim=True), count + y.shape[-1]
    return replace(deferred, units=units, count=count, constant=held)


def _any_other_rule(rules: list[DeferredRule | None]) -> bool:
    return any(deferred is not None and deferred.rule is not None for deferred in rules)


def _one_denominator(rules: list[DeferredRule | None]) -> bool:
    """Return whether the rules of all terms can share the denominator of the sum.

    With one absolute ε a sum of a map and of anything else has one denominator. If ε is relative to
    the outputs of a map, only a sum of maps has.
    """
    alike = all(r is None or (r.plain and not r.stabiliser.relative) for r in rules)
    return alike or all(r is not None and r.can_join(rules[0]) for r in rules)


def _apply_other(run: Run, term: Tensor) -> Tensor:
    """Return a term with its rule applied before it is added, unless the sum applies the same."""
    mark = run.require_mark(term)
    deferred = mark.deferred
    if deferred is None or (deferred.plain and not deferred.stabiliser.relative):
        return term
    return run.mark(run.signal(term, mark, "add"), documents=mark.documents)


def _add_gates(run: Run, call: Call, terms: list[Any], marks: list[Value | None]) -> Tensor:
    """`1 - z`: a gate; if it is later used as a signal, it is treated as a sum."""
    inert = all(m is None or m.inert for m in marks)
    graph = all(m is None or t.requires_grad for t, m in zip(terms, marks, strict=True))
    ready = [run.raw(t) if graph else constant(t) for t in terms]
    y: Tensor = call.function(*ready, *call.args[2:], **call.kwargs)
    documents = run.combine_documents(terms, y.ndim)
    if graph and run.account and any(m is None for m in marks):
        shares = [t if m is None else _nothing(t) for t, m in zip(ready, marks, strict=True)]
        share = call.function(*shares, *call.args[2:], **call.kwargs)
        y = run.absorb(y, share, "constant", call.name, documents)
    deferred = DeferredRule("sum", run.at_sums, ("add", run.place())) if graph else None
    mixed = any(m is not None and m.mixed for m in marks)
    return run.mark(y, gate=True, inert=inert, deferred=deferred, mixed=mixed, documents=documents)


def _nothing(value: Any) -> Any:
    return torch.zeros_like(value) if isinstance(value, Tensor) else 0


def negate(run: Run, call: Call) -> Tensor:
    """`-x`: the signal or gate `x` with its sign changed."""
    x = call.args[0]
    mark = run.require_mark(x)
    deferred = mark.deferred
    if deferred is not None and not deferred.plain:
        x, deferred = run.signal(x, mark, "neg"), None
    if deferred is not None and deferred.denominator is not None:
        deferred = replace(deferred, denominator=-deferred.denominator)
    return run.mark(
        call.function(x),
        gate=mark.gate,
        deferred=deferred,
        mixed=mark.mixed,
        documents=mark.documents,
    )


def add_product(run: Run, call: Call) -> Tensor:
    """`addmm`, `baddbmm`, `addcmul`: a product and a sum in one call."""
    scales = {name: call.kwargs.get(name, 1) for name in ("alpha", "beta", "value")}
    if set(call.kwargs) - set(scales) or len(call.args) != 3:
        run.refuse(call.function, "with arguments that are not known")
    term, a, b = call.args
    part = run.do(torch.mul if call.name == "addcmul" else torch.matmul, a, b)
    if scales["alpha"] * scales["value"] != 1:
        part = run.do(torch.mul, part, scales["alpha"] * scales["value"])
    if scales["beta"] != 1:
        term = run.do(torch.mul, term, scales["beta"])
    return run.do(torch.add, part, term)
