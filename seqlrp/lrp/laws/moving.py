"""Values that are only moved, asked about or passed on: linear, without a bias; γ moves back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from seqlrp.errors import TrainingModeError
from seqlrp.lrp import documents as docs
from seqlrp.lrp.due import Due
from seqlrp.lrp.functions import MOVES, spelled, values_in, values_of
from seqlrp.lrp.marks import Mark, put_mark, record_write, substituted, tensors_in

if TYPE_CHECKING:
    from seqlrp.lrp.propagate import Propagation


def move(run: Propagation, function: Any, args: Any, kwargs: Any) -> Any:
    """Slicing, reshaping, concatenating, packing: linear, without a bias; γ moves back.

    An ε-rule that is due stays due; where values of several kinds come together, it is applied.
    """
    name = spelled(function)
    assert name is not None
    if kwargs.get("accumulate") or kwargs.get("reduce") or (name == "index_put" and args[3:]):
        run.refuse(function, "adding up where it writes")
    if name == "view" and any(isinstance(a, torch.dtype) for a in (*args, *kwargs.values())):
        run.refuse(function, "the bits of a value read as another dtype")
    function = torch.where if name == "where" else function
    function = _Packed.apply if name == "_pack_padded_sequence" else function
    values = [t for t in values_in(name, args, kwargs) if t.dtype.is_floating_point]
    marks = [run.known(t) for t in values]
    marked = [m for m in marks if m is not None]
    if not marked:  # a signal that only lends its shape
        return function(*args, **kwargs)
    mixed = len(values) > 1
    gate = all(m.gate for m in marked)
    first = marked[0]
    constants = len(marked) < len(values)
    fills = any(isinstance(a, (int, float)) and a != 0 for a in (*args[2:], *kwargs.values()))
    adds = name in _MIXING and (constants or fills)
    due = None if adds else _carried(marked, mixed, whole=not constants)
    if due is None and not (gate and mixed) and (mixed or first.due is not None):
        args, kwargs = (substituted(n, _ready(run, name)) for n in (args, kwargs))
    denominators: list[Tensor] = []
    if due is not None and due.denominator is not None:
        z, value = due.denominator, values[0]
        nest = substituted((args, kwargs), lambda t: z if t is value else t)
        denominators = tensors_in(function(*nest[0], **nest[1]))
    documents = _moved_documents(run, name, args, kwargs)
    result = function(*run.constants_detached(args), **run.constants_detached(kwargs))
    results = [r for r in tensors_in(result) if r.dtype.is_floating_point]
    for k, tensor in enumerate(results):
        run.mark(
            tensor,
            gate=gate,
            inert=not mixed and first.inert,
            due=replace(due, denominator=denominators[k]) if denominators and due else due,
            documents=documents[k] if documents else None,
        )
    if adds and not gate and run.account:
        noted = _mixing_absorbed(run, name, args, kwargs, results[0])
        return (noted, *result[1:]) if isinstance(result, tuple) else noted
    return result


class _Packed(torch.autograd.Function):
    """`torch._pack_padded_sequence`, with a way back that knows a dimension of targets."""

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
        # Where each step was packed to, time by time; padding was packed nowhere.
        batch, steps = ctx.shape[:2] if ctx.batch_first else (ctx.shape[1], ctx.shape[0])
        there = torch.arange(steps).unsqueeze(1) < ctx.lengths
        place = (there.reshape(-1).cumsum(0) - 1).clamp(min=0).reshape(steps, batch)
        if ctx.batch_first:
            there, place = there.T, place.T
        moved = gamma.index_select(0, place.reshape(-1).to(gamma.device)).reshape(ctx.shape)
        outside = ~there.to(gamma.device)
        outside = outside.reshape(*outside.shape, *(1,) * (len(ctx.shape) - 2))
        return moved.masked_fill(outside, 0), None, None


def _carried(marked: list[Mark], mixed: bool, whole: bool) -> Due | None:
    """The rule that stays due at what is moved: one and the same plain ε-rule for all of it."""
    first = marked[0].due
    if first is None or not first.plain:
        return None
    if not mixed:
        return first
    alike = all(
        m.due is not None
        and m.due.plain
        and m.due.denominator is None
        and (m.due.kind, m.due.epsilon) == (first.kind, first.epsilon)
        for m in marked
    )
    return first if alike and whole else None


_MIXING = frozenset(
    (
        "cat", "stack", "hstack", "vstack", "where", "masked_fill", "pad", "pad_sequence",
        "_pad_packed_sequence", "index_put", "index_copy", "scatter",
    )
)  # fmt: skip


def _mixing_absorbed(run: Propagation, name: str, args: Any, kwargs: Any, result: Tensor) -> Tensor:
    """Book what reaches the constants among the values that were put together."""
    mark = run.known(result)
    assert mark is not None
    new_args, new_kwargs = values_of(
        name,
        args,
        kwargs,
        lambda t: None if run.known(t) is None else torch.zeros_like(t, dtype=torch.int64),
    )
    moved = MOVES[name](*new_args, **new_kwargs)
    constant = tensors_in(moved)[0] == docs.NOBODY
    if not bool(constant.any()):
        return result
    share = result.detach().masked_fill(~constant.to(result.device), 0)
    noted = run.absorb(result, share, "constant", name, mark.documents)
    return put_mark(noted, mark)


def _ready(run: Propagation, user: str) -> Callable[[Tensor], Tensor]:
    def ready(value: Tensor) -> Tensor:
        mark = run.known(value)
        if mark is None:
            return value
        if mark.inert and not value.requires_grad:
            return value.detach()  # a constant, as the signal of its product is
        signal = run.signal(value, mark, user)
        return run.mark(signal, documents=mark.documents) if signal is not value else value

    return ready


def _moved_documents(run: Propagation, name: str, args: Any, kwargs: Any) -> list[Tensor]:
    if not run.documents_of((args, kwargs)):
        return []
    if name in ("where", "masked_fill"):  # what is filled in belongs to the place it is put
        values = values_in(name, args, kwargs)
        ndim = max(t.ndim for t in tensors_in((args, kwargs)))
        documents = run.documents_like(values, ndim)
        return [] if documents is None else [documents]
    new_args, new_kwargs = values_of(name, args, kwargs, run.numbers)
    result = MOVES[name](*new_args, **new_kwargs)
    results = tensors_in(result)
    if name == "_pack_padded_sequence":  # its second result is the batch sizes
        results = results[:1]
    return [docs.squeezed(docs.claimed(docs.squeezed(r))) for r in results]


def set_item(run: Propagation, function: Any, args: Any, kwargs: Any) -> None:
    """`x[index] = value`: moved into a tensor of constants or of signals."""
    base, index, value = args
    base_mark, mark = run.known(base), run.known(value)
    if base_mark is not None and base_mark.gate:
        run.refuse(function, "an assignment into a gate")
    source = value if mark is None else run.signal(value, mark, "An assignment")
    if base_mark is not None and base_mark.due is not None:
        base.copy_(run.signal(base, base_mark, "An assignment"))
    if base_mark is None and run.account and base._base is None and bool((base != 0).any()):
        run.opened(base)
    fills = mark is None and run.account and bool((torch.as_tensor(value) != 0).any())
    if fills and base._base is not None:
        run.refuse(function, "an assignment of constants that are not zero into a part of a signal")
    documents = None
    if mark is None and base_mark is not None:
        documents = base_mark.documents
    elif mark is not None and mark.documents is not None:
        documents = torch.full(base.shape, docs.NOBODY, device=base.device)
        if base_mark is not None and base_mark.documents is not None:
            documents.copy_(base_mark.documents)
        documents[index] = mark.documents.expand(value.shape)
    noted = Mark(run, documents=documents)
    if base._base is not None:
        run.reach_base(base, noted)
    base[index] = run.raw(source) if mark is None else source
    record_write(base, run, noted)
    put_mark(base, noted)
    if fills:
        share = torch.zeros_like(base)
        share[index] = run.raw(value)
        run.absorb_where_written(base, share, run.constant_kind([value]), base)


def cast(run: Propagation, function: Any, args: Any, kwargs: Any) -> Any:
    """A change of dtype or device: the value, and all that is known of it, stays."""
    result = function(*run.constants_detached(args), **kwargs)
    mark = run.known(args[0])
    if mark is None or not result.dtype.is_floating_point or result is args[0]:
        return result
    due, documents = mark.due, mark.documents
    if due is not None and not due.plain:
        result = function(run.signal(args[0], mark, "to"), *args[1:], **kwargs)
        due = None
    if due is not None and due.denominator is not None:
        due = replace(due, denominator=function(due.denominator, *args[1:], **kwargs))
    documents = None if documents is None else documents.to(result.device)
    return run.mark(result, gate=mark.gate, inert=mark.inert, due=due, documents=documents)


def same(run: Propagation, function: Any, args: Any, kwargs: Any) -> Any:
    """`detach`, `.data`, `requires_grad_`: about gradients, not about values; relevance goes on."""
    return args[0]


def ask(run: Propagation, function: Any, args: Any, kwargs: Any) -> Any:
    """Questions about shape or dtype, and comparisons: no relevance goes through an answer."""
    return function(*args, **kwargs)


def dropout(run: Propagation, function: Any, args: Any, kwargs: Any) -> Any:
    """The identity in evaluation mode.

    Raises:
        TrainingModeError: dropout is on, and its answer would change from call to call.
    """
    given = dict(zip(("input", "p", "training"), args, strict=False)) | kwargs
    default = function is not torch.dropout  # the builtin has no default
    training = given.get("training", given.get("train", default))
    if training and given.get("p", 0.5) > 0:
        raise TrainingModeError(
            f"Dropout is on in {run.place_in_words()} and draws random numbers, so the answer "
            f"changes from call to call; call model.eval() first."
        )
    return args[0] if args else given["input"]
