"""A gate is a gate however its sigmoid is spelled."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import seqlrp

SIGMOIDS: dict[str, Callable[[Tensor], Tensor]] = {
    "half of tanh plus one": lambda x: 0.5 * (torch.tanh(x / 2) + 1),
    "one plus tanh, halved": lambda x: (1 + (0.5 * x).tanh()) / 2,
    "scaled, then shifted": lambda x: torch.tanh(0.5 * x) * 0.5 + 0.5,
    "in place": lambda x: torch.tanh(0.5 * x).mul_(0.5).add_(0.5),
    "one minus": lambda x: 1 - (1 - torch.tanh(x / 2)) / 2,
    "negated": lambda x: 0.5 - torch.neg(torch.tanh(x / 2)) * 0.5,
}
HARD: dict[str, Callable[[Tensor], Tensor]] = {
    "relu6": lambda x: F.relu6(x + 3) / 6,
    "relu6 times": lambda x: nn.ReLU6()(x + 3) * 0.166667,
    "clamp": lambda x: torch.clamp(x / 6 + 0.5, 0, 1),
    "clamp by name": lambda x: (x / 6 + 0.5).clamp(min=0, max=1),
    "hardtanh": lambda x: F.hardtanh(x / 6 + 0.5, 0.0, 1.0),
}


class Gated(nn.Module):
    """h' = (1 - z) · tanh(W x) + z · h with a gate z = f(U x)."""

    def __init__(self, gate: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embedding = nn.Embedding(20, 4)
        self.gates, self.signals = nn.Linear(4, 6), nn.Linear(4, 6)
        self.head = nn.Linear(6, 2)
        self.gate = gate

    def forward(self, ids: Tensor) -> Tensor:
        x = self.embedding(ids)
        z, n = self.gate(self.gates(x)), torch.tanh(self.signals(x))
        h = z.new_zeros(len(ids), 6)
        for t in range(ids.shape[1]):
            h = (1 - z[:, t]) * n[:, t] + z[:, t] * h
        scores: Tensor = self.head(h)
        return scores


def relevance(gate: Callable[[Tensor], Tensor]) -> Tensor:
    ids = torch.arange(15).reshape(3, 5)
    model = Gated(gate).double().eval()
    return seqlrp.LRP(model, epsilon=0.01).attribute(ids, target=1)


@pytest.mark.parametrize("name", SIGMOIDS)
def test_a_sigmoid(name: str) -> None:
    expected = relevance(torch.sigmoid)
    torch.testing.assert_close(relevance(SIGMOIDS[name]), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", HARD)
def test_a_hard_sigmoid(name: str) -> None:
    rough = 1e-5 if "times" in name else 1e-9
    torch.testing.assert_close(
        relevance(HARD[name]), relevance(F.hardsigmoid), rtol=rough, atol=rough
    )


@pytest.mark.parametrize("signal", [
    lambda x: torch.tanh(x),
    lambda x: 2 * torch.tanh(x),
    lambda x: torch.tanh(x) * 0.5,
    lambda x: torch.clamp(x, -1, 1),
    lambda x: F.relu6(x),
])  # fmt: skip
def test_other_bounded_values_stay_signals(signal: Callable[[Tensor], Tensor]) -> None:
    # Of a product of two signals each gets half; of that with a gate the gate gets nothing.
    class Product(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(1)
            self.one, self.other = nn.Embedding(9, 3), nn.Embedding(9, 3)

        def forward(self, ids: Tensor) -> Tensor:
            left, right = self.one(ids[:, 0]), self.other(ids[:, 1])
            return (signal(left) * right).sum(-1, keepdim=True)

    found = seqlrp.LRP(Product().double().eval(), epsilon=0.0).attribute(
        torch.tensor([[1, 2]]), target=0
    )
    torch.testing.assert_close(found[:, 0], found[:, 1])
