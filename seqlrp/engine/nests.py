"""Nested tuples, lists and dicts of tensors: the arguments and results of functions."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter

# Most items are of these types; `isinstance(item, Tensor)` takes longer for all but plain tensors.
NO_TENSORS = frozenset((int, float, bool, str, type(None), torch.dtype, torch.device))
_TENSORS = frozenset((Tensor, Parameter))
_SEQUENCES = frozenset((tuple, list))


def tensors_in(value: object) -> list[Tensor]:
    """Return all tensors in nested tuples, lists and dicts, in order."""
    kind = type(value)
    if kind in _TENSORS:
        return [value]  # type: ignore[list-item]
    found: list[Tensor] = []
    _collect(value if kind is tuple else (value,), found)  # type: ignore[arg-type]
    return found


def tensors_among(args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Tensor]:
    """Return all tensors among the arguments of a call, in order."""
    return tensors_in((args, kwargs) if kwargs else args)


def _collect(items: Iterable[Any], found: list[Tensor]) -> None:
    for item in items:
        kind = type(item)
        if kind in NO_TENSORS:
            continue
        if kind in _TENSORS:
            found.append(item)
        elif kind in _SEQUENCES:
            _collect(item, found)
        elif kind is dict:
            _collect(item.values(), found)
        elif isinstance(item, Tensor):
            found.append(item)
        elif isinstance(item, (tuple, list)):
            _collect(item, found)
        elif isinstance(item, dict):
            _collect(item.values(), found)


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
