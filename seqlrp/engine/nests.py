"""Nested tuples, lists and dicts of tensors: the arguments and results of functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

_PLAIN = frozenset((int, float, bool, str, type(None)))  # types that hold no tensor


def tensors_in(value: object) -> list[Tensor]:
    """Return all tensors in nested tuples, lists and dicts, in order."""
    if isinstance(value, Tensor):
        return [value]
    found: list[Tensor] = []
    if isinstance(value, (tuple, list, dict)):
        _collect(value, found)
    return found


def _collect(nest: Any, found: list[Tensor]) -> None:
    for item in nest.values() if isinstance(nest, dict) else nest:
        if type(item) in _PLAIN:
            continue
        if isinstance(item, Tensor):
            found.append(item)
        elif isinstance(item, (tuple, list, dict)):
            _collect(item, found)


def map_tensors(value: Any, change: Callable[[Tensor], Any]) -> Any:
    """Apply `change` to every tensor in nested tuples, lists and dicts."""
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, (tuple, list)):
        items = [map_tensors(item, change) for item in value]
        return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
    if isinstance(value, dict):
        return {key: map_tensors(item, change) for key, item in value.items()}
    return value


def out_of_inference_mode(tensor: Tensor) -> Tensor:
    """Return a copy of a tensor made in inference mode, which cannot be in a graph, or itself."""
    return tensor.clone() if tensor.is_inference() else tensor
