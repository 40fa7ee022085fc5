"""LRP's table: the law of each kind of torch function; other functions are refused by name.

    python -m seqlrp.lrp.table

prints what each law does, with the functions that have it: the page docs/reference/functions.md.
"""

from __future__ import annotations

import inspect
import sys
from typing import Any

import torch

from seqlrp.engine import decompositions
from seqlrp.engine.dispatch import Law, Table
from seqlrp.engine.functions import Kind, function_name, random_functions
from seqlrp.lrp.laws import (
    elementwise,
    log_space,
    maps,
    moving,
    normalisation,
    products,
    reductions,
    softmax,
    sums,
)
from seqlrp.lrp.laws.activations import BY_ELEMENT, follow_argument
from seqlrp.lrp.laws.bounded import follow_bounds
from seqlrp.lrp.recurrent import calls
from seqlrp.lrp.run import Run

# Transparent: linear without a bias, or a selection; automatic differentiation is right as it is.
_TRANSPARENT: dict[Kind, Law[Run]] = {
    Kind.MOVE: moving.move,
    Kind.CAST: moving.cast,
    Kind.ASSIGNMENT: moving.assign,
    Kind.COPY: moving.copy,
    Kind.FILL: moving.fill,
    Kind.SAME: moving.same,
    Kind.DROPOUT: moving.dropout,
    Kind.QUESTION: moving.ask,
    Kind.ANSWER: moving.ask,
    Kind.REDUCTION: reductions.reduce,
    Kind.EXTREME: reductions.reduce,
    Kind.ORDER: reductions.along_last,
    Kind.RUNNING_SUM: reductions.along_last,
    Kind.AVERAGE_POOLING: reductions.along_last,
    Kind.MAX_POOLING: reductions.along_last,
}

# Ruled: a law of LRP decides how γ is propagated.
_RULED: dict[Kind, Law[Run]] = {
    Kind.LINEAR: maps.linear,
    Kind.CONVOLUTION: maps.convolution,
    Kind.PRODUCT: follow_bounds(products.multiply),
    Kind.MATRIX_PRODUCT: products.multiply_matrices,
    Kind.EINSUM: products.einsum,
    Kind.QUOTIENT: follow_bounds(products.divide),
    Kind.SUM: follow_bounds(sums.add),
    Kind.ADDED_PRODUCT: sums.add_product,
    Kind.NEGATION: follow_bounds(sums.negate),
    Kind.ACTIVATION: follow_bounds(elementwise.identity),
    Kind.GATE: elementwise.gate,
    Kind.SOFTPLUS: follow_bounds(elementwise.squashing),
    Kind.EXPONENTIAL: elementwise.weights,
    Kind.LOGARITHM: log_space.logarithm,
    Kind.POWER: elementwise.root_or_power,
    Kind.CLAMP: follow_bounds(elementwise.clamp),
    Kind.INVERSE: normalisation.scale,
    Kind.SIZE: normalisation.scale,
    Kind.LARGER: reductions.larger,
    Kind.RUNNING: reductions.running,
    Kind.TENSOR_PRODUCT: decompositions.take_apart,
    Kind.COMPOSED: decompositions.take_apart,
    Kind.LOOKUP: decompositions.take_apart,
    Kind.RECURRENCE: calls.sequence,
    Kind.CELL: calls.cell,
}

# Exceptions, by name: these are not decomposed.
_BY_NAME: dict[str, Law[Run]] = {
    "softmax": softmax.softmax,
    "log_softmax": elementwise.weights,
    "logsumexp": softmax.log_sum_exp,
    "layer_norm": normalisation.layer,
    "rms_norm": normalisation.rms,
    "batch_norm": normalisation.batch,
    "group_norm": normalisation.group,
    "instance_norm": normalisation.instance,
    "normalize": normalisation.unit_length,
}

TABLE: Table[Run] = Table(_RULED | _TRANSPARENT, _BY_NAME).with_wrapped_laws(
    BY_ELEMENT, follow_argument
)


