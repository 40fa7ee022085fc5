"""What a model keeps of a run is plain afterwards, and a copied mark means nothing."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import seqlrp
from seqlrp.errors import SeqlrpError
from seqlrp.methods import DeepLIFT

IDS = torch.tensor([[1, 2, 3, 4], [5, 6, 7, 8]])


class Keeper(nn.Module):
    """Keeps its ids, its last state, and what it looked at, as people do to look at them later."""

    state: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(10, 4)
        self.lstm = nn.LSTM(4, 3, batch_first=True)
        self.head = nn.Linear(3, 2)
        self.register_buffer("state", torch.zeros(2, 3))
        self.kept: dict[str, Any] = {}
        self.fails = False

    def forward(self, ids: Tensor) -> Tensor:
        h, _ = self.lstm(self.embedding(ids))
        self.seen = ids
        self.state = h[:, -1].detach()
        self.kept = {"ids": [ids], "weights": (torch.softmax(h.sum(-1), 1).detach(), 1)}
        if self.fails:
            raise KeyError("its own")
        return self.head(h[:, -1])  # type: ignore[no-any-return]


@pytest.mark.parametrize("method", [seqlrp.LRP, DeepLIFT, seqlrp.METHODS["gradient_x_input"]])
def test_what_a_model_keeps_is_plain_and_can_be_copied(method: Any) -> None:
    torch.manual_seed(0)
    model = Keeper().eval()
    with torch.no_grad():
        scores = model(IDS)
    state = model.state.clone()
    relevance = method(model).attribute(IDS, target=1)
    torch.testing.assert_close(model.state, state)  # another kernel, to rounding
    assert model.seen.equal(IDS)
    assert not model.state.requires_grad
    assert not vars(model.seen)
    assert not vars(model.kept["ids"][0])
    twin = copy.deepcopy(model)
    assert method(twin).attribute(IDS, target=1).equal(relevance)
    with torch.no_grad():
        assert pickle.loads(pickle.dumps(model))(IDS).equal(scores)
    model.train()
    model(IDS).sum().backward()  # the next training step


def test_what_a_model_keeps_is_plain_after_an_error() -> None:
    model = Keeper().eval()
    explainer = seqlrp.LRP(model)
    model.fails = True
    with pytest.raises(KeyError, match="its own"):
        explainer.attribute(IDS)
    assert not vars(model.seen)
    assert not model.state.requires_grad
    copy.deepcopy(model)


class Copier(Keeper):
    """Copies its ids deeply before it reads them."""

    def forward(self, ids: Tensor) -> Tensor:
        copied = copy.deepcopy(ids)
        h, _ = self.lstm(self.embedding(copied))
        return self.head(h[:, -1])  # type: ignore[no-any-return]


def test_a_copied_mark_means_nothing() -> None:
    with pytest.raises(SeqlrpError):  # nothing is known of the copy, and that is said
        seqlrp.LRP(Copier().eval()).attribute(IDS)


class Board(nn.Module):
    """Writes its ids into a buffer, and reads them there."""

    board: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.head = nn.Embedding(10, 4), nn.Linear(4, 2)
        self.register_buffer("board", torch.zeros(3, 6, dtype=torch.int64))

    def forward(self, ids: Tensor) -> Tensor:
        self.board[: len(ids), : ids.shape[1]] = ids
        return self.head(self.embedding(self.board[: len(ids), : ids.shape[1]]).mean(1))  # type: ignore[no-any-return]


@pytest.mark.parametrize("method", [seqlrp.LRP, DeepLIFT, seqlrp.METHODS["gradient_x_input"]])
def test_a_buffer_that_a_model_writes_into_stays_the_same_object(method: Any) -> None:
    model = Board().eval()
    board = model.board
    method(model).attribute(IDS, target=1)
    assert model.board is board
    assert not vars(board)
    assert board[:2, :4].equal(IDS)
