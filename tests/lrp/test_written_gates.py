"""Gates that a model writes into a tensor stay gates; where nothing tells, they are refused."""

# mypy: disable-error-code="no-any-return, no-untyped-call"

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import seqlrp
from seqlrp.errors import RefusedFunctionError

IDS = torch.tensor([[3, 7, 2, 9], [8, 6, 3, 1]])
Gated = Callable[[Any, Tensor], Tensor]


class Model(nn.Module):
    def __init__(self, gated: Gated) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.emb, self.of_gate, self.fc = nn.Embedding(12, 3), nn.Linear(3, 3), nn.Linear(3, 2)
        self.gated = gated
        self.double().eval()

    def forward(self, ids: Tensor) -> Tensor:
        return self.fc(self.gated(self, self.emb(ids)).sum(1))


def plain(m: Model, x: Tensor) -> Tensor:
    return torch.sigmoid(m.of_gate(x)) * x


def step_by_step(m: Model, x: Tensor) -> Tensor:
    gates = torch.zeros_like(x)
    for t in range(x.shape[1]):
        gates[:, t] = torch.sigmoid(m.of_gate(x[:, t]))
    return gates * x


def unset(m: Model, x: Tensor) -> Tensor:
    gates = torch.empty(x.shape, dtype=x.dtype)
    for t in range(x.shape[1]):
        gates[:, t] = torch.sigmoid(m.of_gate(x[:, t]))
    return gates * x


def joined(m: Model, x: Tensor) -> Tensor:
    both = torch.cat([torch.sigmoid(m.of_gate(x)), x], -1)
    gate, value = both.chunk(2, -1)
    return gate * value


def written_beside(m: Model, x: Tensor) -> Tensor:
    y = x.clone()
    y[:, 0] = torch.sigmoid(m.of_gate(x[:, 0]))
    return y * x


@pytest.mark.parametrize("gated", [step_by_step, unset, joined])
@pytest.mark.parametrize("epsilon", [0.0, 0.01])
def test_gates_that_are_written_into_a_tensor_are_gates(gated: Gated, epsilon: float) -> None:
    expect = seqlrp.LRP(Model(plain), epsilon).attribute(IDS, 0)
    found, ledger = seqlrp.LRP(Model(gated), epsilon).attribute(IDS, 0, return_ledger=True)
    torch.testing.assert_close(found, expect, rtol=0, atol=1e-14)
    assert ledger.residual.abs().max() < 1e-12


def chosen(m: Model, x: Tensor) -> Tensor:
    return torch.where(x > 0, torch.sigmoid(m.of_gate(x)), x) * x


@pytest.mark.parametrize("gated", [chosen, written_beside])
def test_gates_among_signals_are_refused_as_factors(gated: Gated) -> None:
    with pytest.raises(RefusedFunctionError, match="put together"):
        seqlrp.LRP(Model(gated)).attribute(IDS, 0)


def test_gates_among_signals_are_signals_elsewhere() -> None:
    def features(m: Model, x: Tensor) -> Tensor:
        both = torch.cat([torch.sigmoid(m.of_gate(x)), x], -1)
        return both @ torch.ones(6, 3, dtype=x.dtype)

    _, ledger = seqlrp.LRP(Model(features)).attribute(IDS, 0, return_ledger=True)
    assert ledger.residual.abs().max() < 1e-12
