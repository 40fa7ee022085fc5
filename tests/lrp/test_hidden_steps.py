"""Steps that are spelt or hidden in unusual ways: explained, or refused in a sentence."""

# mypy: disable-error-code="no-any-return, no-untyped-call"

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import seqlrp
from seqlrp.errors import ModelError, TrainingModeError

IDS = torch.tensor([[3, 7, 2, 9], [8, 6, 3, 1]])
Step = Callable[[Any, Tensor], Tensor]


class Model(nn.Module):
    def __init__(self, step: Step) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.emb, self.lin, self.fc = nn.Embedding(12, 3), nn.Linear(3, 3), nn.Linear(3, 2)
        self.cell, self.step = nn.GRUCell(3, 3), step
        self.double().eval()

    def forward(self, ids: Tensor) -> Tensor:
        return self.fc(self.step(self, self.emb(ids)))


def relevance(step: Step) -> Tensor:
    found, ledger = seqlrp.LRP(Model(step), 0.0).attribute(IDS, 0, return_ledger=True)
    assert ledger.residual.abs().max() < 1e-12
    return found


def rows_written_back(m: Model, x: Tensor) -> Tensor:
    h = torch.zeros(len(x), 3, dtype=x.dtype)
    for t in range(x.shape[1]):
        n = len(x) - (t > 2)
        h[0:n] = m.cell(x[:n, t], h[0:n])
    return h


def rows_joined(m: Model, x: Tensor) -> Tensor:
    h = torch.zeros(len(x), 3, dtype=x.dtype)
    for t in range(x.shape[1]):
        n = len(x) - (t > 2)
        h = torch.cat([m.cell(x[:n, t], h[:n]), h[n:]])
    return h


def unused_random_numbers(m: Model, x: Tensor) -> Tensor:
    torch.rand_like(x)
    torch.randn(3)
    return m.lin(x).sum(1)


@torch.no_grad()
def doubled_in_place(m: Model, x: Tensor) -> Tensor:
    y = torch.tanh(m.lin(x))
    torch.mul(y, 2.0, out=y)
    return torch.sigmoid(y, out=torch.empty(0, dtype=y.dtype)) * m.lin(x).amax(2, keepdim=True)


@torch.no_grad()
def largest_in_a_pair(m: Model, x: Tensor) -> Tensor:
    x = m.lin(x)
    out = torch.zeros_like(x[:, 0]), torch.zeros_like(x[:, 0], dtype=torch.int64)
    torch.max(x, 1, out=out)
    return out[0]


@pytest.mark.parametrize(
    ("step", "same"),
    [
        (
            lambda m, x: doubled_in_place(m, x).sum(1),
            lambda m, x: (
                torch.sigmoid(torch.tanh(m.lin(x)) * 2.0) * m.lin(x).amax(2, keepdim=True)
            ).sum(1),
        ),
        (largest_in_a_pair, lambda m, x: m.lin(x).max(1).values),
        (
            lambda m, x: m.lin(x).sum(axis=1, keepdims=True).squeeze(1),
            lambda m, x: m.lin(x).sum(1),
        ),
        (lambda m, x: x.amax(axis=1, keepdims=True).squeeze(1), lambda m, x: x.amax(1)),
        (
            lambda m, x: torch.stack([*reversed(m.lin(x).transpose(0, 1))])[0],
            lambda m, x: m.lin(x)[:, -1],
        ),
        (rows_written_back, rows_joined),
        (unused_random_numbers, lambda m, x: m.lin(x).sum(1)),
    ],
)
def test_two_spellings_have_one_answer(step: Step, same: Step) -> None:
    torch.testing.assert_close(relevance(step), relevance(same), rtol=0, atol=1e-14)


class _Doubled(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        y = x * 2
        ctx.mark_non_differentiable(y)
        return y

    @staticmethod
    def backward(ctx: Any, gamma: Tensor) -> Tensor:
        return gamma


def replaced_storage(m: Model, x: Tensor) -> Tensor:
    y = torch.zeros_like(x)
    y.set_(m.lin(x))
    return y.sum(1)


@torch.no_grad()
def replaced_signal(m: Model, x: Tensor) -> Tensor:
    y = m.lin(x)
    y.set_(y.flip(1).clone())
    return (y * torch.arange(4).unsqueeze(1)).sum(1)


@torch.no_grad()
def gate_replaced_by_a_signal(m: Model, x: Tensor) -> Tensor:
    gate = torch.softmax(m.lin(x), 1)
    gate.set_(m.lin(x).detach())
    return (gate * x).sum(1)


def data_of_a_signal(m: Model, x: Tensor) -> Tensor:
    y = m.lin(x)
    y.data = y.flip(1)
    return (y * torch.arange(4).unsqueeze(1)).sum(1)


def sparse(m: Model, x: Tensor) -> Tensor:
    return torch.stack([torch.eye(4, dtype=x.dtype).to_sparse() @ row for row in x]).sum(1)


@pytest.mark.parametrize(
    "step",
    [
        lambda m, x: (_Doubled.apply(x) + x).sum(1),
        replaced_storage,
        replaced_signal,
        gate_replaced_by_a_signal,
        data_of_a_signal,
        sparse,
        lambda m, x: (x + torch.rand_like(x)).sum(1),
    ],
)
def test_what_is_hidden_is_refused(step: Step) -> None:
    with pytest.raises(ModelError):
        seqlrp.LRP(Model(step)).attribute(IDS, 0)


def test_dropout_that_is_always_on_is_named_as_such() -> None:
    with pytest.raises(TrainingModeError, match=r"self\.training"):
        seqlrp.LRP(Model(lambda m, x: F.dropout(x, training=True).sum(1))).attribute(IDS, 0)


def test_a_parametrised_module_has_no_mode() -> None:
    model = Model(lambda m, x: m.lin(x).sum(1))
    expect = seqlrp.LRP(model).attribute(IDS, 0)
    nn.utils.parametrizations.weight_norm(model.lin)  # in training mode, as nobody asked
    torch.testing.assert_close(seqlrp.LRP(model).attribute(IDS, 0), expect)
