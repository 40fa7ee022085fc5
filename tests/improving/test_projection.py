"""The projection against its oracle, and folded weights against a projection of activations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from samples.classifiers import small_classifier
from samples.explained import bag_classifier
from torch import Tensor, nn

from seqlrp.errors import ModelError, OptionError
from seqlrp.improving.labelled_texts import LabelledTexts
from seqlrp.improving.projection import (
    Activations,
    Projection,
    fit_projection,
    folded,
    last_linear,
    projectable_layers,
)
from seqlrp.models.classifier import TextClassifier
from seqlrp.text.corpora import Corpus
from tests.oracles import projection as oracle

WRITTEN = ("a good film", "very bad film and a dull plot", "not a bright story", "bad", "good plot")


def read(classifier: TextClassifier) -> LabelledTexts:
    labels = np.array([1, 0, 0, 0, 1])
    corpus = Corpus("some", WRITTEN, labels, classifier.labels)
    return LabelledTexts.read(classifier, corpus, np.arange(len(WRITTEN)))


def some_projection(size: int, count: int = 2, oblique: bool = True) -> Projection:
    random = np.random.default_rng(0)
    clean, change = (torch.from_numpy(random.normal(size=(40, size)) + 1) for _ in range(2))
    return fit_projection(
        clean, [change], directions=count, oblique=oblique, spread=torch.cov(clean.T)
    )


def test_orthogonal_is_p_clarc() -> None:
    random = np.random.default_rng(1)
    clean = random.normal(size=(30, 5))
    held = clean + random.normal(size=5) + 0.1 * random.normal(size=(30, 5))
    found = fit_projection(
        torch.from_numpy(clean), [torch.from_numpy(held - clean)], directions=1, oblique=False,
        spread=torch.eye(5, dtype=torch.float64),
    )  # fmt: skip
    v = oracle.pattern(np.concatenate([clean, held]), np.repeat([0.0, 1.0], 30))
    assert abs(abs(v @ found.patterns[:, 0].numpy()) - 1) < 1e-12
    expected = [oracle.project(a, v, oracle.mean(clean)) for a in held]
    np.testing.assert_allclose(found.apply(torch.from_numpy(held)), expected, atol=1e-12)


@pytest.mark.parametrize("oblique", [False, True])
@pytest.mark.parametrize("count", [1, 3])
def test_it_is_a_projection_that_takes_the_directions_out(count: int, oblique: bool) -> None:
    found = some_projection(6, count, oblique)
    np.testing.assert_allclose(found.filters.T @ found.patterns, np.eye(count), atol=1e-9)
    a = torch.randn(7, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    once = found.apply(a)
    np.testing.assert_allclose(found.apply(once), once, atol=1e-9)
    moved = found.apply(a + found.patterns @ torch.ones(count, dtype=torch.float64))
    np.testing.assert_allclose(moved, once, atol=1e-9)
    np.testing.assert_allclose(found.apply(found.centre), found.centre, atol=1e-12)


def test_oblique_moves_clean_activations_least() -> None:
    random = np.random.default_rng(2)
    clean = torch.from_numpy(random.normal(size=(500, 4)) @ random.normal(size=(4, 4)))
    change = torch.from_numpy(random.normal(size=4) + 0.01 * random.normal(size=(500, 4)))
    moved = {}
    for oblique in (False, True):
        found = fit_projection(
            clean, [change], directions=1, oblique=oblique, spread=torch.cov(clean.T)
        )
        moved[oblique] = float((found.apply(clean) - clean).square().sum())
    assert moved[True] < moved[False]


@pytest.mark.parametrize("make", [small_classifier, lambda: small_classifier(head_bias=True)])
@pytest.mark.parametrize("layer", ["embedding", "head"])
def test_folded_weights_do_what_the_projection_does(
    make: Callable[[], TextClassifier], layer: str
) -> None:
    classifier = make()
    classifier.model.double()
    texts = read(classifier)
    module: Any = classifier.model.get_submodule(layer)
    found = some_projection(module.weight.shape[1])
    repaired = folded(classifier, layer, found)

    def project_output(_: nn.Module, given: Any, output: Tensor) -> Tensor:
        padding = (given[0] == 0).unsqueeze(-1)
        return torch.where(padding, output, found.apply(output))

    if layer == "embedding":
        hook = module.register_forward_hook(project_output)
    else:
        hook = module.register_forward_pre_hook(lambda _, given: (found.apply(given[0]),))
    expected = classifier.scores(texts.documents)
    hook.remove()
    np.testing.assert_allclose(repaired.scores(texts.documents), expected, rtol=1e-12, atol=1e-12)


def test_a_model_of_another_class_gets_a_bias() -> None:
    classifier = bag_classifier()
    found = some_projection(4)
    repaired = folded(classifier, "head", found)
    assert classifier.model.head.bias is None  # type: ignore[union-attr]
    with torch.no_grad():
        h = torch.randn(3, 4)
        expected = classifier.model.head(found.apply(h.double()).float())  # type: ignore[operator]
        got = repaired.model.head(h)  # type: ignore[operator]
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("layer", ["embedding", "head", "encoder.projection"])
def test_activations_are_means_over_words_whatever_the_batch(layer: str) -> None:
    classifier = small_classifier()
    texts = read(classifier)
    together = Activations(classifier, layer).of(texts)
    for k in range(len(texts)):
        alone = Activations(classifier, layer).of(texts.part(np.array([k])))
        np.testing.assert_allclose(alone[0], together[k], atol=1e-6)
    assert not classifier.model.get_submodule("head")._forward_pre_hooks


def test_layers_that_are_tried() -> None:
    classifier = small_classifier()
    assert last_linear(classifier, read(classifier)) == "head"
    assert projectable_layers(classifier, read(classifier)) == ["embedding", "head"]


def test_layers_that_cannot_be_projected_at() -> None:
    classifier = small_classifier()
    with pytest.raises(OptionError, match=r"no layer 'haed'. Did you mean 'head'"):
        Activations(classifier, "haed")
    with pytest.raises(OptionError, match=r"'encoder\.recurrence' is a LSTM"):
        Activations(classifier, "encoder.recurrence")
    with pytest.raises(ModelError, match=r"'encoder\.attention' has no bias"):
        folded(classifier, "encoder.attention", some_projection(5))
    tied = bag_classifier(classes=15)
    tied.model.head.weight = tied.model.embedding.weight  # type: ignore[union-attr]
    with pytest.raises(ModelError, match="used by another module"):
        Activations(tied, "head")
    sentences = small_classifier(hierarchical=True)
    with pytest.raises(OptionError, match="expected a vector a text or a vector a word"):
        Activations(sentences, "encoder.projection").of(read(sentences))
