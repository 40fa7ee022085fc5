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


SEGMENTS = torch.tensor([0, 0, 1, 1, 2])  # which word each of five pieces belongs to
PIECES = torch.tensor([[0, 0, 1, 1, 2], [0, 1, 1, 1, 2]])


def reduced(how: str, *, with_own: bool = False) -> Read:
    def read(h: Tensor) -> Tensor:
        index = PIECES[..., None].expand_as(h)
        own = h[:, 2:] if with_own else table()
        return own.scatter_reduce(1, index, h, how, include_self=with_own)

    return read


def reduced_plainly(how: str, *, with_own: bool = False) -> Read:
    def read(h: Tensor) -> Tensor:
        words = []
        for b, k in ((b, k) for b in range(2) for k in range(3)):
            word = h[b, PIECES[b] == k]
            if with_own:
                word = torch.cat([h[b, 2 + k][None], word])
            words.append(getattr(torch, how)(word, 0))
        return torch.stack(words).unflatten(0, (2, 3))

    return read


def image(h: Tensor) -> Tensor:
    """Return the states of two texts as images `[2, 4, 2, 3]`."""
    return h[:, :4].unflatten(2, (2, 3))


def unpooled(h: Tensor) -> Tensor:
    pooled, where = F.max_pool1d(h, 2, return_indices=True)
    return F.max_unpool1d(pooled, where, [2])


def unpooled_plainly(h: Tensor) -> Tensor:
    pairs = h.unflatten(2, (3, 2))
    largest = F.one_hot(pairs.argmax(-1), 2).bool()
    values = pairs.max(-1, keepdim=True)[0].expand_as(pairs)
    return values.masked_fill(~largest, 0).flatten(2)


def windows(h: Tensor) -> Tensor:
    padded = F.pad(image(h), (1, 1))
    parts = [padded[:, :, :, k : k + 2].flatten(2) for k in range(4)]
    return torch.stack(parts, -1).flatten(1, 2)


def overlapping(h: Tensor) -> Tensor:
    """Return the sum of three windows of two, one step apart, on a line of four."""
    zero = torch.zeros(2, 2, 1, dtype=h.dtype)
    one, other = (h[:, :4].unflatten(1, (2, 2))[:, :, k, :3] for k in range(2))
    return torch.cat([one, zero], -1) + torch.cat([zero, other], -1)


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
    "scatter_reduce, sum": (reduced("sum"), reduced_plainly("sum")),
    "scatter_reduce, mean": (reduced("mean"), reduced_plainly("mean")),
    "scatter_reduce, amax": (reduced("amax"), reduced_plainly("amax")),
    "scatter_reduce, amin": (reduced("amin"), reduced_plainly("amin")),
    "scatter_reduce, to signals": (
        reduced("amax", with_own=True),
        reduced_plainly("amax", with_own=True),
    ),
    "segment_reduce, mean": (
        lambda h: torch.segment_reduce(
            h, "mean", lengths=torch.tensor([[2, 2, 1], [1, 3, 1]]), axis=1
        ),
        reduced_plainly("mean"),
    ),
    "segment_reduce, max": (
        each(lambda h: torch.segment_reduce(h, "max", lengths=torch.tensor([2, 2, 1]))),
        each(lambda h: torch.stack([h[k == SEGMENTS].amax(0) for k in range(3)])),
    ),
    "segment_reduce, sum": (
        each(lambda h: torch.segment_reduce(h, "sum", offsets=torch.tensor([0, 2, 4, 5]))),
        each(lambda h: torch.stack([h[k == SEGMENTS].sum(0) for k in range(3)])),
    ),
    "index_put, adding": (
        lambda h: table().index_put((torch.arange(2)[:, None], PIECES), h, accumulate=True),
        reduced_plainly("sum"),
    ),
    "index_put, adding to signals in place": (
        lambda h: h[:, :3].clone().index_put_((torch.arange(2)[:, None], INDEX), h, True),
        lambda h: h[:, :3] + slots(h),
    ),
    "multi_dot": (
        each(lambda h: torch.linalg.multi_dot([h[:2], WEIGHT.T, WEIGHT])),
        each(lambda h: h[:2] @ WEIGHT.T @ WEIGHT),
    ),
    "chain_matmul": (
        each(lambda h: torch.chain_matmul(WEIGHT, h.T, h)),
        each(lambda h: (WEIGHT @ h.T) @ h),
    ),
    "interpolate": (
        lambda h: F.interpolate(h.mT, scale_factor=2),
        lambda h: h.mT.repeat_interleave(2, 2),
    ),
    "interpolate, linear": (
        lambda h: F.interpolate(h[:, :2].mT, size=3, mode="linear", align_corners=True),
        lambda h: torch.stack([h[:, 0], h[:, :2].mean(1), h[:, 1]], 2),
    ),
    "pixel_shuffle": (
        lambda h: F.pixel_shuffle(image(h), 2),
        lambda h: image(h).unflatten(1, (2, 2)).permute(0, 3, 1, 4, 2).reshape(2, 1, 4, 6),
    ),
    "pixel_unshuffle": (
        lambda h: F.pixel_unshuffle(F.pixel_shuffle(image(h), 2), 2),
        image,
    ),
    "channel_shuffle": (
        lambda h: F.channel_shuffle(image(h), 2),
        lambda h: image(h)[:, [0, 2, 1, 3]],
    ),
    "unfold of images": (lambda h: F.unfold(image(h), (2, 2), padding=(0, 1)), windows),
    "fold": (
        lambda h: F.fold(h[:, :4, :3], (1, 4), (1, 2)),
        lambda h: overlapping(h)[:, :, None],
    ),
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


