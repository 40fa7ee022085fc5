"""Gates and signals in one tensor: what each element is, so that they can be told apart again.

`torch.stack([h, c, n, m])` puts the signals and the normaliser of an sLSTM into one tensor, and
`unbind` takes them apart. Beside such a tensor goes a small int64 tensor that broadcasts to it,
with the part of each element, and each function that moves the elements also moves that one. Where
all elements are of one part again, the value is a plain signal or gate.
"""

from __future__ import annotations

import torch
from torch import Tensor

from seqlrp.engine import documents as docs
from seqlrp.engine.functions import Call
from seqlrp.engine.marks import share_memory
from seqlrp.engine.moves import move_alike, moved_values
from seqlrp.engine.nests import tensors_among
from seqlrp.lrp.marks import Part, Value
from seqlrp.lrp.run import Run

_GATES = (Part.GATE, *Part.without_graph())


def part_of(value: Tensor, mark: Value) -> Part:
    """Return what the elements of a value are, which are all alike."""
    if not mark.gate:
        return Part.UNTOLD if mark.mixed else Part.SIGNAL
    if mark.mixed:
        return Part.MAKES_GATES
    if value.requires_grad:
        return Part.GATE
    return Part.INERT if mark.inert else Part.BARE


def move_parts(run: Run, call: Call) -> list[Tensor]:
    """Return the part of each element of each result of a function that moves values."""

    def parts(value: Tensor) -> Tensor | None:
        mark = run.known(value)
        if mark is None:
            return None
        found = mark.parts
        if found is None:
            found = torch.tensor(int(part_of(value, mark)), device=value.device)
        return found.expand(value.shape)

    return [docs.shrink(moved) for moved in move_alike(call, parts)]


def put_together(marks: list[Value]) -> bool:
    """Return whether gates and signals come together in one tensor, or have come before."""
    if any(m.parts is not None for m in marks):
        return True
    return any(m.gate for m in marks) and not all(m.gate for m in marks)


def chosen_by_values(call: Call) -> bool:
    """Return whether indices or a mask choose the elements, so that words decide what stands where.

    What an element is must not depend on the other texts of a batch, so that nothing tells it.
    """
    moved = moved_values(call)
    return any(
        all(t is not value for value in moved) for t in tensors_among(call.args, call.kwargs)
    )


def mark_parts(run: Run, value: Tensor, parts: Tensor, documents: Tensor | None) -> Tensor:
    """Mark a value with its parts, or as what all its elements are; return it.

    Elements without a graph of their own are detached from that of the tensor they were in.
    """
    kinds = set(parts.flatten().tolist()) - {int(Part.CONSTANT)}
    if len(kinds) > 1:
        return run.mark(value, documents=documents, parts=parts, mixed=True)
    part = Part(kinds.pop()) if kinds else Part.INERT  # constants alone
    if part in Part.without_graph() and value.requires_grad:
        value = share_memory(value.detach(), value)
    return run.mark(
        value,
        gate=part in _GATES,
        inert=part is Part.INERT,
        mixed=part in (Part.MAKES_GATES, Part.UNTOLD),
        documents=documents,
    )
