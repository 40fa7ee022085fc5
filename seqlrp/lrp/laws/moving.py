"""Functions that only move, read or pass on values: linear, without a bias; γ moves back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from seqlrp.engine import documents as docs
from seqlrp.engine.decompositions import adds_up, index_put_adding, refuse_two_writes
from seqlrp.engine.functions import Call, identify
from seqlrp.engine.marks import put_mark
from seqlrp.engine.moves import fills, mixes, move_alike, moved_values, reads_bits
from seqlrp.engine.nests import map_tensors, tensors_in
from seqlrp.lrp.deferred import DeferredRule
from seqlrp.lrp.marks import Value
from seqlrp.lrp.parts import chosen_by_values, mark_parts, move_parts, put_together
from seqlrp.lrp.run import Run


def move(run: Run, call: Call) -> Any:
    """Slicing, reshaping, concatenating, packing: linear, without a bias; γ moves back.

    A deferred ε-rule stays deferred; where values of several kinds come together, it is applied.
    """
    if adds_up(call):
        return index_put_adding(run, call)
    refuse_two_writes(run, call)
    check_move(run, call)
    function = function_of(call)
    values = [t for t in moved_values(call) if t.dtype.is_floating_point]
    found = [(t, run.known(t)) for t in values]
    marks = [m for _, m in found if m is not None]
    if not marks:  # only the shape of a signal is used
        return function(*call.args, **call.kwargs)
    several, constants = len(values) > 1, len(marks) < len(values)
    gate, first = all(m.gate for m in marks), marks[0]
    if put_together(marks) and not chosen_by_values(call):
        return _move_together(run, call, function, constants=len(marks) < len(values))
    if not gate:  # a gate times a constant is a constant beside signals
        constants = constants or any(
            m is not None and m.inert and not t.requires_grad for t, m in found
        )
    adds = mixes(call.name) and (constants or bool(fills(call)))
    deferred = None if adds else _keep_deferred(marks, several, whole=not constants)
    result = None
    if deferred is not None and deferred.stabiliser.relative:
        result = None if several else _move_rows(run, function, call, values[0], deferred)
        deferred = None if result is None else deferred
    used = several or first.deferred or first.parts is not None
    if deferred is None and used and not (gate and several):
        args, kwargs = map_tensors((call.args, call.kwargs), _ready(run, call.name))
        call = call._replace(args=args, kwargs=kwargs)
    denominators = _move_denominator(function, call, values[0], deferred)
    documents = moved_documents(run, call)
    if result is None:
        args, kwargs = run.detach_constants(call.args, call.kwargs)
        result = function(*args, **kwargs)
    if gate and len({t.requires_grad for t, m in found if m is not None}) > 1:
        result = map_tensors(result, Tensor.detach)  # a part has no graph, so that none has
    results = [r for r in tensors_in(result) if r.dtype.is_floating_point]
    mixed = any(m.mixed for m in marks) or (several and not gate and any(m.gate for m in marks))
    inert = not several and first.inert
    for k, tensor in enumerate(results):
        owners = documents[k] if documents else None
        rule = deferred
        if denominators and deferred is not None:
            rule = replace(deferred, denominator=denominators[k])
        run.mark(tensor, gate=gate, inert=inert, deferred=rule, documents=owners, mixed=mixed)
    if adds and run.account:
        noted = _absorb_constants(run, call, results[0])
        return (noted, *result[1:]) if isinstance(result, tuple) else noted
    return result


def _move_together(run: Run, call: Call, function: Callable[..., Any], *, constants: bool) -> Any:
    """Move gates and signals that are in one tensor, or come into one: each stays what it is."""
    run.put_together = True
    parts, documents = iter(move_parts(run, call)), iter(moved_documents(run, call))
    args, kwargs = map_tensors((call.args, call.kwargs), _ready(run, call.name, parts=True))
    args, kwargs = run.detach_constants(args, kwargs)

    def mark(moved: Tensor) -> Tensor:
        if not moved.dtype.is_floating_point:
            return moved
        return mark_parts(run, moved, next(parts), next(documents, None))

    result = map_tensors(function(*args, **kwargs), mark)
    if run.account and mixes(call.name) and (constants or fills(call)):
        return _absorb_constants(run, call, result)
    return result


def check_move(run: Run, call: Call) -> None:
    """Refuse functions that do more than move values."""
    if call.kwargs.get("reduce") or adds_up(call):
        run.refuse(call.function, "adding up where it writes")
    if reads_bits(call):
        run.refuse(call.function, "the bits of a value read as another dtype")


def _cut(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return `unsafe_chunk` or `unsafe_split` with parts that autograd knows to share memory."""

    def cut(x: Tensor, size: Any, dim: int = 0) -> tuple[Tensor, ...]:
        sizes = [part.shape[dim] for part in function(x.detach(), size, dim)]
        starts = [sum(sizes[:k]) for k in range(len(sizes))]
        return tuple(x.narrow(dim, at, n) for at, n in zip(starts, sizes, strict=True))

    return cut


