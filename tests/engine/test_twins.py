"""A twin shares parameters alone, and says where it cannot be kept apart."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from seqlrp.engine.twins import not_twinned, twin


class Stateful(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.emb, self.fc = nn.Embedding(12, 3), nn.Linear(3, 2)
        self.register_buffer("state", torch.zeros(2, 4))
        self.seen: list[int] = []
        self.kept = [self.fc.weight * 2]  # has a graph


def test_a_twin_shares_parameters_and_nothing_else() -> None:
    model = Stateful()
    other: Any = twin(model)
    assert other.emb.weight is model.emb.weight
    assert other.state is not model.state
    assert other.seen is not model.seen
    assert not_twinned(model) == ""
    model.fc.register_forward_hook(lambda *_: None)
    assert not_twinned(model) == "module 'fc' has a function as a forward hook"
    assert other.kept[0] is not model.kept[0]
    assert torch.equal(other.kept[0], model.kept[0])
