"""Functions that only move, repeat or drop values: which arguments they move, and how.

Integer tensors that accompany a value (the number of the document of each element, for example)
are moved by calling the same function on them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from seqlrp.engine.documents import NOBODY
from seqlrp.engine.functions import Call, Kind, identify, names_of_kind, out_of_place
from seqlrp.engine.nests import map_tensors, tensors_in

# The kinds of functions that only move values.
MOVING = names_of_kind(Kind.MOVE, Kind.CAST, Kind.ASSIGNMENT)

# Positions and names of the values, for functions with several; others have only the first.
_VALUES: dict[str, tuple[tuple[int, str], ...]] = {
    "cat": ((0, "tensors"),),
    "stack": ((0, "tensors"),),
    "hstack": ((0, "tensors"),),
    "vstack": ((0, "tensors"),),
    "pad_sequence": ((0, "sequences"), (2, "padding_value")),
    "where": ((1, "input"), (2, "other")),
    "masked_fill": ((0, "input"), (2, "value")),
    "setitem": ((0, "input"), (2, "value")),
    "index_put": ((0, "input"), (2, "values")),
    "index_copy": ((0, "input"), (3, "source")),
    "index_fill": ((0, "input"), (3, "value")),
    "select_scatter": ((0, "input"), (1, "src")),
    "slice_scatter": ((0, "input"), (1, "src")),
    "scatter": ((0, "input"), (3, "src"), (3, "value")),
    "pad": ((0, "input"), (3, "value")),
    "_pad_packed_sequence": ((0, "data"), (3, "padding_value")),
}
# Arguments with a fill value that has a default.
_FILLS = {"pad": "value", "pad_sequence": "padding_value"}


def mixes(name: str) -> bool:
    """Return whether a function may combine several values, or a value and a constant."""
    return name in _VALUES


def only_reshapes(call: Call) -> bool:
    """Return whether a function written in place, as `t_`, changes the shape and no value."""
    entry = identify(call.function)
    in_place = entry is not None and entry.in_place and entry.kind is Kind.MOVE
    return in_place and not mixes(call.name)


def fills(call: Call) -> list[float]:
    """Return the numbers other than 0 among the values that a function combines."""
    given = (call.argument(index, key) for index, key in _VALUES.get(call.name, ()))
    return [value for value in given if isinstance(value, (int, float)) and value != 0]


def _assign(base: Tensor, index: Any, value: Any) -> Tensor:
    changed = base.clone()
    changed[index] = value
    return changed


def _pad(tensor: Tensor, pad: Any, mode: str = "constant", value: Any = None) -> Tensor:
    if mode == "constant":
        return F.pad(tensor, pad, mode, value)
    return F.pad(tensor.double(), pad, mode).to(tensor.dtype)  # these modes do not support integers


def _keep(tensor: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    return tensor


# Replacements of functions that cannot be called on integers or on another memory layout.
_MOVERS: dict[str, Callable[..., Any]] = {
    "view": Tensor.reshape,
    "view_as": Tensor.reshape_as,
    "setitem": _assign,
    "pad": _pad,
    **dict.fromkeys(names_of_kind(Kind.CAST) | {"int", "long"}, _keep),
}


def reads_bits(call: Call) -> bool:
    """Return whether a view reads the bits of a value as another dtype, which is no move."""
    if call.name != "view":
        return False
    return any(isinstance(a, torch.dtype) for a in (*call.args, *call.kwargs.values()))


def moved_values(call: Call) -> list[Tensor]:
    """Return the tensors among the arguments that the function moves, each once."""
    found: list[Tensor] = []
    for index, key in _VALUES.get(call.name, ((0, "input"),)):
        value = call.args[index] if index < len(call.args) else call.kwargs.get(key)
        for tensor in tensors_in(value):
            if all(tensor is not other for other in found):
                found.append(tensor)
    return found


def move_numbers(call: Call, number_of: Callable[[Tensor], Tensor | None]) -> list[Tensor]:
    """Call a function with each value replaced by its numbers, an integer for each element.

    `number_of` gives an integer tensor for a tensor that has one; other values get `NOBODY`.
    """

    def fill_number(value: Any) -> Any:
        if isinstance(value, (list, tuple)):
            return type(value)(fill_number(item) for item in value)
        if isinstance(value, Tensor):
            number = number_of(value)
            return _nobody(value) if number is None else number
        return NOBODY if isinstance(value, (int, float)) else value

    def replace_by_number(value: Any) -> Any:
        number = number_of(value) if isinstance(value, Tensor) else None
        return value if number is None else number

    args, kwargs = list(call.args), dict(call.kwargs)
    if args and call.name not in _VALUES:
        args[0] = replace_by_number(args[0])
    for index, key in _VALUES.get(call.name, ()):
        if index < len(args):
            args[index] = fill_number(call.args[index])
        elif call.kwargs.get(key) is not None:
            kwargs[key] = fill_number(call.kwargs[key])
        elif _FILLS.get(call.name) == key:
            kwargs[key] = NOBODY
    return tensors_in(_mover(call)(*args, **kwargs))


def with_signals_zero(call: Call, is_signal: Callable[[Tensor], bool]) -> Tensor:
    """Return what the constants alone leave in the result of a function that moves values."""

    def zero(tensor: Tensor) -> Tensor:
        return torch.zeros_like(tensor) if is_signal(tensor) else tensor

    args, kwargs = map_tensors((call.args, call.kwargs), zero)
    with torch.no_grad():
        result: Tensor = _mover(call)(*args, **kwargs)
        return result.detach()


def move_alike(call: Call, number_of: Callable[[Tensor], Tensor | None]) -> list[Tensor]:
    """Call a function as `move_numbers` does, on numbers of size 1 where that gives the same.

    Along a dimension that the function leaves as it is, numbers that are all alike (a stride of 0)
    remain so: one of them is moved, and the results broadcast.
    """
    touched = _touched(call)
    numbers = {id(value): number_of(value) for value in moved_values(call)}
    found = [number for number in numbers.values() if number is not None]
    if touched is None or not found:
        return move_numbers(call, number_of)
    alike = [
        dim for dim in range(found[0].ndim)
        if dim not in touched and all(number.stride(dim) == 0 for number in found)
    ]  # fmt: skip

    def small(value: Tensor) -> Tensor | None:
        number = numbers.get(id(value))
        if number is not None:
            for dim in alike:
                number = number.narrow(dim, 0, 1)
        return number

    return move_numbers(call, small)


def _touched(call: Call) -> tuple[int, ...] | None:
    """Return the dimensions of its only value that a function rearranges; None: any."""
    if call.name == "_pack_padded_sequence":
        return 0, 1
    if call.name == "_pad_packed_sequence":
        return (0,)
    dim = call.argument(1, "dim") if call.name == "index_select" else None
    return None if dim is None else (dim % call.args[0].ndim,)


def _mover(call: Call) -> Callable[..., Any]:
    if call.name in _MOVERS:
        return _MOVERS[call.name]
    entry = identify(call.function)
    return out_of_place(call.name) if entry is not None and entry.in_place else call.function


def _nobody(value: Tensor) -> Tensor:
    return torch.full((), NOBODY, dtype=torch.int64, device=value.device).expand(value.shape)
