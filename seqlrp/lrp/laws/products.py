"""Products: gates and constants are constants in them, and signals share equally."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from seqlrp.lrp import documents as docs
from seqlrp.lrp.due import Due
from seqlrp.lrp.laws.gated import constant, gated
from seqlrp.lrp.rules import equal_shares

if TYPE_CHECKING:
    from seqlrp.lrp.propagate import Propagation


def product(
    run: Propagation,
    f: Callable[..., Tensor],
    operands: list[Any],
    name: str,
    equation: str,
    documents: Tensor | None,
) -> Tensor:
    """A product of operands: gates and constants are constants, signals share equally.

    `equation` is that of `torch.einsum` where the product contracts a dimension, and with
    constants is a linear map; "" where it is elementwise.
    """
    maps = bool(equation)
    marks = [run.known(o) for o in operands]
    constants = any(
        m is None and isinstance(o, Tensor) and o.ndim > 0
        for o, m in zip(operands, marks, strict=True)
    )
    signals = [k for k, m in enumerate(marks) if m is not None and not m.gate]
    gates = [k for k, m in enumerate(marks) if m is not None and m.gate]
    is_gate = not signals and not (maps and constants)
    if not signals:
        signals, gates = gates, []
    if is_gate and (constants or any(not operands[k].requires_grad for k in signals)):
        y = f(*[constant(o) for o in operands])
        inert = constants or all(m is None or m.inert for m in marks)
        return run.mark(y, gate=True, inert=inert, documents=documents)
    if gates and len(signals) == 1 and run.options.gate_rule != "all":
        return gated(run, operands, name, equation, documents)
    gating = any(operands[k].requires_grad for k in gates)
    ready: list[Any] = []
    due: Due | None = None
    for k, (operand, mark) in enumerate(zip(operands, marks, strict=True)):
        if k not in signals or mark is None:
            ready.append(constant(operand))
        elif len(signals) == 1 and not maps and not is_gate and _scalable(mark.due, gating):
            # A scaled map is a map: put off its ε-rule until it is known what it is added to.
            assert mark.due is not None
            z = operand if mark.due.denominator is None else mark.due.denominator
            due = replace(mark.due, denominator=z.detach().clone())
            ready.append(operand)
        else:
            ready.append(run.signal(operand, mark, name))
    y = f(*ready)
    if y._base is not None:  # einsum returns a view, which the model may change in place
        y = y.clone()
    if due is not None and due.denominator is not None:
        due = replace(due, denominator=due.denominator.expand(y.shape))
    if len(signals) > 1:
        count = len(signals)
        y = run.on_gamma(y, lambda gamma: equal_shares(gamma, count))
    if maps and len(signals) == 1 and not gates:
        (k,) = signals
        whose = marks[k].documents  # type: ignore[union-attr]
        due = _due_of_product(run, f, ready, k, name, documents, whose)
        if due is not None and due.rule is not None:  # the parts lead on
            y = run.end(y)
    blank = None if maps or len(signals) > 1 else _blank(ready, signals)
    return run.mark(y, gate=is_gate, due=due, documents=documents, blank=blank)


def _blank(ready: list[Any], signals: list[int]) -> Tensor | None:
    """Where a mask of zeros and ones, multiplied with a signal, has its zeros."""
    others = [o for k, o in enumerate(ready) if k not in signals]
    if len(others) != 1 or not isinstance(others[0], Tensor):
        return None
    mask = others[0].detach()
    return mask == 0 if bool(((mask == 0) | (mask == 1)).all()) else None


def _scalable(due: Due | None, gating: bool) -> bool:
    """A gate ends a sum, as in h' = (1-z)·n + z·h; a constant scale, as of a norm, does not."""
    return due is not None and due.plain and (due.kind == "map" or not gating)


def _due_of_product(
    run: Propagation,
    f: Callable[..., Tensor],
    ready: list[Any],
    place: int,
    name: str,
    documents: Tensor | None,
    whose: Tensor | None,
) -> Due | None:
    """What is due at a product of one signal with constants: a map, with one weight or several."""
    others = [o for k, o in enumerate(ready) if k != place]
    weight = others[0]
    if len(others) > 1:
        if run.options.composite or run.options.bias_factor:
            run.refuse(torch.einsum, "several constants in one map, where maps have rules")
        return Due("map", run.epsilon, (name, run.booked_place()))

    def of(x: Tensor, w: Tensor) -> Tensor:
        return f(x, w) if place == 0 else f(w, x)

    return run.due_of_map(
        of, ready[place], weight, name,
        documents=documents, whose=whose, features=-1 if place == 0 else -2,
    )  # fmt: skip


