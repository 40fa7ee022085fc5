"""Gates in other spellings than a sigmoid: a bounded activation that was scaled to 0 to 1.

`(tanh(x / 2) + 1) / 2` is the sigmoid of x and `(erf(x / √2) + 1) / 2` that of a probit;
`relu6(x + 3) / 6` and `clamp(0.2 x + 0.5, 0, 1)`, the "hard sigmoid" of Keras, are piecewise linear
forms. In a product they are gates as it is. So the laws of the functions that they are made of note
between which numbers a value lies.
"""

from __future__ import annotations

import math
from functools import wraps

import torch
from torch import Tensor

from seqlrp.engine.dispatch import Law
from seqlrp.engine.functions import Call
from seqlrp.lrp.run import Run

Bounds = tuple[float, float]
_OF_ACTIVATIONS: dict[str, Bounds] = {
    **dict.fromkeys(("tanh", "erf", "softsign"), (-1.0, 1.0)),
    "atan": (-math.pi / 2, math.pi / 2),
    "relu6": (0.0, 6.0),
    "softplus": (0.0, math.inf),
}
_CLAMPS = {"clamp": ("min", "max"), "clip": ("min", "max"), "hardtanh": ("min_val", "max_val")}
_TOLERANCE = 1e-5  # of bounds that were scaled by numbers such as 0.166667


def follow_bounds(law: Law[Run]) -> Law[Run]:
    """Let a law note the bounds of its result, which is a gate where they are 0 and 1."""

    @wraps(law)
    def bounded(run: Run, call: Call) -> Tensor:
        bounds = _bounds(run, call)
        y: Tensor = law(run, call)
        mark = None if bounds is None else run.known(y)
        if mark is not None and bounds is not None:
            mark.bounds = bounds
            mark.gate = mark.gate or (
                abs(bounds[0]) <= _TOLERANCE and abs(bounds[1] - 1) <= _TOLERANCE
            )
        return y

    return bounded


def _bounds(run: Run, call: Call) -> Bounds | None:
    """Return the numbers between which the result of a call lies, where they are known."""
    if call.name in _OF_ACTIVATIONS:
        return _OF_ACTIVATIONS[call.name]
    if call.name in _CLAMPS:
        low, high = (
            call.argument(place, name, None) for place, name in enumerate(_CLAMPS[call.name], 1)
        )
        numbers = isinstance(low, int | float) and isinstance(high, int | float)
        return (float(low), float(high)) if numbers else None
    ends: list[object] = []
    found: Bounds | None = None
    for operand in call.args:
        if isinstance(operand, Tensor):
            mark = run.known(operand)
            if found is not None or mark is None or mark.bounds is None:
                return None
            found = mark.bounds
            ends.append(torch.tensor(found, dtype=torch.float64))
        elif isinstance(operand, int | float):
            ends.append(operand)
        else:
            return None
    if found is None or call.kwargs:
        return None
    first, second = call.function(*ends).tolist()
    return min(first, second), max(first, second)