def ruled() -> tuple[str, ...]:
    """Return the names of the functions with a law of LRP."""
    return tuple(sorted(set(TABLE.laws) - set(transparent())))


def transparent() -> tuple[str, ...]:
    """Return the names of the functions through which γ flows like a gradient."""
    return tuple(sorted(n for n in TABLE.laws if TABLE.kind(n) in _TRANSPARENT))


_PAGE = """# Which functions have a law

*This page is what `python -m seqlrp.lrp.table` prints; a test compares the two.*

While a model runs, every torch function that it calls with a value that depends on the words is
looked up here. A function in the tables is explained by its law; any other is refused by name,
together with the module that called it. Functions of constants alone (weights, masks, positions)
need no law.

A name stands for all spellings of a function: `mul` is `torch.mul`, `Tensor.mul` and `*`, and
`relu` is also `nn.ReLU` and `F.relu`. Aliases are in brackets. A name that begins with a dot is an
attribute of a tensor. In-place forms, such as `mul_` and `*=`, are supported for
{in_place}.

`embedding` and `embedding_bag` read the words: relevance ends there.

## Ruled

A law of LRP decides. [The laws](../explanation/laws.md) has the formulas and their sources.
{ruled}
## Transparent

Linear without a bias, a selection, or a query of shape or dtype: relevance flows like a gradient.
{transparent}
## Refused

All other functions are refused by name. With `on_unknown="absorb"` they absorb the relevance that
reaches them instead, and the ledger shows its amount as `refused`.

These functions draw random numbers. They are refused even for constants, because the result would
change from call to call:

{random}
"""


def as_markdown() -> str:
    """Return the page docs/reference/functions.md: each function with a law, and that law."""
    writing = sorted({*TABLE.names_in_place(), "setitem"})
    return _PAGE.format(
        in_place=", ".join(f"`{name}`" for name in writing),
        ruled=_laws_as_markdown(ruled()),
        transparent=_laws_as_markdown(transparent()),
        random=", ".join(f"`{name}`" for name in random_functions()),
    )


def _laws_as_markdown(names: tuple[str, ...]) -> str:
    """Return a table for each module of laws, with a row for each law."""
    aliases = _aliases()

    def shown(name: str) -> str:
        others = ", ".join(f"`{alias}`" for alias in sorted(aliases.get(name, ())))
        return f"`{name}` ({others})" if others else f"`{name}`"

    by_module: dict[str, dict[Any, list[str]]] = {}
    for name, law in TABLE.laws.items():
        if law is decompositions.take_apart:
            law = decompositions.DECOMPOSITIONS[name]
        if name in names:
            by_module.setdefault(law.__module__, {}).setdefault(law, []).append(name)
    lines: list[str] = []
    for module, laws in by_module.items():
        lines += ["", _first_sentence(sys.modules[module])]
        lines += ["", "| functions | what the law does |", "| --- | --- |"]
        for law, its in laws.items():
            lines.append(f"| {', '.join(map(shown, sorted(its)))} | {_first_sentence(law)} |")
    return "\n".join([*lines, ""])


def _first_sentence(documented: Any) -> str:
    """Return the first paragraph of a docstring, on one line of a table."""
    doc = inspect.getdoc(documented)
    assert doc is not None, f"{documented} has no docstring"
    return " ".join(doc.split("\n\n")[0].split()).replace("|", "\\|")


def _aliases() -> dict[str, set[str]]:
    """Return the aliases of each function."""
    found: dict[str, set[str]] = {}
    for namespace in (torch, torch.Tensor):
        for name in dir(namespace):
            function = getattr(namespace, name)
            known = function_name(function) if callable(function) else None
            also = getattr(function, "__name__", "")
            if known and known in TABLE.laws and also == name.strip("_") != known:
                found.setdefault(known, set()).add(name)
    return found


if __name__ == "__main__":
    print(as_markdown(), end="")
