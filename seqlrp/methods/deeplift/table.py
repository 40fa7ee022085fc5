"""The table: torch function → how multipliers go through it; what is not in it is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from seqlrp.lrp.functions import MOVES, QUESTIONS, families, family, spelled, works_in_place
from seqlrp.lrp.laws.moving import dropout
from seqlrp.methods.deeplift import laws, normalising, recurrent, selecting

Law = Callable[[Any, Any, Any, Any], Any]

# Taken apart into functions of the table below.
_TAKEN_APART: dict[str, Law] = {
    family("softmax"): normalising.softmax,
    family("log_softmax"): normalising.log_softmax,
    family("logsumexp"): normalising.log_sum_exp,
    family("glu"): normalising.gated_linear_unit,
    family("layer_norm"): normalising.layer,
    family("rms_norm"): normalising.rms,
    family("batch_norm"): normalising.batch,
    family("group_norm"): normalising.group,
    family("instance_norm"): normalising.instance,
    family("normalize"): normalising.unit_length,
    family("cosine_similarity"): normalising.cosine,
    **dict.fromkeys(families(("norm", "vector_norm")), normalising.norm),
    **dict.fromkeys(families(("std", "var")), normalising.spread),
    family("scaled_dot_product_attention"): normalising.scaled_dot_product,
    family("multi_head_attention_forward"): normalising.multi_head,
}

_TABLE: dict[str, Law] = {
    # Linear: multipliers are gradients.
    **dict.fromkeys(MOVES, laws.move),
    **dict.fromkeys(
        families(
            (
                "sum", "mean", "cumsum", "avg_pool1d", "avg_pool2d", "adaptive_avg_pool1d",
                "adaptive_avg_pool2d", "diagonal", "diag", "tril", "triu", "rot90",
            )
        ),
        laws.linear,
    ),
    family("add", "radd"): laws.add,
    family("sub", "subtract", "rsub"): laws.add,
    family("neg", "negative"): laws.negative,
    "setitem": laws.set_item,
    family("copy"): laws.copy,
    **dict.fromkeys((*families(("detach", "requires_grad", "as_tensor")), ".data"), laws.same),
    **dict.fromkeys(
        families(
            (
                "dropout", "alpha_dropout", "feature_dropout", "feature_alpha_dropout",
                "dropout1d", "dropout2d", "dropout3d",
            )
        ),
        dropout,
    ),
    # Products: linear in each factor.
    **dict.fromkeys(
        families(
            (
                "linear", "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d",
                "conv_transpose3d", "bilinear", "einsum", "lerp", "outer", "tensordot", "kron",
            )
        ),
        laws.product,
    ),
    family("matmul", "mm", "bmm", "mv", "dot", "rmatmul"): laws.product,
    family("mul", "multiply", "rmul"): laws.product,
    **dict.fromkeys(families(("addmm", "addmv", "baddbmm", "addcmul")), laws.add_product),
    family("prod"): laws.product_of_all,
    family("div", "divide", "true_divide", "truediv", "rdiv", "rtruediv"): laws.divide,
    # Elementwise: Rescale or RevealCancel.
    **dict.fromkeys(
        families(
            (
                "tanh", "relu", "leaky_relu", "elu", "selu", "celu", "gelu", "silu", "mish",
                "hardtanh", "relu6", "hardswish", "softsign", "tanhshrink", "hardshrink",
                "softshrink", "prelu", "abs", "absolute", "atan", "arctan", "sin", "cos", "tan",
                "sinh", "cosh", "asinh", "arcsinh", "erf", "erfc", "exp2", "expm1", "log1p",
                "log2", "log10", "sigmoid", "hardsigmoid", "softplus", "exp", "logsigmoid", "log",
                "sqrt", "square", "pow", "rpow", "clamp", "clip", "clamp_min", "clamp_max",
                "rsqrt", "reciprocal", "threshold", "logit",
            )
        ),
        laws.elementwise,
    ),
    family("expit"): laws.elementwise,
    **_TAKEN_APART,
    # The largest and the smallest.
    **dict.fromkeys(families(("max", "min", "amax", "amin")), selecting.extreme),
    **dict.fromkeys(families(("maximum", "minimum", "fmax", "fmin")), selecting.larger),
    **dict.fromkeys(
        families(("max_pool1d", "max_pool2d", "adaptive_max_pool1d", "adaptive_max_pool2d")),
        selecting.max_pool,
    ),
    **dict.fromkeys(families(("topk", "sort")), selecting.ordered),
    # Whole recurrences.
    **dict.fromkeys(families(("lstm", "gru", "rnn_tanh", "rnn_relu")), recurrent.sequence),
    **dict.fromkeys(
        families(("lstm_cell", "gru_cell", "rnn_tanh_cell", "rnn_relu_cell")), recurrent.cell
    ),
}  # fmt: skip

# Questions and comparisons: no multiplier goes through the answer.
ASKED: frozenset[str | None] = frozenset(
    (
        *families(
            (
                "_nested_tensor_from_mask_left_aligned", "repr", "str", "format", "hash", "type",
                "eq", "ne", "lt", "le", "gt", "ge", "greater", "less", "isnan", "isinf",
                "isfinite", "argmax", "argmin", "argsort", "allclose", "equal", "zeros_like",
                "ones_like", "empty_like", "full_like", "new_zeros", "new_ones", "new_full",
                "new_empty", "new_tensor", "result_type", "count_nonzero", "nonzero",
            )
        ),
        *QUESTIONS, ".grad", ".grad_fn", ".names",
    )
)  # fmt: skip


def lookup(function: Any) -> Law | None:
    """The law of a function in any of its spellings, or None: it is to be refused."""
    name = spelled(function)
    law = _TABLE.get(name) if name is not None else None
    if law is None or name is None:
        return None
    if name in _TAKEN_APART:
        law = normalising.with_the_same_value(law)
    if not works_in_place(function):
        return law
    if law in (laws.same, laws.copy, dropout):
        return law
    plain = _out_of_place(name)
    if plain is None:
        return None

    def applied(run: Any, spelling: Any, args: Any, kwargs: Any) -> Any:
        return run.in_place(law, plain, args, kwargs)

    return applied


def _out_of_place(name: str) -> Any:
    """The form of a function that returns a new tensor."""
    if name == "expit":
        return torch.sigmoid
    for namespace in (torch, F, Tensor):
        function = getattr(namespace, name, None)
        if function is not None and spelled(function) == name:
            return function
    return None


def ruled() -> tuple[str, ...]:
    """Names of the functions that multipliers go through."""
    return tuple(sorted(_TABLE))
