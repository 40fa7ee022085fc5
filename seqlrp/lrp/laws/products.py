"""Products: gates and constants are constants in them, and signals share equally."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from seqlrp.lrp import documents as docs
from seqlrp.lrp.rules import equal_shares

if TYPE_CHECKING:
    from seqlrp.lrp.propagate import Due, Propagation


def product(
    run: Propagation, f: Callable[..., Tensor], operands: list[Any], name: str, maps: bool
) -> Tensor:
    """A product of operands: gates and constants are constants, signals share equally.

    `maps` says that the product contracts a dimension, and with constants is a linear map.
    The result is marked, but for the documents that it belongs to.
    """
    marks = [run.known(o) for o in operands]
    constants = any(
        m is None and isinstance(o, Tensor) and o.ndim > 0
        for o, m in zip(operands, marks, strict=True)
    )
    signals = [k for k, m in enumerate(marks) if m is not None and not m.gate]
    is_gate = not signals and not (maps and constants)
    if not signals:
        signals = [k for k, m in enumerate(marks) if m is not None]
    if is_gate and (constants or any(not operands[k].requires_grad for k in signals)):
        y = f(*[constant(o) for o in operands])
        return run.mark(y, gate=True, inert=constants or all(m is None or m.inert for m in marks))
    ready: list[Any] = []
    due: Due = None
    denominator, made = None, None
    for k, (operand, mark) in enumerate(zip(operands, marks, strict=True)):
        if k not in signals or mark is None:
            ready.append(constant(operand))
        elif len(signals) == 1 and not maps and mark.due == "map" and not is_gate:
            # A scaled map is a map: put off its ε-rule until it is known what it is added to.
            z = operand if mark.denominator is None else mark.denominator
            due, denominator, made = "map", z.detach().clone(), mark.made
            ready.append(operand)
        else:
            ready.append(run.signal(operand, mark, name))
    y = f(*ready)
    if denominator is not None:
        denominator = denominator.expand(y.shape)
    if len(signals) > 1:
        count = len(signals)
        y = run.on_gamma(y, lambda gamma: equal_shares(gamma, count))
    gated = any(m is not None and m.gate and k not in signals for k, m in enumerate(marks))
    if maps and len(signals) == 1 and not gated:
        due = "map"
    return run.mark(y, gate=is_gate, due=due, denominator=denominator, operation=name, made=made)


def belongs(run: Propagation, value: Tensor, documents: Tensor | None) -> Tensor:
    """A product, with the documents that it belongs to noted."""
    mark = run.known(value)
    assert mark is not None
    mark.documents = documents
    return value


def constant(value: Any) -> Any:
    """An operand that no relevance goes to."""
    if not isinstance(value, Tensor):
        return value
    return value.clone() if value.is_inference() else value.detach()


def multiply(run: Propagation, function: Any, args: Any, kwargs: Any) -> Tensor:
    """`a * b`: signal takes all (Arras 2017); two signals take half each (Arras 2019)."""
    operands = [*args, *kwargs.values()]
    y = product(run, torch.mul, operands, "mul", maps=False)
    return belongs(run, y, run.documents_like(operands, y.ndim))


def divide(run: Propagation, function: Any, args: Any, kwargs: Any) -> Tensor:
    """`a / b`: a product with the constant or gate 1/b."""
    top, bottom = [*args, *(kwargs[k] for k in ("other",) if k in kwargs)][:2]
    if function is Tensor.__rtruediv__ or function is Tensor.__rdiv__:
        top, bottom = bottom, top
    if kwargs.get("rounding_mode") is not None:
        run.refuse(function, "a division that rounds")
    bottom_mark = run.known(bottom)
    if bottom_mark is not None and not bottom_mark.gate:
        run.refuse(function, "a division by a signal has no law")
    if run.known(top) is None:  # a constant by a gate
        y = torch.div(top, bottom.detach())
        return run.mark(y, gate=True, documents=run.documents_like([bottom], y.ndim))
    divisor = constant(bottom)
    y = product(run, lambda a: torch.div(a, divisor), [top], "div", maps=False)
    return belongs(run, y, run.documents_like([top, bottom], y.ndim))


def multiply_matrices(run: Propagation, function: Any, args: Any, kwargs: Any) -> Tensor:
    """`a @ b`: a linear map where one side is constant, weighted values where it is a gate."""
    operands = [*args, *kwargs.values()]
    if function is Tensor.__rmatmul__:
        operands.reverse()
    y = product(run, torch.matmul, operands, "matmul", maps=True)
    return belongs(run, y, _matmul_documents(run, operands))


def _matmul_documents(run: Propagation, operands: list[Tensor]) -> Tensor | None:
    if not run.documents_of(operands):
        return None
    a, b = operands
    batch = max(a.ndim, b.ndim) - 2
    letters = "ABCDEFGH"[: max(batch, 0)]
    left = letters[len(letters) - (a.ndim - 2) :] + "ij" if a.ndim > 1 else "j"
    right = letters[len(letters) - (b.ndim - 2) :] + "jk" if b.ndim > 1 else "j"
    out = letters + ("i" if a.ndim > 1 else "") + ("k" if b.ndim > 1 else "")
    shapes = [list(a.shape), list(b.shape)]
    numbers = [None if (m := run.known(o)) is None else m.documents for o in operands]
    return docs.contracted(f"{left},{right}->{out}", numbers, shapes)


def einsum(run: Propagation, function: Any, args: Any, kwargs: Any) -> Tensor:
    """As `multiply_matrices`, for any number of operands."""
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
    y = product(run, lambda *o: torch.einsum(equation, *o), operands, "einsum", maps=maps)
    documents = None
    if run.documents_of(operands):
        if "..." in equation:
            run.refuse(function, "einsum with an ellipsis, where the ledger is kept by document")
        numbers = [None if (m := run.known(o)) is None else m.documents for o in operands]
        documents = docs.contracted(
            f"{inputs}->{output}", numbers, [list(o.shape) for o in operands]
        )
    return belongs(run, y, documents)
