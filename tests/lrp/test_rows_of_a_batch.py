"""Rows of a batch that a model writes step by step, or sends to experts, stay their texts'."""

# mypy: disable-error-code="no-any-return, no-untyped-call"

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import seqlrp

IDS = torch.tensor([
    [5, 9, 3, 14, 22, 11, 0, 0],
    [4, 1, 6, 10, 12, 13, 15, 17],
    [2, 7, 0, 0, 0, 0, 0, 0],
    [8, 3, 16, 0, 0, 0, 0, 0],
])  # fmt: skip


class Backward(nn.Module):
    """Reads from right to left, so that the number of rows that have begun grows."""

    def __init__(self, write: Callable[[Tensor, Tensor, int], Tensor]) -> None:
        super().__init__()
        self.emb, self.head = nn.Embedding(30, 5, padding_idx=0), nn.Linear(4, 3)
        self.of_word, self.of_state, self.write = nn.Linear(5, 4), nn.Linear(4, 4), write

    def forward(self, ids: Tensor) -> Tensor:
        lengths, order = (ids != 0).sum(1).sort(descending=True)
        x, h = self.emb(ids)[order], torch.zeros(len(ids), 4, dtype=self.head.weight.dtype)
        for t in reversed(range(ids.shape[1])):
            k = int((lengths > t).sum())
            if k:
                y = torch.tanh(self.of_word(x[:k, t]) + self.of_state(h[:k].clone()))
                h = self.write(h, y, k)
        return self.head(h[order.argsort()])


def into_a_copy(h: Tensor, y: Tensor, k: int) -> Tensor:
    h = h.clone()
    h[:k] = y
    return h


def into_a_new_tensor(h: Tensor, y: Tensor, k: int) -> Tensor:
    new = torch.zeros_like(h)
    new[:k], new[k:] = y, h[k:]
    return new


class Experts(nn.Module):
    """Each word goes to the two experts with the largest weights, some of which get none."""

    def __init__(self, count: int, add: Callable[[Tensor, Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.emb, self.choose = nn.Embedding(30, 5, padding_idx=0), nn.Linear(5, count)
        self.experts = nn.ModuleList(nn.Linear(5, 5) for _ in range(count))
        self.head, self.add = nn.Linear(5, 3), add

    def forward(self, ids: Tensor) -> Tensor:
        h = self.emb(ids).flatten(0, 1)
        weights, chosen = self.choose(h).softmax(-1).topk(2, -1)
        weights = weights / weights.sum(-1, keepdim=True)
        out = torch.zeros_like(h)
        for k, expert in enumerate(self.experts):
            row, column = torch.where(chosen == k)
            out = self.add(out, row, torch.relu(expert(h[row])) * weights[row, column, None])
        words = (ids != 0).unsqueeze(-1)
        return self.head((out.view(*ids.shape, -1) * words).sum(1) / words.sum(1))


def added_by_rows(out: Tensor, rows: Tensor, values: Tensor) -> Tensor:
    out = out.clone()
    out[rows] = out[rows] + values
    return out


MODELS: dict[str, Callable[[], nn.Module]] = {
    "into a copy": lambda: Backward(into_a_copy),
    "into a new tensor": lambda: Backward(into_a_new_tensor),
    "index_add": lambda: Experts(4, lambda out, rows, y: out.index_add(0, rows, y)),
    "index_add_": lambda: Experts(4, lambda out, rows, y: out.index_add_(0, rows, y)),
    "rows": lambda: Experts(4, added_by_rows),
    "many experts": lambda: Experts(40, lambda out, rows, y: out.index_add_(0, rows, y)),
    "many experts, rows": lambda: Experts(40, added_by_rows),
}


@pytest.mark.parametrize("texts", [[0, 1, 2, 3], [1, 2], [2, 0], [3, 2]], ids=str)
@pytest.mark.parametrize("name", MODELS)
def test_a_batch_is_explained_as_its_texts_are(name: str, texts: list[int]) -> None:
    torch.manual_seed(0)
    model = MODELS[name]().double().eval()
    lrp = seqlrp.LRP(model, 0.0)
    found, ledger = lrp.attribute(IDS[texts], 1, return_ledger=True)
    assert float(ledger.residual.abs().max()) < 1e-12
    for row, text in zip(found, texts, strict=True):
        alone = lrp.attribute(IDS[text : text + 1], 1)
        torch.testing.assert_close(row.unsqueeze(0), alone, rtol=0, atol=1e-12)


class Mogrifier(nn.Module):
    """A Mogrifier LSTM (Melis 2020): words and state scale each other before each step."""

    def __init__(self, start: float) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.emb, self.head = nn.Embedding(30, 5), nn.Linear(4, 3)
        self.of_state, self.of_word = nn.Linear(4, 5), nn.Linear(5, 4)
        self.cell, self.start = nn.LSTMCell(5, 4), start
        self.double().eval()

    def forward(self, ids: Tensor, vectors: Tensor | None = None) -> Tensor:
        """Return the scores; those of `vectors` have gates without a graph, as in the oracle."""
        x = self.emb(ids) if vectors is None else vectors
        cut = (lambda gate: gate) if vectors is None else Tensor.detach
        h = c = torch.full((len(ids), 4), self.start, dtype=x.dtype)
        for word in x.unbind(1):
            for _ in range(2):
                word = cut(2 * torch.sigmoid(self.of_state(h))) * word
                h = cut(2 * torch.sigmoid(self.of_word(word))) * h
            if vectors is None:
                h, c = self.cell(word, (h, c))
                continue
            cell = self.cell
            both = F.linear(word, cell.weight_ih, cell.bias_ih)
            i, f, g, o = (both + F.linear(h, cell.weight_hh, cell.bias_hh)).chunk(4, 1)
            c = cut(f.sigmoid()) * c + cut(i.sigmoid()) * _ratio(g, cut) * g
            h = cut(o.sigmoid()) * _ratio(c, cut) * c
        return self.head(h)


def _ratio(x: Tensor, cut: Callable[[Tensor], Tensor]) -> Tensor:
    return cut(torch.tanh(x) / x)


@pytest.mark.parametrize("start", [0.0, 0.3])
def test_a_first_state_that_a_gate_scales_is_a_constant(start: float) -> None:
    model = Mogrifier(start)
    ids = IDS[:2, :6]
    found, ledger = seqlrp.LRP(model, 0.0).attribute(ids, 1, return_ledger=True)
    vectors = model.emb(ids).detach().requires_grad_()
    (gradient,) = torch.autograd.grad(model(ids, vectors)[:, 1].sum(), vectors)
    torch.testing.assert_close(found, (gradient * vectors).sum(-1).detach(), rtol=1e-9, atol=1e-12)
    assert float(ledger.residual.abs().max()) < 1e-12
    assert bool((ledger.total("initial state") != 0).any()) is (start != 0)


@pytest.mark.parametrize("start", [0.0, 0.3])
@pytest.mark.parametrize("rule", ["half", "abs"])
def test_a_first_state_that_a_gate_scales_closes_under_gate_rules(rule: str, start: float) -> None:
    lrp = seqlrp.LRP(Mogrifier(start), gate_rule=rule)
    _, ledger = lrp.attribute(IDS[:2, :6], 1, return_ledger=True)
    assert float(ledger.residual.abs().max()) < 1e-9
