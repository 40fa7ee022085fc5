"""LSTM and GRU layers of a model that reads many variants of a text, without a graph.

Variants that lack different words begin alike, and end alike: what they share is computed once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from seqlrp.engine.recurrent_calls import RecurrentCall, parse_layer
from seqlrp.lrp.recurrent.kernels import compiled


class SharedReading(TorchFunctionMode):
    """A torch function mode in which variants of a text are read together where they agree.

    It replaces `torch.lstm` and `torch.gru` in float32 on a CPU where no graph is built; everything
    else is called as it is. Variants of one text must be neighbours in the batch.
    """

    def __torch_function__(
        self, function: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        if function in (torch.lstm, torch.gru) and not kwargs and not torch.is_grad_enabled():
            given = parse_layer("lstm" if function is torch.lstm else "gru", args)
            if _computes(given):
                return _read(given)
        return function(*args, **(kwargs or {}))


def _computes(given: RecurrentCall) -> bool:
    weights = given.all_weights(lambda weight: weight)
    return (
        not (given.training and given.dropout)
        and given.data.ndim == (2 if given.packed else 3)
        and given.data.numel() > 0
        and not torch.is_autocast_enabled("cpu")
        and all(compiled.computes(given.kind, own, given.data, *given.states) for own in weights)
    )


def _read(given: RecurrentCall) -> tuple[Tensor, ...]:
    """Return what `torch.lstm` or `torch.gru` returns."""
    steps, x = given.steps(), given.data
    if not given.packed:
        x = x.transpose(0, 1) if given.batch_first else x
        shape = x.shape[:2]
        x = x.reshape(-1, x.shape[-1])
    weights = given.all_weights(lambda weight: weight)
    finals: list[Sequence[Tensor]] = []
    for layer in range(given.layers):
        part = slice(layer * given.directions, (layer + 1) * given.directions)
        states = [state[part] for state in given.states]
        x, final = compiled.read(given.kind, x, states, weights[part], steps)
        finals.append(final)
    if not given.packed:
        x = x.reshape(*shape, -1)
        x = x.transpose(0, 1) if given.batch_first else x
    return (x, *(torch.cat(parts) for parts in zip(*finals, strict=True)))
