"""Functions that are written as simpler ones are explained as if the model had written those."""

# mypy: disable-error-code="no-any-return, no-untyped-call"

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import seqlrp
from seqlrp.errors import IdsError, RefusedFunctionError
from seqlrp.methods import DeepLIFT

IDS = torch.tensor([[3, 1, 4, 1, 5], [9, 2, 6, 5, 8]])
INDEX = torch.tensor([0, 2, 1, 0, 2])  # which of three slots each of five steps goes to
WEIGHT = torch.arange(12.0, dtype=torch.float64).reshape(2, 6).sin()
Read = Callable[[Tensor], Tensor]


class Model(nn.Module):
    """A head on what `read` makes of the states `[B, T, 6]` of a GRU."""

    def __init__(self, read: Read) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embedding, self.rnn = nn.Embedding(10, 4), nn.GRU(4, 6, batch_first=True)
        self.read = read
        width = read(torch.ones(2, 5, 6, dtype=torch.float64)).flatten(1).shape[1]
        self.head = nn.Linear(width, 3)

    def forward(self, ids: Tensor) -> Any:
        return self.head(self.read(self.rnn(self.embedding(ids))[0]).flatten(1))


def build(read: Read) -> Model:
    return Model(read).double().eval()


def each(function: Read) -> Read:
    """Apply a function to each text."""
    return lambda h: torch.stack([function(one) for one in h])


def slots(h: Tensor) -> Tensor:
    return torch.stack([h[:, k == INDEX].sum(1) for k in range(3)], 1)


def table() -> Tensor:
    return torch.zeros(2, 3, 6, dtype=torch.float64)


def scattered(h: Tensor) -> Tensor:
    index = torch.tensor([[0, 2, 1, 0, 2], [1, 1, 0, 2, 2]])[..., None].expand(2, 5, 6)
    return table().scatter_add(1, index, h)


def scattered_plainly(h: Tensor) -> Tensor:
    rows = ([[0, 3], [2], [1, 4]], [[2], [0, 1], [3, 4]])
    return torch.stack([torch.stack([h[b, i].sum(0) for i in row]) for b, row in enumerate(rows)])


# A call of the function, and the same in functions that have had a law all along.
SAME: dict[str, tuple[Read, Read]] = {
    "diff": (lambda h: torch.diff(h, dim=1), lambda h: h[:, 1:] - h[:, :-1]),
    "diff, twice": (
        lambda h: h.diff(2, 1),
        lambda h: (h[:, 2:] - h[:, 1:-1]) - (h[:, 1:-1] - h[:, :-2]),
    ),
    "diff, prepended": (
        lambda h: torch.diff(h, dim=1, prepend=h[:, :1]),
        lambda h: torch.cat([h[:, :1], h], 1)[:, 1:] - torch.cat([h[:, :1], h], 1)[:, :-1],
    ),
    "inner": (lambda h: torch.inner(h, WEIGHT), lambda h: h @ WEIGHT.T),
    "inner, vectors": (
        each(lambda h: torch.inner(h[0], h[1])[None]),
        each(lambda h: (h[0] @ h[1])[None]),
    ),
    "outer": (
        each(lambda h: torch.outer(h[0], h[1])),
        each(lambda h: h[0][:, None] * h[1][None]),
    ),
    "tensordot": (
        lambda h: torch.tensordot(h, WEIGHT, dims=([2], [1])),
        lambda h: h @ WEIGHT.T,
    ),
    "tensordot, two dimensions": (
        lambda h: torch.tensordot(h[:, :2], WEIGHT)[:, None],
        lambda h: h[:, :2].flatten(1) @ WEIGHT.reshape(12, 1),
    ),
    "kron": (
        each(lambda h: torch.kron(WEIGHT[0, :2], h[-1])),
        each(lambda h: torch.cat([WEIGHT[0, 0] * h[-1], WEIGHT[0, 1] * h[-1]])),
    ),
    "index_add": (lambda h: table().index_add(1, INDEX, h), slots),
    "index_add, in place": (lambda h: table().index_add_(1, INDEX, h), slots),
    "index_add, scaled": (
        lambda h: table().index_add(1, INDEX, h, alpha=2),
        lambda h: slots(h) * 2,
    ),
    "index_add, to signals": (
        lambda h: h[:, :3].index_add(1, INDEX, h),
        lambda h: h[:, :3] + slots(h),
    ),
    "scatter_add": (scattered, scattered_plainly),
    "softmin": (
        lambda h: (F.softmin(h[..., :1], 1) * h).sum(1),
        lambda h: (torch.softmax(-h[..., :1], 1) * h).sum(1),
    ),
    "addcdiv": (
        lambda h: torch.addcdiv(h[:, 0], h[:, 1], WEIGHT[1], value=0.5),
        lambda h: h[:, 0] + h[:, 1] / (2 * WEIGHT[1]),
    ),
    "tril": (lambda h: h.tril(-1), lambda h: h * torch.ones_like(h).tril(-1)),
    "triu": (lambda h: torch.triu(h), lambda h: h.masked_fill(torch.ones(5, 6).triu() == 0, 0)),
    "diagonal": (
        lambda h: h.diagonal(dim1=1, dim2=2),
        lambda h: torch.stack([h[:, k, k] for k in range(5)], 1),
    ),
    "rot90": (lambda h: h.rot90(1, (1, 2)), lambda h: h.transpose(1, 2).flip(1)),
    "embedding": (
        each(lambda h: F.embedding(torch.tensor([[0, 3], [3, 1]]), h)),
        each(lambda h: h[torch.tensor([[0, 3], [3, 1]])]),
    ),
}


