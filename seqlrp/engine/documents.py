"""Tracks which document each element of a tensor belongs to.

The ledger is per document, but packed, flattened and time-major layouts do not show which rows
belong together. So each signal `[B, T, H]` is accompanied by a small int64 tensor that broadcasts
to it, such as `[B, 1, 1]`, and each function that rearranges the signal also rearranges that one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

import torch
import torch.nn.functional as F
from torch import Tensor

from seqlrp.errors import MixedDocumentsError

NOBODY = -1  # the document number of an element that belongs to no document
MIXED = -2  # of one that was computed from several: refused where it meets another, or is a score


def shrink(documents: Tensor) -> Tensor:
    """Reduce every dimension along which the numbers are constant to size 1."""
    for dim in range(documents.ndim - 1, -1, -1):
        if documents.shape[dim] > 1:
            first = documents.narrow(dim, 0, 1)
            if documents.stride(dim) == 0 or bool((documents == first).all()):
                documents = first
    return documents


def assign_unowned(documents: Tensor) -> Tensor:
    """Assign elements without a document, such as constants, to that of neighbouring elements.

    Along a dimension in which all known elements agree, unknown ones get the same document.
    """
    for dim in range(documents.ndim - 1, -1, -1):
        if not bool((documents == NOBODY).any()):
            break
        highest = documents.amax(dim, keepdim=True)
        if bool(((documents == highest) | (documents == NOBODY)).all()):
            documents = torch.where(documents == NOBODY, highest, documents)
    return documents


def combine(documents: Sequence[Tensor], ndim: int) -> Tensor:
    """Return the documents of an elementwise result with `ndim` dimensions from its operands'.

    Elements of an operand that had no document belong to that of the elements beside them from now
    on, also where relevance is booked that ends before the operand.

    Raises:
        ModelError: an element would belong to two documents.
    """
    lifted = [d.reshape((1,) * (ndim - d.ndim) + tuple(d.shape)) for d in documents]
    result = lifted[0]
    for other in lifted[1:]:
        if other.shape != result.shape or not torch.equal(other, result):
            if bool(((other != result) & (other != NOBODY) & (result != NOBODY)).any()):
                refuse_mixing()
            result = torch.where(result == NOBODY, other, result)
    if result is not lifted[0]:
        for given in documents:
            _learn(given, result)
    return result


def _learn(documents: Tensor, found: Tensor) -> None:
    """Fill in, where they lie, the documents of elements that had none, if they are known now."""
    expanded = any(
        n > 1 and not s for n, s in zip(documents.shape, documents.stride(), strict=True)
    )
    same = documents.numel() == found.numel() and not expanded
    if same and bool((documents == NOBODY).any()):
        documents.copy_(found.reshape(documents.shape))


def refuse_mixing() -> NoReturn:
    """Refuse a model that mixes the documents of a batch."""
    raise MixedDocumentsError(
        "The model mixes the documents of a batch (a step runs over the batch dimension, or puts "
        "rows in another order), so that no document has an answer of its own; explain documents "
        "one at a time."
    )


def reduce(documents: Tensor, dims: Sequence[int], keepdim: bool) -> Tensor:
    """Return the documents after a reduction over `dims`; `MIXED` where it runs over several."""
    for dim in dims:
        if not documents.shape[dim]:  # nothing, as for an expert that no word was sent to
            documents = F.pad(documents.movedim(dim, -1), (0, 1), value=NOBODY).movedim(-1, dim)
        if documents.shape[dim] == 1 or documents.stride(dim) == 0:  # one number for all
            documents = documents.narrow(dim, 0, 1)
            continue
        highest = documents.amax(dim, keepdim=True)
        alone = ((documents == highest) | (documents == NOBODY)).all(dim, keepdim=True)
        documents = highest.masked_fill(~alone, MIXED)
    if keepdim:
        return documents
    kept = [size for dim, size in enumerate(documents.shape) if dim not in set(dims)]
    return documents.reshape(kept)


def contract(equation: str, operands: Sequence[Tensor | None], shapes: Sequence[Any]) -> Tensor:
    """Return the documents of an einsum's result; an operand without documents is None.

    Runs the same equation on the document numbers, with size 1 for every label along which they are
    constant, and divides by the equation on ones: the mean of equal numbers is that number.

    Raises:
        ModelError: an element would belong to two documents.
    """
    terms = equation.replace(" ", "").partition("->")[0]
    labels = terms.split(",")
    varying = {
        label
        for term, documents in zip(labels, operands, strict=True)
        if documents is not None
        for label, size in zip(term, documents.shape, strict=True)
        if size != 1
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
        other = (torch.einsum(equation, *of_one) / weight).nan_to_num(NOBODY)  # a sum of nothing
        if bool(((other != total) & (other != NOBODY) & (total != NOBODY)).any()):
            refuse_mixing()
        total = torch.where(total == NOBODY, other, total)
    if not torch.equal(total, total.round()):
        refuse_mixing()
    device = next(d.device for d in operands if d is not None)
    return shrink(total.to(torch.int64).to(device))
