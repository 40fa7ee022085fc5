"""The table: torch function → law. Three lists: ruled, transparent, refused.

A function that is on none of the first two is refused by name; `RANDOM` is refused wherever it
stands. `ruled()` and `transparent()` list the names for people, and

    python -m seqlrp.lrp.table

prints all three lists with what each law does: the page docs/functions.md.
"""

from __future__ import annotations

import inspect
import sys
from typing import Any

import torch

from seqlrp.lrp import fused
from seqlrp.lrp.functions import (
    MOVES,
    QUESTIONS,
    families,
    family,
    full_name,
    spelled,
    works_in_place,
)
from seqlrp.lrp.laws import (
    attention,
    elementwise,
    maps,
    moving,
    normalisation,
    products,
    reductions,
    sums,
)
from seqlrp.lrp.laws.in_place import Law, copy, in_place

# Ruled: a law of LRP decides what γ does.
_RULED: dict[str, Law] = {
    family("linear"): maps.linear,
    **dict.fromkeys(
        families(
            (
                "conv1d", "conv2d", "conv3d",
                "conv_transpose1d", "conv_transpose2d", "conv_transpose3d",
            )
        ),
        maps.convolution,
    ),
    family("bilinear"): maps.bilinear,
    family("matmul", "mm", "bmm", "mv", "dot", "rmatmul"): products.multiply_matrices,
    family("einsum"): products.einsum,
    family("addmm", "addmv", "baddbmm"): sums.add_product,
    family("addcmul"): sums.add_product,
    family("add", "radd"): sums.add,
    family("sub", "subtract", "rsub"): sums.add,
    family("neg", "negative"): sums.negative,
    family("mul", "multiply", "rmul"): products.multiply,
    family("div", "divide", "true_divide", "truediv", "rdiv", "rtruediv"): products.divide,
    **dict.fromkeys(
        families(
            (
                "tanh", "relu", "leaky_relu", "elu", "selu", "celu", "gelu", "silu", "mish",
                "hardtanh", "relu6", "hardswish", "softsign", "tanhshrink", "hardshrink",
                "softshrink", "prelu", "abs", "absolute", "atan", "arctan", "sin", "sinh", "asinh",
                "arcsinh", "erf", "expm1", "log1p",
            )
        ),
        elementwise.identity,
    ),
    **dict.fromkeys(families(("sigmoid", "hardsigmoid")), elementwise.gate),
    family("expit"): elementwise.gate,
    family("softplus"): elementwise.squashing,
    family("softmax"): attention.softmax,
    **dict.fromkeys(families(("exp", "log_softmax", "logsigmoid")), elementwise.weights),
    family("log"): elementwise.of_gates,
    **dict.fromkeys(families(("sqrt", "square", "pow")), elementwise.root_or_power),
    **dict.fromkeys(families(("clamp", "clip", "clamp_min", "clamp_max")), elementwise.clamp),
    family("glu"): elementwise.gated_linear_unit,
    family("lerp"): elementwise.interpolation,
    family("layer_norm"): normalisation.layer,
    family("rms_norm"): normalisation.rms,
    family("batch_norm"): normalisation.batch,
    family("group_norm"): normalisation.group,
    family("instance_norm"): normalisation.instance,
    family("normalize"): normalisation.unit_length,
    family("cosine_similarity"): normalisation.cosine,
    **dict.fromkeys(
        families(("norm", "vector_norm", "std", "var", "rsqrt", "reciprocal")), normalisation.scale
    ),
    family("scaled_dot_product_attention"): attention.scaled_dot_product,
    family("multi_head_attention_forward"): attention.multi_head,
    **dict.fromkeys(families(("maximum", "minimum", "fmax", "fmin")), reductions.larger),
    family("logsumexp"): reductions.log_sum_exp,
    **dict.fromkeys(families(("lstm", "gru", "rnn_tanh", "rnn_relu")), fused.sequence),
    **dict.fromkeys(
        families(("lstm_cell", "gru_cell", "rnn_tanh_cell", "rnn_relu_cell")), fused.cell
    ),
}  # fmt: skip

