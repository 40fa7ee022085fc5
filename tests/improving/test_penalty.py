"""The penalty is gradient × input of the words of a shortcut, squared."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from samples.explained import Bag, bag_classifier
from torch import nn

from seqlrp.errors import ModelError
from seqlrp.improving.labelled_texts import LabelledTexts
from seqlrp.improving.penalty import RelevancePenalty
from seqlrp.improving.shortcut import Located, Shortcut
from seqlrp.models.classifier import TextClassifier
from seqlrp.text.corpora import Corpus

GOOD = Shortcut("good", (("good",),), class_=1)


def read(classifier: TextClassifier) -> LabelledTexts:
    written = ["a good film", "very bad plot and film", "good good"]
    corpus = Corpus("some", written, np.array([1, 0, 1]), classifier.labels)
    return LabelledTexts.read(classifier, corpus, np.arange(3))


@pytest.mark.parametrize("classes", [2, 3])
def test_value_of_a_linear_model(classes: int) -> None:
    bag = bag_classifier(classes=2)
    labels = ("negative", "positive", "other")[:classes]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Bag(len(bag.vocabulary), classes).eval()
    classifier = TextClassifier(model, bag.vocabulary, labels, bag.tokenizer)
    texts = read(classifier)
    penalty = RelevancePenalty(model, texts, [Located(GOOD, texts)], 3.0)
    chosen = [1, 2, 0]
    batch = texts.batch(chosen)
    with penalty.watching():
        found = penalty(model(batch.ids), batch, chosen)
    good = model.embedding.weight[classifier.vocabulary.encode(("good",))[0]]
    weight = model.head.weight
    contrast = weight[1] - weight[[k for k in range(classes) if k != 1]].mean(dim=0)
    # Three occurrences in two texts.
    expected = 3.0 * 3 / 2 * (good * contrast).square().sum()
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)
    found.backward()
    assert model.embedding.weight.grad is not None
    assert not model.embedding._forward_hooks


def test_texts_without_the_shortcut_cost_nothing() -> None:
    classifier = bag_classifier()
    texts = read(classifier)
    penalty = RelevancePenalty(classifier.model, texts, [Located(GOOD, texts)], 3.0)
    batch = texts.batch([1])
    with penalty.watching():
        assert penalty(classifier.model(batch.ids), batch, [1]).item() == 0


def test_a_model_without_an_embedding_is_refused() -> None:
    texts = read(bag_classifier())
    with pytest.raises(ModelError, match=r"no nn\.Embedding"):
        RelevancePenalty(nn.Linear(2, 2), texts, [Located(GOOD, texts)], 1.0)
