"""Functions that have no law, where the user chose to let them keep what reaches them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import Tensor

from seqlrp.errors import ModelError
from seqlrp.lrp.functions import full_name
from seqlrp.lrp.marks import substituted, tensors_in

if TYPE_CHECKING:
    from seqlrp.lrp.propagate import Propagation


def absorbed(run: Propagation, function: Any, args: Any, kwargs: Any) -> Any:
    """`on_unknown="absorb"`: relevance ends here, and is booked as `"refused"`."""
    args_, kwargs_ = substituted((args, kwargs), lambda t: t.detach())
    result = function(*args_, **kwargs_)

    def ended(tensor: Tensor) -> Tensor:
        if not tensor.dtype.is_floating_point:
            return tensor
        documents = _documents(run, (args, kwargs), tensor, full_name(function))
        y = run.end(tensor)
        y = run.absorb(y, y, "refused", full_name(function), documents)
        return run.mark(y, documents=documents)

    return substituted(result, ended)


def _documents(run: Propagation, nest: Any, result: Tensor, name: str) -> Tensor | None:
    """Documents of a result, which are taken to lie where those of an argument do."""
    if not run.follows_documents:
        return None
    for tensor in tensors_in(nest):
        mark = run.known(tensor)
        if mark is None or mark.documents is None:
            continue
        along = [d for d, size in enumerate(mark.documents.shape) if size > 1]
        if len(along) == 1 and along[0] < result.ndim:
            size = mark.documents.shape[along[0]]
            if result.shape[along[0]] == size:
                shape = [1] * result.ndim
                shape[along[0]] = size
                return mark.documents.reshape(shape)
    if not run.account:
        return None
    raise ModelError(
        f"It cannot be told which document each row of the result of {name} belongs to, so no "
        f"ledger can be kept for each; explain one document at a time."
    )
