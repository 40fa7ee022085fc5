"""Functions written as simpler ones, each of which goes through the laws of the run.

Softmax, normalisations, gated units and attention are made of sums, products, quotients and
squares. A method without a law of its own for one of them uses its decomposition here.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, NoReturn

import torch
import torch.nn.functional as F
from torch import Tensor

from seqlrp.engine.dispatch import DispatchMode
from seqlrp.engine.functions import Call, full_name
from seqlrp.engine.inputs import embedding_arguments
from seqlrp.errors import IdsError, TrainingModeError

Run = DispatchMode[Any]
NormalisationLaw = Callable[[Any, Call], Any]


def take_apart(run: Run, call: Call) -> Any:
    """Evaluate a function as simpler ones, each under its own law."""
    return DECOMPOSITIONS[call.name](run, call)


def quotient_operands(run: Run, call: Call) -> tuple[Any, Any]:
    """Return numerator and denominator of a division.

    Raises:
        RefusedFunctionError: the division rounds.
    """
    if call.kwargs.get("rounding_mode") is not None:
        run.refuse(call.function, "a division that rounds")
    top, bottom = call.args[0], call.argument(1, "other")
    reversed_ = call.function in (Tensor.__rtruediv__, Tensor.__rdiv__)
    return (bottom, top) if reversed_ else (top, bottom)


# Gated units and products


def glu(run: Run, call: Call) -> Tensor:
    """`glu`: the first half times the sigmoid of the second (Dauphin et al. 2017)."""
    signal, gate = run.call(torch.chunk, (call.args[0], 2, call.argument(1, "dim", -1)), {})
    return run.do(torch.mul, signal, run.do(torch.sigmoid, gate))


def lerp(run: Run, call: Call) -> Tensor:
    """`lerp`: (1 − w) · a + w · b, the update of a gated unit."""
    a, b, w = call.args[0], call.argument(1, "end"), call.argument(2, "weight")
    rest = run.do(torch.rsub, w, 1) if isinstance(w, Tensor) else 1 - w
    return run.do(torch.add, run.do(torch.mul, a, rest), run.do(torch.mul, b, w))


def bilinear(run: Run, call: Call) -> Tensor:
    """`bilinear`: x1ᵀ W x2 + b, two contractions."""
    a, b, weight, bias = call.arguments("input1", "input2", "weight", "bias")
    left, right = (run.do(torch.reshape, x, (-1, x.shape[-1])) for x in (a, b))
    left = run.do(torch.einsum, "ni,oij->noj", left, weight)
    flat = run.do(torch.einsum, "noj,nj->no", left, right)
    y = run.do(torch.reshape, flat, (*a.shape[:-1], len(weight)))
    return y if bias is None else run.do(torch.add, y, bias)


def cosine_similarity(run: Run, call: Call) -> Tensor:
    """`cosine_similarity`: the product of two values of unit length."""
    *sides, dim, eps = call.arguments("x1", "x2", "dim", "eps")
    one, other = (run.do(F.normalize, x, 2.0, dim, eps) for x in sides)
    return run.do(torch.sum, run.do(torch.mul, one, other), dim)


def log_softmax(run: Run, call: Call) -> Tensor:
    """`log_softmax`: x less the logarithm of the sum of eˣ."""
    x, dim = softmax_arguments(run, call)
    return run.do(torch.sub, x, run.do(torch.logsumexp, x, dim, True))


def logaddexp(run: Run, call: Call) -> Tensor:
    """`logaddexp`: the logsumexp of a pair, p_a · a + p_b · b + H(p) with p their softmax."""
    shapes = (operand.shape for operand in call.args)
    shape = tuple(torch.broadcast_shapes(*shapes))  # type: ignore[no-untyped-call]
    a, b = (run.do(torch.broadcast_to, operand, shape) for operand in call.args)
    return run.do(torch.logsumexp, run.do(torch.stack, [a, b], -1), -1)


def softmax_arguments(run: Run, call: Call) -> tuple[Tensor, int]:
    """Return the input of a softmax or log-softmax, in the requested dtype, and its dimension."""
    x, dim, dtype = call.args[0], call.argument(1, "dim"), call.kwargs.get("dtype")
    if len(call.args) > 2 and isinstance(call.args[-1], torch.dtype):
        dtype = call.args[-1]
    if dim is None:
        dim = 0 if x.ndim in (0, 1, 3) else 1  # PyTorch's own guess
    return x if dtype is None else run.do(Tensor.to, x, dtype), dim


def addcdiv(run: Run, call: Call) -> Tensor:
    """`addcdiv`: a + value · b / c."""
    a, b, c = call.args[:3]
    return run.do(torch.add, a, run.do(torch.div, b, c), alpha=call.kwargs.get("value", 1))


def softmin(run: Run, call: Call) -> Tensor:
    """`softmin`: the softmax of −x."""
    x, dim = softmax_arguments(run, call)
    return run.do(torch.softmax, run.do(torch.neg, x), dim)


# Products of all pairs


def outer(run: Run, call: Call) -> Tensor:
    """`outer`: a_i b_j."""
    a, b = call.args
    return run.do(torch.mul, run.do(torch.unsqueeze, a, 1), run.do(torch.unsqueeze, b, 0))


def inner(run: Run, call: Call) -> Tensor:
    """`inner`: Σ_k a_ik b_jk over the last dimension of both."""
    a, b = call.args
    if not a.ndim or not b.ndim:
        return run.do(torch.mul, a, b)
    return _contract(run, a, b, [a.ndim - 1], [b.ndim - 1])


def tensordot(run: Run, call: Call) -> Tensor:
    """`tensordot`: the sum of products over some dimensions of both."""
    a, b, dims = call.arguments("a", "b", "dims")
    if isinstance(dims, Tensor):
        dims = dims.tolist()
    if isinstance(dims, int):
        dims = range(a.ndim - dims, a.ndim), range(dims)
    of_a, of_b = ([d] if isinstance(d, int) else d for d in dims)
    return _contract(run, a, b, [d % a.ndim for d in of_a], [d % b.ndim for d in of_b])


def kron(run: Run, call: Call) -> Tensor:
    """`kron`: a copy of b for each element of a, multiplied by it."""
    a, b = call.args
    ndim = max(a.ndim, b.ndim)
    shapes = [(*(1,) * (ndim - x.ndim), *x.shape) for x in (a, b)]
    a = run.do(torch.reshape, a, tuple(n for size in shapes[0] for n in (size, 1)))
    b = run.do(torch.reshape, b, tuple(n for size in shapes[1] for n in (1, size)))
    sizes = tuple(one * other for one, other in zip(*shapes, strict=True))
    return run.do(torch.reshape, run.do(torch.mul, a, b), sizes)


def multi_dot(run: Run, call: Call) -> Tensor:
    """`multi_dot`, `chain_matmul`: matrices multiplied from left to right."""
    first, *others = call.args if len(call.args) > 1 else call.argument(0, "tensors")
    product: Tensor = first
    for matrix in others:
        product = run.do(torch.matmul, product, matrix)
    return product


def _contract(run: Run, a: Tensor, b: Tensor, of_a: list[int], of_b: list[int]) -> Tensor:
    """Sum the products over dimensions of both, as one product of matrices."""
    left = [d for d in range(a.ndim) if d not in of_a]
    right = [d for d in range(b.ndim) if d not in of_b]
    sizes = tuple(a.shape[d] for d in left) + tuple(b.shape[d] for d in right)
    summed = torch.Size([a.shape[d] for d in of_a]).numel()
    rows = torch.Size([a.shape[d] for d in left]).numel()
    a = run.do(torch.reshape, run.do(torch.permute, a, (*left, *of_a)), (rows, summed))
    b = run.do(torch.reshape, run.do(torch.permute, b, (*of_b, *right)), (summed, -1))
    return run.do(torch.reshape, run.do(torch.matmul, a, b), sizes)


# Sums of some elements


def diff(run: Run, call: Call) -> Tensor:
    """`diff`: each element less the one before it, n times."""
    x, n, dim, before, after = call.arguments("input", "n", "dim", "prepend", "append")
    parts = [part for part in (before, x, after) if part is not None]
    y: Tensor = run.do(torch.cat, parts, dim) if len(parts) > 1 else x
    for _ in range(n):
        size = y.shape[dim] - 1
        late, early = (run.do(torch.narrow, y, dim, start, size) for start in (1, 0))
        y = run.do(torch.sub, late, early)
    return y


def index_add(run: Run, call: Call) -> Tensor:
    """`index_add`: slices of the source, added to those of x that the index names."""
    x, dim, index, source, alpha = call.arguments("input", "dim", "index", "source", "alpha")
    _refuse_words_as_index(run, call, index)
    index = run.raw(index).reshape(-1)

    def added(k: int) -> Tensor:
        rows = (index == k).nonzero()[:, 0]  # alone, as others may belong to other texts
        own = run.do(torch.select, x, dim, k)
        if not len(rows):
            return own
        total = run.do(torch.sum, run.do(torch.index_select, source, dim, rows), dim)
        return _add_to(run, own, total if alpha == 1 else run.do(torch.mul, total, alpha))

    return _stack_slots(run, x, dim, added)


def scatter_add(run: Run, call: Call) -> Tensor:
    """`scatter_add`: elements of the source, added to those of x that the index names."""
    x, dim, index, source = call.arguments("input", "dim", "index", "src")
    return _add_to(run, x, _scattered(run, call, x, dim, index, source, torch.sum, 0.0))


def scatter_reduce(run: Run, call: Call) -> Tensor:
    """`scatter_reduce`: the sum, mean, maximum or minimum of what goes to each place of x."""
    x, dim, index, source = call.arguments("input", "dim", "index", "src")
    how, with_x = call.arguments("reduce", "include_self")
    if how not in ("sum", "mean", "amax", "amin"):
        run.refuse(call.function, f"reduce={how!r}")
    ones = torch.ones(index.shape, dtype=source.dtype, device=source.device)
    counts = torch.zeros(x.shape, dtype=ones.dtype, device=ones.device)
    counts = counts.scatter_add(dim, run.raw(index), ones)
    if how in ("amax", "amin"):
        limits = torch.finfo(source.dtype)
        function, blank = getattr(torch, how), limits.min if how == "amax" else limits.max
        own = x if with_x else None
        y = _scattered(run, call, x, dim, index, source, function, blank, own)
        return y if with_x else run.do(torch.where, counts > 0, y, x)
    y = _scattered(run, call, x, dim, index, source, torch.sum, 0.0)
    y = _add_to(run, x if with_x else run.do(torch.masked_fill, x, counts > 0, 0), y)
    return y if how == "sum" else run.do(torch.div, y, (counts + int(with_x)).clamp_min(1))


def segment_reduce(run: Run, call: Call) -> Tensor:
    """`segment_reduce`: the sum, mean, maximum or minimum of segments one after another."""
    x, how, lengths, indices, offsets, axis, initial = call.arguments(
        "data", "reduce", "lengths", "indices", "offsets", "axis", "initial"
    )
    if offsets is not None:
        _refuse_words_as_index(run, call, offsets)
        lengths = run.raw(offsets).diff(dim=-1)
    if indices is not None or lengths is None or how not in ("sum", "mean", "max", "min"):
        run.refuse(call.function, f"reduce={how!r}, or segments by indices")
    _refuse_words_as_index(run, call, lengths)
    lengths = run.raw(lengths)
    if initial is not None or (how != "sum" and bool((lengths == 0).any())):
        run.refuse(call.function, "empty segments, or an initial value")
    function = getattr(torch, {"max": "amax", "min": "amin"}.get(how, how))
    if axis != lengths.ndim - 1 or axis > 1:
        run.refuse(call.function, "segments of several dimensions")
    texts = run.call(torch.unbind, (x,), {}) if axis else (x,)
    rows = []
    for text, sizes in zip(texts, lengths.reshape(-1, lengths.shape[-1]).tolist(), strict=True):
        parts = run.call(torch.split, (text, [*sizes, len(text) - sum(sizes)]), {})
        rows.append(run.do(torch.stack, [run.do(function, part, 0) for part in parts[:-1]]))
    return run.do(torch.stack, rows) if axis else rows[0]


def adds_up(call: Call) -> bool:
    """Return whether a call is `index_put(accumulate=True)`."""
    return call.name == "index_put" and bool(call.argument(3, "accumulate", False))


def index_put_adding(run: Run, call: Call) -> Tensor:
    """`index_put(accumulate=True)`: rows of the values, added to those that the indices name."""
    x, indices, values = call.args[0], call.argument(1, "indices"), call.argument(2, "values")
    for index in indices:
        if index is None or index.dtype != torch.int64:
            run.refuse(call.function, "indices that are no whole numbers, adding up")
        _refuse_words_as_index(run, call, index)
    sizes, rest = x.shape[: len(indices)], x.shape[len(indices) :]
    numbers = torch.arange(sizes.numel(), device=x.device).reshape(sizes)
    places = numbers[tuple(map(run.raw, indices))]
    values = run.do(torch.broadcast_to, values, (*places.shape, *rest))
    rows = run.do(torch.reshape, x, (sizes.numel(), *rest))
    added = run.do(torch.reshape, values, (places.numel(), *rest))
    y = run.do(torch.index_add, rows, 0, places.reshape(-1), added)
    return run.do(torch.reshape, y, tuple(x.shape))


def refuse_two_writes(run: Run, call: Call) -> None:
    """Refuse to write values that depend on the words where an index stands twice.

    One of them remains, PyTorch does not say which, and its gradient reaches all.
    """
    place = _WRITTEN.get(call.name)
    if place is None or run.known(call.argument(*place)) is None:
        return
    base, dim = call.args[0], call.argument(1, "dim")
    index = call.argument(1, "indices") if place[0] == 2 else call.argument(2, "index")
    parts = index if isinstance(index, tuple | list) else (index,)
    if not any(isinstance(part, Tensor | list) for part in parts):
        return
    if call.name == "scatter":
        index = run.raw(index)
        counts = torch.zeros(base.shape, dtype=torch.int64, device=base.device)
        twice = bool((counts.scatter_add(dim, index, torch.ones_like(index)) > 1).any())
    else:
        size = base.shape[dim] if call.name == "index_copy" else base.numel()
        numbers = torch.arange(size, device=base.device)
        if call.name != "index_copy":
            numbers = numbers.reshape(base.shape)
        several = call.name == "index_put" or isinstance(index, tuple)
        index = tuple(map(run.raw, index)) if several else run.raw(index)
        written = numbers[index]
        twice = torch.unique(written).numel() < written.numel()
    if twice:
        run.refuse(call.function, "values written to one place twice, of which one remains")


# Positions and names of what is written over parts of another tensor.
_WRITTEN = {
    "setitem": (2, "value"),
    "index_put": (2, "values"),
    "index_copy": (3, "source"),
    "scatter": (3, "src"),
}


def _refuse_words_as_index(run: Run, call: Call, index: Tensor) -> None:
    if run.provenance_of(index) is not None:
        run.refuse(call.function, "an index that depends on the words")


def _scattered(
    run: Run,
    call: Call,
    x: Tensor,
    dim: int,
    index: Tensor,
    source: Tensor,
    function: Callable[..., Tensor],
    blank: float,
    own: Tensor | None = None,
) -> Tensor:
    """Reduce for each slot of `x` along `dim` what goes to it, beside its own element of `own`."""
    shapes = [[n for d, n in enumerate(t.shape) if d != dim % x.ndim] for t in (x, index, source)]
    if shapes[0] != shapes[1] or index.shape != source.shape:
        run.refuse(call.function, "an index of another shape than the source")
    _refuse_words_as_index(run, call, index)
    index = run.raw(index)

    def reduced(k: int) -> Tensor:
        there = run.do(torch.masked_fill, source, index != k, blank)
        if own is not None:
            there = run.do(torch.cat, [run.do(torch.narrow, own, dim, k, 1), there], dim)
        return run.do(function, there, dim)

    return _stack_slots(run, x, dim, reduced)


def _stack_slots(run: Run, x: Tensor, dim: int, of_slot: Callable[[int], Tensor]) -> Tensor:
    return run.do(torch.stack, [of_slot(k) for k in range(x.shape[dim])], dim)


def _add_to(run: Run, x: Tensor, total: Tensor) -> Tensor:
    if run.known(x) is None and not bool(run.raw(x).any()):
        return total
    return run.do(torch.add, x, total)


def triangle(run: Run, call: Call) -> Tensor:
    """`tril`, `triu`: zero above or below a diagonal."""
    x, diagonal = call.arguments("input", "diagonal")
    keep = torch.ones(x.shape[-2:], dtype=torch.bool, device=x.device)
    keep = keep.tril(diagonal) if call.name == "tril" else keep.triu(diagonal)
    return run.do(torch.masked_fill, x, ~keep, 0)


def embedding(run: Run, call: Call) -> Tensor:
    """`F.embedding` of a table that was computed from words: rows by constant indices."""
    given = embedding_arguments(call.function, call.args, call.kwargs)
    index, table, _, longest, _ = given
    _refuse_vectors_as_ids(call, index)
    if longest is not None:
        run.refuse(call.function, "max_norm, which changes the table")
    return run.do(Tensor.__getitem__, table, index)


def embedding_bag(run: Run, call: Call) -> NoReturn:
    """`F.embedding_bag` of a table that was computed from words: refused."""
    _refuse_vectors_as_ids(call, call.args[0])
    run.refuse(call.function, "a table that depends on the words")


def _refuse_vectors_as_ids(call: Call, index: Tensor) -> None:
    if index.dtype.is_floating_point:
        raise IdsError(
            f"Got vectors of shape {list(index.shape)}, but the model looks ids up with "
            f"{full_name(call.function)}; ids must be of dtype int64, these are {index.dtype}."
        )


# Elements in other places


def rearranged(run: Run, call: Call) -> Tensor:
    """`pixel_shuffle`, `channel_shuffle`, `F.unfold`: elements in other places, and zeros."""
    x = call.args[0]
    before = x.ndim - 3 if call.name.startswith("pixel") or call.name == "im2col" else 1
    shape = x.shape[before:]
    numbers = torch.arange(1, shape.numel() + 1, dtype=torch.float64).reshape(shape)
    places: Tensor = call.function(numbers[(None,) * before], *call.args[1:], **call.kwargs)
    places = places.to(torch.int64)[(0,) * before]
    flat = run.do(torch.reshape, x, (*x.shape[:before], -1))
    flat = run.do(F.pad, flat, (1, 0))  # where a window goes over the edge
    moved = run.do(torch.index_select, flat, -1, places.reshape(-1).to(x.device))
    return run.do(torch.reshape, moved, (*x.shape[:before], *places.shape))


def fold(run: Run, call: Call) -> Tensor:
    """`F.fold`: the sum of windows, each in its place."""
    x, *given = call.arguments(
        "input", "output_size", "kernel_size", "dilation", "padding", "stride"
    )
    size, kernel, dilation, padding, stride = ((v, v) if isinstance(v, int) else v for v in given)
    (height, width), (top, left) = size, padding
    sizes = (height + 2 * top, width + 2 * left)
    numbers = torch.arange(math.prod(sizes), dtype=torch.float64).reshape(1, *sizes)
    places = F.unfold(numbers, kernel, dilation, 0, stride).to(torch.int64).to(x.device)
    windows = run.do(Tensor.unflatten, x, -2, (-1, len(places)))  # [*, C, K, L]
    shape = (*windows.shape[:-2], math.prod(sizes))
    terms = []
    for k, place in enumerate(places):
        canvas = torch.zeros(shape, dtype=x.dtype, device=x.device)
        terms.append(
            run.do(torch.index_copy, canvas, -1, place, run.do(torch.select, windows, -2, k))
        )
    total = run.do(torch.sum, run.do(torch.stack, terms), 0)
    y = run.do(Tensor.unflatten, total, -1, sizes)
    return run.do(Tensor.__getitem__, y, (..., slice(top, top + height), slice(left, left + width)))


def max_unpool(run: Run, call: Call) -> Tensor:
    """`max_unpool1d`, `max_unpool2d`: values put where their maxima were, among zeros."""
    x, indices = call.args[0], run.raw(call.argument(1, "indices"))
    flat = 2 if call.name.endswith("2d") else 1
    shape = call.evaluate(Tensor.detach).shape
    indices = indices.flatten(-flat)
    ordered = indices.sort(-1).values
    if bool((ordered[..., 1:] == ordered[..., :-1]).any()):
        run.refuse(call.function, "windows that overlap, of which several put a value in one place")
    zeros = torch.zeros(*indices.shape[:-1], math.prod(shape[-flat:]), dtype=x.dtype)
    y = run.do(torch.scatter, zeros.to(x.device), -1, indices, run.do(torch.flatten, x, -flat))
    return run.do(torch.reshape, y, tuple(shape))


# Normalisations


def parameters_apart(law: NormalisationLaw) -> NormalisationLaw:
    """Wrap the law of a normalisation for a scale and shift that depend on the words.

    They are a factor and a term of their own, as in y = norm(x) · w(words) + b(words), the
    conditional layer normalisation of Chen et al. (2021).
    """

    @functools.wraps(law)
    def apply(run: Any, call: Call) -> Any:
        names = ("weight",) if call.name == "rms_norm" else ("weight", "bias")
        weight, bias = (*call.arguments(*names), None)[:2]
        if run.known(weight) is None and run.known(bias) is None:
            _check_only_input(run, call)
            return law(run, call)
        plain = call.without(*names)
        y = run.call(plain.function, plain.args, plain.kwargs)
        if call.name in ("batch_norm", "group_norm", "instance_norm"):
            shape = (-1, *(1,) * (y.ndim - 2))  # [C] broadcasts to [B, C, *]
            weight, bias = (
                None if t is None else run.do(torch.reshape, t, shape) for t in (weight, bias)
            )
        return _scale_and_shift(run, y, weight, bias)

    return apply


def _check_only_input(run: Run, call: Call) -> None:
    """Refuse a normalisation by statistics that depend on the words."""
    for name, value in zip(("running_mean", "running_var"), call.args[1:3], strict=False):
        if call.name in ("batch_norm", "instance_norm") and run.known(value) is not None:
            run.refuse(call.function, f"{name} depends on the words")


@parameters_apart
def layer_norm(run: Run, call: Call) -> Tensor:
    """`layer_norm`: centred, and divided by its own standard deviation (Ba et al. 2016)."""
    x, shape, weight, bias, eps = call.arguments(
        "input", "normalized_shape", "weight", "bias", "eps"
    )
    dims = tuple(range(-len(shape), 0))
    y = _divide_by_root_mean_square(run, _centre(run, x, dims), dims, eps)
    return _scale_and_shift(run, y, weight, bias)


@parameters_apart
def rms_norm(run: Run, call: Call) -> Tensor:
    """`rms_norm`: divided by its own root mean square."""
    x, shape, weight, eps = call.arguments("input", "normalized_shape", "weight", "eps")
    eps = torch.finfo(x.dtype).eps if eps is None else eps
    y = _divide_by_root_mean_square(run, x, tuple(range(-len(shape), 0)), eps)
    return _scale_and_shift(run, y, weight, None)


@parameters_apart
def batch_norm(run: Run, call: Call) -> Tensor:
    """`batch_norm` with the statistics of training, as in evaluation mode: linear."""
    return _scale_and_shift(run, call.arguments("input")[0], *batch_statistics(run, call))


@parameters_apart
def group_norm(run: Run, call: Call) -> Tensor:
    """`group_norm`: normalises each group of channels `[B, C, *]` by its mean and variance."""
    return _normalise_groups(run, *call.arguments("input", "num_groups", "weight", "bias", "eps"))


@parameters_apart
def instance_norm(run: Run, call: Call) -> Tensor:
    """`instance_norm`, `[B, C, *]`: every channel is a group of its own."""
    x, weight, bias, eps = call.arguments("input", "weight", "bias", "eps")
    fixed = instance_statistics(run, call)
    if fixed is not None:
        return _scale_and_shift(run, x, *fixed)
    return _normalise_groups(run, x, x.shape[1], weight, bias, eps)


def normalize(run: Run, call: Call) -> Tensor:
    """`F.normalize`: divided by its own norm."""
    x, p, dim, eps = call.arguments("input", "p", "dim", "eps")
    size = run.do(torch.clamp_min, run.do(torch.norm, x, p, dim, keepdim=True), eps)
    return run.do(torch.div, x, size)


def batch_statistics(run: Run, call: Call) -> tuple[Tensor, Tensor]:
    """Return scale c = weight / √(var + eps) and shift bias − mean · c of `batch_norm`, by channel.

    Raises:
        TrainingModeError: it takes the statistics of this batch, which mixes documents.
    """
    mean, training = call.arguments("running_mean", "training")
    if training or mean is None:
        raise TrainingModeError(
            f"Batch normalisation in {run.describe_place()} takes the statistics of this batch, so "
            f"that documents change each other's scores; call model.eval(), with running "
            f"statistics kept."
        )
    return _fixed_statistics(run, call)


def instance_statistics(run: Run, call: Call) -> tuple[Tensor, Tensor] | None:
    """Return scale and shift of `instance_norm` by channel; None if it uses its input's own."""
    mean, of_input = call.arguments("running_mean", "use_input_stats")
    return None if mean is None or of_input else _fixed_statistics(run, call)


