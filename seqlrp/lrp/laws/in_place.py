"""Functions that write their result over an argument, and a law for each from its other form."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from torch import Tensor

from seqlrp.lrp.marks import put_mark

if TYPE_CHECKING:
    from seqlrp.lrp.propagate import Propagation

Law = Callable[["Propagation", Any, Any, Any], Any]


def in_place(law: Law, function: Callable[..., Any]) -> Law:
    """The law of `x.f_()`: that of `f`, whose result is then written over `x`."""

    def applied(run: Propagation, spelling: Any, args: Any, kwargs: Any) -> Any:
        target = args[0]
        result = law(run, function, args, kwargs)
        return overwrite(run, target, result)

    return applied


def overwrite(run: Propagation, target: Tensor, result: Tensor) -> Tensor:
    """Write a result over an existing tensor, which then is what the result is."""
    base = target._base
    if base is not None:
        base_mark = run.known(base)
        mark = run.known(result)
        if mark is not None and (mark.gate or mark.due is not None):
            result = run.signal(result, mark, "An in-place operation on a view")
            run.mark(result, documents=mark.documents)
        if base_mark is not None and (base_mark.gate or base_mark.due is not None):
            run.refuse_views()
        if base_mark is None:
            if run.count != 1 and run.account:
                run.refuse_views()
            run.mark(base)
    target.copy_(result)
    mark = run.known(result)
    if mark is not None:
        put_mark(target, mark)
    return target