# Transparent: linear without a bias, or a selection; automatic differentiation is right as it is.
_TRANSPARENT: dict[str, Law] = {
    **dict.fromkeys(MOVES, moving.move),
    **dict.fromkeys(
        families(
            ("to", "type_as", "cpu", "cuda", "float", "double", "half", "bfloat16", "contiguous")
        ),
        moving.cast,
    ),
    "setitem": moving.set_item,
    family("copy"): copy,
    **dict.fromkeys((*families(("detach", "requires_grad", "as_tensor")), ".data"), moving.same),
    **dict.fromkeys(
        families(
            (
                "dropout", "alpha_dropout", "feature_dropout", "feature_alpha_dropout",
                "dropout1d", "dropout2d", "dropout3d",
            )
        ),
        moving.dropout,
    ),
    **dict.fromkeys(families(("sum", "mean", "max", "min", "amax", "amin")), reductions.reduce),
    **dict.fromkeys(
        families(
            (
                "max_pool1d", "adaptive_max_pool1d", "avg_pool1d", "adaptive_avg_pool1d",
                "max_pool2d", "adaptive_max_pool2d", "avg_pool2d", "adaptive_avg_pool2d",
                "topk", "sort", "cumsum",
            )
        ),
        reductions.along_last,
    ),
    **dict.fromkeys(
        families(
            (
                "_nested_tensor_from_mask_left_aligned",  # asks whether padding is on the right
                "repr", "str", "format", "hash", "type", "eq", "ne", "lt", "le", "gt", "ge",
                "greater", "less", "isnan", "isinf", "isfinite", "argmax", "argmin", "argsort",
                "allclose", "equal", "zeros_like",
                "ones_like", "empty_like", "full_like", "new_zeros", "new_ones", "new_full",
                "new_empty", "new_tensor", "result_type",
            )
        ),
        moving.ask,
    ),
    **dict.fromkeys((*QUESTIONS, ".grad", ".grad_fn", ".names"), moving.ask),
}  # fmt: skip

# Refused even on constants: the answer would change from call to call.
RANDOM: frozenset[Any] = frozenset(
    getattr(torch, name)
    for name in (
        "rand", "randn", "randint", "randperm", "rand_like", "randn_like", "randint_like",
        "normal", "bernoulli", "multinomial", "poisson",
    )
) | frozenset(
    getattr(torch.Tensor, name)
    for name in (
        "normal_", "uniform_", "bernoulli", "bernoulli_", "exponential_", "random_", "multinomial",
        "cauchy_", "log_normal_", "geometric_",
    )
)  # fmt: skip

RANDOM_NAMES = frozenset(
    (
        "F.gumbel_softmax", "F.rrelu", "torch.nn.init.normal_", "torch.nn.init.uniform_",
        "torch.nn.init.kaiming_normal_", "torch.nn.init.kaiming_uniform_",
        "torch.nn.init.xavier_normal_", "torch.nn.init.xavier_uniform_",
        "torch.nn.init.trunc_normal_", "torch.nn.init.orthogonal_",
    )
)  # fmt: skip

_TABLE = _TRANSPARENT | _RULED
_OUT_OF_PLACE: dict[str, Any] = {
    "add": torch.add, "sub": torch.sub, "mul": torch.mul, "div": torch.div, "neg": torch.neg,
    "tanh": torch.tanh, "relu": torch.relu, "sigmoid": torch.sigmoid, "hardsigmoid":
    torch.nn.functional.hardsigmoid, "leaky_relu": torch.nn.functional.leaky_relu,
    "elu": torch.nn.functional.elu, "selu": torch.selu, "celu": torch.celu,
    "silu": torch.nn.functional.silu, "mish": torch.nn.functional.mish,
    "hardtanh": torch.nn.functional.hardtanh, "relu6": torch.nn.functional.relu6,
    "hardswish": torch.nn.functional.hardswish, "exp": torch.exp, "addcmul": torch.addcmul,
    "addmm": torch.addmm, "baddbmm": torch.baddbmm, "addmv": torch.addmv,
    "masked_fill": torch.masked_fill, "index_put": torch.index_put,
    "index_copy": torch.index_copy, "scatter": torch.scatter, "expit": torch.sigmoid,
}  # fmt: skip


