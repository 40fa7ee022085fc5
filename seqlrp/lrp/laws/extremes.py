"""The largest or smallest elements along a dimension, as max pooling takes them.

γ moves to those elements alone. PyTorch does the same, but for several targets it copies the zeros
around them once more; and it puts sequences in another order than a recurrent layer reads them in.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from seqlrp.engine.functions import Call
from seqlrp.lrp.targets import OfTargets


def extremes(value: Tensor, call: Call) -> Any:
    """Return values and indices of `max` or `min` along one dimension of a signal."""
    name, dim = call.name, call.argument(1, "dim") % value.ndim
    keep = bool(call.argument(2, "keepdim", False))
    found = _Extremes.apply(value, name, dim, keep)  # type: ignore[no-untyped-call]
    return getattr(torch.return_types, name)(found)


class _Extremes(torch.autograd.Function):
    """`torch.max` or `torch.min` along a dimension."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, name: str, dim: int, keep: bool) -> tuple[Tensor, Tensor]:
        values, indices = getattr(torch, name)(value, dim, keep)
        ctx.mark_non_differentiable(indices)
        ctx.save_for_backward(indices if keep else indices.unsqueeze(dim))
        ctx.shape, ctx.dim, ctx.keep = value.shape, dim, keep
        return values, indices

    @staticmethod
    def backward(ctx: Any, gamma: Tensor, _: Any) -> Any:
        (indices,) = ctx.saved_tensors
        gamma = gamma if ctx.keep else gamma.unsqueeze(ctx.dim)
        if torch._C._functorch.is_batchedtensor(gamma):
            placed = _Place.apply(gamma, indices, ctx.shape, ctx.dim)  # type: ignore[no-untyped-call]
        else:
            placed = _place(gamma.unsqueeze(0), indices, ctx.shape, ctx.dim)[0]
        return placed, None, None, None


class _Place(OfTargets):
    """`_place` for γ of several targets under `torch.vmap`."""

    @staticmethod
    def vmap(
        info: Any, in_dims: Any, gamma: Tensor, indices: Tensor, shape: Sequence[int], dim: int
    ) -> tuple[Tensor, int]:
        return _place(gamma.movedim(in_dims[0], 0), indices, shape, dim), 0


def _place(gamma: Tensor, indices: Tensor, shape: Sequence[int], dim: int) -> Tensor:
    """Return γ `[targets, *shape]`, which is that of each target at `indices` and 0 elsewhere.

    In memory `dim` comes first, and the targets before the last dimension: as a recurrent layer
    reads γ of its outputs, if `dim` is that of the steps.
    """
    targets, others = len(gamma), [d for d in range(len(shape)) if d != dim]
    order = [dim, *others]
    place = len(order) - 1 if len(order) > 1 else 1
    sizes = [shape[d] for d in order]
    memory = gamma.new_zeros(*sizes[:place], targets, *sizes[place:])
    found = memory.movedim(place, 0).movedim(1, dim + 1)
    return found.scatter_(dim + 1, indices.expand(targets, *indices.shape), gamma)
