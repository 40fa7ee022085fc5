"""Several targets in one backward pass: the same as one after the other, and really one."""

from __future__ import annotations

import pytest
import torch
from samples.architectures import ARCHITECTURES, Architecture, inputs
from samples.architectures.attribution import attribute, check_ledger, close, shared, whole
from torch import nn

import seqlrp
from seqlrp.lrp import passes


class Tagger(nn.Module):
    """A recurrent layer of any kind, the states of all steps pooled by their maximum."""

    def __init__(self, kind: str, classes: int = 5) -> None:
        super().__init__()
        self.embedding = nn.Embedding(20, 6)
        self.recurrence = getattr(nn, kind)(6, 4, batch_first=True, bidirectional=True)
        self.head = nn.Linear(8, classes)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.head(self.recurrence(self.embedding(ids))[0].amax(1))


def refuse(*_: object, **__: object) -> None:
    raise AssertionError("one target after the other")


@pytest.fixture
def only_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passes, "run_pass", refuse)


def one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        passes,
        "_run_together",
        lambda run, starts, at_once: [
            passes.run_pass(run, start, keep_graph=k + 1 < len(starts))
            for k, start in enumerate(starts)
        ],
    )


@pytest.mark.parametrize("entry", ARCHITECTURES, ids=lambda entry: entry.name)
def test_together_is_one_by_one(entry: Architecture, monkeypatch: pytest.MonkeyPatch) -> None:
    together = whole(entry)
    check_ledger(together, 1e-10)
    one_by_one(monkeypatch)
    single = attribute(entry, shared(entry), inputs(entry))
    close(together.relevance, single.relevance, 1e-13)
    assert together.ledger is not None
    assert single.ledger is not None
    keys = [(e.kind, e.operation, e.module) for e in together.ledger.entries]
    assert keys == [(e.kind, e.operation, e.module) for e in single.ledger.entries]
    for one, other in zip(together.ledger.entries, single.ledger.entries, strict=True):
        close(one.amount, other.amount, 1e-13)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
@pytest.mark.parametrize("impl", ["auto", "torch", "reference"])
def test_the_layers_take_all_targets_at_once(
    kind: str, dtype: torch.dtype, impl: str, only_together: None
) -> None:
    torch.manual_seed(0)
    model = Tagger(kind).to(dtype).eval()
    ids = torch.randint(0, 20, (3, 7))
    together = seqlrp.LRP(model, 0.01, impl=impl).attribution(ids, "all")
    check_ledger(together, 1e-4 if dtype == torch.float32 else 1e-11)
    assert together.relevance.shape == (3, 5, 7)


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
@pytest.mark.parametrize("documents", [1, 3, 20])
def test_in_any_portions(kind: str, documents: int, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(1)
    model = Tagger(kind).eval()
    ids = torch.randint(0, 20, (documents, 7))
    lrp = seqlrp.LRP(model)
    whole = lrp.attribute(ids, "all")
    for tokens in (1, 2 * ids.numel(), 3 * ids.numel()):
        monkeypatch.setattr(passes, "TOKENS", tokens)
        torch.testing.assert_close(lrp.attribute(ids, "all"), whole, rtol=0, atol=1e-6)
    for k in range(5):
        torch.testing.assert_close(lrp.attribute(ids, k), whole[:, k], rtol=0, atol=1e-6)


def test_what_cannot_ride_together_goes_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(2)
    model = Tagger("LSTM").double().eval()
    ids = torch.randint(0, 20, (3, 7))
    whole = seqlrp.LRP(model).attribute(ids, "all")

    def fails(*_: object) -> None:
        raise RuntimeError("no batching rule")

    monkeypatch.setattr(passes, "_run_together", fails)
    torch.testing.assert_close(seqlrp.LRP(model).attribute(ids, "all"), whole, rtol=0, atol=1e-13)
