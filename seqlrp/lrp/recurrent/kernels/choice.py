"""Chooses the kernel of a fused recurrence: the requested one, or the fastest that supports it."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import cache
from typing import Literal

import torch
from torch import Tensor

from seqlrp.engine.recurrent_calls import Weights
from seqlrp.errors import KernelWarning, OptionError
from seqlrp.lrp.recurrent.kernels import compiled, gpu

Kernel = Literal["reference", "torch", "compiled", "triton"]
ELSE = "impl='auto' takes what there is"


def check(impl: str, signal_takes_all: bool) -> None:
    """Check that the kernel `impl` can be used with the chosen laws.

    Raises:
        OptionError: Triton is not installed, or no kernel supports the laws.
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


def choose_kernel(impl: str, kind: str, weights: Sequence[Weights], *inputs: Tensor) -> Kernel:
    """Return the kernel for one layer; `weights` are those of its directions.

    Raises:
        OptionError: `"triton"` is requested and cannot compute the layer; the message says why.
    """
    if impl == "auto":
        narrow = torch.is_autocast_enabled("cpu")
        if not narrow and all(compiled.computes(kind, w, *inputs) for w in weights):
            return "compiled"
        device = inputs[0].device
        if device.type != "cuda" or any(gpu.obstacle(kind, w, *inputs) for w in weights):
            return "torch"
        return "torch" if _fails_with_warning(device) else "triton"
    if impl == "triton":
        obstacles = (gpu.obstacle(kind, each, *inputs) for each in weights)
        reason = next(filter(None, obstacles), None) or gpu.failure(inputs[0].device)
        if reason is not None:
            raise OptionError(f"Got impl 'triton', but {reason}; {ELSE}.")
        return "triton"
    return "reference" if impl == "reference" else "torch"


def kernel_on(device: torch.device | str, kind: str, impl: str = "auto") -> Kernel:
    """Return the name of the kernel that float32 layers of a kind get on a device."""
    gates = 4 if kind == "lstm" else 3
    one = torch.ones(1, 1, device=device)
    column = torch.ones(gates, 1, device=device)
    return choose_kernel(impl, kind, [Weights(column, column)], one)


@cache
def _fails_with_warning(device: torch.device) -> bool:
    """Whether the GPU kernels cannot be used on a device; warn of it once, unless by choice."""
    failure = gpu.failure(device)
    if failure is not None and gpu.installed():
        warnings.warn(
            KernelWarning(
                f"The GPU kernels are not used, for {failure}.",
                "The same relevance is computed by torch, more slowly. Please report this with "
                "what `seqlrp doctor` prints.",
            ),
            stacklevel=2,
        )
    return failure is not None
