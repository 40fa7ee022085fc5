"""An activation that is written out has the relevance of the function that computes the same."""

# mypy: disable-error-code="no-any-return"

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import seqlrp

IDS = torch.tensor([[3, 7, 2, 9], [8, 6, 3, 1]])
HALF, ROOT = math.sqrt(0.5), math.sqrt(2 / math.pi)
Function = Callable[[Tensor], Tensor]


def gelu_tanh(x: Tensor) -> Tensor:
    return F.gelu(x, approximate="tanh")


def gelu_in_place(x: Tensor) -> Tensor:
    factor = torch.erf(x * HALF).add_(1)
    return x.mul_(0.5).mul_(factor)


WRITTEN: dict[str, tuple[Function, Function]] = {
    "BERT": (F.gelu, lambda x: x * 0.5 * (1.0 + torch.erf(x / math.sqrt(2.0)))),
    "a gate in brackets": (F.gelu, lambda x: x * (0.5 * (1 + torch.erf(x / math.sqrt(2))))),
    "in another order": (F.gelu, lambda x: (torch.erf(x * HALF) + 1) * x / 2),
    "negated": (F.gelu, lambda x: -x * (torch.erf(-x * HALF) - 1) / 2),
    "in place": (F.gelu, gelu_in_place),
    "a distribution": (F.gelu, lambda x: x * torch.distributions.Normal(0.0, 1.0).cdf(x)),
    "Megatron": (
        F.gelu,
        lambda x: x * 0.5 * (torch.erf(x * HALF).to(x.dtype) + torch.ones_like(x).to(x.dtype)),
    ),
    "GPT-2": (
        gelu_tanh,
        lambda x: 0.5 * x * (1.0 + torch.tanh(ROOT * (x + 0.044715 * torch.pow(x, 3.0)))),
    ),
    "fast": (
        gelu_tanh,
        lambda x: 0.5 * x * (1.0 + torch.tanh(x * ROOT * (1.0 + 0.044715 * x * x))),
    ),
    "hard swish": (F.hardswish, lambda x: x * F.relu6(x + 3) / 6),
    "hard swish by clamp": (F.hardswish, lambda x: x / 6 * (x + 3).clamp(0, 6)),
    "swish": (F.silu, lambda x: x * torch.sigmoid(x)),
    "mish": (F.mish, lambda x: torch.tanh(F.softplus(x)) * x),
}


class Model(nn.Module):
    """A feed-forward block with a residual connection."""

    def __init__(self, function: Any) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.emb, self.one, self.other = nn.Embedding(12, 4), nn.Linear(4, 4), nn.Linear(4, 4)
        self.fc = nn.Linear(4, 2)
        self.function = function
        self.double().eval()

    def forward(self, ids: Tensor) -> Tensor:
        h = self.one(self.emb(ids))
        return self.fc((h + self.function(h.clone())).sum(1))


@pytest.mark.parametrize("name", WRITTEN)
@pytest.mark.parametrize(
    "options",
    [{}, {"epsilon": 0}, {"epsilon": 0.01}, {"gate_rule": "half"}, {"rules": "deep_taylor"}],
)
def test_it_is_the_function(name: str, options: Any) -> None:
    found, expected = (
        seqlrp.LRP(Model(f), **options).attribution(IDS, 1, account=True) for f in WRITTEN[name]
    )
    torch.testing.assert_close(found.relevance, expected.relevance, rtol=1e-9, atol=1e-12)
    totals = [ledger.totals for a in (found, expected) if (ledger := a.ledger) is not None]
    torch.testing.assert_close(*totals, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", WRITTEN)
def test_deeplift_too(name: str) -> None:
    values = (seqlrp.METHODS["deeplift"](Model(f)).attribute(IDS, 1) for f in WRITTEN[name])
    torch.testing.assert_close(*values, rtol=1e-7, atol=1e-12)


class Pair(nn.Module):
    """A product of two factors that two words make."""

    def __init__(self, factors: Any, *, apart: bool) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.emb, self.factors, self.apart = nn.Embedding(9, 3), factors, apart
        self.double().eval()

    def forward(self, ids: Tensor) -> Tensor:
        x = self.emb(ids)
        one, other = self.factors(x[:, 0], x[:, 1])
        if self.apart:  # of what is stacked and taken apart nothing is known
            other = torch.stack([other, other])[0]
        return (one * other).sum(-1, keepdim=True)


def after_a_write(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    x = x.clone()
    part = x[:, :2]
    factor = 1 + torch.tanh(part)
    x.copy_(y)
    return part, factor


def partly_written(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    half = x * 0.5
    half[:, 1] = y[:, 1]
    return half, 1 + torch.tanh(x)


def written_by_a_view(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    half = x * 0.5
    half[:, :1].add_(y[:, :1])
    return half, 1 + torch.tanh(x)


def turned(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    both = torch.cat([x, y], -1)
    return both, 1 + torch.tanh(both.roll(3, -1))


def by_its_mean(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    return x * y, 1 + torch.tanh(x.mean(-1, keepdim=True))


@pytest.mark.parametrize("factors", [
    lambda x, y: (x, 1 + torch.tanh(y)),
    lambda x, y: (x, 1 + torch.tanh(x + y)),
    lambda x, y: (1 + x, 1 + torch.tanh(x)),
    after_a_write, partly_written, written_by_a_view, turned, by_its_mean,
])  # fmt: skip
def test_a_product_of_two_signals_gives_each_half(factors: Any) -> None:
    found, expected = (
        seqlrp.LRP(Pair(factors, apart=apart), epsilon=0.0).attribute(IDS[:, :2], target=0)
        for apart in (False, True)
    )
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)
    assert found.abs().max() > 1e-3
