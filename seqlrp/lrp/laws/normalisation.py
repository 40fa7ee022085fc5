"""Normalisations: the scale is a constant, the rest is a linear map with one bias.

y = (x − mean) · c + b with c = weight / √(var + eps) held constant (Ba et al. 2016 for the layer;
the constant scale as in Ali et al. 2022, eq. 8): a linear map under the ε-rule.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from seqlrp.engine import documents as docs
from seqlrp.engine.decompositions import (
    batch_statistics,
    by_channel,
    instance_statistics,
    parameters_apart,
)
from seqlrp.engine.functions import Call
from seqlrp.lrp.deferred import DeferredRule
from seqlrp.lrp.run import Run


def _normalise(
    run: Run,
    given: Tensor,
    f: Callable[[Tensor], Tensor],
    bias: Tensor | None,
    name: str,
    together: list[int],
    *,
    centred: bool = True,
) -> Tensor:
    """Return f(x) + bias, f linear; along the dimensions `together` all is of one document.

    If not `centred`, and without a bias, f only scales: it has no sum in which terms could cancel.
    """
    mark = run.require_mark(given)
    documents = mark.documents
    if documents is not None:
        documents = docs.reduce(documents, together, keepdim=True)
    if mark.inert and not given.requires_grad:  # a constant, as the signal of its product is
        y = f(given) if bias is None else f(given) + bias.detach()
        return run.mark(y, gate=True, inert=True, documents=documents)
    y = f(run.signal(given, mark, name))
    if bias is not None:
        y = run.absorb(y + bias, bias, "bias", name, documents)
    deferred = None
    if centred or bias is not None:
        deferred = DeferredRule("sum", run.at_sums, (name, run.ledger_place()))
    return run.mark(y, deferred=deferred, documents=documents)


@parameters_apart
def layer(run: Run, call: Call) -> Tensor:
    """`layer_norm`: centred and scaled; the scale is a constant, the bias keeps its share."""
    x, shape, eps = call.arguments("input", "normalized_shape", "eps")
    weight, bias = map(run.raw, call.arguments("weight", "bias"))
    dims = list(range(x.ndim - len(shape), x.ndim))

    def f(value: Tensor) -> Tensor:
        fixed = value.detach()
        scale = fixed.var(dims, unbiased=False, keepdim=True).add(eps).rsqrt()
        centred = (value - value.mean(dims, keepdim=True)) * scale
        return centred if weight is None else centred * weight

    return _normalise(run, x, f, bias, "layer_norm", dims)


@parameters_apart
def rms(run: Run, call: Call) -> Tensor:
    """`rms_norm`: scaled by a constant, which passes everything on."""
    x, shape, weight, eps = call.arguments("input", "normalized_shape", "weight", "eps")
    dims = list(range(x.ndim - len(shape), x.ndim))
    weight = run.raw(weight)
    eps = torch.finfo(x.dtype).eps if eps is None else eps

    def f(value: Tensor) -> Tensor:
        y = value * value.detach().square().mean(dims, keepdim=True).add(eps).rsqrt()
        return y if weight is None else y * weight

    return _normalise(run, x, f, None, "rms_norm", dims, centred=False)


@parameters_apart
def batch(run: Run, call: Call) -> Tensor:
    """`batch_norm` with the statistics of training, as in evaluation mode.

    Raises:
        TrainingModeError: it uses the statistics of this batch, which mixes documents.
    """
    scale, shift = batch_statistics(run, call)
    (x,) = call.arguments("input")
    return _normalise(run, x, lambda value: value * scale, shift, "batch_norm", [])


@parameters_apart
def group(run: Run, call: Call) -> Tensor:
    """`group_norm`: each group of channels of `[B, C, *]` is normalised like a layer."""
    x, groups, weight, bias, eps = call.arguments("input", "num_groups", "weight", "bias", "eps")
    return _by_groups(run, x, groups, weight, bias, eps, "group_norm")


@parameters_apart
def instance(run: Run, call: Call) -> Tensor:
    """`instance_norm`, `[B, C, *]`: every channel is a group of its own."""
    x, weight, bias, eps = call.arguments("input", "weight", "bias", "eps")
    fixed = instance_statistics(run, call)
    if fixed is None:
        return _by_groups(run, x, x.shape[1], weight, bias, eps, "instance_norm")
    scale, shift = fixed
    return _normalise(run, x, lambda value: value * scale, shift, "instance_norm", [])


def _by_groups(
    run: Run,
    x: Tensor,
    groups: int,
    weight: Tensor | None,
    bias: Tensor | None,
    eps: float,
    name: str,
) -> Tensor:
    weight, bias = (None if t is None else by_channel(run.raw(t), x) for t in (weight, bias))

    def f(value: Tensor) -> Tensor:
        parts = value.reshape(len(value), groups, -1)
        fixed = parts.detach()
        scale = fixed.var(-1, unbiased=False, keepdim=True).add(eps).rsqrt()
        y = ((parts - parts.mean(-1, keepdim=True)) * scale).reshape(value.shape)
        return y if weight is None else y * weight

    return _normalise(run, x, f, bias, name, list(range(1, x.ndim)))


def unit_length(run: Run, call: Call) -> Tensor:
    """`F.normalize`: x divided by its norm, which is the scale."""
    x, p, dim, eps = call.arguments("input", "p", "dim", "eps")
    size = x.detach().norm(p, dim, keepdim=True).clamp_min(eps)
    dims = [d % x.ndim for d in ((dim,) if isinstance(dim, int) else dim)]
    return _normalise(run, x, lambda v: v / size, None, "normalize", dims, centred=False)


def scale(run: Run, call: Call) -> Any:
    """`norm`, `std`, `var`, `rsqrt`: the divisor of a normalisation, a constant like a gate."""
    given = call.args[0]
    mark = run.require_mark(given)
    result = call.function(given.detach(), *call.args[1:], **call.kwargs)
    documents = mark.documents
    if documents is not None and call.name not in ("rsqrt", "reciprocal"):
        dim = call.argument(2 if call.name in ("norm", "vector_norm") else 1, "dim")
        if isinstance(dim, bool):  # std(x, unbiased) has no dimension
            dim = None
        dims = range(given.ndim) if dim is None else (dim,) if isinstance(dim, int) else dim
        keep = result.ndim == given.ndim and math.prod(given.shape) != 1
        documents = docs.reduce(documents, [d % given.ndim for d in dims], keepdim=keep)
    return run.mark(result, gate=True, documents=documents)
