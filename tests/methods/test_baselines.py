"""Baselines: each kind in each layout, and padding and foreign vectors left as they are."""

from __future__ import annotations

import pytest
import torch
from samples.classifiers import small_classifier
from samples.reading_models import Adder, Reader, ids, vectors
from torch import Tensor, nn

from seqlrp.errors import IdsError, NonFiniteError, OptionError, VocabularyError
from seqlrp.methods import IntegratedGradients
from seqlrp.methods.baselines import Baseline


def at_baseline(model: nn.Module, given: Tensor, baseline: object) -> Tensor:
    """The score of class 0 at the baseline, `[B]`."""
    ledger = IntegratedGradients(model, 1, baseline=baseline).attribution(given, 0).ledger
    assert ledger is not None
    return ledger.total("baseline")


def test_each_kind_puts_its_vector_in_place_of_each_word() -> None:
    model = Adder().double().eval()
    table = model.embedding.weight.detach()
    given = torch.randn(5, 7, 4, dtype=torch.float64)
    starts = {
        "zero": torch.zeros(4, dtype=torch.float64),
        "mean": table.mean(0),
        "pad": table[0],
        3: table[3],
    }
    words = (ids() != 0).double()
    for baseline, start in starts.items():
        expected = words.sum(1) * (start @ model.head.weight[0]) + model.head.bias[0]
        found = at_baseline(model, ids(), baseline)
        torch.testing.assert_close(found, expected.detach(), rtol=0, atol=1e-13)
    for handed in (starts[3], given, given[:1], given.float()):
        whole = handed.double().expand(5, 7, 4) @ model.head.weight[0]
        expected = (words * whole).sum(1) + model.head.bias[0]
        found = at_baseline(model, ids(), handed)
        torch.testing.assert_close(found, expected.detach(), rtol=0, atol=1e-13)


class Two(nn.Module):
    """Reads words from two tables, the first with a limit on norms, after a mark of its own."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.one = nn.Embedding(12, 4, max_norm=0.5)
        self.other, self.head = nn.Embedding(12, 3), nn.Linear(7, 2)

    def forward(self, ids: Tensor) -> Tensor:
        ids = torch.cat([torch.full_like(ids[:, :1], 5), ids], 1)
        steps = [torch.cat([self.one(ids[:, t]), self.other(ids[:, t])], 1) for t in range(8)]
        return self.head(torch.stack(steps, 1).sum(1))


def test_several_tables_have_a_baseline_each_and_foreign_vectors_stay() -> None:
    model = Two().double().eval()
    before = model.one.weight.detach().clone()
    start = torch.ones(3, dtype=torch.float64)
    row = before[4] * 0.5 / (before[4].norm() + 1e-7)
    assert before[4].norm() > 0.5
    mark = torch.cat([before[5] * 0.5 / (before[5].norm() + 1e-7), model.other.weight[5]])
    total = mark + 7 * torch.cat([row, start])
    found = at_baseline(model, ids(), [4, start])
    expected = model.head(total)[0].detach().expand(5)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-13)
    assert torch.equal(model.one.weight, before)


def test_too_few_baselines_are_refused() -> None:
    class Three(Two):
        def __init__(self) -> None:
            super().__init__()
            self.third = nn.Embedding(12, 2)

        def forward(self, ids: Tensor) -> Tensor:
            return super().forward(ids) + self.third(ids).sum(1)

    with pytest.raises(OptionError, match="Got 2 baselines"):
        at_baseline(Three().double().eval(), ids(), ["zero", "zero"])


def test_sentences_vectors_and_features() -> None:
    sentences = small_classifier(hierarchical=True).model.double()
    batch = torch.stack([ids(), ids().flip(0)], 1)
    found = IntegratedGradients(sentences, 40, baseline="mean").attribution(batch, "all")
    assert found.relevance.shape == (5, 2, 2, 7)
    assert found.ledger is not None
    assert found.ledger.residual.abs().max() < 1e-10
    assert (found.relevance[:, 0][batch == 0] == 0).all()

    model, x = Reader().double().eval(), vectors()
    start = torch.randn(4, dtype=torch.float64)
    expected = model(start.expand(3, 6, 4))[:, 0].detach()
    torch.testing.assert_close(at_baseline(model, x, start), expected, rtol=0, atol=1e-14)

    class Features(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return (x * torch.arange(4)).square().sum(1, keepdim=True)

    given, start = torch.randn(3, 4), torch.randn(3, 4)
    found = at_baseline(Features().eval(), given, start)
    torch.testing.assert_close(found.float(), Features()(start)[:, 0], rtol=1e-6, atol=1e-6)


def test_what_belongs_to_a_document_goes_along_with_it() -> None:
    class Scaled(Reader):
        def forward(self, vectors: Tensor, scale: Tensor) -> Tensor:
            return super().forward(vectors) * scale.unsqueeze(1)

    model, x = Scaled().double().eval(), vectors()
    scale = torch.tensor([1.0, 2.0, -3.0], dtype=torch.float64)
    method = IntegratedGradients(model, 6, batch_tokens=14)
    found = method.attribute(x, 1, scale)
    plain = IntegratedGradients(Reader().double().eval(), 6).attribute(x, 1)
    torch.testing.assert_close(found, plain * scale.unsqueeze(1), rtol=0, atol=1e-13)


def test_what_is_refused() -> None:
    with pytest.raises(OptionError, match="1 is the unknown one"):
        Baseline("unk")
    with pytest.raises(OptionError, match="Did you mean 'zero'"):
        Baseline("zeros")
    for wrong in (True, 0.5, torch.tensor([1, 2]), None):
        with pytest.raises(OptionError, match="expected 'zero', 'mean', 'pad'"):
            Baseline(wrong)
    model = Adder().double().eval()
    with pytest.raises(VocabularyError, match="0 to 11"):
        at_baseline(model, ids(), 12)
    with pytest.raises(OptionError, match=r"shape \[2, 7, 4\]; expected \[4\], or \[5, 7, 4\]"):
        at_baseline(model, ids(), torch.zeros(2, 7, 4))
    with pytest.raises(OptionError, match="come from no embedding table"):
        at_baseline(Reader().double().eval(), vectors(), "mean")
    model.embedding.padding_idx = None
    with pytest.raises(OptionError, match="has no padding_idx"):
        at_baseline(model, ids(), "pad")
    bags = IntegratedGradients(_Bags().double().eval())
    with pytest.raises(IdsError, match="needs a row for each document"):
        bags.attribute(torch.arange(6), 0, torch.tensor([0, 2]))

    class Normed(Reader):
        def forward(self, vectors: Tensor) -> Tensor:
            return super().forward(vectors / vectors.norm(dim=-1, keepdim=True))

    with pytest.raises(NonFiniteError, match="or take another baseline"):
        at_baseline(Normed().double().eval(), vectors(), "zero")


class _Bags(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.bags = nn.EmbeddingBag(12, 2, mode="sum")

    def forward(self, ids: Tensor, offsets: Tensor) -> Tensor:
        return self.bags(ids, offsets)
