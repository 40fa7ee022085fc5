"""What models do with ids before they look them up: whose vector it is stays known."""

# mypy: disable-error-code="no-any-return, no-untyped-call"

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import seqlrp
from seqlrp.errors import ModelError

V, D, UNKNOWN = 40, 4, 39
IDS = torch.randint(1, 9, (2, 10), generator=torch.Generator().manual_seed(3))
PLACES = torch.arange(10)
Look = Callable[[Any, Tensor], Tensor]


class Sum(nn.Module):
    """A sum of vectors that somebody looked up, and a linear layer: relevance is plain to see."""

    table: Tensor
    letters: Tensor

    def __init__(self, look: Look) -> None:
        super().__init__()
        self.emb, self.other = nn.Embedding(V, D), nn.Embedding(V, D)
        self.fc = nn.Linear(D, 2, bias=False)
        self.register_buffer("table", torch.randint(0, 9, (V,)))
        self.register_buffer("letters", torch.randint(0, 9, (V, 3)))
        self.look = look

    def forward(self, ids: Tensor) -> Tensor:
        return self.fc(self.look(self, ids).sum(1))


def check(look: Look, constant: Look | None = None) -> None:
    """Each word has what its own vector brings, less what is `constant`, in any batch."""
    torch.manual_seed(0)
    model = Sum(look).double().eval()
    for ids in (IDS, IDS[:1]):
        with torch.no_grad():
            vectors = look(model, ids)
            fixed = torch.zeros_like(vectors) if constant is None else constant(model, ids)
            expect = (vectors - fixed) @ model.fc.weight[0]
        found, ledger = seqlrp.LRP(model, 0.0).attribute(ids, 0, return_ledger=True)
        torch.testing.assert_close(found, expect, rtol=0, atol=1e-12)
        torch.testing.assert_close(
            ledger.total("constant"), (fixed @ model.fc.weight[0]).sum(1), rtol=0, atol=1e-12
        )


def named(*looks: tuple[str, Look]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("look", [look for _, look in looks], ids=[n for n, _ in looks])


@named(
    ("as int32", lambda m, ids: m.emb(ids.int())),
    ("detached", lambda m, ids: m.emb(ids.clone().long().contiguous().detach())),
    ("turned twice", lambda m, ids: m.emb(ids.flip(1)).flip(1)),
    ("by documents", lambda m, ids: torch.stack([m.emb(row) for row in ids])),
    ("by steps", lambda m, ids: torch.stack([m.emb(column) for column in ids.T], 1)),
    ("clamped", lambda m, ids: m.emb(ids.clamp(max=5))),
    ("hashed", lambda m, ids: m.emb((ids * 31 + 7) % V)),
    ("two tables", lambda m, ids: m.emb(ids) + m.other(ids % 7)),
)
def test_ids_are_moved_and_computed_with(look: Look) -> None:
    check(look)


@named(
    ("indexed", lambda m, ids: m.emb(m.table[ids])),
    ("gathered", lambda m, ids: m.emb(m.table.expand(len(ids), -1).gather(1, ids))),
    ("selected", lambda m, ids: m.emb(m.table.index_select(0, ids.flatten()).view_as(ids))),
    ("letters", lambda m, ids: m.emb(m.letters[ids]).sum(2)),
    ("letters embedded", lambda m, ids: m.emb(F.embedding(ids, m.letters)).sum(2)),
    ("words and letters", lambda m, ids: m.other(ids) + m.emb(m.letters[ids]).sum(2)),
)
def test_ids_are_translated_by_a_table(look: Look) -> None:
    check(look)


def assigned(m: Sum, ids: Tensor) -> Tensor:
    ids = ids.clone()
    ids[ids > 5] = UNKNOWN
    return m.emb(ids)


@named(
    ("where", lambda m, ids: m.emb(torch.where(ids > 5, UNKNOWN, ids))),
    ("masked_fill", lambda m, ids: m.emb(ids.masked_fill(ids > 5, UNKNOWN))),
    ("assigned", assigned),
    ("in place", lambda m, ids: m.emb(ids.clone().masked_fill_(ids > 5, UNKNOWN))),
)
def test_the_unknown_word_stands_for_the_word_it_replaces(look: Look) -> None:
    check(look)


@named(
    ("expand", lambda m, ids: m.emb(ids) + m.other(PLACES.expand(ids.shape))),
    ("expand_as", lambda m, ids: m.emb(ids) + m.other(PLACES.expand_as(ids))),
    ("view_as", lambda m, ids: m.emb(ids) + m.other(PLACES.repeat(len(ids)).view_as(ids))),
    ("type_as", lambda m, ids: m.emb(ids) + m.other(PLACES.type_as(ids)).expand(len(ids), -1, -1)),
    ("to", lambda m, ids: m.emb(ids) + m.other(PLACES.to(ids)).unsqueeze(0)),
    ("zeros_like", lambda m, ids: m.emb(ids) + m.other(PLACES + torch.zeros_like(ids))),
)
def test_positions_are_no_words(look: Look) -> None:
    check(look, lambda m, ids: m.other(PLACES).expand(len(ids), -1, -1))


@named(
    ("weight indexed", lambda m, ids: m.emb(ids) + m.other.weight[ids]),
    ("one hot", lambda m, ids: m.emb(ids) + F.one_hot(ids, V).double() @ m.other.weight),
    ("halved", lambda m, ids: m.emb(ids) + m.other(ids // 2)),
    ("mixed", lambda m, ids: m.emb(ids) + m.other(ids ^ 5)),
)
def test_a_second_reading_is_followed_or_refused(look: Look) -> None:
    try:
        check(look)
    except ModelError:
        return
