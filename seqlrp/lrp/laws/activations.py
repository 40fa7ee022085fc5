"""Activations that are written out: x times a function of x, as GELU in the code of BERT and GPT-2.

`x * 0.5 * (1 + erf(x / √2))` is `F.gelu(x)`, `x * relu6(x + 3) / 6` is `F.hardswish(x)`, and
`x * sigmoid(x)` is `F.silu(x)`. As a product of two signals, half would go to the second factor,
and the 1 in it would keep a share. So the laws of functions of single elements note of which value
their result is a function; a multiple of x times a function of x with an activation or a gate in
it is itself an activation of x with f(0) = 0, which has the identity rule.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from torch import Tensor

from seqlrp.engine.decompositions import quotient_operands
from seqlrp.engine.dispatch import Law
from seqlrp.engine.following import constant
from seqlrp.engine.functions import Call, Kind, names_of_kind
from seqlrp.engine.nests import tensors_among
from seqlrp.lrp.marks import Argument, Value
from seqlrp.lrp.run import Run

# Each element of the result is a function of the element of the operand.
BY_ELEMENT = (
    Kind.PRODUCT, Kind.QUOTIENT, Kind.SUM, Kind.NEGATION, Kind.ACTIVATION, Kind.GATE,
    Kind.SOFTPLUS, Kind.CLAMP, Kind.POWER, Kind.CAST,
)  # fmt: skip
_SCALING = names_of_kind(Kind.PRODUCT, Kind.QUOTIENT, Kind.NEGATION, Kind.CAST)
_CURVED = names_of_kind(Kind.ACTIVATION, Kind.GATE, Kind.SOFTPLUS, Kind.CLAMP)


def follow_argument(law: Law[Run]) -> Law[Run]:
    """Let a law note the value of which its result is a function, if it is one value alone."""

    @wraps(law)
    def followed(run: Run, call: Call) -> Any:
        argument = _common_argument(run, call)
        y = law(run, call)
        mark = None if argument is None else run.known(y)
        if mark is not None and argument is not None and mark.argument is None:
            mark.argument = argument._replace(version=y._version)
        return y

    return followed


def _common_argument(run: Run, call: Call) -> Argument | None:
    """Return the argument of the result of a call; None if it depends on several values."""
    values = [t for t in tensors_among(call.args, call.kwargs) if run.known(t) is not None]
    arguments = [run.require_mark(t).argument_of(t) for t in values]
    if not arguments or any(argument.token is not arguments[0].token for argument in arguments):
        return None
    scaled = call.name in _SCALING and len(values) == 1 and arguments[0].scaled
    if scaled and call.name == "div":
        scaled = quotient_operands(run, call)[0] is values[0]
    curved = call.name in _CURVED or any(argument.curved for argument in arguments)
    return arguments[0]._replace(scaled=scaled, curved=curved)


def activation(
    run: Run, f: Callable[..., Tensor], operands: list[Any], documents: Tensor | None
) -> Tensor | None:
    """Return the product of a multiple of x and a function of x under the identity rule.

    None for all other products.
    """
    marks = [mark for operand in operands if (mark := run.known(operand)) is not None]
    if len(operands) != 2 or len(marks) != 2 or not all(map(_is_plain, marks)):
        return None
    one, other = (m.argument_of(t) for m, t in zip(marks, operands, strict=True))
    k = 0 if one.scaled and not marks[0].gate else 1
    if one.token is not other.token or not (one, other)[k].scaled or marks[k].gate:
        return None
    if not (one, other)[1 - k].curved:  # a power of x, say, or x · (1 − x)
        return None
    x, factor = operands[k], constant(operands[1 - k])
    return run.mark(f(run.signal(x, marks[k], "mul"), factor), documents=documents)


def _is_plain(mark: Value) -> bool:
    return not (mark.inert or mark.mixed or mark.logarithm or mark.parts is not None)
