"""The layers that every model function may use, and attributions of such models."""

# mypy: disable-error-code="no-any-return, no-untyped-call, operator, arg-type"
# mypy: disable-error-code="list-item, call-overload, index"

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

import seqlrp

V, D, H, C = 30, 5, 4, 3
EPSILON = 0.01
Forward = Callable[..., Any]


class Written(nn.Module):
    """Holds the layers; the forward pass is the function `write(module, ids, *more)`."""

    def __init__(self, write: Forward) -> None:
        super().__init__()
        self.write = write
        self.emb = nn.Embedding(V, D, padding_idx=0)
        self.second_emb = nn.Embedding(V, D, padding_idx=0)
        self.positions = nn.Embedding(16, D)
        self.bag = nn.EmbeddingBag(V, D, mode="sum")
        self.bag_mean = nn.EmbeddingBag(V, D, mode="mean", padding_idx=0)
        self.bag_max = nn.EmbeddingBag(V, D, mode="max")
        self.lstm = nn.LSTM(D, H, batch_first=True)
        self.gru = nn.GRU(D, H, batch_first=True)
        self.rnn = nn.RNN(D, H, batch_first=True)
        self.square = nn.LSTM(D, D, batch_first=True)
        self.wide = nn.LSTM(2 * D, H, batch_first=True)
        self.both = nn.LSTM(D, H, batch_first=True, bidirectional=True)
        self.both_gru = nn.GRU(D, H, num_layers=2, bidirectional=True, dropout=0.3)
        self.sentences = nn.GRU(2 * H, H, batch_first=True)
        self.att = nn.Linear(2 * H, 1)
        self.att_hidden = nn.Linear(2 * H, H)
        self.query = nn.Parameter(torch.empty(H))
        self.head = nn.Linear(H, C)
        self.head2 = nn.Linear(2 * H, C)
        self.head_d = nn.Linear(D, C)
        self.mlp = nn.Sequential(
            nn.Linear(2 * H, 6), nn.ReLU(inplace=True), nn.Dropout(0.5), nn.Linear(6, 5),
            nn.Tanh(), nn.Linear(5, C, bias=False),
        )  # fmt: skip
        self.sigmoid_mlp = nn.Sequential(nn.Linear(H, 6), nn.Sigmoid(), nn.Linear(6, C))

    def forward(self, ids: Tensor, *more: Any) -> Any:
        return self.write(self, ids, *more)


def build(write: Forward, seed: int = 0) -> Written:
    model = Written(write).double().eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator).double() * 0.7)
        model.emb.weight[0] = model.second_emb.weight[0] = 0
    return model


FULL = torch.randint(1, V, (4, 6), generator=torch.Generator().manual_seed(0))
PADDED = FULL.clone()
PADDED[1, 4:] = PADDED[2, 1:] = 0


@cache
def explainer(write: Forward, epsilon: float = EPSILON) -> seqlrp.LRP:
    """One object for all calls about a model: its second run on other words is made once."""
    return seqlrp.LRP(build(write), epsilon, verify=epsilon == EPSILON)


def attribute(write: Forward, ids: Tensor, epsilon: float = EPSILON, **options: Any) -> Any:
    return explainer(write, epsilon).attribute(ids, target=1, return_ledger=True, **options)


def close(a: Tensor, b: Tensor, tolerance: float = 1e-12) -> None:
    torch.testing.assert_close(a, b, rtol=0, atol=tolerance)
