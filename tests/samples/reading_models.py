"""Models fed with vectors or ids, for the tests of several methods."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn


class Reader(nn.Module):
    """Reads vectors `[B, T, D]`; pools the states of an LSTM or GRU with a function."""

    def __init__(
        self,
        cell: str = "lstm",
        pool: Callable[[Tensor], Tensor] = lambda states: states.mean(1),
        *,
        batch_first: bool = True,
        layers: int = 1,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        torch.manual_seed(5)
        kind = nn.LSTM if cell == "lstm" else nn.GRU
        self.recurrence = kind(4, 5, layers, batch_first=batch_first, dropout=dropout)
        self.head = nn.Linear(5, 3)
        self.pool = pool
        self.batch_first = batch_first
        for parameter in self.parameters():
            parameter.data.mul_(3.0)

    def forward(self, vectors: Tensor) -> Tensor:
        states, _ = self.recurrence(vectors if self.batch_first else vectors.transpose(0, 1))
        return self.head(self.pool(states if self.batch_first else states.transpose(0, 1)))


class Adder(nn.Module):
    """A linear model of ids: the sum of what the words weigh, and a bias."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(6)
        self.embedding, self.head = nn.Embedding(12, 4, padding_idx=0), nn.Linear(4, 3)

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(self.embedding(ids).sum(1))


def vectors(documents: int = 3, steps: int = 6) -> Tensor:
    drawn = torch.Generator().manual_seed(1)
    return torch.randn(documents, steps, 4, dtype=torch.float64, generator=drawn)


def ids() -> Tensor:
    """Five documents of different lengths, padded with 0."""
    drawn = torch.randint(2, 12, (5, 7), generator=torch.Generator().manual_seed(0))
    drawn[1, 4:] = 0
    drawn[2, 1:] = 0
    drawn[4, 6:] = 0
    return drawn
