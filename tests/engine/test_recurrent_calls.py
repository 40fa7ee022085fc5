"""The arguments of recurrent functions, padded and packed, of layers and of cells."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence
from torch.overrides import TorchFunctionMode

from seqlrp.engine.functions import function_name
from seqlrp.engine.recurrent_calls import LAYERS, Steps, parse_cell, parse_layer
from seqlrp.errors import TrainingModeError

CLASSES = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn_tanh": nn.RNN}


class Calls(TorchFunctionMode):
    """Notes every call of a recurrent function."""

    def __init__(self) -> None:
        super().__init__()
        self.noted: list[tuple[str, Any, Any, Any]] = []

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None):  # type: ignore[no-untyped-def]
        name = function_name(function) or ""
        if name in LAYERS or name.endswith("_cell"):
            self.noted.append((name, function, args, kwargs or {}))
        return function(*args, **(kwargs or {}))


def run(module: nn.Module, *inputs: Any) -> tuple[str, Any, Any, Any]:
    with Calls() as calls:
        module(*inputs)
    (noted,) = calls.noted
    return noted


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("kind", CLASSES)
def test_layers_are_parsed_and_called_again(kind: str, packed: bool, batch_first: bool) -> None:
    layer = CLASSES[kind](3, 4, 2, bidirectional=True, batch_first=batch_first, bias=packed)
    x: Any = torch.randn(2, 5, 3) if batch_first else torch.randn(5, 2, 3)
    if packed:
        x = pack_padded_sequence(x, torch.tensor([5, 3]), batch_first)
    name, function, args, _ = run(layer.eval(), x)
    call = parse_layer(name, args)
    assert (call.kind, call.packed, call.layers, call.directions) == (kind, packed, 2, 2)
    assert call.steps() == Steps((2, 2, 2, 1, 1) if packed else (2,) * 5)
    assert len(call.states) == (2 if kind == "lstm" else 1)
    weights = call.all_weights(Tensor.detach)
    assert len(weights) == 4
    assert torch.equal(weights[1].ih, layer.weight_ih_l0_reverse)
    assert (weights[0].bias_ih is None) != packed
    for found, expected in zip(function(*call.positional), function(*args), strict=True):
        assert torch.equal(found, expected)


def test_projection_is_the_last_weight() -> None:
    layer = nn.LSTM(3, 4, proj_size=2).double()  # oneDNN warns of projections
    name, _, args, _ = run(layer.eval(), torch.randn(5, 2, 3).double())
    (weights,) = parse_layer(name, args).all_weights(Tensor.detach)
    assert weights.hr is not None
    assert torch.equal(weights.hr, layer.weight_hr_l0)


def test_cells_are_parsed() -> None:
    cell = nn.LSTMCell(3, 4)
    name, _, args, kwargs = run(cell, torch.randn(2, 3))
    call = parse_cell(name, args, kwargs)
    assert (call.kind, len(call.states), call.steps()) == ("lstm", 2, Steps((2,)))
    assert torch.equal(call.weights(Tensor.detach).hh, cell.weight_hh)


def test_dropout_between_layers_is_refused() -> None:
    layer = nn.GRU(3, 4, 2, dropout=0.5).train()
    name, _, args, _ = run(layer, torch.randn(5, 2, 3))
    with pytest.raises(TrainingModeError, match="in the middle"):
        parse_layer(name, args).check_dropout(lambda: "the middle")
    parse_layer(name, args)._replace(training=False).check_dropout(lambda: "the middle")
