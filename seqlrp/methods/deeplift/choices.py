"""Comparisons of values, and functions of masks and indices: equal for text and reference.

A comparison, an arg max or an order of values selects the values with which a model continues. No
multiplier passes through such a choice; it is refused if the reference leads to another one.
"""

from __future__ import annotations

from typing import Any

import torch

from seqlrp.engine.functions import Call, full_name, identify
from seqlrp.engine.nests import tensors_among, tensors_in
from seqlrp.methods.deeplift.pairs import PairedRun


def ask(run: PairedRun, call: Call) -> Any:
    """A query of shape or dtype, or a comparison: no multiplier passes through it."""
    with torch.no_grad():
        result = call.function(*call.args, **call.kwargs)
        answers = [t for t in tensors_in(result) if not t.dtype.is_floating_point]
        if answers or isinstance(result, bool):
            reference = call.evaluate(run.partner)
            if not answers and result != reference:
                run.refuse_choice(call.function)
            others = [t for t in tensors_in(reference) if not t.dtype.is_floating_point]
            for mine, other in zip(answers, others, strict=True):
                if not torch.equal(mine, other):
                    run.pair(mine, other)
    return result


def choose(run: PairedRun, call: Call) -> Any:
    """A function of masks or indices that differ between text and reference."""
    entry = identify(call.function)
    if (entry is not None and entry.in_place) or full_name(call.function).endswith("_"):
        run.check_choices(call.function, tensors_among(call.args, call.kwargs))
        return call.function(*call.args, **call.kwargs)
    with torch.no_grad():
        result = call.function(*call.args, **call.kwargs)
        reference = call.evaluate(run.partner)
    mine, others = tensors_in(result), tensors_in(reference)
    if not mine and result != reference:
        run.refuse_choice(call.function)
    for one, other in zip(mine, others, strict=True):
        if one.shape != other.shape or not torch.equal(one, other):
            if one.dtype.is_floating_point or one.shape != other.shape:
                run.refuse_choice(call.function)
            run.pair(one, other)
    return result
