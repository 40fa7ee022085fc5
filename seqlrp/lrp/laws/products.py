"""Products: gates and constants are constants in them, and signals share equally."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from seqlrp.engine import documents as docs
from seqlrp.engine.decompositions import quotient_operands
from seqlrp.engine.following import constant
from seqlrp.engine.functions import Call
from seqlrp.lrp.deferred import DeferredRule
from seqlrp.lrp.laws.activations import activation
from seqlrp.lrp.laws.gated import share_product
from seqlrp.lrp.marks import Value
from seqlrp.lrp.rules import equal_shares
from seqlrp.lrp.run import Run


def product(
    run: Run,
    f: Callable[..., Tensor],
    operands: list[Any],
    name: str,
    equation: str,
    documents: Tensor | None,
) -> Tensor:
    """Return a product: gates and constants are constants in it, signals share equally.

    `equation` is that of `torch.einsum` if the product contracts a dimension, which with constants
    is a linear map; "" is an elementwise product.
    """
    maps = bool(equation)
    marks = [run.known(o) for o in operands]
    signals, gates, is_gate, constants = _roles(operands, marks, maps)
    mixed = any(m is not None and m.gate and m.mixed for m in marks)
    if mixed and sum(m is not None for m in marks) > 1:
        run.refuse_mixed(name)
    if mixed:  # scaled by a constant
        y = f(*[constant(o) for o in operands])
        return run.mark(y, gate=True, mixed=True, documents=documents)
    fixed = all(_is_fixed(o, m) for o, m in zip(operands, marks, strict=True))
    if fixed or (is_gate and (constants or any(not operands[k].requires_grad for k in signals))):
        y = f(*[constant(o) for o in operands])
        inert = constants or any(m is not None and m.inert for m in marks)
        return run.mark(y, gate=True, inert=inert, documents=documents)
    if gates and len(signals) == 1 and run.options.gate_rule != "all":
        return share_product(run, operands, name, equation, documents)
    gating = any(operands[k].requires_grad for k in gates)
    deferred: DeferredRule | None = None
    if len(signals) == 1 and not maps and not is_gate:
        deferred = _scaled_rule(run, operands[signals[0]], gating)
    ready: list[Any] = []
    for k, (operand, mark) in enumerate(zip(operands, marks, strict=True)):
        if k not in signals or mark is None:
            ready.append(constant(operand))
        else:
            ready.append(run.signal(operand, mark, name) if deferred is None else operand)
    y = f(*ready)
    if y._base is not None:  # einsum returns a view, which the model may change in place
        y = y.clone()
    if deferred is not None and deferred.denominator is not None:
        deferred = replace(deferred, denominator=deferred.denominator.expand(y.shape))
    if len(signals) > 1:
        y = _share_equally(run, y, marks, len(signals), name)
    if maps and len(signals) == 1 and not gates:
        (k,) = signals
        deferred = _defer_product(
            run, f, ready, k, name, documents, run.require_mark(operands[k]).documents
        )
        if deferred is not None and deferred.rule is not None:  # γ flows through the parts
            y = run.end(y)
    blank = None if maps or len(signals) > 1 else _blank(ready, signals)
    return run.mark(y, gate=is_gate, deferred=deferred, documents=documents, blank=blank)


def _is_fixed(operand: Any, mark: Value | None) -> bool:
    """Return whether an operand is a constant, or a gate times one."""
    return mark is None or (mark.inert and not operand.requires_grad)


class _Roles(NamedTuple):
    """The part that each operand of a product has, by place.

    Attributes:
        signals: those that get relevance; in a product of gates alone these.
        gates: those that get none.
        is_gate: whether the product is a gate.
        constants: whether a tensor among the operands does not depend on the input.
    """

    signals: list[int]
    gates: list[int]
    is_gate: bool
    constants: bool


def _roles(operands: list[Any], marks: list[Value | None], maps: bool) -> _Roles:
    constants = any(
        m is None and isinstance(o, Tensor) and o.ndim > 0
        for o, m in zip(operands, marks, strict=True)
    )
    signals = [k for k, m in enumerate(marks) if m is not None and not m.gate]
    gates = [k for k, m in enumerate(marks) if m is not None and m.gate]
    if signals:
        return _Roles(signals, gates, False, constants)
    return _Roles(gates, [], not (maps and constants), constants)


def _share_equally(run: Run, y: Tensor, marks: list[Value | None], count: int, name: str) -> Tensor:
    """Return a product of `count` signals, each of which gets the same share."""
    if any(m is not None and m.mixed for m in marks):
        run.refuse(
            torch.mul,
            f"{name} multiplies values among which gates and signals were put together (by cat, "
            f"stack or an assignment), so that nothing tells whether a factor is a gate",
        )
    return run.on_gamma(y, lambda gamma: equal_shares(gamma, count))


def _blank(ready: list[Any], signals: list[int]) -> Tensor | None:
    """Return where a mask of zeros and ones, multiplied with a signal, is 0."""
    others = [o for k, o in enumerate(ready) if k not in signals]
    if len(others) != 1 or not isinstance(others[0], Tensor):
        return None
    mask = others[0].detach()
    return mask == 0 if bool(((mask == 0) | (mask == 1)).all()) else None


def _scaled_rule(run: Run, signal: Tensor, gating: bool) -> DeferredRule | None:
    """Return the ε-rule that stays deferred at a scaled signal until its next use.

    A scaled map is a map. A gate as a factor ends a sum, as in h' = (1-z)·n + z·h; multiplying by
    a constant scale, as in a normalisation, does not.
    """
    deferred = run.require_mark(signal).deferred
    if deferred is None or not deferred.plain or (gating and deferred.kind == "sum"):
        return None
    z = signal if deferred.denominator is None else deferred.denominator
    return replace(deferred, denominator=z.detach().clone())


def _defer_product(
    run: Run,
    f: Callable[..., Tensor],
    ready: list[Any],
    place: int,
    name: str,
    documents: Tensor | None,
    documents_of_x: Tensor | None,
) -> DeferredRule | None:
    """Return the deferred rule of a map that is a product of one signal with constants."""
    others = [o for k, o in enumerate(ready) if k != place]
    weight = others[0]
    if len(others) > 1:
        if run.options.composite or run.options.bias_factor:
            run.refuse(torch.einsum, "several constants in one map, where maps have rules")
        return DeferredRule("map", run.stabiliser, (name, run.ledger_place()))

    def of(x: Tensor, w: Tensor) -> Tensor:
        return f(x, w) if place == 0 else f(w, x)

    return run.defer_map(
        of, ready[place], weight, name,
        documents=documents, documents_of_x=documents_of_x, features=-1 if place == 0 else -2,
    )  # fmt: skip


def multiply(run: Run, call: Call) -> Tensor:
    """`a * b`: signal takes all (Arras 2017); two signals take half each (Arras 2019).

    A multiple of x times a function of x is an activation, such as GELU: x gets all.
    """
    operands = [*call.args, *call.kwargs.values()]
    ndim = max(o.ndim for o in operands if isinstance(o, Tensor))
    documents = run.combine_documents(operands, ndim)
    written_out = activation(run, torch.mul, operands, documents)
    if written_out is not None:
        return written_out
    return product(run, torch.mul, operands, "mul", "", documents)


def divide(run: Run, call: Call) -> Tensor:
    """`a / b`: a product with 1/b, a constant, a gate or the scale of a normalisation."""
    top, bottom = quotient_operands(run, call)
    ndim = max(o.ndim for o in (top, bottom) if isinstance(o, Tensor))
    documents = run.combine_documents([top, bottom], ndim)
    divisor = constant(bottom)
    if run.known(top) is None:  # the scale of a normalisation, or a gate
        return run.mark(torch.div(constant(top), divisor), gate=True, documents=documents)
    return product(run, lambda a: torch.div(a, divisor), [top], "div", "", documents)


def multiply_matrices(run: Run, call: Call) -> Tensor:
    """`a @ b`: a linear map where one side is constant, weighted values where it is a gate."""
    operands = [*call.args, *call.kwargs.values()]
    if call.function is Tensor.__rmatmul__:
        operands.reverse()
    equation = _matmul_equation(*operands)
    documents = _contract_documents(run, equation, operands)
    return product(run, torch.matmul, operands, "matmul", equation, documents)


def _matmul_equation(a: Tensor, b: Tensor) -> str:
    letters = "ABCDEFGH"[: max(a.ndim, b.ndim, 2) - 2]
    left = letters[len(letters) - (a.ndim - 2) :] + "ij" if a.ndim > 1 else "j"
    right = letters[len(letters) - (b.ndim - 2) :] + "jk" if b.ndim > 1 else "j"
    out = letters + ("i" if a.ndim > 1 else "") + ("k" if b.ndim > 1 else "")
    return f"{left},{right}->{out}"


def _contract_documents(run: Run, equation: str, operands: list[Tensor]) -> Tensor | None:
    if not run.has_documents(operands):
        return None
    numbers = [None if (m := run.known(o)) is None else m.documents for o in operands]
    return docs.contract(equation, numbers, [list(o.shape) for o in operands])


def einsum(run: Run, call: Call) -> Tensor:
    """`einsum`: a map where one operand is constant, weighted values where one is a gate."""
    equation, *operands = call.args
    if not isinstance(equation, str):
        run.refuse(call.function, "einsum with lists of axes instead of an equation")
    if len(operands) == 1 and isinstance(operands[0], (list, tuple)):
        operands = list(operands[0])
    inputs, arrow, output = equation.replace(" ", "").partition("->")
    if not arrow:
        letters = sorted(set(inputs) - {",", "."})
        output = "".join(c for c in letters if inputs.count(c) == 1)
        output = ("..." if "..." in inputs else "") + output
    terms = inputs.split(",")
    maps = any(set(term) - set(output) for term in terms) and len(operands) > 1
    full = f"{inputs}->{output}"
    if "..." in equation and (run.has_documents(operands) or run.options.gate_rule != "all"):
        full = _without_ellipsis(full, operands)
    documents = _contract_documents(run, full, operands)
    return product(
        run, lambda *o: torch.einsum(equation, *o), operands, "einsum",
        full if maps else "", documents,
    )  # fmt: skip


def _without_ellipsis(equation: str, operands: list[Tensor]) -> str:
    """Return the equation with a letter for every dimension of the ellipsis."""
    inputs, _, output = equation.partition("->")
    terms = inputs.split(",")
    free = [c for c in "ABCDEFGHIJKLMNOPQRSTUVWXYZ" if c not in equation]
    hidden = [
        operand.ndim - len(term.replace("...", "")) if "..." in term else 0
        for term, operand in zip(terms, operands, strict=True)
    ]
    letters = "".join(free[: max(hidden)])
    named = [
        term.replace("...", letters[len(letters) - count :])
        for term, count in zip(terms, hidden, strict=True)
    ]
    return f"{','.join(named)}->{output.replace('...', letters)}"
