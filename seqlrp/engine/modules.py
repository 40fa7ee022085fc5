"""The modules, parameters and buffers of a model, without their names.

Every call needs them, so a plain loop collects them; `named_modules` is slower.
"""

from __future__ import annotations

from torch import Tensor, nn

from seqlrp.engine.nests import tensors_in

_OWN = frozenset(vars(nn.Module())) - {"_buffers"}


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


def is_quantized(model: nn.Module) -> bool:
    """Return whether a module of the model computes with integers of eight bits."""
    return any(".quantized." in type(module).__module__ for module in modules_of(model))