def lookup(function: Any) -> Law | None:
    """The law of a function in any of its spellings, or None: it is to be refused."""
    name = spelled(function)
    law = _TABLE.get(name) if name is not None else None
    if law is None or name is None or not works_in_place(function):
        return law
    if law in (moving.same, moving.dropout, copy):
        return law
    if name in _OUT_OF_PLACE:
        return in_place(law, _OUT_OF_PLACE[name])
    return None


def ruled() -> tuple[str, ...]:
    """Names of the functions that have a law of LRP."""
    return tuple(sorted(_RULED))


def transparent() -> tuple[str, ...]:
    """Names of the functions through which γ goes as a gradient does."""
    return tuple(sorted(_TRANSPARENT))


_PAGE = """# Which functions have a law

*This page is what `python -m seqlrp.lrp.table` prints; a test compares the two.*

While a model runs, every torch function that it calls with a value made of the words is looked up
here. What is found is explained by its law; everything else is refused by name, together with the
module that called it. Functions of constants alone (weights, masks, positions) are free.

A name stands for all spellings of a function: `mul` is `torch.mul`, `Tensor.mul` and `*`, and
`relu` is `nn.ReLU` and `F.relu` too. Aliases stand in brackets. What begins with a dot is an
attribute of a tensor. Forms that work in place, such as `mul_` and `*=`, are known of
{in_place}.

`embedding` and `embedding_bag` are where words are read: relevance ends there.

## Ruled

A law of LRP decides. [laws.md](laws.md) has the formulas and their sources.
{ruled}
## Transparent

Linear without a bias, a selection, or a question: relevance goes as a gradient would.
{transparent}
## Refused

Everything else is refused by name. With `on_unknown="absorb"` it takes what reaches it instead,
and the ledger shows how much, as `refused`.

These draw random numbers, and are refused even of constants, since the answer would change from
call to call:

{random}
"""


def as_markdown() -> str:
    """The page docs/functions.md: which functions have a law, and what each law does."""
    drawn = sorted({full_name(function) for function in RANDOM} | RANDOM_NAMES)
    writing = sorted({*_OUT_OF_PLACE, "copy", "setitem"})
    return _PAGE.format(
        in_place=", ".join(f"`{name}`" for name in writing),
        ruled=_laws_as_markdown(_RULED),
        transparent=_laws_as_markdown(_TRANSPARENT),
        random=", ".join(f"`{name}`" for name in drawn),
    )


def _laws_as_markdown(listed: dict[str, Law]) -> str:
    """A table for each module of laws, with a row for each law."""
    aliases = _aliases()

    def shown(name: str) -> str:
        others = ", ".join(f"`{alias}`" for alias in sorted(aliases.get(name, ())))
        return f"`{name}` ({others})" if others else f"`{name}`"

    by_module: dict[str, dict[Law, list[str]]] = {}
    for name, law in listed.items():
        by_module.setdefault(law.__module__, {}).setdefault(law, []).append(name)
    lines: list[str] = []
    for module, laws in by_module.items():
        lines += ["", _first_sentence(sys.modules[module])]
        lines += ["", "| functions | what the law does |", "| --- | --- |"]
        for law, names in laws.items():
            lines.append(f"| {', '.join(map(shown, sorted(names)))} | {_first_sentence(law)} |")
    return "\n".join([*lines, ""])


def _first_sentence(documented: Any) -> str:
    """The first paragraph of a docstring, on one line of a table."""
    doc = inspect.getdoc(documented)
    assert doc is not None, f"{documented} has no docstring"
    return " ".join(doc.split("\n\n")[0].split()).replace("|", "\\|")


def _aliases() -> dict[str, set[str]]:
    """What else people call the functions of a family."""
    found: dict[str, set[str]] = {}
    for namespace in (torch, torch.Tensor):
        for name in dir(namespace):
            function = getattr(namespace, name)
            known = spelled(function) if callable(function) else None
            also = getattr(function, "__name__", "")
            if known and function not in RANDOM and also == name.strip("_") != known:
                found.setdefault(known, set()).add(name)
    return found


if __name__ == "__main__":
    print(as_markdown(), end="")
