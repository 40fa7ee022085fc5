"""A document's relevance is its own: not of the batch, the order or the padding around it."""

# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from samples.examples import examples
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import seqlrp
from seqlrp.errors import PaddingWarning

V, D, H, C = 20, 4, 3, 3
documents = st.lists(
    st.lists(st.integers(1, V - 1), min_size=1, max_size=7), min_size=1, max_size=6
)
dtypes = st.sampled_from([torch.float32, torch.float64])
TOLERANCE = {torch.float32: 2e-5, torch.float64: 1e-12}
quick = examples(8)


class Model(nn.Module):
    """A recurrent classifier that packs, masks, or does neither."""

    def __init__(self, kind: str, pooling: str) -> None:
        super().__init__()
        self.pooling = pooling
        self.emb = nn.Embedding(V, D, padding_idx=0)
        cls: Any = nn.LSTM if kind == "lstm" else nn.GRU
        self.rnn = cls(D, H, num_layers=2, batch_first=True, bidirectional=True)
        self.cell = nn.LSTMCell(D, 2 * H) if kind == "lstm" else nn.GRUCell(D, 2 * H)
        self.att = nn.Linear(2 * H, 1)
        self.head = nn.Linear(2 * H, C)

    def loop(self, ids: Tensor) -> Tensor:
        x, state = self.emb(ids), None
        h = c = torch.zeros(len(ids), 2 * H, dtype=x.dtype)
        for t in range(ids.shape[1]):
            on = (ids[:, t] != 0).unsqueeze(1)
            if isinstance(self.cell, nn.LSTMCell):
                state = self.cell(x[:, t], (h, c))
                h, c = torch.where(on, state[0], h), torch.where(on, state[1], c)
            else:
                h = torch.where(on, self.cell(x[:, t], h), h)
        return h

    def forward(self, ids: Tensor) -> Tensor:
        mask = ids != 0
        if self.pooling == "loop":
            return self.head(self.loop(ids))  # type: ignore[no-any-return]
        x = self.emb(ids)
        if self.pooling == "unmasked":
            return self.head(self.rnn(x)[0].mean(1))  # type: ignore[no-any-return]
        packed = pack_padded_sequence(x, mask.sum(1), batch_first=True, enforce_sorted=False)
        out, final = self.rnn(packed)
        if self.pooling == "last":
            h = final[0] if isinstance(final, tuple) else final
            return self.head(torch.cat([h[-2], h[-1]], 1))  # type: ignore[no-any-return]
        out, _ = pad_packed_sequence(out, batch_first=True, total_length=ids.shape[1])
        if self.pooling == "mean":
            return self.head((out * mask.unsqueeze(-1)).sum(1) / mask.sum(1, keepdim=True))  # type: ignore[no-any-return]
        if self.pooling == "max":
            filled = out.masked_fill(~mask.unsqueeze(-1), float("-inf"))
            return self.head(filled.max(1).values)  # type: ignore[no-any-return]
        scores = self.att(out).squeeze(-1).masked_fill(~mask, float("-inf"))
        pooled = torch.bmm(scores.softmax(1).unsqueeze(1), out).squeeze(1)
        return self.head(pooled)  # type: ignore[no-any-return]


def build(kind: str, pooling: str, dtype: torch.dtype) -> Model:
    torch.manual_seed(0)
    model = Model(kind, pooling).to(dtype).eval()
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.6)
    with torch.no_grad():
        model.emb.weight[0] = 0
    return model


def padded(rows: list[list[int]], width: int = 0) -> Tensor:
    width = max(width, *(len(row) for row in rows))
    return torch.tensor([row + [0] * (width - len(row)) for row in rows])


@lru_cache(maxsize=2)
def explainer(model: Model) -> seqlrp.LRP:
    """One object for all calls about a model: a second run on other words is made once."""
    return seqlrp.LRP(model, 0.01)


def explained(model: Model, ids: Tensor, **options: Any) -> tuple[Tensor, Any]:
    return explainer(model).attribute(ids, target=1, return_ledger=True, **options)


def check_alike(
    model: Model, rows: list[list[int]], change: Callable[[list[list[int]]], Tensor], at: list[int]
) -> None:
    """Each document alone has the relevance that it has at place `at[k]` of the changed batch."""
    tolerance = TOLERANCE[model.head.weight.dtype]
    ids = change(rows)
    relevance, ledger = explained(model, ids)
    assert not relevance[ids == 0].any()
    assert not ledger.total("padding").any()
    assert ledger.residual.abs().max() < 10 * tolerance
    for row, place in zip(rows, at, strict=True):
        alone, account = explained(model, torch.tensor([row]))
        close(relevance[place, : len(row)], alone[0], tolerance)
        for kind, total in account.totals.items():
            close(ledger.total(kind)[place], total[0], 10 * tolerance)


def close(a: Tensor, b: Tensor, tolerance: float) -> None:
    torch.testing.assert_close(a, b, rtol=0, atol=tolerance)


each = pytest.mark.parametrize("pooling", ["last", "mean", "max", "attention", "loop"])
both = pytest.mark.parametrize("kind", ["lstm", "gru"])


@each
@both
@quick
@given(rows=documents, dtype=dtypes, extra=st.integers(0, 5))
def test_padding_changes_nothing(
    kind: str, pooling: str, rows: list[list[int]], dtype: torch.dtype, extra: int
) -> None:
    width = max(map(len, rows)) + extra
    check_alike(
        build(kind, pooling, dtype), rows, lambda r: padded(r, width), list(range(len(rows)))
    )


