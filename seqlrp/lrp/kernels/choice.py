"""Which kernel computes a fused recurrence: the one asked for, or the best that can."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from seqlrp.errors import OptionError
from seqlrp.lrp.kernels import compiled, gpu
from seqlrp.lrp.recurrent import Weights

Way = Literal["reference", "torch", "compiled", "triton"]
ELSE = "impl='auto' takes what there is"


def check(impl: str, signal_takes_all: bool) -> None:
    """Refuse `"triton"` where it is not installed, or laws are asked for that no kernel knows.

    Raises:
        OptionError: either is so.
    """
    if impl != "triton":
        return
    if not gpu.installed():
        raise OptionError(f"Got impl 'triton', but {gpu.NOT_INSTALLED}; {ELSE}.")
    if not signal_takes_all:
        raise OptionError(
            f"Got impl 'triton', which computes recurrences with gate_rule 'all', bias_factor 0 "
            f"and no rule of their own; {ELSE}."
        )


def chosen(impl: str, kind: str, weights: Sequence[Weights], *inputs: Tensor) -> Way:
    """The kernel for one layer, whose directions have these weights.

    Raises:
        OptionError: `"triton"` is asked for and cannot compute it; the message says why.
    """
    if impl == "auto":
        narrow = torch.is_autocast_enabled("cpu")
        if not narrow and all(compiled.computes(kind, w, *inputs) for w in weights):
            return "compiled"
        on_gpu = inputs[0].is_cuda
        if on_gpu and all(gpu.obstacle(kind, w, *inputs) is None for w in weights):
            return "triton"
        return "torch"
    if impl == "triton":
        for each in weights:
            obstacle = gpu.obstacle(kind, each, *inputs)
            if obstacle is not None:
                raise OptionError(f"Got impl 'triton', but {obstacle}; {ELSE}.")
        return "triton"
    return "reference" if impl == "reference" else "torch"
