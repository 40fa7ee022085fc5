"""Attention as one function: taken apart into the products and the softmax that it is made of."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from seqlrp.errors import TrainingModeError
from seqlrp.lrp.laws.elementwise import weights

if TYPE_CHECKING:
    from seqlrp.lrp.propagate import Propagation


def softmax(run: Propagation, function: Any, args: Any, kwargs: Any) -> Tensor:
    """`softmax`: weights that are constants, or a signal under the rule of AttnLRP.

    AttnLRP, R_x = x · (R_s − s · Σ R_s) (Achtibat et al. 2024, prop. 3.1), is gradient × input of
    the softmax, so that γ goes back as a gradient does; what is missing is booked as a constant.
    """
    if run.options.attention == "constant":
        return weights(run, function, args, kwargs)
    kwargs = dict(kwargs)
    given = args[0] if args else kwargs.pop("input")
    mark = run.known(given)
    assert mark is not None
    if not given.requires_grad:  # of gates that carry no graph
        return weights(run, function, (given, *args[1:]), kwargs)
    x = run.signal(given, mark, "softmax")
    book = run.booker("constant", "softmax", run.booked_place(), mark.documents)
    y: Tensor = _Softmax.apply(  # type: ignore[no-untyped-call]
        x, lambda value: function(value, *args[1:], **kwargs), book
    )
    return run.mark(y, documents=mark.documents)


class _Softmax(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, f: Any, book: Any) -> Tensor:
        ctx.f, ctx.book = f, book
        ctx.save_for_backward(x)
        return f(x)  # type: ignore[no-any-return]

    @staticmethod
    def backward(ctx: Any, gamma: Tensor) -> Any:
        (x,) = ctx.saved_tensors
        with torch.enable_grad():
            leaf = x.detach().requires_grad_()
            y = ctx.f(leaf)
        (gamma_x,) = torch.autograd.grad(y, leaf, gamma)
        passed = (gamma_x * x).masked_fill(gamma_x == 0, 0)  # masks add -inf
        ctx.book(gamma * y.detach() - passed)
        return gamma_x, None, None


def scaled_dot_product(run: Propagation, function: Any, args: Any, kwargs: Any) -> Tensor:
    """`scaled_dot_product_attention`: softmax(q kᵀ · scale + mask) v."""
    names = ("query", "key", "value", "attn_mask", "dropout_p", "is_causal")
    given = dict(zip(names, args, strict=False)) | kwargs
    q, k, v = given["query"], given["key"], given["value"]
    if given.get("dropout_p"):
        _refuse_dropout(run)
    if given.get("enable_gqa"):
        groups = q.shape[-3] // k.shape[-3]
        k, v = (run.call(torch.repeat_interleave, (t, groups, -3), {}) for t in (k, v))
    scale = given.get("scale")
    scale = 1 / math.sqrt(q.shape[-1]) if scale is None else scale
    mask = given.get("attn_mask")
    if given.get("is_causal"):
        shape = (q.shape[-2], k.shape[-2])
        mask = torch.ones(shape, dtype=torch.bool, device=q.device).tril()
    if mask is not None and mask.dtype == torch.bool:
        mask = _additive(~mask, q.dtype)
    return _attended(run, q, k, v, scale, mask)[0]


def _attended(
    run: Propagation, q: Tensor, k: Tensor, v: Tensor, scale: float, mask: Tensor | None
) -> tuple[Tensor, Tensor]:
    """softmax(q kᵀ · scale + mask) v, and the softmax."""
    scores = run.call(torch.mul, (q, scale), {})
    scores = run.call(torch.matmul, (scores, run.call(torch.transpose, (k, -2, -1), {})), {})
    if mask is not None:
        scores = _masked(run, scores, mask)
    attention = run.call(torch.softmax, (scores, -1), {})
    return run.call(torch.matmul, (attention, v), {}), attention


_HEADS = (
    "query", "key", "value", "embed_dim_to_check", "num_heads", "in_proj_weight", "in_proj_bias",
    "bias_k", "bias_v", "add_zero_attn", "dropout_p", "out_proj_weight", "out_proj_bias",
    "training", "key_padding_mask", "need_weights", "attn_mask", "use_separate_proj_weight",
    "q_proj_weight", "k_proj_weight", "v_proj_weight", "static_k", "static_v",
    "average_attn_weights", "is_causal",
)  # fmt: skip


def multi_head(
    run: Propagation, function: Any, args: Any, kwargs: Any
) -> tuple[Tensor, Tensor | None]:
    """`multi_head_attention_forward`, what `nn.MultiheadAttention` calls; `[L, B, E]`."""
    defaults = {"training": True, "need_weights": True, "average_attn_weights": True}
    given: dict[str, Any] = defaults | dict(zip(_HEADS, args, strict=False)) | kwargs
    if given["dropout_p"] and given["training"]:
        _refuse_dropout(run)
    for name in ("bias_k", "bias_v", "static_k", "static_v"):
        if given.get(name) is not None:
            run.refuse(function, f"{name} in attention")
    if given.get("add_zero_attn"):
        run.refuse(function, "add_zero_attn in attention")
    inputs = [given[name] for name in ("query", "key", "value")]
    alone = inputs[0].ndim == 2  # [L, E]: a batch of one
    if alone:
        inputs = [run.call(torch.unsqueeze, (t, 1), {}) for t in inputs]
    if given.get("use_separate_proj_weight"):
        projections = [given[f"{name}_proj_weight"] for name in "qkv"]
    else:
        projections = run.raw(given["in_proj_weight"]).chunk(3)
    biases = given["in_proj_bias"]
    biases = (None,) * 3 if biases is None else run.raw(biases).chunk(3)
    heads = given["num_heads"]
    q, k, v = (
        _split(run, run.call(F.linear, (x, w, b), {}), heads)
        for x, w, b in zip(inputs, projections, biases, strict=True)
    )
    mask = _merged_mask(given, q, k)
    # [B, heads, L, E / heads] and [B, heads, L, S]
    mixed, attention = _attended(run, q, k, v, 1 / math.sqrt(q.shape[-1]), mask)
    mixed = run.call(torch.permute, (mixed, (2, 0, 1, 3)), {})
    mixed = run.call(torch.flatten, (mixed, 2), {})
    out = run.call(F.linear, (mixed, given["out_proj_weight"], given["out_proj_bias"]), {})
    if given["need_weights"] and given["average_attn_weights"]:
        attention = run.call(torch.mean, (attention, 1), {})
    if alone:
        out = run.call(torch.squeeze, (out, 1), {})
        attention = run.call(torch.squeeze, (attention, 0), {})
    return out, attention if given["need_weights"] else None


def _split(run: Propagation, x: Tensor, heads: int) -> Tensor:
    """`[L, B, E]` to `[B, heads, L, E / heads]`."""
    x = run.call(torch.Tensor.unflatten, (x, -1, (heads, -1)), {})
    return run.call(torch.permute, (x, (1, 2, 0, 3)), {})  # type: ignore[no-any-return]


def _merged_mask(given: dict[str, Any], q: Tensor, k: Tensor) -> Tensor | None:
    """Both masks as one that is added to the scores `[B, heads, L, S]`."""
    merged = None
    padding, mask = given.get("key_padding_mask"), given.get("attn_mask")
    if padding is not None:
        merged = _additive(padding, q.dtype).reshape(-1, 1, 1, k.shape[-2])
    if mask is not None:
        mask = _additive(mask, q.dtype)
        if mask.ndim == 3:  # [B · heads, L, S]
            mask = mask.reshape(-1, q.shape[1], *mask.shape[1:])
        merged = mask if merged is None else merged + mask
    return merged


def _masked(run: Propagation, scores: Tensor, mask: Tensor) -> Tensor:
    """Scores with a mask added; one of zeros and -inf chooses, and adds nothing."""
    if bool(((mask == 0) | (mask == -math.inf)).all()):
        return run.call(torch.masked_fill, (scores, mask != 0, -math.inf), {})  # type: ignore[no-any-return]
    return run.call(torch.add, (scores, mask), {})  # type: ignore[no-any-return]


def _additive(mask: Tensor, dtype: torch.dtype) -> Tensor:
    if mask.dtype != torch.bool:
        return mask.detach()
    return torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill(mask, -math.inf)


def _refuse_dropout(run: Propagation) -> None:
    raise TrainingModeError(
        f"Dropout in the attention of {run.place_in_words()} is on and draws random numbers, so "
        f"the answer changes from call to call; call model.eval() first."
    )
