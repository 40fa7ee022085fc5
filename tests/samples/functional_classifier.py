"""A classifier over the states of an LSTM whose forward pass is a given function."""

# mypy: disable-error-code="no-any-return, no-untyped-call"

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

import seqlrp

V, D, H, C = 30, 5, 4, 3
IDS = torch.randint(1, V, (4, 6), generator=torch.Generator().manual_seed(0))
EPSILON = 0.01


class RunningProduct(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.cumprod(1)


class Classifier(nn.Module):
    """Holds an LSTM and linear layers; the forward pass is the function `write(module, ids)`."""

    def __init__(self, write: Callable[[Classifier, Tensor], Any] | None = None) -> None:
        super().__init__()
        self.emb = nn.Embedding(V, D, padding_idx=0)
        self.lstm = nn.LSTM(D, H, batch_first=True)
        self.drop = nn.Dropout(0.5)
        self.part = RunningProduct()
        self.lin = nn.Linear(D, H)
        self.head = nn.Linear(H, C)
        self.w = nn.Parameter(torch.ones(H))
        self.write = write or (lambda m, ids: m.head(m.drop(m.last(ids))))

    def out(self, ids: Tensor) -> Tensor:
        states: Tensor = self.lstm(self.emb(ids))[0]
        return states

    def last(self, ids: Tensor) -> Tensor:
        return self.out(ids)[:, -1]

    def forward(self, ids: Tensor) -> Any:
        return self.write(self, ids)


def build(write: Callable[[Classifier, Tensor], Any] | None = None) -> Classifier:
    torch.manual_seed(0)
    model = Classifier(write).double().eval()
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.7)
    with torch.no_grad():
        model.emb.weight[0] = 0
    return model


def explain(write: Callable[[Classifier, Tensor], Any], ids: Tensor = IDS, **options: Any) -> Any:
    return seqlrp.LRP(build(write), EPSILON).attribute(ids, target=1, return_ledger=True, **options)