def function_of(call: Call) -> Callable[..., Any]:
    """Return the function of a call, in the form that relevance can flow back through, and fast."""
    if call.name == "_pack_padded_sequence":
        return _Pack.apply
    if call.name == "_pad_packed_sequence":
        return _Unpack.apply
    if getattr(call.function, "__name__", "").startswith("unsafe_"):
        return _cut(call.function)
    if call.name == "index_select" and len(call.args) == 3 and call.args[2].device.type == "cpu":
        x, dim, index = call.args
        if x.shape[dim] == index.numel() == 1 and int(index) == 0:  # a batch of one text, sorted
            return lambda x, dim, index: x.clone(memory_format=torch.contiguous_format)
        inverse = index.argsort()
        if torch.equal(index[inverse], torch.arange(x.shape[dim])):
            return lambda x, dim, index: _Permute.apply(x, dim, index, inverse)  # type: ignore[no-untyped-call]
    return call.function


class _Permute(torch.autograd.Function):
    """`torch.index_select` by a permutation: γ is gathered by its inverse, not added up."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, dim: int, index: Tensor, inverse: Tensor) -> Tensor:
        ctx.dim, ctx.inverse = dim, inverse
        return x.index_select(dim, index)

    @staticmethod
    def backward(ctx: Any, gamma: Tensor) -> Any:
        return gamma.index_select(ctx.dim, ctx.inverse), None, None, None


class _Pack(torch.autograd.Function):
    """`torch._pack_padded_sequence`, with a backward pass that supports a dimension of targets."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, lengths: Tensor, batch_first: bool) -> Any:
        data, sizes = torch._C._VariableFunctions._pack_padded_sequence(
            values, lengths, batch_first
        )
        ctx.shape, ctx.lengths, ctx.batch_first = values.shape, lengths, batch_first
        ctx.mark_non_differentiable(sizes)
        ctx.set_materialize_grads(False)
        return data, sizes

    @staticmethod
    def backward(ctx: Any, gamma: Tensor, _: Any) -> Any:
        # The packed row of each step, time by time; padding has no row.
        batch, steps = ctx.shape[:2] if ctx.batch_first else (ctx.shape[1], ctx.shape[0])
        there = torch.arange(steps).unsqueeze(1) < ctx.lengths
        place = (there.reshape(-1).cumsum(0) - 1).clamp(min=0).reshape(steps, batch)
        if ctx.batch_first:
            there, place = there.T, place.T
        moved = gamma.index_select(0, place.reshape(-1).to(gamma.device)).reshape(ctx.shape)
        outside = ~there.to(gamma.device)
        outside = outside.reshape(*outside.shape, *(1,) * (len(ctx.shape) - 2))
        return moved.masked_fill(outside, 0), None, None


