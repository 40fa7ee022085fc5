"""Checks that a model, its input and the state of torch are after an explanation as before."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


def hooks(module: nn.Module) -> dict[str, int]:
    return {
        f"{name}.{attribute}": len(value)
        for name, part in module.named_modules()
        for attribute, value in vars(part).items()
        if "hooks" in attribute and isinstance(value, dict)
    }


def snapshot(model: nn.Module, ids: Tensor) -> dict[str, Any]:
    stack = torch.overrides._get_current_function_mode_stack()
    return {
        "state": {k: (v.numpy().tobytes(), v.data_ptr()) for k, v in model.state_dict().items()},
        "training": {name: m.training for name, m in model.named_modules()},
        "requires_grad": {name: p.requires_grad for name, p in model.named_parameters()},
        "grad": {
            name: None if p.grad is None else p.grad.numpy().tobytes()
            for name, p in model.named_parameters()
        },
        "parameter hooks": {
            name: (bool(p._backward_hooks), len(vars(p))) for name, p in model.named_parameters()
        },
        "attributes": {
            name: sorted(k for k in vars(m) if not k.startswith("__"))
            for name, m in model.named_modules()
        },
        "forwards": {name: m.forward.__func__ for name, m in model.named_modules()},
        "hooks": hooks(model),
        "ids": (ids.tolist(), sorted(vars(ids)), ids.requires_grad, ids._version),
        "grad enabled": torch.is_grad_enabled(),
        "inference": torch.is_inference_mode_enabled(),
        "default dtype": torch.get_default_dtype(),
        "default device": torch.get_default_device(),
        "rng": torch.get_rng_state().tolist(),
        "modes": [id(mode) for mode in stack],
        "threads": torch.get_num_threads(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "cudnn": torch.backends.cudnn.enabled,
        "anomaly": torch.is_anomaly_enabled(),
        "functions": (torch.lstm, torch.gru, torch.embedding, nn.functional.embedding, Tensor.add),
    }


@contextmanager
def nothing_changes(model: nn.Module, ids: Tensor) -> Iterator[None]:
    before = snapshot(model, ids)
    try:
        yield
    finally:
        after = snapshot(model, ids)
        for name, value in before.items():
            assert after[name] == value, name