@pytest.mark.filterwarnings("ignore:torch.chain_matmul is deprecated")
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


@pytest.mark.filterwarnings("ignore:torch.chain_matmul is deprecated")
@pytest.mark.parametrize("name", SAME)
def test_the_ledger_of_a_composition_is_the_same(name: str) -> None:
    def amounts(read: Read) -> list[Tensor]:
        ledger = seqlrp.LRP(build(read)).attribution(IDS, 1, account=True).ledger
        assert ledger is not None
        return [ledger.total(kind) for kind in ("bias", "constant", "stabiliser")]

    torch.testing.assert_close(*map(amounts, SAME[name]), rtol=1e-6, atol=1e-9)


def test_maxima_that_are_put_back() -> None:
    written, plain = build(unpooled), build(unpooled_plainly)
    torch.testing.assert_close(written(IDS), plain(IDS), rtol=1e-12, atol=1e-14)
    values = [seqlrp.LRP(model).attribute(IDS, target=1) for model in (written, plain)]
    torch.testing.assert_close(*values, rtol=1e-9, atol=1e-12)
    with pytest.raises(RefusedFunctionError, match="a choice"):  # the baseline has other maxima
        DeepLIFT(written).attribute(IDS, target=1)


def test_maxima_that_overlap_are_not_put_back() -> None:
    def read(h: Tensor) -> Tensor:
        pooled, where = F.max_pool1d(h, 3, 1, return_indices=True)
        return F.max_unpool1d(pooled, where, [3], [1])

    with pytest.raises(RefusedFunctionError, match="overlap"):
        seqlrp.LRP(build(read)).attribute(IDS, target=1)


def test_rows_of_a_batch_that_are_added_back_stay_with_their_texts() -> None:
    """As a mixture of experts does: rows of all texts, of which each expert takes some."""

    def experts(h: Tensor) -> Tensor:
        rows = h.reshape(10, 6)
        y = torch.zeros_like(rows)
        for chosen in ([0, 3, 7], [1, 2, 4, 8, 9], [5]):  # and the row 6 nowhere
            y.index_add_(0, torch.tensor(chosen), torch.tanh(rows[chosen]))
        return y.view_as(h)

    def plainly(h: Tensor) -> Tensor:
        there = torch.ones(10, 1, dtype=h.dtype)
        there[6] = 0
        return torch.tanh(h) * there.view(2, 5, 1)

    found, expected = (
        seqlrp.LRP(build(read)).attribute(IDS, 1, return_ledger=True) for read in (experts, plainly)
    )
    torch.testing.assert_close(found[0], expected[0], rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(found[1].totals["tokens"], expected[1].totals["tokens"])


TWICE = torch.tensor([0, 2, 1, 0])


def assigned(index: Any) -> Read:
    def read(h: Tensor) -> Tensor:
        y = h[:, :3].clone()
        y[:, index] = h[:, 1:]
        return y

    return read


@pytest.mark.parametrize("read", [
    assigned(TWICE),
    assigned(TWICE.tolist()),
    lambda h: table().index_put((torch.arange(2)[:, None], TWICE), h[:, 1:]),
    lambda h: table().index_put_([torch.arange(2)[:, None], TWICE], h[:, 1:]),
    lambda h: table().index_copy(1, TWICE, h[:, 1:]),
    lambda h: table().index_copy(dim=1, index=TWICE, source=h[:, 1:]),
    lambda h: table().scatter(1, TWICE[:, None].expand(2, 4, 6), h[:, 1:]),
])  # fmt: skip
@pytest.mark.parametrize("method", [seqlrp.LRP, DeepLIFT])
def test_values_written_to_one_place_twice_are_refused(method: Any, read: Read) -> None:
    with pytest.raises(RefusedFunctionError, match="twice"):
        method(build(read)).attribute(IDS, target=1)


def test_a_number_may_be_written_to_one_place_twice() -> None:
    def blanked(h: Tensor) -> Tensor:
        y = h.clone()
        y[:, TWICE] = 0
        return y

    found = seqlrp.LRP(build(blanked)).attribute(IDS, target=1)
    expected = seqlrp.LRP(build(lambda h: F.pad(h[:, 3:], (0, 0, 3, 0)))).attribute(IDS, target=1)
    torch.testing.assert_close(found, expected)


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
