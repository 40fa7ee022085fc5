"""Marks: the knowledge of a run about a tensor, stored on the tensor itself.

A mark is a plain attribute of a tensor that the run made, so it stays available wherever the model
passes that tensor, and is freed with the tensor. Each method derives its own class of marks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from seqlrp.engine.modules import modules_of
from seqlrp.engine.nests import NO_TENSORS, map_tensors, tensors_in

_ATTRIBUTE = "_seqlrp_mark"
_WRITES = "_seqlrp_writes"
_MEMORY = "_seqlrp_memory"
_is_wrapped = torch._C._functorch.is_functorch_wrapped_tensor
# What every module has, and what recurrent layers keep beside their weights: names.
_MODULE_FIELDS = frozenset(vars(nn.Module()))
_MODULE_FIELDS |= {"_all_weights", "_flat_weight_names", "_flat_weight_refs"}


class Uncopied:
    """An attribute that is left out when its tensor is copied: the copy belongs to no run.

    A model may keep tensors of a run (`self.seen = ids`), and be copied or pickled later.
    """

    __slots__ = ()

    def __deepcopy__(self, memo: dict[int, Any]) -> None:
        return None

    def __reduce__(self) -> tuple[type[None], tuple[()]]:
        return type(None), ()


@dataclass(slots=True, kw_only=True)
class Mark(Uncopied):
    """A note on one tensor of one run.

    Attributes:
        run: the run that made it; marks of other runs are ignored.
        documents: int64, broadcastable to the value: which document each element belongs to.
        unassigned: for a tensor that is written to part by part: its documents before those parts
            that nobody wrote were assigned to the documents around them.
        origin: for what was computed from ids: int64, broadcastable to the value: which element of
            the input ids each one comes from, see `provenance.py`.
        answer: with `origin`: True if it is no id but was derived from ids (a mask, an argmax).
        made_by: with `origin`: the function that combined several words, or has no tracking rule.
        random: with `origin`: the function that drew the random numbers in it.
        of_signals: with `origin`: whether it also answers a question about signals.
        writes: the number of in-place writes to the memory of the value before the mark, see
            `Writes`.
        place: where the value lay in memory when it was marked, see `place_of`.
    """

    run: Any
    documents: Tensor | None = None
    unassigned: Tensor | None = None
    origin: Tensor | None = None
    answer: bool = False
    made_by: str = ""
    random: str = ""
    of_signals: bool = False
    writes: int = 0
    place: Any = None

    @property
    def written(self) -> Tensor | None:
        """The documents of the parts that were written, -1 elsewhere."""
        return self.documents if self.unassigned is None else self.unassigned

    @property
    def needs_graph(self) -> bool:
        """Whether the value is always part of the graph in which relevance flows back."""
        return False

    @property
    def sort(self) -> str:
        """What stays true of it where a value of the same sort is written over a part of it.

        "" if nothing does, as when it has a rule that is still to be applied.
        """
        return "signal"


@dataclass(slots=True)
class Writes(Uncopied):
    """In-place writes to the memory that a tensor and its views share, in order.

    A write through one view changes the values of the others, while their marks stay. That is
    harmless among values of one sort: autograd follows signals, and gates are constants.
    """

    run: Any
    regions: list[tuple[Any, ...]]

    def record(self, tensor: Tensor, sort: str) -> None:
        """Record that `tensor` was overwritten by a value of this sort."""
        region = (tuple(tensor.shape), tuple(tensor.stride()), tensor.storage_offset(), sort)
        self.regions.append(region)

    def spoil(self, tensor: Tensor, mark: Mark) -> bool:
        """Return whether later writes have made the mark of `tensor` wrong."""
        mine = (tuple(tensor.shape), tuple(tensor.stride()), tensor.storage_offset())
        return any(
            not (sort and sort == mark.sort) and _overlap(mine, (shape, stride, offset))
            for shape, stride, offset, sort in self.regions[mark.writes :]
        )


def _overlap(a: tuple[Any, ...], b: tuple[Any, ...]) -> bool:
    touched = []
    for shape, stride, offset in (a, b):
        last = offset + sum((n - 1) * s for n, s in zip(shape, stride, strict=True))
        touched.append((shape, stride, offset, last))
    memory = torch.zeros(max(t[3] for t in touched) + 1, dtype=torch.bool)
    memory.as_strided(*touched[0][:3]).fill_(True)
    return bool(memory.as_strided(*touched[1][:3]).any())


@dataclass(slots=True)
class _Memory(Uncopied):
    """The tensor whose memory another one shares, where autograd does not know it."""

    owner: Tensor


def share_memory(detached: Tensor, value: Tensor) -> Tensor:
    """Note that a tensor has the memory of `value`, from which it was detached; return it."""
    setattr(detached, _MEMORY, _Memory(_owner(value)))
    return detached


def _owner(tensor: Tensor) -> Tensor:
    """Return the tensor that has the memory of which `tensor` may be a view."""
    base = tensor if tensor._base is None else tensor._base
    memory: _Memory | None = getattr(base, _MEMORY, None)
    return base if memory is None else memory.owner


def writes_to(tensor: Tensor, run: object) -> Writes | None:
    """Return the writes to the memory of a tensor in this run, or None."""
    writes: Writes | None = getattr(_owner(tensor), _WRITES, None)
    return writes if writes is not None and writes.run is run else None


def record_write(tensor: Tensor, run: object, mark: Mark) -> None:
    """Record that `tensor` was just overwritten with the value that has this `mark`."""
    writes = writes_to(tensor, run)
    if writes is None:
        writes = Writes(run, [])
        setattr(_owner(tensor), _WRITES, writes)
    writes.record(tensor, mark.sort)


def mark_of(value: object, run: object) -> Mark | None:
    """Return the mark that this run put on a tensor, or None."""
    mark: Mark | None = getattr(value, _ATTRIBUTE, None)  # what is no tensor has none
    return mark if mark is not None and mark.run is run else None


def release_marked(model: nn.Module) -> None:
    """Turn tensors that a model has stored back into plain tensors, without marks or a graph.

    `self.state = h.detach()` in a forward pass stores a value of the run, which is part of the
    graph of relevance. After the run it must equal the value that a plain call would store.
    """
    for module in modules_of(model):
        for kept in (module.__dict__, module._buffers):
            for name in kept.keys() - _MODULE_FIELDS:
                if type(kept[name]) not in NO_TENSORS and _any_marked(kept[name]):
                    kept[name] = map_tensors(kept[name], _plain)


def _any_marked(nest: object) -> bool:
    return any(hasattr(tensor, _ATTRIBUTE) for tensor in tensors_in(nest))


def _plain(tensor: Tensor) -> Tensor:
    mark: Mark | None = getattr(tensor, _ATTRIBUTE, None)
    if mark is None:
        return tensor
    if mark.origin is None:  # the output may be the same tensor, and keeps its mark and graph
        return tensor.detach()
    delattr(tensor, _ATTRIBUTE)  # a buffer that ids are written into stays the object it was
    return tensor


def place_of(tensor: Tensor, mark: Mark) -> Any:
    """Return where a tensor with this mark lies in memory; None if it has no address.

    `set_` and `.data =` give a tensor other memory, which a function mode does not see. For ids,
    where it is cheap, strides are part of the answer.
    """
    if tensor.layout is not torch.strided or _is_wrapped(tensor):
        return None
    if mark.origin is None:
        return tensor.data_ptr()
    return tensor.data_ptr(), tensor.shape, tensor.stride()


def put_mark(tensor: Tensor, mark: Mark) -> Tensor:
    """Mark a tensor, and return it."""
    mark.place = place_of(tensor, mark)
    writes = writes_to(tensor, mark.run) if mark.run.overwrites else None
    mark.writes = 0 if writes is None else len(writes.regions)
    setattr(tensor, _ATTRIBUTE, mark)
    return tensor
