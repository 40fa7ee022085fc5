"""A method says once a call where its account leaves out much, and keeps quiet else."""

from __future__ import annotations

import warnings

import pytest
import torch
from samples.classifiers import small_classifier, some_texts
from samples.reading_models import Adder, ids
from torch import nn

import seqlrp
from seqlrp.engine.completeness import CompletenessTotals
from seqlrp.errors import AccountWarning
from seqlrp.methods import DeepTaylor, IntegratedGradients
from seqlrp.models.classifier import TextClassifier

TEXTS = [text for text in some_texts(80, seed=5) if len(text.split()) >= 10][:12]


def bent_classifier() -> TextClassifier:
    """Scores that are far from linear in the vectors."""
    classifier = small_classifier(labels=("a", "b", "c"))
    with torch.no_grad():
        classifier.model.embedding.weight.mul_(20)
    return classifier


class Started(nn.Module):
    """Most of the score comes from where the recurrence starts, not from the words."""

    def __init__(self, words: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.embedding = nn.Embedding(words, 3, padding_idx=0)
        self.lstm = nn.LSTM(3, 40, batch_first=True)
        self.head = nn.Linear(40, 2, bias=False)
        for parameter in self.parameters():
            drawn = torch.randn(parameter.shape, generator=generator)
            parameter.data = drawn.abs() * 0.3
        self.lstm.weight_ih_l0.data.mul_(0.01)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.head(self.lstm(self.embedding(ids))[0][:, 0])


def started_classifier() -> TextClassifier:
    known = small_classifier()
    model = Started(len(known.vocabulary)).eval()
    return TextClassifier(model, known.vocabulary, ("a", "b"), known.tokenizer)


def told(call, *args, **options) -> list[str]:
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        call(*args, **options)
    assert all(w.category is AccountWarning for w in found)
    return [str(w.message) for w in found]


def test_too_few_points_are_told_once_a_call() -> None:
    classifier = bent_classifier()
    few = {"method": "integrated_gradients", "n_steps": 2, "batch_tokens": 30, "progress": False}
    (said,) = told(seqlrp.explain, classifier, TEXTS, **few)
    found = seqlrp.explain(classifier, TEXTS, **{**few, "n_steps": 300})
    with pytest.warns(AccountWarning, match="n_steps=2 points"):
        rough = seqlrp.explain(classifier, TEXTS, **few)
    due = sum(abs(e.score - e.ledger["baseline"]) for e in rough)
    missed = sum(abs(e.score - sum(e.ledger.values())) for e in rough)
    assert missed > 0.05 * due
    assert f"baseline by {missed / due:.0%}: n_steps=2 points (rule 'gausslegendre')" in said
    assert told(seqlrp.explain, classifier, TEXTS, **{**few, "n_steps": 300}) == []
    assert sum(abs(e.score - sum(e.ledger.values())) for e in found) < 0.01 * due
    assert len(told(seqlrp.explain, classifier, TEXTS, target="all", **few)) == 1


def test_tensors_are_told_as_well_unless_the_delta_is_asked_for() -> None:
    model = bent_classifier().model
    (said,) = told(IntegratedGradients(model, 1).attribute, ids(), "all")
    assert "n_steps=1 points" in said
    alone = IntegratedGradients(model, 1)
    assert told(alone.attribute, ids(), "all", return_convergence_delta=True) == []
    assert told(IntegratedGradients(Adder().eval(), 1).attribute, ids()) == []


def test_deep_taylor_says_how_little_reaches_the_words() -> None:
    classifier = started_classifier()
    (said,) = told(seqlrp.explain, classifier, TEXTS, "deep_taylor", batch_tokens=30)
    with pytest.warns(AccountWarning):
        found = seqlrp.explain(classifier, TEXTS, "deep_taylor")
    sizes = {kind: sum(abs(e.ledger[kind]) for e in found) for kind in found[0].ledger}
    share = sizes["tokens"] / sum(sizes.values())
    assert share < 0.5
    assert f"shares out, {share:.0%} reaches the words; " in said
    largest = max(set(sizes) - {"tokens"}, key=sizes.__getitem__)
    assert f"{sizes[largest] / sum(sizes.values()):.0%} is the ledger's entry {largest!r}" in said
    assert told(seqlrp.explain, classifier, TEXTS) == []  # LRP has `check` for that
    assert told(seqlrp.explain, small_classifier(), TEXTS, "deep_taylor") == []
    method = DeepTaylor(classifier.model)
    inputs = torch.tensor([[2, 3, 4], [3, 5, 6]])
    (said,) = told(method.attribute, inputs)
    assert "deep Taylor" in said
    with pytest.warns(AccountWarning):
        alone = method.attribute(inputs)
    with pytest.warns(AccountWarning):
        relevance, ledger = method.attribute(inputs, return_ledger=True)
    with pytest.warns(AccountWarning):
        _, inner = method.attribute(inputs, layers=["lstm"])
    assert torch.equal(alone, relevance)
    assert set(inner) == {"lstm"}
    assert ledger.total("tokens") == pytest.approx(relevance.sum(1).double(), rel=1e-5)


def test_an_evaluation_says_it_once_a_method() -> None:
    methods = {"few": {"method": "integrated_gradients", "n_steps": 2}, "lrp": "lrp"}
    said = told(
        seqlrp.evaluate,
        bent_classifier(),
        TEXTS,
        [k % 3 for k in range(len(TEXTS))],
        methods,
        metrics=["word_deletion", "max_sensitivity"],
        batch_tokens=40,
        progress=False,
    )
    assert len(said) == 1


def test_sums_are_of_sizes() -> None:
    tally = CompletenessTotals()
    tally.add({"tokens": [1.0, -2.0], "baseline": [0.5, 0.5]}, [2.0, -1.0])
    tally.add({"tokens": 3.0, "baseline": -1.0}, 2.0)
    assert tally.sizes == {"tokens": 6.0, "baseline": 2.0}
    assert tally.missing == 0.5 + 0.5 + 0.0
    assert tally.expected == 1.5 + 1.5 + 3.0
