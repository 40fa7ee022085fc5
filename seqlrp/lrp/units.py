"""The units of a layer: which unit each element of a module's output belongs to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules import batchnorm, conv, instancenorm, pooling

from seqlrp.engine.nests import tensors_in
from seqlrp.errors import ModelError, OptionError, check_number

Through = Mapping[str, Sequence[int]]

# Modules whose outputs `[B, C, ...]` have their units, the channels, before the places.
_ANY_PLACES = (batchnorm._BatchNorm, nn.GroupNorm)
# The number of dimensions of a place is the digit in the name of the class.
_CHANNELS = (
    conv._ConvNd,
    instancenorm._InstanceNorm,
    pooling._MaxPoolNd,
    pooling._AvgPoolNd,
    pooling._LPPoolNd,
    pooling._AdaptiveMaxPoolNd,
    pooling._AdaptiveAvgPoolNd,
)


def check_through(through: Through | None) -> dict[str, list[int]]:
    """Check what is asked for as `through=`.

    Raises:
        OptionError: it is no mapping of names to numbers of units.
    """
    if through is None:
        return {}
    if not isinstance(through, Mapping):
        raise OptionError(
            option="through",
            got=through,
            expected="the units of each layer by its name, such as {'lstm': [3, 17]}",
        )
    checked: dict[str, list[int]] = {}
    for name, units in through.items():
        numbers = units.tolist() if hasattr(units, "tolist") else units
        if not isinstance(numbers, Sequence) or isinstance(numbers, str):
            raise OptionError(option="through", got=units, expected="a list of units")
        for unit in numbers:
            check_number("through", unit, least=0, whole=True)
        checked[name] = [int(unit) for unit in numbers]
    return checked


def units_of(name: str, module: nn.Module, output: Any) -> list[Tensor]:
    """The unit of each element of each float tensor in an output, int64, broadcastable to it.

    A unit is a place along the last dimension; along the dimension of channels after a
    convolution, normalisation or pooling. The final states of a recurrent layer belong to the units
    of its output: those of the backward direction come after those of the forward one, and states
    of lower layers count with the unit of the same number.

    Raises:
        ModelError: the layer is an LSTM with projections, whose cells are no units of its output;
            or its output has fewer than two dimensions.
    """
    tensors = [t for t in tensors_in(output) if t.is_floating_point()]
    if not isinstance(module, nn.RNNBase):
        return [_along(name, module, t) for t in tensors]
    if module.proj_size:
        raise ModelError(
            f"Module {name!r} is an LSTM with projections, whose cells and outputs are different "
            "units; name the layer after it.",
            module=name,
        )
    device, width = tensors[0].device, module.hidden_size
    directions = 2 if module.bidirectional else 1
    states = torch.arange(module.num_layers * directions, device=device) % directions * width
    each = torch.arange(width, device=device)
    found = [torch.arange(directions * width, device=device)]
    for state in tensors[1:]:  # [layers · directions, H], or [layers · directions, B, H]
        first = states.reshape(-1, *[1] * (state.ndim - 1))
        found.append(first + each)
    return found


def _along(name: str, module: nn.Module, tensor: Tensor) -> Tensor:
    if tensor.ndim < 2:
        raise ModelError(
            f"Module {name!r} returns a tensor of shape {list(tensor.shape)}, where no dimension "
            "is one of units; expected two dimensions or more.",
            module=name,
        )
    places = 0
    if isinstance(module, _ANY_PLACES):
        places = tensor.ndim - 2
    elif isinstance(module, _CHANNELS):
        places = next(int(letter) for letter in type(module).__name__ if letter.isdigit())
    units = torch.arange(tensor.shape[-1 - places], device=tensor.device)
    return units.reshape(-1, *[1] * places)


def check_units(name: str, chosen: Sequence[int], units: Sequence[Tensor]) -> int:
    """Return how many units a layer has, after a check that the chosen ones are among them.

    Raises:
        OptionError: a unit is not there.
    """
    count = 1 + max((int(index.max()) for index in units if index.numel()), default=-1)
    for unit in chosen:
        if unit >= count:
            raise OptionError(
                option="through", got={name: unit}, expected=f"units 0 to {count - 1} of {name!r}"
            )
    return count
