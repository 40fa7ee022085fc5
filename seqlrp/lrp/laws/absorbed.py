"""Functions without a law, which absorb relevance under `on_unknown="absorb"`."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from seqlrp.engine.functions import Call, full_name
from seqlrp.engine.nests import map_tensors, tensors_in
from seqlrp.errors import ModelError
from seqlrp.lrp.run import Run


def absorb_unknown(run: Run, call: Call) -> Any:
    """`on_unknown="absorb"`: relevance ends here, and is booked as `"refused"`."""
    nest, name = (call.args, call.kwargs), full_name(call.function)
    result = call.evaluate(Tensor.detach)

    def end(tensor: Tensor) -> Tensor:
        if not tensor.dtype.is_floating_point:
            return tensor
        documents = _documents(run, nest, tensor, name)
        y = run.end(tensor)
        y = run.absorb(y, y, "refused", name, documents)
        return run.mark(y, documents=documents)

    return map_tensors(result, end)


def _documents(run: Run, nest: Any, result: Tensor, name: str) -> Tensor | None:
    """Return the documents of a result, assuming the layout of one of the arguments."""
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
