"""Copies of a model that share its parameters and have everything else for themselves.

A run of the copy leaves the buffers, counters and states of the model as they are.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from contextlib import contextmanager
from types import FunctionType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from seqlrp.engine.modules import modules_of, parameters_of
from seqlrp.engine.nests import tensors_in


def not_twinned(model: nn.Module) -> str:
    """Return why no copy of a model can be kept apart from it, as far as can be told; or "".

    Functions as hooks may have side effects outside of the model.
    """
    everywhere = nn.modules.module
    if everywhere._global_forward_hooks or everywhere._global_forward_pre_hooks:
        return "hooks are registered for all modules"
    for name, module in model.named_modules():
        where = f"module '{name}'" if name else "the model"
        hooks = (*module._forward_hooks.values(), *module._forward_pre_hooks.values())
        if any(isinstance(hook, FunctionType) for hook in hooks):
            return f"{where} has a function as a forward hook"
        if "forward" in vars(module):
            return f"the forward of {where} is a function that was put in its place"
    return ""


def twin(model: nn.Module) -> nn.Module:
    """Return a copy of a model that shares its parameters.

    Raises:
        Exception: something that the model keeps cannot be copied, as a lock or a file.
    """
    memo: dict[int, Any] = {id(p): p for p in parameters_of(model)}
    for module in modules_of(model):
        for kept in tensors_in(vars(module)):  # torch copies no tensors that have a graph
            if not kept.is_leaf:
                memo[id(kept)] = _copy(kept)
    return copy.deepcopy(model, memo)


def _copy(tensor: Tensor) -> Tensor:
    return tensor.detach().clone().requires_grad_(tensor.requires_grad)


def random_state() -> tuple[Any, ...]:
    """Return the random state of Python, NumPy and torch."""
    on_cuda = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    devices = torch.cuda.get_rng_state_all() if on_cuda else None
    return random.getstate(), np.random.get_state(), torch.get_rng_state(), devices


@contextmanager
def same_random_state(state: tuple[Any, ...] | None = None) -> Iterator[None]:
    """Begin with a random state, by default as it is, and leave it as it was before."""
    before = random_state()
    try:
        if state is not None:
            _set_random_state(state)
        yield
    finally:
        _set_random_state(before)


def _set_random_state(state: tuple[Any, ...]) -> None:
    python, numpy, cpu, devices = state
    random.setstate(python)
    np.random.set_state(numpy)
    torch.set_rng_state(cpu)
    if devices is not None:
        torch.cuda.set_rng_state_all(devices)