def _fixed_statistics(run: Run, call: Call) -> tuple[Tensor, Tensor]:
    x, mean, var, weight, bias, eps = call.arguments(
        "input", "running_mean", "running_var", "weight", "bias", "eps"
    )
    scale = run.raw(var).add(eps).rsqrt()
    if weight is not None:
        scale = scale * run.raw(weight)
    shift = -run.raw(mean) * scale
    if bias is not None:
        shift = shift + run.raw(bias)
    return by_channel(scale, x), by_channel(shift, x)


def by_channel(parameter: Tensor, x: Tensor) -> Tensor:
    """Reshape a parameter `[C]` so that it broadcasts to `x` `[B, C, *]`."""
    return parameter.reshape(-1, *(1,) * (x.ndim - 2))


def _centre(run: Run, x: Tensor, dims: Any) -> Tensor:
    return run.do(torch.sub, x, run.do(torch.mean, x, dims, keepdim=True))


def _divide_by_root_mean_square(run: Run, x: Tensor, dims: Any, eps: float) -> Tensor:
    """x / √(mean(x²) + eps)."""
    square = run.do(torch.mean, run.do(torch.square, x), dims, keepdim=True)
    return run.do(torch.div, x, run.do(torch.sqrt, run.do(torch.add, square, eps)))


