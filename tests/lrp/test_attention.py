"""One attention in many spellings, and what a word that only steers attention gets."""

# mypy: disable-error-code="no-any-return, no-untyped-call, operator, arg-type"
# mypy: disable-error-code="list-item, call-overload, index"

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from samples.model_functions.classifiers import bilstm_attention, packed
from samples.model_functions.layers import FULL, PADDED, Forward, Written, attribute, build, close
from torch import Tensor, nn

import seqlrp


def spelled_attention(pool: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Forward:
    def write(m: Written, ids: Tensor) -> Tensor:
        out, _ = packed(m, ids, m.both)
        return m.head2(pool(m.att(out).squeeze(-1), out, ids == 0))

    return write


def by_exp(scores: Tensor, out: Tensor, outside: Tensor) -> Tensor:
    e = torch.exp(scores - scores.max(1, keepdim=True).values).masked_fill(outside, 0)
    return ((e / e.sum(1, keepdim=True)).unsqueeze(-1) * out).sum(1)


def divides_last(scores: Tensor, out: Tensor, outside: Tensor) -> Tensor:
    e = scores.exp() * ~outside
    return (e.unsqueeze(2) * out).sum(1) / e.sum(1, keepdim=True)


def softmaxed(scores: Tensor, outside: Tensor) -> Tensor:
    return scores.masked_fill(outside, float("-inf")).softmax(1)


POOLS: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "mul+sum": lambda s, o, m: (softmaxed(s, m).unsqueeze(-1) * o).sum(1),
    "sum of mul": lambda s, o, m: torch.sum(o * softmaxed(s, m)[..., None], dim=1),
    "bmm": lambda s, o, m: softmaxed(s, m).unsqueeze(1).bmm(o).squeeze(1),
    "bmm turned": lambda s, o, m: torch.bmm(o.mT, softmaxed(s, m).unsqueeze(2)).squeeze(2),
    "matmul": lambda s, o, m: (softmaxed(s, m).unsqueeze(-2) @ o)[:, 0],
    "einsum": lambda s, o, m: torch.einsum("bt,bth->bh", softmaxed(s, m), o),
    "einsum turned": lambda s, o, m: torch.einsum("bth, bt -> bh", o, softmaxed(s, m)),
    "-inf added": lambda s, o, m: POOLS["bmm"](
        s + torch.zeros_like(s).masked_fill(m, float("-inf")), o, m
    ),
    "where": lambda s, o, m: POOLS["bmm"](torch.where(m, -1e30, s), o, m),
    "nn.Softmax": lambda s, o, m: (
        nn.Softmax(dim=-1)(s.masked_fill(m, -1e30)).unsqueeze(-1).expand_as(o) * o
    ).sum(1),
    "exp": by_exp,
    "exp, divided last": divides_last,
    "document by document": lambda s, o, m: torch.stack(
        [softmaxed(s, m)[b] @ o[b] for b in range(len(o))]
    ),
    "log_softmax": lambda s, o, m: (
        F.log_softmax(s.masked_fill(m, -1e30), 1).exp().unsqueeze(-1) * o
    ).sum(1),
    "clamped": lambda s, o, m: (
        (s.exp() * ~m / (s.exp() * ~m).sum(1, keepdim=True).clamp(min=1e-9)).unsqueeze(-1) * o
    ).sum(1),
}


@pytest.mark.parametrize("name", POOLS)
def test_attention_has_many_spellings(name: str) -> None:
    relevance, ledger = attribute(bilstm_attention, PADDED)
    got, account = attribute(spelled_attention(POOLS[name]), PADDED)
    close(got, relevance)
    close(account.residual, torch.zeros(len(PADDED), dtype=torch.float64))
    close(account.total("stabiliser"), ledger.total("stabiliser"))


def test_where_the_attention_looks_takes_no_relevance() -> None:
    # A word that only steers attention to another one is a gate.
    def write(m: Written, ids: Tensor) -> Tensor:
        values, steering = m.emb(ids), m.second_emb(ids)
        return m.head_d((steering.sum(-1, keepdim=True).softmax(1) * values).sum(1))

    relevance = seqlrp.LRP(build(write), 0).attribute(FULL, target=1, reduce=False)
    model = build(write)
    weights = model.second_emb(FULL).sum(-1, keepdim=True).softmax(1)
    close(relevance, (weights * model.emb(FULL) * model.head_d.weight[1]).detach())
