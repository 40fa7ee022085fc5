"""Scores of units against the oracles, and against the same network written in another way."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from oracles import pruning_criteria as oracle
from samples.classifiers import small_classifier, some_texts, split_words
from torch import Tensor, nn
from torch.nn import functional as F

import seqlrp
from seqlrp.improving.criteria import CRITERIA, Texts, unit_scores
from seqlrp.improving.refit import fit_scores
from seqlrp.improving.unit_sets import unit_sets
from seqlrp.models.classifier import TextClassifier

CLASSES = np.array([0, 1, 1, 0, 1, 0])


def double(**options: object) -> TextClassifier:
    classifier = small_classifier(**options)
    classifier.model.double()
    return classifier


def texts_of(classifier: TextClassifier, longest: int = 9) -> Texts:
    return Texts(list(classifier.encode(some_texts(len(CLASSES), longest=longest))), CLASSES)


def scored(classifier: TextClassifier, criterion: str, layer: str, longest: int = 9) -> list[float]:
    """The scores of all units of a layer, one direction after the other."""
    sets = unit_sets(classifier.model, [layer])
    found = unit_scores(classifier, texts_of(classifier, longest), sets, criterion, progress=False)
    return [value for units in sets for value in found[units].tolist()]


def relevance(classifier: TextClassifier) -> np.ndarray:
    """Relevance of the dimensions of the words for every class, `[C, N, T, D]`."""
    batch = classifier.batch(texts_of(classifier).documents)
    found = seqlrp.LRP(classifier.model).attribute(batch.ids, "all", reduce=False)
    return np.asarray(found.transpose(0, 1).numpy())


@pytest.mark.parametrize("kind", ["absolute", "signed", "positive"])
def test_relevance_of_the_class_of_a_text(kind: str) -> None:
    classifier = double(cell="gru")
    of_class = relevance(classifier)[CLASSES, np.arange(len(CLASSES))]
    expected = oracle.relevance(of_class, kind)
    np.testing.assert_allclose(scored(classifier, kind, "embedding"), expected, atol=1e-12)


def test_contrast_of_relevance() -> None:
    classifier = double(labels=("a", "b", "c"))
    expected = oracle.contrast(relevance(classifier))
    np.testing.assert_allclose(
        scored(classifier, "lrp", "embedding"), expected / expected.sum(), atol=1e-12
    )


def test_a_single_score_has_no_contrast() -> None:
    classifier = double(labels=("n", "y"), classes=1)
    r = relevance(classifier)
    expected = oracle.contrast(np.concatenate([-r, r]))
    np.testing.assert_allclose(
        scored(classifier, "lrp", "embedding"), expected / expected.sum(), atol=1e-12
    )
    both = np.concatenate([-r, r])[CLASSES, np.arange(len(CLASSES))]
    np.testing.assert_allclose(
        scored(classifier, "signed", "embedding"), oracle.relevance(both, "signed"), atol=1e-12
    )


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_magnitude(cell: str) -> None:
    classifier = double(cell=cell, bidirectional=False)
    own = classifier.model.get_submodule("encoder.recurrence")
    names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
    weights = tuple(own.get_parameter(name).detach().numpy() for name in names)
    expected = oracle.magnitude(weights, 1)  # type: ignore[arg-type]
    np.testing.assert_allclose(
        scored(classifier, "weight", "encoder.recurrence"), expected / expected.sum()
    )


class Cells(nn.Module):
    """A last-state LSTM, as one layer or step by step; `scale` multiplies units at each step."""

    def __init__(self, fused: bool) -> None:
        super().__init__()
        self.embedding = nn.Embedding(14, 4, padding_idx=0)
        self.layer = nn.LSTM(4, 3, batch_first=True) if fused else nn.LSTMCell(4, 3)
        self.head = nn.Linear(3, 2)
        self.scale = torch.ones(3, dtype=torch.float64)
        draw = torch.Generator().manual_seed(5)
        for parameter in self.parameters():
            parameter.data = torch.randn(parameter.shape, generator=draw, dtype=torch.float64)

    def forward(self, ids: Tensor, lengths: Tensor) -> Tensor:
        x = self.embedding(ids)
        rows = torch.arange(len(ids))
        if isinstance(self.layer, nn.LSTM):
            return self.head(self.layer(x)[0][rows, lengths - 1])  # type: ignore[no-any-return]
        h = c = x.new_zeros(len(ids), 3)
        states = []
        for t in range(ids.shape[1]):
            h, c = self.layer(x[:, t], (h, c))
            h = h * self.scale
            states.append(h)
        return self.head(torch.stack(states, 1)[rows, lengths - 1])  # type: ignore[no-any-return]


def cells(fused: bool) -> TextClassifier:
    vocabulary = small_classifier().vocabulary
    return TextClassifier(
        Cells(fused).eval(), vocabulary, ("n", "y"), split_words, additional="lengths"
    )


def test_taylor_and_gradient_of_a_state_that_many_steps_read() -> None:
    classifier = cells(fused=False)
    rows = []
    for document, class_ in zip(texts_of(classifier).documents, CLASSES.tolist(), strict=True):
        scale = classifier.model.scale = torch.ones(3, dtype=torch.float64, requires_grad=True)
        batch = classifier.batch([document])
        scores = classifier.model(batch.ids, *batch.additional)
        loss = F.cross_entropy(scores, torch.tensor([class_]))
        rows.append(torch.autograd.grad(loss, scale)[0].numpy())  # Σ_t h ∂L/∂h
    expected = oracle.taylor(np.array(rows)[:, None], np.ones((len(rows), 1, 3)))
    found = scored(cells(fused=True), "taylor", "layer")
    np.testing.assert_allclose(found, expected / expected.sum(), atol=1e-12)


@pytest.mark.parametrize("criterion", [c for c in CRITERIA if not c.startswith("lrp")])
def test_a_layer_and_its_cell_have_the_same_scores(criterion: str) -> None:
    one, other = (scored(cells(fused), criterion, "layer") for fused in (True, False))
    np.testing.assert_allclose(one, other, atol=1e-12)


def test_of_one_word_all_relevance_of_a_state_leaves_the_layer() -> None:
    classifier = replace(cells(fused=True), additional="lengths")
    texts = texts_of(classifier, longest=1)
    batch = classifier.batch(texts.documents)
    layers = seqlrp.LRP(classifier.model).attribution(
        batch.ids, "all", batch.additional, layers=["layer"]
    ).layers  # fmt: skip
    assert layers is not None
    expected = oracle.contrast(layers["layer"][0].numpy())
    found = scored(classifier, "lrp", "layer", longest=1)
    np.testing.assert_allclose(found, expected / expected.sum(), atol=1e-12)


def test_scores_do_not_depend_on_the_batch() -> None:
    classifier = double(layers=2)
    texts = texts_of(classifier, longest=4)
    sets = unit_sets(classifier.model, None)
    assert [units.name for units in sets] == [
        f"encoder.recurrence.l{layer}{way}" for layer in (0, 1) for way in ("", "_reverse")
    ]
    one, other = (
        unit_scores(classifier, texts, sets, batch_tokens=tokens, progress=False)
        for tokens in (1, 4096)
    )
    for units in sets:
        np.testing.assert_allclose(one[units], other[units], atol=1e-13)


def test_refit() -> None:
    p, f = (np.random.default_rng(seed).normal(size=(7, 3)) for seed in (0, 1))
    f += 0.5 * p
    scale, offsets = fit_scores(p, f)
    expected, of_class = oracle.refit(p, f)
    assert scale == pytest.approx(expected)
    np.testing.assert_allclose(offsets, of_class)
    assert fit_scores(np.ones((4, 2)), f[:4, :2])[0] == 1  # nothing to scale
    assert fit_scores(-f, f)[0] == 1  # the order of answers is not turned round
