"""Running functions: of all elements up to each along a dimension, by the rule of the whole."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from seqlrp.engine.functions import Call
from seqlrp.methods.deeplift import laws, selecting, softmax
from seqlrp.methods.deeplift.pairs import PairedRun


def product(run: PairedRun, call: Call) -> Tensor:
    """`cumprod`: the exact Shapley value of the factors up to each element."""
    x, dim = call.args[0], call.argument(1, "dim")
    return laws.average_gradient(run, call, x.shape[dim])


def extreme(run: PairedRun, call: Call) -> Any:
    """`cummax`, `cummin`: the winners up to each element, as in a maximum."""
    x, dim = call.args[0], call.argument(1, "dim")
    found, reference = run.both(call)
    i, j = found[1], reference[1]
    y = selecting.share_winners(run, x, i, j, dim, least=call.name == "cummin")
    if not torch.equal(i, j):
        run.pair(i, j)
    return type(found)((y, i))


def log_sum_exp(run: PairedRun, call: Call) -> Tensor:
    """`logcumsumexp`: a logsumexp over the elements up to each, with memory for all pairs."""
    x, dim = call.args[0], call.argument(1, "dim")
    rows = run.do(torch.unsqueeze, run.do(torch.movedim, x, dim, -1), -2)
    steps = x.shape[dim]
    pairs = run.do(Tensor.expand, rows, (*rows.shape[:-2], steps, steps))
    later = torch.ones(steps, steps, dtype=torch.bool, device=x.device).triu(1)
    pairs = run.do(torch.masked_fill, pairs, later, -torch.inf)
    whole = Call(torch.logsumexp, "logsumexp", (pairs, -1), {})
    return run.do(torch.movedim, softmax.log_sum_exp(run, whole), -1, dim)
