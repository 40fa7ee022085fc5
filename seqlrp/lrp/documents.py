"""Whose value is it? Follows, through a model that moves values about, each one's document.

The ledger is per document, but packing, flattening and time-major layouts lose sight of which
rows belong together. So beside a signal `[B, T, H]` goes a small integer tensor that broadcasts
to it, such as `[B, 1, 1]`, and whatever rearranges the signal rearranges that as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

import torch
from torch import Tensor

from seqlrp.errors import ModelError

NOBODY = -1


def squeezed(documents: Tensor) -> Tensor:
    """The same, with every dimension along which nothing changes cut down to size 1."""
    for dim in range(documents.ndim - 1, -1, -1):
        if documents.shape[dim] > 1:
            first = documents.narrow(dim, 0, 1)
            if documents.stride(dim) == 0 or bool((documents == first).all()):
                documents = first
    return documents


def claimed(documents: Tensor) -> Tensor:
    """Give nobody's elements (constants that were mixed in) to the document they lie in.

    Along a dimension in which the known elements agree, the unknown ones follow them.
    """
    for dim in range(documents.ndim - 1, -1, -1):
        if not bool((documents == NOBODY).any()):
            break
        highest = documents.amax(dim, keepdim=True)
        if bool(((documents == highest) | (documents == NOBODY)).all()):
            documents = torch.where(documents == NOBODY, highest, documents)
    return documents


def broadcast(documents: Sequence[Tensor], ndim: int) -> Tensor:
    """Documents of an elementwise result from those of its operands."""
    lifted = [d.reshape((1,) * (ndim - d.ndim) + tuple(d.shape)) for d in documents]
    result = lifted[0]
    for other in lifted[1:]:
        if other.shape != result.shape or not torch.equal(other, result):
            if bool(((other != result) & (other != NOBODY) & (result != NOBODY)).any()):
                refuse_mixing()
            result = torch.maximum(result, other)
    return result


def refuse_mixing() -> NoReturn:
    """Refuse a model in which the documents of a batch meet."""
    raise ModelError(
        "The model mixes the documents of a batch (a step runs over the batch dimension, or puts "
        "rows in another order), so that no document has an answer of its own; explain documents "
        "one at a time."
    )


def reduced(documents: Tensor, dims: Sequence[int], keepdim: bool) -> Tensor:
    """Documents after a reduction over `dims`.

    Raises:
        ModelError: the reduction mixes documents, which then have no relevance of their own.
    """
    for dim in dims:
        highest = documents.amax(dim, keepdim=True)
        if not bool(((documents == highest) | (documents == NOBODY)).all()):
            refuse_mixing()
        documents = highest
    if keepdim:
        return documents
    kept = [size for dim, size in enumerate(documents.shape) if dim not in set(dims)]
    return documents.reshape(kept)


def contracted(equation: str, operands: Sequence[Tensor | None], shapes: Sequence[Any]) -> Tensor:
    """Documents of an einsum's result; an operand is None where it belongs to nobody.

    Runs the same equation over the documents' numbers, every label that they do not vary along
    cut to size 1, and divides by the same over ones: the mean of equal numbers is that number.
    """
    terms = equation.replace(" ", "").partition("->")[0]
    labels = terms.split(",")
    varying = {
        label
        for term, documents in zip(labels, operands, strict=True)
        if documents is not None
        for label, size in zip(term, documents.shape, strict=True)
        if size > 1
    }
    ones, numbers = [], []
    for term, documents, shape in zip(labels, operands, shapes, strict=True):
        small = [size if label in varying else 1 for label, size in zip(term, shape, strict=True)]
        ones.append(torch.ones(small, dtype=torch.float64))
        numbers.append(ones[-1] if documents is None else documents.cpu().double().expand(small))
    owners = [k for k, documents in enumerate(operands) if documents is not None]
    weight = torch.einsum(equation, *ones)
    total = torch.full_like(weight, NOBODY)
    for k in owners:
        of_one = [numbers[j] if j == k else ones[j] for j in range(len(ones))]
        other = torch.einsum(equation, *of_one) / weight
        if bool(((other != total) & (other != NOBODY) & (total != NOBODY)).any()):
            refuse_mixing()
        total = torch.maximum(total, other)
    if not torch.equal(total, total.round()):
        refuse_mixing()
    device = next(d.device for d in operands if d is not None)
    return squeezed(total.to(torch.int64).to(device))