@pytest.mark.parametrize("name", SAME)
@pytest.mark.parametrize("method", ["LRP", "DeepLIFT"])
def test_a_composition_is_explained_as_what_it_is_made_of(name: str, method: str) -> None:
    written, plain = map(build, SAME[name])
    torch.testing.assert_close(written(IDS), plain(IDS), rtol=1e-12, atol=1e-14)
    values = []
    for model in (written, plain):
        explainer = seqlrp.LRP(model) if method == "LRP" else DeepLIFT(model)
        values.append(explainer.attribute(IDS, target=1))
    torch.testing.assert_close(*values, rtol=1e-7, atol=1e-12)
    assert values[0].abs().max() > 1e-3


@pytest.mark.parametrize("name", SAME)
def test_the_ledger_of_a_composition_is_the_same(name: str) -> None:
    def amounts(read: Read) -> list[Tensor]:
        ledger = seqlrp.LRP(build(read)).attribution(IDS, 1, account=True).ledger
        assert ledger is not None
        return [ledger.total(kind) for kind in ("bias", "constant", "stabiliser")]

    torch.testing.assert_close(*map(amounts, SAME[name]), rtol=1e-6, atol=1e-9)


def test_words_that_decide_where_something_is_added_are_refused() -> None:
    class Hashed(Model):
        def forward(self, ids: Tensor) -> Any:
            h = self.rnn(self.embedding(ids))[0]
            slot = ((ids + ids.roll(1, 1)) % 3)[..., None].expand(2, 5, 6)
            return self.head(table().scatter_add(1, slot, h).flatten(1))

    with pytest.raises(RefusedFunctionError, match="depends on the words"):
        seqlrp.LRP(Hashed(slots).double().eval()).attribute(IDS, target=1)


def test_a_scatter_into_a_part_is_refused() -> None:
    model = build(lambda h: h.scatter_add(1, torch.zeros(2, 1, 3, dtype=torch.long), h[:, :1, :3]))
    with pytest.raises(RefusedFunctionError, match="scatter_add"):
        seqlrp.LRP(model).attribute(IDS, target=1)


def test_vectors_for_a_model_that_looks_ids_up_are_refused() -> None:
    with pytest.raises(IdsError, match="int64"):
        seqlrp.LRP(build(slots)).attribute(torch.rand(2, 5, 4).double(), target=1)


def test_the_builtin_embedding_of_a_computed_table_takes_the_table_first() -> None:
    rows = torch.tensor([0, 3])
    model = build(each(lambda h: torch.embedding(h, rows, -1, False, False)))
    found = seqlrp.LRP(model).attribute(IDS, target=1)
    torch.testing.assert_close(
        found, seqlrp.LRP(build(each(lambda h: h[rows]))).attribute(IDS, target=1)
    )


def test_vectors_for_a_bag_of_ids_are_refused() -> None:
    model = nn.Sequential(nn.EmbeddingBag(9, 4), nn.Linear(4, 2)).eval()
    with pytest.raises(IdsError, match=r"embedding_bag; ids must be of dtype int64"):
        seqlrp.LRP(model).attribute(torch.rand(2, 3, 4), target=1)


def test_scores_that_mix_in_their_size_are_no_probabilities() -> None:
    class Sized(Model):
        def forward(self, ids: Tensor) -> Any:
            scores = super().forward(ids)
            return scores + scores.norm(dim=-1, keepdim=True)

    with pytest.raises(RefusedFunctionError, match="a norm or standard deviation"):
        seqlrp.LRP(Sized(slots).double().eval()).attribute(IDS, target=1)
