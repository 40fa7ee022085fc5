"""Softmax, normalisation and attention: taken apart into sums, products, quotients and squares."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from seqlrp.lrp.functions import spelled
from seqlrp.lrp.laws import attention
from seqlrp.lrp.laws.normalisation import given_by_name, mixes_documents, scale_and_shift
from seqlrp.lrp.marks import tensors_in
from seqlrp.methods.deeplift import laws, rules

if TYPE_CHECKING:
    from seqlrp.methods.deeplift.run import Lockstep


def with_the_same_value(law: Callable[..., Any]) -> Callable[..., Any]:
    """The law of a function that is taken apart, refused if its parts do not make its value."""

    def applied(run: Lockstep, function: Any, args: Any, kwargs: Any) -> Any:
        result = law(run, function, args, kwargs)
        with torch.no_grad():
            own = function(*run.values(args), **run.values(kwargs))
        for mine, theirs in zip(tensors_in(result), tensors_in(own), strict=True):
            near = torch.finfo(mine.dtype).eps ** 0.5
            size = float(theirs.abs().nan_to_num(0.0, posinf=0.0).max()) if theirs.numel() else 0.0
            if mine.shape != theirs.shape or not torch.allclose(
                mine.detach(), theirs, rtol=near, atol=near * size, equal_nan=True
            ):
                run.refuse(
                    function, "with arguments for which it is not known how to take it apart"
                )
        return result

    return applied


class _Exponentials:
    """eˣ for text and reference with one shift for both, so that none overflows; and their sums."""

    def __init__(self, run: Lockstep, x: Tensor, dim: Any) -> None:
        x0, x = run.partner(x), x.detach()
        shift = torch.maximum(x.amax(dim, keepdim=True), x0.amax(dim, keepdim=True))
        shift = shift.masked_fill(~shift.isfinite(), 0)
        x, x0 = x - shift, x0 - shift
        e, e0 = x.exp(), x0.exp()
        self.slopes = rules.rescale(torch.exp, x, x0, e, e0)
        self.sums = e.sum(dim, keepdim=True), e0.sum(dim, keepdim=True)


def softmax(run: Lockstep, function: Any, args: Any, kwargs: Any) -> Tensor:
    """`softmax`: eˣ under Rescale, divided by its sum; every multiplier is at most 2."""
    x, dim, rest = _along(args, kwargs)
    if rest.get("dtype") is not None:
        x = run.call(Tensor.to, (x, rest["dtype"]), {})
    parts = _Exponentials(run, x, dim)
    mean_sum = (parts.sums[0] + parts.sums[1]) / 2
    value, reference = torch.softmax(x.detach(), dim), torch.softmax(run.partner(x), dim)
    exponentials = torch.where(parts.slopes == 0, 0, x) * parts.slopes  # masks add -inf
    total = exponentials.sum(dim, keepdim=True)
    surrogate = (exponentials - (value + reference) / 2 * total) / mean_sum
    return run.exact(surrogate, value, reference)


def log_softmax(run: Lockstep, function: Any, args: Any, kwargs: Any) -> Tensor:
    """`log_softmax`: x less the logarithm of the sum of eˣ."""
    x, dim, rest = _along(args, kwargs)
    if rest.get("dtype") is not None:
        x = run.call(Tensor.to, (x, rest["dtype"]), {})
    total = run.call(torch.logsumexp, (x, dim, True), {})
    return run.call(torch.sub, (x, total), {})  # type: ignore[no-any-return]


def log_sum_exp(run: Lockstep, function: Any, args: Any, kwargs: Any) -> Tensor:
    """`logsumexp`: log Σ eˣ, Rescale on both; the multipliers are weights that add up to ≤ 1."""
    x = args[0]
    dim = kwargs.get("dim", args[1] if len(args) > 1 else None)
    dim = tuple(range(x.ndim)) if dim is None else dim
    keep = bool(kwargs.get("keepdim", args[2] if len(args) > 2 else False))
    parts = _Exponentials(run, x, dim)
    y, y0 = torch.logsumexp(x.detach(), dim, True), torch.logsumexp(run.partner(x), dim, True)
    middle = (parts.sums[0] + parts.sums[1]) / 2
    slope = rules.secant(*parts.sums, y, y0, 1 / middle)
    weights = parts.slopes * slope
    surrogate = (torch.where(weights == 0, 0, x) * weights).sum(dim, keepdim=True)
    result = run.exact(surrogate, y, y0)
    if keep:
        return result
    shape = torch.logsumexp(x.detach(), dim).shape
    return run.call(torch.reshape, (result, tuple(shape)), {})  # type: ignore[no-any-return]


def _along(args: Any, kwargs: Any) -> tuple[Tensor, int, dict[str, Any]]:
    """A value, the dimension, and the rest of the arguments of a softmax by any name."""
    rest = dict(kwargs)
    dim = rest.pop("dim", args[1] if len(args) > 1 else None)
    if len(args) > 2 and isinstance(args[-1], torch.dtype):
        rest["dtype"] = args[-1]
    if dim is None:
        dim = 0 if args[0].ndim in (0, 1, 3) else 1  # PyTorch's own guess
    return args[0], dim, rest


# Normalisations


def _centred(run: Lockstep, x: Tensor, dims: Any) -> Tensor:
    mean = run.call(torch.mean, (x, dims), {"keepdim": True})
    return run.call(torch.sub, (x, mean), {})  # type: ignore[no-any-return]


def _by_root_mean_square(run: Lockstep, x: Tensor, dims: Any, eps: float) -> Tensor:
    """x / √(mean(x²) + eps)."""
    square = run.call(torch.mean, (run.call(torch.square, (x,), {}), dims), {"keepdim": True})
    root = run.call(torch.sqrt, (run.call(torch.add, (square, eps), {}),), {})
    return run.call(torch.div, (x, root), {})  # type: ignore[no-any-return]


def _affine(run: Lockstep, x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    if weight is not None:
        x = run.call(torch.mul, (x, weight), {})
    return x if bias is None else run.call(torch.add, (x, bias), {})


def layer(run: Lockstep, function: Any, args: Any, kwargs: Any) -> Tensor:
    """`layer_norm`: centred, and divided by its own standard deviation."""
    names = ("input", "normalized_shape", "weight", "bias", "eps")
    x, shape, weight, bias, eps = given_by_name(names, args, kwargs)
    dims = tuple(range(-len(shape), 0))
    y = _by_root_mean_square(run, _centred(run, x, dims), dims, 1e-5 if eps is None else eps)
    return _affine(run, y, weight, bias)


def rms(run: Lockstep, function: Any, args: Any, kwargs: Any) -> Tensor:
    """`rms_norm`: divided by its own root mean square."""
    x, shape, weight, eps = given_by_name(
        ("input", "normalized_shape", "weight", "eps"), args, kwargs
    )
    eps = torch.finfo(x.dtype).eps if eps is None else eps
    return _affine(
        run, _by_root_mean_square(run, x, tuple(range(-len(shape), 0)), eps), weight, None
    )


def batch(run: Lockstep, function: Any, args: Any, kwargs: Any) -> Tensor:
    """`batch_norm` with the statistics of training, as in evaluation mode: linear.

    Raises:
        TrainingModeError: it takes the statistics of this batch, which mixes documents.
    """
    names = (
        "input", "running_mean", "running_var", "weight", "bias", "training", "momentum", "eps",
    )  # fmt: skip
    x, mean, var, weight, bias, training, _, eps = given_by_name(names, args, kwargs)
    if training or mean is None:
        raise mixes_documents(run.place_in_words())
    return _fixed_statistics(run, x, mean, var, weight, bias, 1e-5 if eps is None else eps)


def _fixed_statistics(
    run: Lockstep,
    x: Tensor,
    mean: Tensor,
    var: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    eps: float,
) -> Tensor:
    scale, shift = scale_and_shift(run.raw, x, mean, var, weight, bias, eps)
    return _affine(run, x, scale, shift)


def group(run: Lockstep, function: Any, args: Any, kwargs: Any) -> Tensor:
    """`group_norm`: as `layer_norm`, for groups of the channels of `[B, C, *]`."""
    names = ("input", "num_groups", "weight", "bias", "eps")
    x, groups, weight, bias, eps = given_by_name(names, args, kwargs)
    return _by_groups(run, x, groups, weight, bias, eps)


def instance(run: Lockstep, function: Any, args: Any, kwargs: Any) -> Tensor:
    """`instance_norm`, `[B, C, *]`: every channel is a group of its own."""
    names = (
        "input", "running_mean", "running_var", "weight", "bias", "use_input_stats", "momentum",
        "eps",
    )  # fmt: skip
    x, mean, var, weight, bias, of_input, _, eps = given_by_name(names, args, kwargs)
    if mean is not None and of_input is False:
        eps = 1e-5 if eps is None else eps
        return _fixed_statistics(run, x, mean, var, weight, bias, eps)
    return _by_groups(run, x, x.shape[1], weight, bias, eps)


def _by_groups(
    run: Lockstep,
    x: Tensor,
    groups: int,
    weight: Tensor | None,
    bias: Tensor | None,
    eps: float | None,
) -> Tensor:
    parts = run.call(torch.reshape, (x, (len(x), groups, -1)), {})
    y = _by_root_mean_square(run, _centred(run, parts, -1), -1, 1e-5 if eps is None else eps)
    y = run.call(torch.reshape, (y, tuple(x.shape)), {})
    per_channel = (-1, *(1,) * (x.ndim - 2))
    weight, bias = (None if t is None else run.raw(t).reshape(per_channel) for t in (weight, bias))
    return _affine(run, y, weight, bias)


def unit_length(run: Lockstep, function: Any, args: Any, kwargs: Any) -> Tensor:
    """`F.normalize`: divided by its own norm."""
    x, p, dim, eps = given_by_name(("input", "p", "dim", "eps"), args, kwargs)
    size = run.call(
        torch.norm, (x, 2.0 if p is None else p, 1 if dim is None else dim), {"keepdim": True}
    )
    size = run.call(torch.clamp_min, (size, 1e-12 if eps is None else eps), {})
    return run.call(torch.div, (x, size), {})  # type: ignore[no-any-return]


def cosine(run: Lockstep, function: Any, args: Any, kwargs: Any) -> Tensor:
    """`cosine_similarity`: the product of two values of unit length."""
    x1, x2, dim, eps = given_by_name(("x1", "x2", "dim", "eps"), args, kwargs)
    dim, eps = 1 if dim is None else dim, 1e-8 if eps is None else eps
    sides = tuple(
        unit_length(run, function, (x, 2.0, dim, eps), {})
        if run.known(x) is not None
        else torch.nn.functional.normalize(x.detach(), dim=dim, eps=eps)
        for x in (x1, x2)
    )
    return run.call(torch.sum, (run.call(torch.mul, sides, {}), dim), {})  # type: ignore[no-any-return]


_WHERE = ("dim", "keepdim")


def norm(run: Lockstep, function: Any, args: Any, kwargs: Any) -> Tensor:
    """`norm`, `vector_norm`: (Σ |x|ᵖ)^(1/p)."""
    given = dict(zip(("input", "p", "dim", "keepdim"), args, strict=False)) | kwargs
    x, p, dim, keep = given["input"], given.get("p", given.get("ord")), *map(given.get, _WHERE)
    p = 2.0 if p is None or p == "fro" else float(p)
    dims = tuple(range(x.ndim)) if dim is None else dim
    size = run.call(torch.abs, (x,), {}) if p != 2 else x
    if p == float("inf"):
        return run.call(torch.amax, (size, dims), {"keepdim": bool(keep)})  # type: ignore[no-any-return]
    if p <= 0:
        run.refuse(function, f"of order {p}")
    powers = run.call(torch.pow, (size, p), {})
    total = run.call(torch.sum, (powers, dims), {"keepdim": bool(keep)})
    return run.call(torch.pow, (total, 1 / p), {})  # type: ignore[no-any-return]


def spread(run: Lockstep, function: Any, args: Any, kwargs: Any) -> Tensor:
    """`var`, `std`: the mean of squares about the mean."""
    rest = dict(kwargs)
    x, unbiased = args[0], rest.pop("unbiased", None)
    dim = rest.pop("dim", args[1] if len(args) > 1 else None)
    if isinstance(dim, bool):  # std(x, unbiased)
        dim, unbiased = None, dim
    if len(args) > 2:
        unbiased = args[2]
    keep = bool(rest.pop("keepdim", args[3] if len(args) > 3 else False))
    correction = rest.pop("correction", 0 if unbiased is False else 1)
    dims = tuple(range(x.ndim)) if dim is None else (dim,) if isinstance(dim, int) else tuple(dim)
    count = torch.Size([x.shape[d] for d in dims]).numel() - correction
    square = run.call(torch.square, (_centred(run, x, dims),), {})
    total = run.call(torch.sum, (square, dims), {"keepdim": keep})
    y = run.call(torch.div, (total, count), {})
    return run.call(torch.sqrt, (y,), {}) if spelled(function) == "std" else y  # type: ignore[no-any-return]


# Attention and gated units, as they are taken apart for LRP


def gated_linear_unit(run: Lockstep, function: Any, args: Any, kwargs: Any) -> Tensor:
    """`glu`: the first half times the sigmoid of the second (Dauphin et al. 2017)."""
    dim = kwargs.get("dim", args[1] if len(args) > 1 else -1)
    signal, gating = run.call(torch.chunk, (args[0], 2, dim), {})
    return laws.product(run, torch.mul, (signal, run.call(torch.sigmoid, (gating,), {})), {})


def scaled_dot_product(run: Any, function: Any, args: Any, kwargs: Any) -> Tensor:
    """`scaled_dot_product_attention`: softmax(q kᵀ · scale + mask) v."""
    return attention.scaled_dot_product(run, function, args, kwargs)


def multi_head(run: Any, function: Any, args: Any, kwargs: Any) -> tuple[Tensor, Tensor | None]:
    """`multi_head_attention_forward`, what `nn.MultiheadAttention` calls; `[L, B, E]`."""
    return attention.multi_head(run, function, args, kwargs)