@each
@both
@quick
@given(data=st.data(), rows=documents, dtype=dtypes)
def test_order_changes_nothing(
    kind: str, pooling: str, rows: list[list[int]], dtype: torch.dtype, data: st.DataObject
) -> None:
    order = data.draw(st.permutations(range(len(rows))))
    check_alike(
        build(kind, pooling, dtype),
        rows,
        lambda r: padded([r[k] for k in order]),
        [order.index(k) for k in range(len(rows))],
    )


@each
@both
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_a_batch_of_64_changes_nothing(kind: str, pooling: str, dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(1)
    lengths = torch.randint(1, 12, (64,), generator=generator)
    ids = torch.randint(1, V, (64, 12), generator=generator)
    ids = ids.masked_fill(torch.arange(12) >= lengths.unsqueeze(1), 0)
    model = build(kind, pooling, dtype)
    relevance, ledger = explained(model, ids)
    assert not relevance[ids == 0].any()
    lrp = explainer(model)
    for b in range(0, 64, 9):
        length = int(lengths[b])
        alone, account = explained(model, ids[b : b + 1, :length])
        close(relevance[b, :length], alone[0], TOLERANCE[dtype])
        close(ledger.total("tokens")[b], account.total("tokens")[0], 10 * TOLERANCE[dtype])
    # split and without a ledger
    halves = torch.cat([lrp.attribute(half, target=1) for half in ids.split(32)])
    close(relevance, halves, TOLERANCE[dtype])
    shuffled = torch.randperm(64, generator=generator)
    close(lrp.attribute(ids[shuffled], target=1), relevance[shuffled], TOLERANCE[dtype])
    targets = torch.randint(0, C, (64,), generator=generator)
    every = lrp.attribute(ids, target="all")
    close(lrp.attribute(ids, target=targets), every[torch.arange(64), targets], TOLERANCE[dtype])


@both
@quick
@given(rows=documents.filter(lambda rows: len({len(row) for row in rows}) > 1))
def test_padding_that_takes_part_is_said(kind: str, rows: list[list[int]]) -> None:
    model = build(kind, "unmasked", torch.float64)
    ids = padded(rows)
    with pytest.warns(PaddingWarning, match="Padding takes part"):
        relevance, ledger = explained(model, ids)
    # relevance is where the ids are, but the padding's share is an entry of its own
    close(ledger.total("tokens"), relevance.masked_fill(ids == 0, 0).sum(1), 1e-12)
    close(ledger.total("padding"), relevance.masked_fill(ids != 0, 0).sum(1), 1e-12)
    assert ledger.residual.abs().max() < 1e-10


@both
def test_padding_that_is_no_zero_vector_has_a_share(kind: str) -> None:
    model = build(kind, "unmasked", torch.float64)
    with torch.no_grad():
        model.emb.weight[0] = 0.5
    ids = padded([[3, 4, 5, 6], [7, 8]])
    with pytest.warns(PaddingWarning, match=r"\d+\.\d% of all absolute relevance"):
        relevance, ledger = explained(model, ids)
    assert relevance[1, 2:].any()
    assert ledger.total("padding")[1] != 0
    assert ledger.total("padding")[0] == 0
    assert ledger.residual.abs().max() < 1e-12


class MeanOfPaddedLength(nn.Module):
    """Masks its padding, and divides by the length of the batch."""

    def __init__(self, *, own_length: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.own_length = own_length
        self.emb, self.out = nn.Embedding(9, 4, padding_idx=0), nn.Linear(4, 2)

    def forward(self, ids: Tensor) -> Tensor:
        words = (ids != 0).unsqueeze(2)
        total = (self.emb(ids) * words).sum(1)
        return self.out(total / (words.sum(1) if self.own_length else ids.shape[1]))


@pytest.mark.parametrize("left", [False, True])
def test_a_length_of_padding_that_counts_is_said(left: bool) -> None:
    ids = torch.tensor([[3, 4, 5], [7, 0, 0]])
    ids = ids.flip(1) if left else ids
    with pytest.warns(PaddingWarning, match="with one more column of it the scores change"):
        seqlrp.LRP(MeanOfPaddedLength(own_length=False).eval()).attribute(ids)
    seqlrp.LRP(MeanOfPaddedLength(own_length=True).eval()).attribute(ids)  # no warning
    seqlrp.LRP(MeanOfPaddedLength(own_length=False).eval()).attribute(
        ids[:1]
    )  # nor where there is no padding


def test_a_word_spelled_like_padding_is_a_word_if_one_says_so() -> None:
    model = build("lstm", "unmasked", torch.float64)
    model.emb.padding_idx = None
    ids = torch.tensor([[3, 0, 5], [7, 8, 0]])
    relevance, ledger = explained(model, ids)  # no warning
    assert not ledger.total("padding").any()
    padding = torch.tensor([[False, False, False], [False, False, True]])
    with pytest.warns(PaddingWarning, match="Padding takes part"):
        same, told = explained(model, ids, padding=padding)
    assert same.equal(relevance)
    close(told.total("tokens") + told.total("padding"), ledger.total("tokens"), 1e-12)


def test_a_repeated_word_is_explained_by_position() -> None:
    model = build("gru", "attention", torch.float64)
    relevance, _ = explained(model, torch.tensor([[5, 5, 5]]))
    assert len(set(relevance[0].tolist())) == 3
