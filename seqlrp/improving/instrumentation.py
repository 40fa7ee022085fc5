"""A copy of a model in which the units of layers pass a module, so that they can be watched.

A recurrent layer is one function to PyTorch, whose inner states nobody sees. In the copy it runs
step by step, and each state h_t passes a module on its way to the next step and out of the layer,
and another one on its way out alone.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from seqlrp.engine.functions import function_name
from seqlrp.engine.recurrent_calls import (
    LAYERS,
    LayerKind,
    RecurrentCall,
    Weights,
    parse_layer,
)
from seqlrp.engine.unrolled import Cell, States, run_direction, run_layers
from seqlrp.improving.unit_sets import UnitSet


class Passages(NamedTuple):
    """The modules of the copy through which the units of a set pass.

    Attributes:
        total: the name of the module that a unit passes at every step, whoever reads it.
        output: of the one that it passes on its way out of a recurrent layer; else None.
    """

    total: str
    output: str | None = None


def instrumented_copy(
    model: nn.Module, sets: Sequence[UnitSet]
) -> tuple[nn.Module, dict[UnitSet, Passages]]:
    """Copy a model, with modules that the units of the sets pass; scores stay the same."""
    watched = copy.deepcopy(model)
    found: dict[UnitSet, Passages] = {}
    for name in dict.fromkeys(units.module for units in sets):
        module = watched.get_submodule(name)
        if isinstance(module, nn.RNNBase):
            for suffix in dict.fromkeys(n.partition("_l")[2] for n in module._flat_weights_names):
                module.add_module(f"watched_l{suffix}", _Passage())
            module.forward = functools.partial(_run_in_steps, module)
        elif isinstance(module, nn.RNNCellBase):
            module.add_module("watched", _Copy())
            module.register_forward_hook(_pass_state)
    for units in sets:
        module = watched.get_submodule(units.module)
        if isinstance(module, nn.RNNBase):
            passage = f"{units.module}.watched{units.suffix}"
            inner = units.part == "cells"
            found[units] = Passages(
                f"{passage}.{'cells' if inner else 'total'}", None if inner else f"{passage}.output"
            )
        elif isinstance(module, nn.RNNCellBase):
            found[units] = Passages(f"{units.module}.watched")
        else:
            found[units] = Passages(units.module)
    return watched.eval(), found


class _Copy(nn.Module):
    """Returns a copy, so that what flows back to it is told from what reaches the original."""

    def forward(self, states: Tensor) -> Tensor:
        return states.clone()


class _Passage(nn.Module):
    """The modules that the states of one direction of one layer pass."""

    def __init__(self) -> None:
        super().__init__()
        self.total, self.output, self.cells = _Copy(), _Copy(), _Copy()


def _pass_state(cell: nn.Module, args: Any, new: Any) -> Any:
    """Let the state of a cell pass its module."""
    if isinstance(new, Tensor):
        return cell.watched(new)  # type: ignore[operator]
    return (cell.watched(new[0]), *new[1:])  # type: ignore[operator]


def _run_in_steps(layer: nn.RNNBase, *args: Any, **kwargs: Any) -> Any:
    with _InSteps(layer):
        return type(layer).forward(layer, *args, **kwargs)


class _InSteps(TorchFunctionMode):
    """Runs the function of a recurrent layer step by step."""

    def __init__(self, layer: nn.RNNBase) -> None:
        super().__init__()
        self.layer = layer

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        name = function_name(function)
        if name not in LAYERS:
            return function(*args, **(kwargs or {}))
        return self._run(parse_layer(name, args))

    def _run(self, call: RecurrentCall) -> tuple[Tensor, ...]:
        steps, names = call.steps(), self.layer._flat_weights_names
        each = len(names) // (call.layers * call.directions)

        def direction(place: int, reverse: bool, x: Tensor, states: States) -> tuple[Tensor, ...]:
            suffix = names[place * each].partition("_l")[2]
            passage: Any = getattr(self.layer, f"watched_l{suffix}")
            cell = _WatchedCell(call.kind, call.weights(place, lambda w: w), passage)
            nothing = 0 * x[: len(states[0]), :1]  # which says whose the rows of a state are
            states = tuple(state + nothing for state in states)
            out, last, *cells = run_direction(cell, x, states, steps, reverse)
            return passage.output(out), passage.output(last), *cells

        return run_layers(_PLAIN, call, direction)


class _Plain:
    """Calls functions as they are, under whatever watches them."""

    @staticmethod
    def do(function: Any, *args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)


_PLAIN: Any = _Plain()


class _WatchedCell(Cell):
    """One step, after which the state passes the modules of its layer."""

    def __init__(self, kind: LayerKind, weights: Weights, passage: _Passage) -> None:
        super().__init__(_PLAIN, kind, weights._replace(hr=None))
        self.projection, self.passage = weights.hr, passage

    def __call__(self, x: Tensor, states: States) -> States:
        h, *cells = super().__call__(x, states)
        if self.projection is not None:
            h = F.linear(self.passage.cells(h), self.projection)
        return (self.passage.total(h), *cells)
