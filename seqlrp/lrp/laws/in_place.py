"""Functions that write their result over an argument, and a law for each from its other form."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from torch import Tensor

from seqlrp.lrp.marks import put_mark, record_write, substituted

if TYPE_CHECKING:
    from seqlrp.lrp.propagate import Propagation

Law = Callable[["Propagation", Any, Any, Any], Any]


def in_place(law: Law, function: Callable[..., Any]) -> Law:
    """The law of `x.f_()`: that of `f`, whose result is then written over `x`."""

    def applied(run: Propagation, spelling: Any, args: Any, kwargs: Any) -> Any:
        target = args[0]
        mark = run.known(target)
        # The law may keep its operands for the backward pass, where they must be as they were.
        before = target.clone() if mark is None else put_mark(target.clone(), replace(mark))
        args, kwargs = (
            substituted(n, lambda t: before if t is target else t) for n in (args, kwargs)
        )
        return overwrite(run, target, law(run, function, args, kwargs))

    return applied


def overwrite(run: Propagation, target: Tensor, result: Tensor) -> Tensor:
    """Write a result over an existing tensor, which then is what the result is."""
    mark = run.known(result)
    if mark is None:
        return target.copy_(result)
    was_constant = run.known(target) is None
    if target._base is not None:
        run.reach_base(target, mark)
    elif was_constant and result.shape != target.shape:
        run.refuse(Tensor.copy_, "a constant is overwritten by a value of another shape")
    target.copy_(result)
    mark = replace(mark)
    record_write(target, run, mark)
    return put_mark(target, mark)


def copy(run: Propagation, function: Any, args: Any, kwargs: Any) -> Tensor:
    """`x.copy_(y)`: `x` is then what `y` is, spread over it."""
    target, source = args[0], args[1]
    if run.known(source) is None:
        run.refuse(function, "a constant is copied over a signal")
    moved = run.call(Tensor.expand_as, (source, target), {})
    return overwrite(run, target, moved)