def multiply(run: Propagation, function: Any, args: Any, kwargs: Any) -> Tensor:
    """`a * b`: signal takes all (Arras 2017); two signals take half each (Arras 2019)."""
    operands = [*args, *kwargs.values()]
    ndim = max(o.ndim for o in operands if isinstance(o, Tensor))
    return product(run, torch.mul, operands, "mul", "", run.documents_like(operands, ndim))


def divide(run: Propagation, function: Any, args: Any, kwargs: Any) -> Tensor:
    """`a / b`: a product with 1/b, a constant, a gate or the scale of a normalisation."""
    top, bottom = [*args, *(kwargs[k] for k in ("other",) if k in kwargs)][:2]
    if function is Tensor.__rtruediv__ or function is Tensor.__rdiv__:
        top, bottom = bottom, top
    if kwargs.get("rounding_mode") is not None:
        run.refuse(function, "a division that rounds")
    ndim = max(o.ndim for o in (top, bottom) if isinstance(o, Tensor))
    documents = run.documents_like([top, bottom], ndim)
    divisor = constant(bottom)
    if run.known(top) is None:  # the scale of a normalisation, or a gate
        return run.mark(torch.div(constant(top), divisor), gate=True, documents=documents)
    return product(run, lambda a: torch.div(a, divisor), [top], "div", "", documents)


def multiply_matrices(run: Propagation, function: Any, args: Any, kwargs: Any) -> Tensor:
    """`a @ b`: a linear map where one side is constant, weighted values where it is a gate."""
    operands = [*args, *kwargs.values()]
    if function is Tensor.__rmatmul__:
        operands.reverse()
    equation = _matmul_equation(*operands)
    documents = _contracted(run, equation, operands)
    return product(run, torch.matmul, operands, "matmul", equation, documents)


def _matmul_equation(a: Tensor, b: Tensor) -> str:
    letters = "ABCDEFGH"[: max(a.ndim, b.ndim, 2) - 2]
    left = letters[len(letters) - (a.ndim - 2) :] + "ij" if a.ndim > 1 else "j"
    right = letters[len(letters) - (b.ndim - 2) :] + "jk" if b.ndim > 1 else "j"
    out = letters + ("i" if a.ndim > 1 else "") + ("k" if b.ndim > 1 else "")
    return f"{left},{right}->{out}"


def _contracted(run: Propagation, equation: str, operands: list[Tensor]) -> Tensor | None:
    if not run.documents_of(operands):
        return None
    numbers = [None if (m := run.known(o)) is None else m.documents for o in operands]
    return docs.contracted(equation, numbers, [list(o.shape) for o in operands])


def einsum(run: Propagation, function: Any, args: Any, kwargs: Any) -> Tensor:
    """`einsum`: a map where one operand is constant, weighted values where one is a gate."""
    equation, *operands = args
    if not isinstance(equation, str):
        run.refuse(function, "einsum with lists of axes instead of an equation")
    if len(operands) == 1 and isinstance(operands[0], (list, tuple)):
        operands = list(operands[0])
    inputs, arrow, output = equation.replace(" ", "").partition("->")
    if not arrow:
        letters = sorted(set(inputs) - {",", "."})
        output = "".join(c for c in letters if inputs.count(c) == 1)
        output = ("..." if "..." in inputs else "") + output
    terms = inputs.split(",")
    maps = any(set(term) - set(output) for term in terms) and len(operands) > 1
    spelled_out = f"{inputs}->{output}"
    if "..." in equation and (run.documents_of(operands) or run.options.gate_rule != "all"):
        spelled_out = _without_ellipsis(spelled_out, operands)
    documents = _contracted(run, spelled_out, operands)
    return product(
        run, lambda *o: torch.einsum(equation, *o), operands, "einsum",
        spelled_out if maps else "", documents,
    )  # fmt: skip


def _without_ellipsis(equation: str, operands: list[Tensor]) -> str:
    """The same equation with a letter for every dimension that the ellipsis stands for."""
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
