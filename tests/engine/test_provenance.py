"""Where ids come from that a model moves, overwrites and computes: right, or refused by name."""

# mypy: disable-error-code="no-any-return, no-untyped-call"

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import seqlrp
from seqlrp.errors import ModelError, RefusedFunctionError, UnfollowedWordsError

V, D, T = 20, 3, 6
IDS = torch.tensor([[3, 7, 2, 9, 5, 4], [8, 6, 3, 11, 0, 0]])
LENGTHS = torch.tensor([6, 4])
OF_2 = (2, 3, 4, 5)
Look = Callable[[Any, Tensor], Tensor]


class Sum(nn.Module):
    """A sum of vectors, weighted by position, and a linear layer."""

    idf: Tensor

    def __init__(self, look: Look, beside: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.emb, self.other = nn.Embedding(V, D), nn.Embedding(V, D)
        self.fc = nn.Linear(D, 2, bias=False)
        self.register_buffer("idf", torch.rand(V, dtype=torch.float64) + 0.5)
        self.look, self.beside = look, beside
        self.double().eval()

    def forward(self, ids: Tensor) -> Tensor:
        found = self.look(self, ids)
        places = torch.arange(1, found.shape[1] + 1).unsqueeze(-1)
        scores = self.fc((found * places).sum(1))
        return scores + self.fc(self.other(ids).sum(1)) if self.beside else scores


def reversed_by_hand(m: Sum, ids: Tensor) -> Tensor:
    out = torch.zeros_like(ids)
    for b, n in enumerate(LENGTHS.tolist()[: len(ids)]):
        out[b, :n] = ids[b, :n].flip(0)
    return m.emb(out)


def in_rows(m: Sum, ids: Tensor) -> Tensor:
    out = torch.zeros_like(ids)
    for row, given in zip(out, ids, strict=True):
        row[:4].copy_(given[:4])
    return m.emb(out)


def reversed_by_gather(m: Sum, ids: Tensor) -> Tensor:
    at = LENGTHS[: len(ids), None] - 1 - torch.arange(T)
    return m.emb(ids.gather(1, at.clamp(min=0)).masked_fill(at < 0, 0))


def second_is_first(m: Sum, ids: Tensor) -> Tensor:
    z = ids.clone()
    z[:, 1] = z[:, 0]
    return m.emb(z)


def written_after_reading(m: Sum, ids: Tensor) -> Tensor:
    found = m.emb(ids)
    ids[:, 0] = 4
    return found + m.emb(ids)


def filled(m: Sum, ids: Tensor) -> Tensor:
    z = ids.clone()
    z[:, 2:4].fill_(7)
    return m.emb(z)


def by_data(m: Sum, ids: Tensor) -> Tensor:
    z = ids.clone()
    z.data[:, 1] = z.data[:, 0]
    return m.emb(z.data)


def by_kept(m: Sum, ids: Tensor) -> Tensor:
    kept = torch.arange(T) < 3
    return m.emb(ids * kept)


BACK = torch.arange(T - 1, -1, -1)


def gathered_into_zeros(m: Sum, ids: Tensor) -> Tensor:
    out = torch.zeros_like(ids)
    torch.gather(ids, 1, BACK.expand(len(ids), -1), out=out)
    return m.emb(out)


def gathered_over_ids(m: Sum, ids: Tensor) -> Tensor:
    out = ids.clone()
    torch.index_select(ids, 1, BACK, out=out)
    return m.emb(torch.add(out, 1, out=out) - 1)


def joined_into_nothing(m: Sum, ids: Tensor) -> Tensor:
    out = torch.empty(0, dtype=torch.int64)
    torch.cat([ids[:, 1:], ids[:, :1]], 1, out=out)
    return m.emb(out)


def flipped_into_a_view(m: Sum, ids: Tensor) -> Tensor:
    wide = torch.zeros(len(ids), 2 * T, dtype=torch.int64)
    torch.add(ids.flip(1), 0, out=wide[:, 2:-4])
    return m.emb(wide[:, 2:-4])


def largest_into_a_pair(m: Sum, ids: Tensor) -> Tensor:
    out = torch.zeros(len(ids), 2, dtype=torch.int64), torch.zeros(len(ids), 2, dtype=torch.int64)
    return m.emb(torch.topk(ids, 2, 1, out=out).values)


def turned_and_turned_back(m: Sum, ids: Tensor) -> Tensor:
    z = ids.flip(1)
    z.t_()
    return m.emb(z.t())


def swapped(m: Sum, ids: Tensor) -> Tensor:
    z = ids.clone()
    torch.utils.swap_tensors(z, ids.flip(1))
    return m.emb(z)


def sorted_by_values(m: Sum, ids: Tensor) -> Tensor:
    return m.emb(ids.sort(1).values)


def shares(look: Look, expected: Tensor) -> None:
    """The word numbers in `expected` [B, T'] get what their vectors bring; -1 is nobody."""
    model = Sum(look)
    with torch.no_grad():
        found = look(model, IDS.clone())
        places = torch.arange(1, found.shape[1] + 1).unsqueeze(-1)
        brought = (found * places) @ model.fc.weight[0]
    relevance, ledger = seqlrp.LRP(model, 0.0).attribute(IDS, 0, return_ledger=True)
    want = torch.zeros(IDS.shape, dtype=torch.float64)
    nobody = torch.zeros(len(IDS), dtype=torch.float64)
    for b in range(len(IDS)):
        for k, place in enumerate(expected[b].tolist()):
            if place < 0:
                nobody[b] += brought[b, k]
            else:
                want[b, place] += brought[b, k]
    torch.testing.assert_close(relevance, want, rtol=0, atol=1e-12)
    torch.testing.assert_close(ledger.total("constant"), nobody, rtol=0, atol=1e-12)
    assert ledger.residual.abs().max() < 1e-12


def every(row: list[int], other: list[int] | None = None) -> Tensor:
    return torch.tensor([row, row if other is None else other])


@pytest.mark.parametrize(
    ("look", "expected"),
    [
        (reversed_by_hand, every([5, 4, 3, 2, 1, 0], [3, 2, 1, 0, -1, -1])),
        (in_rows, every([0, 1, 2, 3, -1, -1])),
        (reversed_by_gather, every([5, 4, 3, 2, 1, 0], [3, 2, 1, 0, -1, -1])),
        (second_is_first, every([0, 0, 2, 3, 4, 5])),
        (filled, every([0, 1, -1, -1, 4, 5])),
        (by_data, every([0, 0, 2, 3, 4, 5])),
        (by_kept, every([0, 1, 2, -1, -1, -1])),
        (sorted_by_values, every([2, 0, 5, 4, 1, 3], [4, 5, 2, 1, 0, 3])),
        (gathered_into_zeros, every([5, 4, 3, 2, 1, 0])),
        (gathered_over_ids, every([5, 4, 3, 2, 1, 0])),
        (joined_into_nothing, every([1, 2, 3, 4, 5, 0])),
        (flipped_into_a_view, every([5, 4, 3, 2, 1, 0])),
        (largest_into_a_pair, every([3, 1], [3, 0])),
        (turned_and_turned_back, every([5, 4, 3, 2, 1, 0])),
        (swapped, every([5, 4, 3, 2, 1, 0])),
        (lambda m, ids: m.emb(torch.where(torch.arange(T) < 2, 4, ids)), every([-1, -1, *OF_2])),
        (lambda m, ids: m.emb(torch.where(ids > 8, 1, ids)), every([0, 1, 2, 3, 4, 5])),
        (lambda m, ids: m.emb(ids.float().long()), every([0, 1, 2, 3, 4, 5])),
        (lambda m, ids: m.emb(ids.new_tensor(ids)), every([0, 1, 2, 3, 4, 5])),
        (lambda m, ids: m.emb(torch.div(ids, 2, rounding_mode="floor")), every([0, 1, 2, 3, 4, 5])),
        (lambda m, ids: m.emb(ids.topk(2, 1)[0]), every([3, 1], [3, 0])),
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore:To copy construct:UserWarning")
def test_each_vector_belongs_to_the_word_that_its_id_comes_from(
    look: Look, expected: Tensor
) -> None:
    shares(look, expected)


def test_what_is_written_over_ids_after_a_reading_does_not_change_it() -> None:
    model = Sum(written_after_reading)
    relevance, ledger = seqlrp.LRP(model, 0.0).attribute(IDS, 0, return_ledger=True)
    with torch.no_grad():
        each = model.emb(IDS) @ model.fc.weight[0] * torch.arange(1, T + 1)
        fixed = model.emb.weight[4] @ model.fc.weight[0]
    want = 2 * each
    want[:, 0] = each[:, 0]
    torch.testing.assert_close(relevance, want, rtol=0, atol=1e-12)
    torch.testing.assert_close(ledger.total("constant"), fixed.expand(2), rtol=0, atol=1e-12)


def bigrams(m: Sum, ids: Tensor) -> Tensor:
    z = ids.clone()
    z[:, 1:].add_(ids[:, :-1])
    return m.emb(z % V)


def unknown_and_nobody(m: Sum, ids: Tensor) -> Tensor:
    first = torch.arange(T) < 2
    return m.emb((ids.cumsum(1) % V) * first + ids * ~first)


def unique(m: Sum, ids: Tensor) -> Tensor:
    values, inverse = ids.unique(return_inverse=True)
    return m.emb(values)[inverse]


def counted(m: Sum, ids: Tensor) -> Tensor:
    bag = torch.zeros(len(ids), V, dtype=torch.float64)
    bag.scatter_add_(1, ids, torch.ones(ids.shape, dtype=torch.float64))
    return (bag @ m.emb.weight).unsqueeze(1)


def one_hot(m: Sum, ids: Tensor) -> Tensor:
    return (ids[..., None] == torch.arange(V)).double() @ m.emb.weight


def in_a_thread(m: Sum, ids: Tensor) -> Tensor:
    found: list[Tensor] = []

    def work() -> None:
        with torch.no_grad():
            found.append(m.emb(ids.detach().clone()))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    return found[0]


@pytest.mark.parametrize(
    "look",
    [
        bigrams,
        unknown_and_nobody,
        unique,
        counted,
        one_hot,
        lambda m, ids: m.emb(torch.from_numpy(np.sort(ids.numpy(), 1))),
        lambda m, ids: m.emb(torch.tensor([row[::-1] for row in ids.tolist()])),
        lambda m, ids: m.emb(ids.cumsum(1) % V),
        lambda m, ids: m.emb((ids * ids.roll(1, 1)) % V),
        lambda m, ids: m.emb(torch.maximum(ids, ids.roll(1, 1))),
        lambda m, ids: m.emb((ids.amin(1, keepdim=True) + ids) % V),
        lambda m, ids: m.emb(torch.searchsorted(ids.sort(1).values, ids)),
        lambda m, ids: m.emb.weight.T[:, ids].permute(1, 2, 0),
        lambda m, ids: m.idf.take(ids).unsqueeze(-1).expand(-1, -1, D),
        lambda m, ids: m.idf.expand(len(ids), -1).gather(1, ids).unsqueeze(-1).expand(-1, -1, D),
        in_a_thread,
    ],
)
@pytest.mark.parametrize("beside", [False, True])
def test_what_is_not_followed_is_refused_by_name(look: Look, beside: bool) -> None:
    model = Sum(look, beside)
    with torch.no_grad():
        model(IDS.clone())
    with pytest.raises(ModelError):
        seqlrp.LRP(model).attribute(IDS, 0)


def by_memory(z: Tensor, other: Tensor) -> None:
    z.__setstate__((other.untyped_storage(), 0, other.shape, other.stride()))


def by_numpy_before(z: Tensor, other: Tensor) -> None:
    array = z.numpy()
    z.copy_(other)
    array[...] = array[:, ::-1].copy()


def by_a_thread(z: Tensor, other: Tensor) -> None:
    thread = threading.Thread(target=z.copy_, args=(other,))
    thread.start()
    thread.join()


def by_dlpack(z: Tensor, other: Tensor) -> None:
    torch.from_dlpack(torch._C._to_dlpack(z)).copy_(other)  # type: ignore[attr-defined]


HIDDEN_WRITES: dict[str, Callable[[Tensor, Tensor], object]] = {
    "set_": lambda z, other: z.set_(other),  # type: ignore[call-overload]
    "set_ by strides": lambda z, other: z.set_(z.untyped_storage(), 0, z.shape, (1, 2)),
    "data": lambda z, other: setattr(z, "data", other),
    "real": lambda z, other: setattr(z, "real", other),
    "setstate": by_memory,
    "resize_": lambda z, other: z.resize_(2, T - 1),
    "as_strided_": lambda z, other: z.as_strided_((2, T), (1, 2)),
    "storage": lambda z, other: z.untyped_storage().copy_(other.clone().untyped_storage()),
    "NumPy": by_numpy_before,
    "DLPack": by_dlpack,
    "address": lambda z, other: ctypes.memmove(
        z.data_ptr(), other.contiguous().data_ptr(), 16 * T
    ),
    "thread": by_a_thread,
    "foreach": lambda z, other: torch._foreach_copy_([z], [other]),
    "aten": lambda z, other: torch.ops.aten.copy_.default(z, other),
    "aten out": lambda z, other: torch.ops.aten.add.out(other, 0, out=z),
    "another dtype": lambda z, other: torch.add(z, other, out=z.double()),
    "another shape": lambda z, other: torch.add(z, other, out=z[0]),
}  # fmt: skip


@pytest.mark.parametrize("beside", [False, True])
@pytest.mark.parametrize("way", HIDDEN_WRITES)
@pytest.mark.filterwarnings("ignore:An output with one or more elements was resized:UserWarning")
def test_ids_that_change_unseen_are_refused(way: str, beside: bool) -> None:
    def look(m: Sum, ids: Tensor) -> Tensor:
        z = ids.clone()
        HIDDEN_WRITES[way](z, ids.flip(1))
        return m.emb(z)

    with pytest.raises(RefusedFunctionError, match="cannot be followed"):
        seqlrp.LRP(Sum(look, beside)).attribute(IDS, 0)


@pytest.mark.parametrize("beside", [False, True])
@pytest.mark.parametrize("method", [seqlrp.LRP, seqlrp.METHODS["gradient_x_input"]])
def test_ids_that_are_replaced_by_ids_from_elsewhere_are_refused(method: Any, beside: bool) -> None:
    def look(m: Sum, ids: Tensor) -> Tensor:
        z = ids.clone()
        z.copy_(torch.from_numpy(ids.numpy()[:, ::-1].copy()))
        return m.emb(z)

    with pytest.raises(UnfollowedWordsError) as found:
        method(Sum(look, beside)).attribute(IDS[:1], 0)
    assert found.value.function == "embedding"
    assert found.value.module == "emb"


@pytest.mark.parametrize(
    ("look", "name"),
    [
        (lambda m, ids: m.emb((ids[:, 1:].clone() * 31 + ids[:, :-1]) % V), "torch.Tensor.add"),
        (lambda m, ids: m.emb((ids.flip(1).roll(1, 1) * ids)[:, 1:] % V), "torch.Tensor.mul"),
        (bigrams, "torch.Tensor.add_"),
    ],
)
def test_the_function_that_combines_words_is_to_blame(look: Look, name: str) -> None:
    with pytest.raises(RefusedFunctionError) as found:
        seqlrp.LRP(Sum(look)).attribute(IDS, 0)
    assert found.value.function == name


@pytest.mark.parametrize(
    "weight",
    [
        lambda m, ids: m.idf[ids],
        lambda m, ids: m.idf.take(ids),
        lambda m, ids: m.idf.index_select(0, ids.flatten()).view_as(ids),
        lambda m, ids: (ids > 5).double() + 0.5,
        lambda m, ids: 1 + ids.double() / V,
    ],
)
def test_a_weight_by_a_question_or_a_table_is_a_constant_in_a_product(weight: Look) -> None:
    model = Sum(lambda m, ids: m.emb(ids) * weight(m, ids).unsqueeze(-1))
    relevance, ledger = seqlrp.LRP(model, 0.0).attribute(IDS, 0, return_ledger=True)
    with torch.no_grad():
        each = model.look(model, IDS) @ model.fc.weight[0] * torch.arange(1, T + 1)
    torch.testing.assert_close(relevance, each, rtol=0, atol=1e-12)
    assert ledger.residual.abs().max() < 1e-12


def test_a_question_is_refused_as_a_term() -> None:
    model = Sum(lambda m, ids: m.emb(ids) + (ids > 5).double().unsqueeze(-1))
    with pytest.raises(UnfollowedWordsError) as found:
        seqlrp.LRP(model).attribute(IDS, 0)
    assert found.value.function == "torch.Tensor.add"
    assert found.value.module == ""
    seqlrp.LRP(model, verify=False).attribute(IDS, 0)  # taken for a constant, as asked


def test_bags_with_weights_of_words() -> None:
    class Bag(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bag, self.idf = nn.EmbeddingBag(V, D, mode="sum"), torch.rand(V)
            self.fc = nn.Linear(D, 2, bias=False)

        def forward(self, ids: Tensor) -> Tensor:
            return self.fc(self.bag(ids, per_sample_weights=self.idf[ids]))

    model = Bag().double().eval()
    model.idf = model.idf.double()
    relevance = seqlrp.LRP(model, 0.0).attribute(IDS, 0)
    with torch.no_grad():
        each = F.embedding(IDS, model.bag.weight) @ model.fc.weight[0] * model.idf[IDS]
    torch.testing.assert_close(relevance, each, rtol=0, atol=1e-12)
