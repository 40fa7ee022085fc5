"""The units of a layer that can be removed, and the weights that belong to them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules import conv

from seqlrp.engine.recurrent_calls import GATES
from seqlrp.errors import ModelError, OptionError, near

# Which gate of a layer, in torch's order, is the value and which lets an earlier state pass; a
# state that is never computed stays at 0 if neither the value nor a given first state gets in.
_VALUE = {"lstm": 2, "gru": 2, "rnn_tanh": 0, "rnn_relu": 0}
_PASSING = {"lstm": 3, "gru": 1}  # o of an LSTM, z of a GRU
_CLOSED = -1e9  # the bias of a gate that is exactly 0


class Slice(NamedTuple):
    """Places along one dimension of a weight."""

    weight: str  # its name in the model
    dim: int
    places: Tensor  # int64, in rising order


@dataclass(frozen=True)
class UnitSet:
    """Units of which each can be removed by itself.

    Attributes:
        module: the name of the module.
        suffix: of the weights of a recurrent layer: "_l0", "_l0_reverse", "_l1", …; "" elsewhere.
        part: what the units are: "units" of the output, or "cells" of an LSTM with projections.
        size: how many there are.
    """

    module: str
    suffix: str
    part: Literal["units", "cells"]
    size: int

    @property
    def name(self) -> str:
        """The name in tables: that of the module, with layer and direction where it has several."""
        of_layer = self.suffix.removeprefix("_")
        name = f"{self.module}.{of_layer}" if of_layer else self.module
        return name if self.part == "units" else f"{name}.cells"


def unit_sets(model: nn.Module, layers: Sequence[str] | None) -> list[UnitSet]:
    """Give the sets of units of named layers; of all recurrent layers by default.

    Raises:
        OptionError: a name is no module, or there is none without names.
        ModelError: the module is no layer whose units can be removed.
    """
    if isinstance(layers, str):
        raise OptionError(option="layers", got=layers, expected=f"a list of names: [{layers!r}]")
    if layers is None:
        recurrent = nn.RNNBase | nn.RNNCellBase
        layers = [name for name, m in model.named_modules() if isinstance(m, recurrent)]
    if not layers:
        known = tuple(name for name, m in model.named_modules() if any(_sets(name, m)))
        raise OptionError(
            "The model has no recurrent layer whose units could be removed.",
            f"Name other layers; it has {', '.join(map(repr, known))}.",
            option="layers",
            known=known,
        )
    found: list[UnitSet] = []
    for name in dict.fromkeys(layers):
        module = named_layer(model, name, "layers")
        sets = list(_sets(name, module))
        if not sets:
            raise ModelError(
                f"Module {name!r} is a {type(module).__name__}; units can be removed from "
                "nn.LSTM, nn.GRU, nn.RNN and their cells, nn.Linear, embeddings, and convolutions "
                "without groups.",
                module=name,
            )
        _check_weights(name, model, module)
        found += sets
    return found


def named_layer(model: nn.Module, name: str, option: str = "layer") -> nn.Module:
    """Return the module with a name, which a user gave as an option.

    Raises:
        OptionError: there is no such module in the model.
    """
    modules: dict[str, nn.Module] = {known: m for known, m in model.named_modules() if known}
    if name not in modules:
        raise OptionError(
            f"The model has no layer {name!r}.", near(name, modules), option=option, got=name,
            known=tuple(modules),
        )  # fmt: skip
    return modules[name]


def _check_weights(name: str, model: nn.Module, module: nn.Module) -> None:
    """Refuse a layer whose weights are computed, or are those of another layer, too."""
    uses: dict[int, int] = {}
    for _, shared in model.named_parameters(remove_duplicate=False):
        uses[id(shared)] = uses.get(id(shared), 0) + 1
    names = module._flat_weights_names if isinstance(module, nn.RNNBase) else ["weight"]
    if isinstance(module, nn.RNNCellBase):
        names = ["weight_ih", "weight_hh"]
    for own in names:
        parameter = module._parameters.get(own)
        if parameter is None:
            raise ModelError(
                f"The weight {own!r} of module {name!r} is computed from others (by a weight norm, "
                "say), so that no unit of it can be removed.",
                "Make it a plain weight first: torch.nn.utils.parametrize.remove_parametrizations.",
                module=name,
            )
        if uses[id(parameter)] > 1:
            raise ModelError(
                f"The weight {own!r} of module {name!r} is that of another module, too, so that "
                "its units cannot be removed here alone.",
                module=name,
            )


def _sets(name: str, module: nn.Module) -> Iterator[UnitSet]:
    if isinstance(module, nn.RNNBase):
        for layer in range(module.num_layers):
            for way in ("", "_reverse")[: 2 if module.bidirectional else 1]:
                suffix = f"_l{layer}{way}"
                yield UnitSet(name, suffix, "units", module.proj_size or module.hidden_size)
                if module.proj_size:
                    yield UnitSet(name, suffix, "cells", module.hidden_size)
    elif isinstance(module, nn.RNNCellBase):
        yield UnitSet(name, "", "units", module.hidden_size)
    elif isinstance(module, nn.Linear):
        yield UnitSet(name, "", "units", module.out_features)
    elif isinstance(module, conv._ConvNd) and module.groups == 1:
        yield UnitSet(name, "", "units", module.out_channels)
    elif isinstance(module, nn.Embedding | nn.EmbeddingBag):
        yield UnitSet(name, "", "units", module.embedding_dim)


def kind_of(module: nn.Module) -> str:
    """Give which recurrence a layer or cell computes, by the name of its torch function."""
    if isinstance(module, nn.RNNBase):
        return module.mode.lower()
    if isinstance(module, nn.LSTMCell):
        return "lstm"
    if isinstance(module, nn.GRUCell):
        return "gru"
    assert isinstance(module, nn.RNNCell)
    return f"rnn_{module.nonlinearity}"


def own_slices(model: nn.Module, units: UnitSet, removed: Tensor) -> list[Slice]:
    """Give the weights inside of a layer that compute units or read them: a list of slices.

    Args:
        model: the model of the layer.
        units: the set of units.
        removed: int64, those that are removed, in rising order.
    """
    module = model.get_submodule(units.module)

    def own(weight: str) -> str:
        return f"{units.module}.{weight}"

    if isinstance(module, nn.Embedding | nn.EmbeddingBag):
        return [Slice(own("weight"), 1, removed)]
    if not isinstance(module, nn.RNNBase | nn.RNNCellBase):
        rows = 1 if isinstance(module, conv._ConvNd) and module.transposed else 0
        bias = [] if module.bias is None else [Slice(own("bias"), 0, removed)]
        return [Slice(own("weight"), rows, removed), *bias]
    if units.part == "units" and isinstance(module, nn.RNNBase) and module.proj_size:
        hr, hh = f"weight_hr{units.suffix}", f"weight_hh{units.suffix}"
        return [
            Slice(own(hr), 0, removed),
            Slice(own(hh), 1, removed),
            *_next_layer(units, module, removed),
        ]
    gates = GATES[kind_of(module)]
    rows_of_gates = torch.cat([removed + gate * units.size for gate in range(gates)])
    names = ["weight_ih", "weight_hh", *(["bias_ih", "bias_hh"] if module.bias else [])]
    slices = [Slice(own(name + units.suffix), 0, rows_of_gates) for name in names]
    if units.part == "cells":
        return [*slices, Slice(own(f"weight_hr{units.suffix}"), 1, removed)]
    slices.append(Slice(own(f"weight_hh{units.suffix}"), 1, removed))
    if isinstance(module, nn.RNNBase):
        slices += _next_layer(units, module, removed)
    return slices


def _next_layer(units: UnitSet, module: nn.RNNBase, removed: Tensor) -> list[Slice]:
    """Give the columns of the next layer of the same module that read the units."""
    layer, _, way = units.suffix.removeprefix("_l").partition("_")
    if int(layer) + 1 == module.num_layers:
        return []
    columns = removed + (units.size if way else 0)
    ways = ("", "_reverse")[: 2 if module.bidirectional else 1]
    return [Slice(f"{units.module}.weight_ih_l{int(layer) + 1}{way}", 1, columns) for way in ways]


@torch.no_grad()
def silence(model: nn.Module, units: UnitSet, removed: Tensor) -> None:
    """Change weights in place so that units are 0 at every step.

    In a recurrent layer the value's rows are 0, and the gate that would let a given first state
    pass is closed, as are the columns of the layer that read it.
    """
    module = model.get_submodule(units.module)
    weights = dict(model.named_parameters())
    slices = own_slices(model, units, removed)
    if not isinstance(module, nn.RNNBase | nn.RNNCellBase):
        for weight, dim, places in slices:
            weights[weight].index_fill_(dim, places, 0)
        return
    projected = isinstance(module, nn.RNNBase) and bool(module.proj_size)
    for weight, dim, places in slices:
        if dim == 1 or "weight_hr" in weight:
            weights[weight].index_fill_(dim, places, 0)
    if projected and units.part == "units":
        return
    kind = kind_of(module)
    value = removed + _VALUE[kind] * units.size
    for weight, dim, _ in slices:
        if dim == 0:
            weights[weight].index_fill_(0, value, 0)
            if kind in _PASSING:
                gate = removed + _PASSING[kind] * units.size
                weights[weight].index_fill_(0, gate, _CLOSED if "bias_ih" in weight else 0)
