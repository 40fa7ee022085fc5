"""What a model is made of, without names: asked in every call, and so in a plain loop."""

from __future__ import annotations

from torch import Tensor, nn


def modules_of(model: nn.Module) -> list[nn.Module]:
    """The model and all modules in it, each once."""
    found: dict[int, nn.Module] = {}
    waiting: list[nn.Module | None] = [model]
    while waiting:
        module = waiting.pop()
        if module is not None and id(module) not in found:
            found[id(module)] = module
            waiting.extend(module._modules.values())
    return list(found.values())


def parameters_of(model: nn.Module) -> list[nn.Parameter]:
    """Its parameters; one that several modules share stands here as often."""
    return [p for m in modules_of(model) for p in m._parameters.values() if p is not None]


def tensors_of(model: nn.Module) -> list[Tensor]:
    """Its parameters and buffers, as `parameters_of`."""
    modules = modules_of(model)
    kept = [table for m in modules for table in (m._parameters, m._buffers)]
    return [t for table in kept for t in table.values() if t is not None]