class _Unpack(torch.autograd.Function):
    """`torch._pad_packed_sequence`, whose backward pass gathers all rows at once."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, sizes: Tensor, batch_first: bool, *rest: Any) -> Any:
        padded, lengths = torch._C._VariableFunctions._pad_packed_sequence(
            rows, sizes, batch_first, *rest
        )
        steps, batch = len(sizes), int(sizes[0])
        there = torch.arange(batch) < sizes.unsqueeze(1)  # [T, B], in the order of the rows
        by_step, by_sequence = (1, padded.shape[1]) if batch_first else (batch, 1)
        place = torch.arange(steps).unsqueeze(1) * by_step + torch.arange(batch) * by_sequence
        ctx.place = place[there]
        ctx.mark_non_differentiable(lengths)
        ctx.set_materialize_grads(False)
        return padded, lengths

    @staticmethod
    def backward(ctx: Any, gamma: Tensor, _: Any) -> Any:
        moved = gamma.flatten(0, 1).index_select(0, ctx.place.to(gamma.device))
        return moved, None, None, None, None


def _keep_deferred(marks: list[Value], several: bool, whole: bool) -> DeferredRule | None:
    """Return the ε-rule that stays deferred at moved values if all share it, else None."""
    first = marks[0].deferred
    if first is None or not first.plain:
        return None
    if not several:
        return first
    alike = all(
        m.deferred is not None
        and m.deferred.plain
        and m.deferred.denominator is None
        and (m.deferred.kind, m.deferred.stabiliser) == (first.kind, first.stabiliser)
        for m in marks
    )
    return first if alike and whole else None


def _move_rows(
    run: Run, function: Callable[..., Any], call: Call, value: Tensor, deferred: DeferredRule
) -> Any:
    """Move the outputs of a map; None unless they still lie along the last dimension afterwards.

    All of them or a part, as after `chunk`: ε is then relative to the outputs that are used
    together.
    """
    if deferred.features != -1:
        return None
    args, kwargs = run.detach_constants(call.args, call.kwargs)
    result = function(*args, **kwargs)
    (moved, *_) = tensors_in(result)
    if not moved.ndim:
        return None
    if moved.untyped_storage().data_ptr() != value.untyped_storage().data_ptr():  # a copy
        kept = moved.shape[-1] == value.shape[-1]
    else:
        kept = moved.stride(-1) == value.stride(-1) and moved.shape[-1] <= value.shape[-1]
    return result if kept else None


def _move_denominator(
    function: Callable[..., Any], call: Call, value: Tensor, deferred: DeferredRule | None
) -> list[Tensor]:
    """Return the denominator of a deferred rule, moved as the value; empty if it is the value."""
    if deferred is None or deferred.denominator is None:
        return []
    z = deferred.denominator
    args, kwargs = map_tensors((call.args, call.kwargs), lambda t: z if t is value else t)
    return tensors_in(function(*args, **kwargs))


def constant_elements(run: Run, call: Call) -> Tensor:
    """Return which elements of a result are constants, bool that broadcasts to it."""

    def zero_if_known(value: Tensor) -> Tensor | None:
        zero = torch.zeros((), dtype=torch.int64, device=value.device)
        return None if run.known(value) is None else zero.expand(value.shape)

    return move_alike(call, zero_if_known)[0] == docs.NOBODY


def _absorb_constants(run: Run, call: Call, result: Tensor) -> Tensor:
    """Book the relevance of constants among the combined values."""
    mark = run.require_mark(result)
    constant = constant_elements(run, call)
    if not bool(constant.any()):
        return result
    share = result.detach().masked_fill(~constant.to(result.device), 0)
    noted = run.absorb(result, share, "constant", call.name, mark.documents)
    return put_mark(noted, mark)


def _ready(run: Run, user: str, *, parts: bool = False) -> Callable[[Tensor], Tensor]:
    """Return a function that applies the deferred rule of a value, which comes beside others.

    Args:
        run: the run.
        user: the name of what brings the values together.
        parts: whether gates and signals in one tensor each stay what they are.
    """

    def ready(value: Tensor) -> Tensor:
        mark = run.known(value)
        if mark is None or (parts and mark.parts is not None):
            return value
        if (mark.gate if parts else mark.inert) and not value.requires_grad:
            return value.detach()  # a constant, as the signal of its product is
        signal = run.signal(value, mark, user)
        return run.mark(signal, documents=mark.documents) if signal is not value else value

    return ready


def moved_documents(run: Run, call: Call) -> list[Tensor]:
    """Return the documents of each result of a function that moves values; empty if unknown."""
    nest = (call.args, call.kwargs)
    if not run.has_documents(nest):
        return []
    if call.name in ("where", "masked_fill"):  # what is filled in belongs to the document there
        ndim = max(t.ndim for t in tensors_in(nest))
        documents = run.combine_documents(moved_values(call), ndim)
        return [] if documents is None else [documents]
    results = move_alike(call, run.documents_of)
    if call.name == "_pack_padded_sequence":  # its second result is the batch sizes
        results = results[:1]
    results = [docs.shrink(r) for r in results]
    if call.name == "stack" and not all(map(run.holds_all_documents, results)):
        return results  # it stacks rows of a batch, some of which are still to be added to
    if not mixes(call.name):
        return results  # rows of a state that nobody wrote yet may be another document's
    return [docs.shrink(docs.assign_unowned(r)) for r in results]


def assign(run: Run, call: Call) -> None:
    """`x[index] = value`: moved into a tensor of constants or of signals."""
    refuse_two_writes(run, call)
    base, index, value = call.args
    base_mark, mark = run.known(base), run.known(value)
    gates = _only_gates(base, base_mark, mark)
    if base_mark is not None and base_mark.gate and not gates:
        run.refuse(call.function, "an assignment of a signal or a constant into a gate")
    parts = None
    marks = [m for m in (base_mark, mark) if m is not None]
    if base._base is None and put_together(marks) and not chosen_by_values(call):
        run.put_together = True
        (parts,) = move_parts(run, call)
    elif base_mark is not None and base_mark.holds_bare_gates:
        run.refuse_together("An assignment")
    source = value
    if mark is not None and parts is not None:
        source = _ready(run, "An assignment", parts=True)(value)
    elif gates and base_mark is not None and base.requires_grad != value.requires_grad:
        base.detach_()  # a part has no graph, so that none has
        source = value.detach()
    elif mark is not None and (value.requires_grad or not gates):
        source = run.signal(value, mark, "An assignment")
    if base_mark is not None and base_mark.deferred is not None:
        base.copy_(run.signal(base, base_mark, "An assignment"))
    if base_mark is None and run.account and base._base is None and bool((base != 0).any()):
        run.before_writing(base)
    fills = mark is None and run.account and bool((torch.as_tensor(value) != 0).any())
    if fills and base._base is not None:
        run.refuse(
            call.function, "an assignment of constants that are not zero into a part of a signal"
        )
    documents = None if base_mark is None else base_mark.written
    if mark is not None and mark.documents is not None:
        before, documents = documents, torch.full(base.shape, docs.NOBODY, device=base.device)
        if before is not None:
            documents.copy_(before)
        documents[index] = mark.documents.expand(value.shape)
    noted = Value(run=run, gate=gates, parts=parts)
    run.note_written(noted, documents)
    both = mark is not None and mark.gate and not gates
    noted.mixed = both or any(m is not None and m.mixed for m in (mark, base_mark))
    if base._base is not None:
        run.mark_base(base, noted)
    base[index] = run.raw(source) if mark is None else source
    run.record_write(base, noted)
    put_mark(base, noted)
    if fills:
        share = torch.zeros_like(base)
        share[index] = run.raw(value)
        run.absorb_where_written(base, share, run.constant_kind([value]), base)


def _only_gates(base: Tensor, base_mark: Value | None, mark: Value | None) -> bool:
    """Return whether a tensor holds only gates, and zeros, once a value is written into it."""
    if mark is None or not mark.gate or mark.inert or base._base is not None:
        return False
    return not bool((base != 0).any()) if base_mark is None else base_mark.gate


def copy(run: Run, call: Call) -> Tensor:
    """`x.copy_(y)`: `x` gets the values and marks of `y`, broadcast to its shape."""
    target, source = call.args[0], call.args[1]
    if run.known(source) is None:
        run.refuse(call.function, "a constant is copied over a signal")
    return run.overwrite(target, run.do(Tensor.expand_as, source, target))


def fill(run: Run, call: Call) -> Tensor:
    """`x.zero_()`, `x.fill_(c)`: a constant is assigned to all of `x`."""
    target: Tensor = call.args[0]
    value = call.argument(1, "value", 0.0)
    entry = identify(call.function)
    if entry is None or not entry.in_place:
        return torch.full_like(target, value)
    assign(run, Call(Tensor.__setitem__, "setitem", (target, ..., value), {}))
    return target


def cast(run: Run, call: Call) -> Any:
    """A change of dtype or device: the value keeps its marks."""
    value, *rest = call.args
    function, kwargs = call.function, call.kwargs
    detached, _ = run.detach_constants(call.args, {})
    result = function(*detached, **kwargs)
    mark = run.known(value)
    if not isinstance(result, Tensor):  # `x.type()` asks for a name
        return result
    if mark is None or not result.dtype.is_floating_point or result is value:
        return result
    deferred, documents = mark.deferred, mark.documents
    if deferred is not None and not deferred.plain:
        result = function(run.signal(value, mark, "to"), *rest, **kwargs)
        deferred = None
    if deferred is not None and deferred.denominator is not None:
        z = function(deferred.denominator, *rest, **kwargs)
        deferred = replace(deferred, denominator=z)
    documents = None if documents is None else documents.to(result.device)
    return run.mark(
        result,
        gate=mark.gate,
        inert=mark.inert,
        deferred=deferred,
        mixed=mark.mixed,
        parts=mark.parts,
        documents=documents,
        logarithm=mark.logarithm,
    )


def same(run: Run, call: Call) -> Any:
    """`detach`, `.data`, `requires_grad_`: they affect gradients only; relevance passes through."""
    return call.args[0]


def ask(run: Run, call: Call) -> Any:
    """Shapes, dtypes and comparisons: no relevance passes through them."""
    return call.function(*call.args, **call.kwargs)


def dropout(run: Run, call: Call) -> Any:
    """The identity in evaluation mode.

    Raises:
        TrainingModeError: dropout is on, and its output would change from call to call.
    """
    run.check_dropout(call)
    return call.args[0]
