"""The second run leaves no trace, and is silent where constants are constants."""

# mypy: disable-error-code="no-any-return, no-untyped-call"

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import seqlrp
from seqlrp.engine.second_run import other_vectors, other_words, twin
from seqlrp.errors import UnfollowedWordsError

IDS = torch.tensor([[3, 7, 2, 9], [8, 6, 1, 1]])


class Stateful(nn.Module):
    """Counts its calls, and keeps its last state for the next text."""

    calls: Tensor
    state: Tensor

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.emb, self.cell, self.fc = nn.Embedding(12, 3), nn.GRUCell(3, 4), nn.Linear(4, 2)
        self.register_buffer("calls", torch.zeros(()))
        self.register_buffer("state", torch.zeros(2, 4))
        self.seen: list[int] = []
        self.eval()

    def forward(self, ids: Tensor) -> Tensor:
        self.calls += 1
        self.seen.append(ids.shape[1])
        h = self.state
        mask = (ids != 1).float()
        for t in range(ids.shape[1]):
            h = self.cell(self.emb(ids[:, t]), h) * mask[:, t : t + 1]
        self.state = h.detach()
        return self.fc(h)


def test_the_second_run_leaves_the_model_as_one_call_does() -> None:
    model, plain = Stateful(), Stateful()
    with torch.no_grad():
        plain(IDS)
    states = (torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tobytes())
    seqlrp.LRP(model).attribute(IDS, 0)
    torch.testing.assert_close(model.state, plain.state)
    assert model.calls == 1
    assert model.seen == [4]
    assert torch.equal(torch.get_rng_state(), states[0])
    assert random.getstate() == states[1]
    assert np.random.get_state()[1].tobytes() == states[2]


def test_a_kind_of_input_is_verified_once() -> None:
    lrp = seqlrp.LRP(Stateful())
    assert lrp.attribute(IDS, 0).shape == IDS.shape
    kinds = set(lrp._verified)
    lrp.attribute(IDS + 1, 0)
    assert lrp._verified == kinds
    assert seqlrp.LRP(Stateful(), verify=False)._verified == {None}


def test_a_twin_shares_parameters_and_nothing_else() -> None:
    model = Stateful()
    other: Any = twin(model)
    assert other.emb.weight is model.emb.weight
    assert other.state is not model.state
    assert other.seen is not model.seen
    model.fc.register_forward_hook(lambda *_: None)
    assert twin(model) is None


def test_other_words_keep_padding_and_special_ids() -> None:
    padding = torch.zeros_like(IDS, dtype=torch.bool)
    padding[1, 3] = True
    other = other_words(IDS, padding, {0, 9}, [12, 50])
    assert other is not None
    assert other[0, 3] == 9
    assert other[1, 3] == IDS[1, 3]
    changed = ~padding & (IDS != 9)
    assert (other[changed] != IDS[changed]).all()
    assert other.max() < 12
    assert other_words(IDS, padding, set(range(12)), [12]) is None


def test_other_vectors_keep_zeros() -> None:
    vectors = torch.randn(2, 3, 4)
    vectors[1, 2] = 0
    other = other_vectors(vectors)
    assert (other[1, 2] == 0).all()
    assert (other != vectors)[0].all()


def test_integers_of_signals_are_refused_with_module_and_function() -> None:
    class Rounded(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x + (x * 100).int().float() / 100

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.emb, self.rounded, self.fc = nn.Embedding(12, 3), Rounded(), nn.Linear(3, 2)

        def forward(self, ids: Tensor) -> Tensor:
            return self.fc(self.rounded(self.emb(ids)).sum(1))

    with pytest.raises(UnfollowedWordsError) as found:
        seqlrp.LRP(Model().eval()).attribute(IDS, 0)
    assert found.value.module == "rounded"
    assert found.value.function == "torch.Tensor.add"
