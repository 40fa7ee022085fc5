"""Normalisations: the scale is a constant, what is left is linear and has one bias.

y = (x − mean) · c + b with c = weight / √(var + eps) held constant (Ba et al. 2016 for the layer;
the constant scale as in Ali et al. 2022, eq. 8): a linear map under the ε-rule.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from seqlrp.errors import TrainingModeError
from seqlrp.lrp import documents as docs
from seqlrp.lrp.due import Due
from seqlrp.lrp.functions import spelled

if TYPE_CHECKING:
    from seqlrp.lrp.propagate import Propagation


def given_by_name(names: tuple[str, ...], args: Any, kwargs: Any) -> list[Any]:
    """The arguments with these names, None where they were left out."""
    given = dict(zip(names, args, strict=False)) | kwargs
    return [given.get(name) for name in names]


def _normalised(
    run: Propagation,
    given: Tensor,
    f: Callable[[Tensor], Tensor],
    bias: Tensor | None,
    name: str,
    together: list[int],
    *,
    centred: bool = True,
) -> Tensor:
    """f(x) + bias, f linear; what lies along the dimensions `together` is one document's.

    Not `centred`, and without a bias, f only scales: nothing is added up that could cancel.
    """
    mark = run.known(given)
    assert mark is not None
    documents = mark.documents
    if documents is not None:
        documents = docs.reduced(documents, together, keepdim=True)
    y = f(run.signal(given, mark, name))
    if bias is not None:
        y = run.absorb(y + bias, bias, "bias", name, documents)
    made = (name, run.booked_place())
    due = Due("sum", run.epsilon, made) if centred or bias is not None else None
    return run.mark(y, due=due, documents=documents)


def layer(run: Propagation, function: Any, args: Any, kwargs: Any) -> Tensor:
    """`layer_norm`: centred and scaled; the scale is a constant, the bias keeps its share."""
    names = ("input", "normalized_shape", "weight", "bias", "eps")
    x, shape, weight, bias, eps = given_by_name(names, args, kwargs)
    dims = list(range(x.ndim - len(shape), x.ndim))
    weight, bias = run.raw(weight), run.raw(bias)

    def f(value: Tensor) -> Tensor:
        fixed = value.detach()
        scale = fixed.var(dims, unbiased=False, keepdim=True).add(_eps(eps)).rsqrt()
        centred = (value - value.mean(dims, keepdim=True)) * scale
        return centred if weight is None else centred * weight

    return _normalised(run, x, f, bias, "layer_norm", dims)


def rms(run: Propagation, function: Any, args: Any, kwargs: Any) -> Tensor:
    """`rms_norm`: scaled by a constant, which passes everything on."""
    x, shape, weight, eps = given_by_name(
        ("input", "normalized_shape", "weight", "eps"), args, kwargs
    )
    dims = list(range(x.ndim - len(shape), x.ndim))
    weight = run.raw(weight)
    eps = torch.finfo(x.dtype).eps if eps is None else eps

    def f(value: Tensor) -> Tensor:
        y = value * value.detach().square().mean(dims, keepdim=True).add(eps).rsqrt()
        return y if weight is None else y * weight

    return _normalised(run, x, f, None, "rms_norm", dims, centred=False)


def batch(run: Propagation, function: Any, args: Any, kwargs: Any) -> Tensor:
    """`batch_norm` with the statistics of training, as in evaluation mode.

    Raises:
        TrainingModeError: it takes the statistics of this batch, which mixes documents.
    """
    names = ("input", "running_mean", "running_var", "weight", "bias", "training")
    x, mean, var, weight, bias, training = given_by_name(names, args, kwargs)
    eps = kwargs.get("eps", args[7] if len(args) > 7 else None)
    if training or mean is None:
        raise mixes_documents(run.place_in_words())
    return _fixed_statistics(run, x, mean, var, weight, bias, _eps(eps), "batch_norm")


def mixes_documents(place: str) -> TrainingModeError:
    """The refusal of batch normalisation that takes the statistics of the batch."""
    return TrainingModeError(
        f"Batch normalisation in {place} takes the statistics of this batch, so that documents "
        f"change each other's scores; call model.eval(), with running statistics kept."
    )


def scale_and_shift(
    raw: Callable[[Any], Any],
    x: Tensor,
    mean: Tensor,
    var: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    eps: float,
) -> tuple[Tensor, Tensor]:
    """c = weight / √(var + eps) and bias − mean · c of fixed statistics, along the channels of x.

    `raw` takes off what a tensor carries along.
    """
    scale = raw(var).add(eps).rsqrt()
    if weight is not None:
        scale = scale * raw(weight)
    shift = -raw(mean) * scale
    if bias is not None:
        shift = shift + raw(bias)
    shape = (-1, *(1,) * (x.ndim - 2))
    return scale.reshape(shape), shift.reshape(shape)


def _fixed_statistics(
    run: Propagation,
    x: Tensor,
    mean: Tensor,
    var: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    eps: float,
    name: str,
) -> Tensor:
    scale, shift = scale_and_shift(run.raw, x, mean, var, weight, bias, eps)
    return _normalised(run, x, lambda value: value * scale, shift, name, [])


def group(run: Propagation, function: Any, args: Any, kwargs: Any) -> Tensor:
    """`group_norm`: as `layer_norm`, for groups of the channels of `[B, C, *]`."""
    x, groups, weight, bias, eps = given_by_name(
        ("input", "num_groups", "weight", "bias", "eps"), args, kwargs
    )
    return _by_groups(run, x, groups, weight, bias, _eps(eps), "group_norm")


def instance(run: Propagation, function: Any, args: Any, kwargs: Any) -> Tensor:
    """`instance_norm`, `[B, C, *]`: every channel is a group of its own."""
    names = (
        "input", "running_mean", "running_var", "weight", "bias", "use_input_stats", "momentum",
        "eps",
    )  # fmt: skip
    x, mean, var, weight, bias, of_input, _, eps = given_by_name(names, args, kwargs)
    if mean is not None and of_input is False:
        return _fixed_statistics(run, x, mean, var, weight, bias, _eps(eps), "instance_norm")
    return _by_groups(run, x, x.shape[1], weight, bias, _eps(eps), "instance_norm")


def _by_groups(
    run: Propagation,
    x: Tensor,
    groups: int,
    weight: Tensor | None,
    bias: Tensor | None,
    eps: float,
    name: str,
) -> Tensor:
    per_channel = (-1, *(1,) * (x.ndim - 2))
    weight = None if weight is None else run.raw(weight).reshape(per_channel)
    bias = None if bias is None else run.raw(bias).reshape(per_channel)

    def f(value: Tensor) -> Tensor:
        parts = value.reshape(len(value), groups, -1)
        fixed = parts.detach()
        scale = fixed.var(-1, unbiased=False, keepdim=True).add(eps).rsqrt()
        y = ((parts - parts.mean(-1, keepdim=True)) * scale).reshape(value.shape)
        return y if weight is None else y * weight

    return _normalised(run, x, f, bias, name, list(range(1, x.ndim)))


def unit_length(run: Propagation, function: Any, args: Any, kwargs: Any) -> Tensor:
    """`F.normalize`: x divided by its norm, which is the scale."""
    x, p, dim, eps = given_by_name(("input", "p", "dim", "eps"), args, kwargs)
    p, dim, eps = p or 2.0, 1 if dim is None else dim, 1e-12 if eps is None else eps
    size = x.detach().norm(p, dim, keepdim=True).clamp_min(eps)
    dims = [d % x.ndim for d in ((dim,) if isinstance(dim, int) else dim)]
    return _normalised(run, x, lambda v: v / size, None, "normalize", dims, centred=False)


def cosine(run: Propagation, function: Any, args: Any, kwargs: Any) -> Tensor:
    """`cosine_similarity`: two values of unit length, which share equally."""
    x1, x2, dim, eps = given_by_name(("x1", "x2", "dim", "eps"), args, kwargs)
    dim, eps = 1 if dim is None else dim, 1e-8 if eps is None else eps
    sides = [
        unit_length(run, function, (x, 2.0, dim, eps), {})
        if run.known(x) is not None
        else torch.nn.functional.normalize(x.detach(), dim=dim, eps=eps)
        for x in (x1, x2)
    ]
    return run.call(torch.sum, (run.call(torch.mul, tuple(sides), {}), dim), {})  # type: ignore[no-any-return]


def scale(run: Propagation, function: Any, args: Any, kwargs: Any) -> Any:
    """`norm`, `std`, `var`, `rsqrt`: what a value is divided by, a constant like a gate's."""
    given = args[0]
    mark = run.known(given)
    assert mark is not None
    result = function(given.detach(), *args[1:], **kwargs)
    if spelled(function) in ("rsqrt", "reciprocal"):
        return run.mark(result, gate=True, documents=mark.documents)
    documents = mark.documents
    if documents is not None:
        place = 2 if spelled(function) in ("norm", "vector_norm") else 1
        dim = kwargs.get("dim", args[place] if len(args) > place else None)
        if isinstance(dim, bool):  # std(x, unbiased) has no dimension
            dim = None
        dims = range(given.ndim) if dim is None else (dim,) if isinstance(dim, int) else dim
        keep = result.ndim == given.ndim and math.prod(given.shape) != 1
        documents = docs.reduced(documents, [d % given.ndim for d in dims], keepdim=keep)
    return run.mark(result, gate=True, documents=documents)


def _eps(eps: float | None) -> float:
    return 1e-5 if eps is None else eps
