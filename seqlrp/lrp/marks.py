"""What a run knows of a value: signal or gate, whether its ε-rule is still due, whose it is.

A mark is a plain attribute on a tensor that the run itself made, so it is found again wherever
the model carries that tensor, and goes when the tensor goes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from seqlrp.lrp.due import Due

_ATTRIBUTE = "_seqlrp_mark"
_WRITES = "_seqlrp_writes"


@dataclass(slots=True)
class Mark:
    """A note on one tensor of one run.

    Attributes:
        run: the run that made it; a mark of another run means nothing.
        gate: the value came out of a sigmoid or softmax, and is a constant in a product.
        inert: a gate times a constant: in a sum it is a bias, as the signal of that product is.
        due: the rule that has yet to be applied to this value before anybody uses it, if any.
        blank: bool, broadcastable to the value: where a mask it was multiplied with is 0.
        documents: int64, broadcastable to the value: which document each element belongs to.
        writes: how many in-place writes to the memory of this value it has seen, see `Writes`.
        origin: for ids: int64, same shape: which element of the given ids this one is.
    """

    run: Any
    gate: bool = False
    inert: bool = False
    due: Due | None = None
    documents: Tensor | None = None
    blank: Tensor | None = None
    writes: int = 0
    origin: Tensor | None = None


@dataclass(slots=True)
class Writes:
    """In-place writes to the memory that a tensor and its views share, in order.

    A write through one view changes what the others hold, behind their marks. That is harmless
    among plain signals, which autograd follows; what a gate or a due ε-rule is noted of is not.
    """

    run: Any
    regions: list[tuple[Any, ...]]

    def record(self, tensor: Tensor, plain: bool) -> None:
        """Note that `tensor` was overwritten by a plain signal, or by something with a note."""
        region = (tuple(tensor.shape), tuple(tensor.stride()), tensor.storage_offset(), plain)
        self.regions.append(region)

    def spoil(self, tensor: Tensor, mark: Mark) -> bool:
        """Whether the mark of `tensor` no longer tells what is in it."""
        plain_value = not mark.gate and mark.due is None
        mine = (tuple(tensor.shape), tuple(tensor.stride()), tensor.storage_offset())
        return any(
            not (plain and plain_value) and _overlap(mine, (shape, stride, offset))
            for shape, stride, offset, plain in self.regions[mark.writes :]
        )


def _overlap(a: tuple[Any, ...], b: tuple[Any, ...]) -> bool:
    touched = []
    for shape, stride, offset in (a, b):
        last = offset + sum((n - 1) * s for n, s in zip(shape, stride, strict=True))
        touched.append((shape, stride, offset, last))
    memory = torch.zeros(max(t[3] for t in touched) + 1, dtype=torch.bool)
    memory.as_strided(*touched[0][:3]).fill_(True)
    return bool(memory.as_strided(*touched[1][:3]).any())


def writes_to(tensor: Tensor, run: object) -> Writes | None:
    """The writes to the memory of a tensor in this run, if there were any."""
    owner = tensor if tensor._base is None else tensor._base
    writes: Writes | None = getattr(owner, _WRITES, None)
    return writes if writes is not None and writes.run is run else None


def record_write(tensor: Tensor, run: object, mark: Mark) -> None:
    """Note that `tensor` was just overwritten with what `mark` is of."""
    writes = writes_to(tensor, run)
    if writes is None:
        writes = Writes(run, [])
        setattr(tensor if tensor._base is None else tensor._base, _WRITES, writes)
    writes.record(tensor, plain=not mark.gate and mark.due is None)


def mark_of(value: object, run: object) -> Mark | None:
    """The mark that this run put on a tensor, if any."""
    mark: Mark | None = getattr(value, _ATTRIBUTE, None) if isinstance(value, Tensor) else None
    return mark if mark is not None and mark.run is run else None


def put_mark(tensor: Tensor, mark: Mark) -> Tensor:
    """Mark a tensor, and return it."""
    writes = writes_to(tensor, mark.run)
    mark.writes = 0 if writes is None else len(writes.regions)
    setattr(tensor, _ATTRIBUTE, mark)
    return tensor


def tensors_in(value: object) -> list[Tensor]:
    """All tensors in nested tuples, lists and dicts, in order."""
    if isinstance(value, Tensor):
        return [value]
    found: list[Tensor] = []
    _collect(value, found)
    return found


def _collect(nest: object, found: list[Tensor]) -> None:
    items: Any = nest.values() if isinstance(nest, dict) else nest
    if not isinstance(nest, (tuple, list, dict)):
        return
    for item in items:
        if isinstance(item, Tensor):
            found.append(item)
        elif isinstance(item, (tuple, list, dict)):
            _collect(item, found)


def substituted(value: Any, change: Callable[[Tensor], Any]) -> Any:
    """The same nest of tuples, lists and dicts with `change` applied to every tensor."""
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, (tuple, list)):
        items = [substituted(item, change) for item in value]
        return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
    if isinstance(value, dict):
        return {key: substituted(item, change) for key, item in value.items()}
    return value
