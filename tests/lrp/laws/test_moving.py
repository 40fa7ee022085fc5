"""Functions whose backward pass is written here give what torch's own gives."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from samples.architectures.attribution import close
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import seqlrp
from seqlrp.lrp.laws.moving import _Permute, _Unpack


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("total", [3, 5])
@pytest.mark.parametrize("together", [False, True], ids=["one", "vmap"])
def test_unpacking(batch_first: bool, total: int, together: bool) -> None:
    rows, sizes = torch.randn(7, 2, dtype=torch.float64, requires_grad=True), [4, 2, 1]
    arguments = (torch.tensor(sizes), batch_first, -1.5, total)
    mine, _ = _Unpack.apply(rows, *arguments)  # type: ignore[no-untyped-call]
    theirs, lengths = torch._VF._pad_packed_sequence(rows, *arguments)
    assert torch.equal(mine, theirs)
    assert lengths.tolist() == [3, 2, 1, 1]
    _same_gradient(mine, theirs, rows, together)


@pytest.mark.parametrize("dim", [0, 1, -1])
@pytest.mark.parametrize("together", [False, True], ids=["one", "vmap"])
def test_permuting(dim: int, together: bool) -> None:
    x, index = torch.randn(4, 4, 4, requires_grad=True), torch.tensor([2, 0, 3, 1])
    mine = _Permute.apply(x, dim, index, index.argsort())  # type: ignore[no-untyped-call]
    theirs = x.index_select(dim, index)
    assert torch.equal(mine, theirs)
    _same_gradient(mine, theirs, x, together)


def _same_gradient(mine: Tensor, theirs: Tensor, start: Tensor, together: bool) -> None:
    seeds = torch.randn(3, *mine.shape, dtype=mine.dtype)

    def back(y: Tensor) -> Any:
        return lambda seed: torch.autograd.grad(y, start, seed, retain_graph=True)[0]

    if together:
        assert torch.equal(torch.vmap(back(mine))(seeds), torch.vmap(back(theirs))(seeds))
    else:
        assert torch.equal(back(mine)(seeds[0]), back(theirs)(seeds[0]))


class Rearranging(nn.Module):
    """Packs in any order, and reads rows by an index with or without repetitions."""

    def __init__(self, index: list[int]) -> None:
        super().__init__()
        self.embedding = nn.Embedding(20, 6)
        self.lstm = nn.LSTM(6, 4, batch_first=True, bidirectional=True)
        self.head = nn.Linear(8, 3)
        self.index = torch.tensor(index)

    def forward(self, ids: Tensor) -> Tensor:
        lengths = (ids != 0).sum(1)
        packed = pack_padded_sequence(self.embedding(ids), lengths, True, enforce_sorted=False)
        states, _ = pad_packed_sequence(self.lstm(packed)[0], True)
        scores: Tensor = self.head(states.index_select(2, self.index).sum(1))
        return scores


@pytest.mark.parametrize(
    "index", [[3, 1, 0, 2, 7, 5, 4, 6], [0, 0, 1, 1, 2, 2, 3, 7]], ids=["once", "repeated"]
)
def test_a_batch_is_its_texts(index: list[int]) -> None:
    """With a ledger that closes: rows are permuted, or read twice and then added up."""
    torch.manual_seed(0)
    model = Rearranging(index).double().eval()
    ids = torch.tensor([[3, 4, 0, 0, 0], [5, 6, 7, 8, 9], [2, 0, 0, 0, 0], [9, 3, 2, 1, 0]])
    together, ledger = seqlrp.LRP(model).attribute(ids, target="all", return_ledger=True)
    assert float(ledger.residual.abs().max()) < 1e-12
    for row, own in enumerate(ids):
        own = own[own != 0][None]
        alone = seqlrp.LRP(model).attribute(own, target="all")
        close(together[row, :, : own.shape[1]], alone[0], 1e-12)