def _scale_and_shift(run: Run, x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    if weight is not None:
        x = run.do(torch.mul, x, weight)
    return x if bias is None else run.do(torch.add, x, bias)


def _normalise_groups(
    run: Run, x: Tensor, groups: int, weight: Tensor | None, bias: Tensor | None, eps: float
) -> Tensor:
    parts = run.do(torch.reshape, x, (len(x), groups, -1))
    y = _divide_by_root_mean_square(run, _centre(run, parts, -1), -1, eps)
    y = run.do(torch.reshape, y, tuple(x.shape))
    weight, bias = (None if t is None else by_channel(run.raw(t), x) for t in (weight, bias))
    return _scale_and_shift(run, y, weight, bias)


def norm(run: Run, call: Call) -> Tensor:
    """`norm`, `vector_norm`: (Σ |x|ᵖ)^(1/p)."""
    x, p = call.args[0], call.argument(1, "p", call.kwargs.get("ord"))
    dim, keep = call.argument(2, "dim"), bool(call.argument(3, "keepdim"))
    p = 2.0 if p is None or p == "fro" else float(p)
    dims = tuple(range(x.ndim)) if dim is None else dim
    size = run.do(torch.abs, x) if p != 2 else x
    if p == float("inf"):
        return run.do(torch.amax, size, dims, keepdim=keep)
    if p <= 0:
        run.refuse(call.function, f"of order {p}")
    total = run.do(torch.sum, run.do(torch.pow, size, p), dims, keepdim=keep)
    return run.do(torch.pow, total, 1 / p)


def variance(run: Run, call: Call) -> Tensor:
    """`var`, `std`: the mean of squares about the mean, and its root."""
    x, dim = call.args[0], call.argument(1, "dim")
    unbiased = call.argument(2, "unbiased")
    if isinstance(dim, bool):  # std(x, unbiased)
        dim, unbiased = None, dim
    keep = bool(call.argument(3, "keepdim", False))
    correction = call.kwargs.get("correction", 0 if unbiased is False else 1)
    dims = tuple(range(x.ndim)) if dim is None else (dim,) if isinstance(dim, int) else tuple(dim)
    count = torch.Size([x.shape[d] for d in dims]).numel() - correction
    total = run.do(torch.sum, run.do(torch.square, _centre(run, x, dims)), dims, keepdim=keep)
    y = run.do(torch.div, total, count)
    return run.do(torch.sqrt, y) if call.name == "std" else y


# Attention


def scaled_dot_product_attention(run: Run, call: Call) -> Tensor:
    """`scaled_dot_product_attention`: softmax(q kᵀ · scale + mask) v."""
    q, k, v, mask, dropout, causal, scale, grouped = call.arguments(
        "query", "key", "value", "attn_mask", "dropout_p", "is_causal", "scale", "enable_gqa"
    )
    if dropout:
        _refuse_dropout(run)
    if grouped:
        groups = q.shape[-3] // k.shape[-3]
        k, v = (run.do(torch.repeat_interleave, t, groups, -3) for t in (k, v))
    scale = 1 / math.sqrt(q.shape[-1]) if scale is None else scale
    if causal:
        shape = (q.shape[-2], k.shape[-2])
        mask = torch.ones(shape, dtype=torch.bool, device=q.device).tril()
    if mask is not None and mask.dtype == torch.bool:
        mask = _additive(~mask, q.dtype)
    return _attend(run, q, k, v, scale, mask)[0]


def multi_head_attention_forward(run: Run, call: Call) -> tuple[Tensor, Tensor | None]:
    """`multi_head_attention_forward`: the attention of `nn.MultiheadAttention`, `[L, B, E]`."""
    dropout, training, zero = call.arguments("dropout_p", "training", "add_zero_attn")
    if dropout and training:
        _refuse_dropout(run)
    unknown = ("bias_k", "bias_v", "static_k", "static_v")
    for name, value in zip(unknown, call.arguments(*unknown), strict=True):
        if value is not None:
            run.refuse(call.function, f"{name} in attention")
    if zero:
        run.refuse(call.function, "add_zero_attn in attention")
    inputs = call.arguments("query", "key", "value")
    alone = inputs[0].ndim == 2  # [L, E]: a batch of one
    if alone:
        inputs = [run.do(torch.unsqueeze, t, 1) for t in inputs]
    (heads,) = call.arguments("num_heads")
    weights, biases = _projections(run, call)
    q, k, v = (
        _split_heads(run, run.do(F.linear, x, w, b), heads)
        for x, w, b in zip(inputs, weights, biases, strict=True)
    )
    padding, mask = call.arguments("key_padding_mask", "attn_mask")
    mask = _merge_masks(padding, mask, q, k)
    # [B, heads, L, E / heads] and [B, heads, L, S]
    mixed, attention = _attend(run, q, k, v, 1 / math.sqrt(q.shape[-1]), mask)
    mixed = run.do(torch.flatten, run.do(torch.permute, mixed, (2, 0, 1, 3)), 2)
    out = run.do(F.linear, mixed, *call.arguments("out_proj_weight", "out_proj_bias"))
    wanted, averaged = call.arguments("need_weights", "average_attn_weights")
    if wanted and averaged:
        attention = run.do(torch.mean, attention, 1)
    if alone:
        out = run.do(torch.squeeze, out, 1)
        attention = run.do(torch.squeeze, attention, 0)
    return out, attention if wanted else None


def _projections(run: Run, call: Call) -> tuple[Any, Any]:
    """Return the weights and biases of the projections to query, key and value."""
    separate, together, biases = call.arguments(
        "use_separate_proj_weight", "in_proj_weight", "in_proj_bias"
    )
    names = ("q_proj_weight", "k_proj_weight", "v_proj_weight")
    weights = call.arguments(*names) if separate else run.raw(together).chunk(3)
    return weights, (None,) * 3 if biases is None else run.raw(biases).chunk(3)


def _attend(
    run: Run, q: Tensor, k: Tensor, v: Tensor, scale: float, mask: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Return softmax(q kᵀ · scale + mask) v, and the softmax."""
    scores = run.do(torch.mul, q, scale)
    scores = run.do(torch.matmul, scores, run.do(torch.transpose, k, -2, -1))
    if mask is not None:
        scores = _mask_scores(run, scores, mask)
    attention = run.do(torch.softmax, scores, -1)
    return run.do(torch.matmul, attention, v), attention


def _split_heads(run: Run, x: Tensor, heads: int) -> Tensor:
    """Reshape `[L, B, E]` to `[B, heads, L, E / heads]`."""
    return run.do(torch.permute, run.do(Tensor.unflatten, x, -1, (heads, -1)), (1, 2, 0, 3))


def _merge_masks(
    padding: Tensor | None, mask: Tensor | None, q: Tensor, k: Tensor
) -> Tensor | None:
    """Merge both masks into one that is added to the scores `[B, heads, L, S]`."""
    merged = None
    if padding is not None:
        merged = _additive(padding, q.dtype).reshape(-1, 1, 1, k.shape[-2])
    if mask is not None:
        mask = _additive(mask, q.dtype)
        if mask.ndim == 3:  # [B · heads, L, S]
            mask = mask.reshape(-1, q.shape[1], *mask.shape[1:])
        merged = mask if merged is None else merged + mask
    return merged


def _mask_scores(run: Run, scores: Tensor, mask: Tensor) -> Tensor:
    """Add a mask to scores; a mask of zeros and -inf selects scores and counts as no term."""
    if bool(((mask == 0) | (mask == -math.inf)).all()):
        return run.do(torch.masked_fill, scores, mask != 0, -math.inf)
    return run.do(torch.add, scores, mask)


def _additive(mask: Tensor, dtype: torch.dtype) -> Tensor:
    if mask.dtype != torch.bool:
        return mask.detach()
    return torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill(mask, -math.inf)


def _refuse_dropout(run: Run) -> None:
    raise TrainingModeError(
        f"Dropout in the attention of {run.describe_place()} is on and draws random numbers, so "
        f"the answer changes from call to call; call model.eval() first."
    )


DECOMPOSITIONS: dict[str, Callable[[Run, Call], Any]] = {
    "glu": glu,
    "lerp": lerp,
    "addcdiv": addcdiv,
    "softmin": softmin,
    "outer": outer,
    "inner": inner,
    "tensordot": tensordot,
    "kron": kron,
    "diff": diff,
    "index_add": index_add,
    "scatter_add": scatter_add,
    "scatter_reduce": scatter_reduce,
    "segment_reduce": segment_reduce,
    "multi_dot": multi_dot,
    "chain_matmul": multi_dot,
    "pixel_shuffle": rearranged,
    "pixel_unshuffle": rearranged,
    "channel_shuffle": rearranged,
    "im2col": rearranged,
    "col2im": fold,
    "max_unpool1d": max_unpool,
    "max_unpool2d": max_unpool,
    "tril": triangle,
    "triu": triangle,
    "embedding": embedding,
    "embedding_bag": embedding_bag,
    "bilinear": bilinear,
    "cosine_similarity": cosine_similarity,
    "log_softmax": log_softmax,
    "logaddexp": logaddexp,
    "layer_norm": layer_norm,
    "rms_norm": rms_norm,
    "batch_norm": batch_norm,
    "group_norm": group_norm,
    "instance_norm": instance_norm,
    "normalize": normalize,
    "norm": norm,
    "vector_norm": norm,
    "std": variance,
    "var": variance,
    "scaled_dot_product_attention": scaled_dot_product_attention,
    "multi_head_attention_forward": multi_head_attention_forward,
}
