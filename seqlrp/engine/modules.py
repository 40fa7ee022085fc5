"""The modules, parameters and buffers of a model, without their names, and its settings.

Every call needs them, so a plain loop collects them; `named_modules` is slower.
"""

from __future__ import annotations

from collections.abc import Hashable
from itertools import chain
from typing import Any

from torch import Tensor, nn

from seqlrp.engine.nests import tensors_in

_OWN = frozenset(vars(nn.Module())) - {"_buffers"}
BY_VALUE = frozenset((bool, int, float, str, bytes, type(None)))
_LONG, _DEEP = 1000, 4  # containers with more items, or further in, are compared by identity


def modules_of(model: nn.Module) -> list[nn.Module]:
    """Return the model and all modules in it, each once, outer ones first."""
    found, known = [model], {id(model)}
    for module in found:  # which grows
        for inner in module._modules.values():
            if inner is not None and id(inner) not in known:
                known.add(id(inner))
                found.append(inner)
    return found


def parameters_of(model: nn.Module) -> list[nn.Parameter]:
    """Return the parameters of a model; a parameter that n modules share occurs n times."""
    return [p for m in modules_of(model) for p in m._parameters.values() if p is not None]


def tensors_of(model: nn.Module) -> list[Tensor]:
    """Return the parameters and buffers of a model; shared ones occur several times."""
    kept = (table for m in modules_of(model) for table in (m._parameters, m._buffers) if table)
    return [t for table in kept for t in table.values() if t is not None]


def kept_by(model: nn.Module) -> frozenset[int]:
    """Return the addresses of all tensors that modules keep beside parameters, also in dicts."""
    return frozenset(
        id(tensor)
        for module in modules_of(model)
        for name, value in vars(module).items()
        if name not in _OWN
        for tensor in tensors_in(value)
    )


def settings_of(model: nn.Module) -> Hashable:
    """Return what modules keep in Python: numbers and strings by value, all else by identity.

    A model with other settings may run another way. What is outside of its modules is not seen.
    """
    return tuple((id(m), type(m), _setting(vars(m), _DEEP)) for m in modules_of(model))


def _setting(value: Any, depth: int) -> Hashable:
    if type(value) in BY_VALUE:
        return value  # type: ignore[no-any-return]
    if not depth or not isinstance(value, (dict, list, tuple)) or len(value) > _LONG:
        return id(value)
    items = chain.from_iterable(value.items()) if isinstance(value, dict) else value
    return tuple([_setting(item, depth - 1) for item in items])


def is_quantized(model: nn.Module) -> bool:
    """Return whether a module of the model computes with integers of eight bits."""
    return any(".quantized." in type(module).__module__ for module in modules_of(model))
