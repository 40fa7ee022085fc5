"""Max-sensitivity: on a bag of words it can be computed by hand; the user's model stays."""

import copy

import numpy as np
import pytest
import torch
from samples.classifiers import small_classifier, some_texts
from samples.explained import Bag, bag_classifier, explained_by
from torch import nn

from seqlrp.errors import ModelError, OptionError
from seqlrp.evaluation.metrics.stability import MaxSensitivity, points_in_ball, relative_change
from seqlrp.models.classifier import TextClassifier


def table_of(explained, **options):
    metric = MaxSensitivity(**options)
    metric.update(explained)
    return metric.compute().set_index("document")["value"]


def test_on_a_bag_of_words_it_is_what_the_noise_does_to_the_scores():
    """Gradient × input of word t is wᵀx_t, so it changes by wᵀ(noise of t), noise as drawn."""
    classifier = bag_classifier()
    made = explained_by(classifier, some_texts(5), "gradient_x_input", numbers=range(2, 7), seed=4)
    found = table_of(made, radius=0.1, samples=6)
    vectors = classifier.model.embedding.weight.detach().double().numpy()
    weight = classifier.model.head.weight.detach().double().numpy()
    for number, document, e in zip(made.numbers, made.documents, made.explanations, strict=True):
        random = np.random.default_rng([4, number])
        x, w = vectors[document.ids], weight[e.target]
        points_in_ball(*x.shape, random)  # for the one without noise
        changes = []
        for _ in range(6):
            noise = (
                points_in_ball(*x.shape, random) * 0.1 * np.linalg.norm(x, axis=1, keepdims=True)
            )
            changes.append(np.linalg.norm(noise @ w) / np.linalg.norm(x @ w))
        assert found[number] == pytest.approx(max(changes), rel=1e-3)


@pytest.mark.parametrize("hierarchical", [False, True])
@pytest.mark.parametrize("method", ["lrp", "gradient_x_input", "sensitivity", "occlusion"])
def test_little_noise_changes_little_and_more_changes_more(method, hierarchical):
    made = explained_by(small_classifier(hierarchical=hierarchical), some_texts(5), method)
    little, more = (table_of(made, radius=r, samples=4) for r in (1e-4, 0.1))
    assert little.max() < 0.05
    assert (more > 3 * little).all()
    assert (little > 0).all()


def test_random_relevance_is_not_stable():
    made = explained_by(small_classifier(), some_texts(20), "random")
    assert table_of(made, radius=1e-4, samples=2).mean() > 0.8


def test_parts_give_what_the_whole_gives(monkeypatch):
    classifier, texts = small_classifier(), some_texts(8)
    whole = table_of(explained_by(classifier, texts))
    again = table_of(explained_by(classifier, texts[3:], numbers=range(3, 8)))
    assert np.allclose(again, whole[3:], rtol=1e-3)
    monkeypatch.setattr("seqlrp.evaluation.metrics.stability._ROWS", 1)
    assert np.allclose(table_of(explained_by(classifier, texts)), whole, rtol=1e-3)


def test_the_model_and_its_method_stay_as_they_were():
    classifier = small_classifier()
    before = copy.deepcopy(classifier.model.state_dict())
    made = explained_by(classifier, some_texts(3))
    state = torch.get_rng_state()
    table_of(made)
    assert torch.equal(state, torch.get_rng_state())
    after = classifier.model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert classifier.model.embedding.num_embeddings == len(classifier.vocabulary)
    assert made.explainer.model is classifier.model
    assert all(p.requires_grad for p in classifier.model.parameters())


def test_points_fill_the_ball():
    points = points_in_ball(20000, 3, np.random.default_rng(0))
    lengths = np.linalg.norm(points, axis=1)
    assert lengths.max() <= 1
    for radius in (0.3, 0.6, 0.9):  # the share within is that of the volume
        assert (lengths < radius).mean() == pytest.approx(radius**3, abs=0.01)
    assert np.abs(points.mean(0)).max() < 0.02


def test_a_relative_change_by_hand():
    found = relative_change(np.array([[3.0, 4.0], [3.0, 5.0]]), np.array([3.0, 4.0]))
    assert found == pytest.approx([0, 0.2])
    assert np.isnan(relative_change(np.ones((1, 2)), np.zeros(2))).all()


@pytest.mark.parametrize(
    "options", [{"radius": 0}, {"radius": float("nan")}, {"samples": 0}, {"samples": True}]
)
def test_options_out_of_range_are_refused(options):
    with pytest.raises(OptionError, match=next(iter(options))):
        MaxSensitivity(**options)


class LooksAtIds(Bag):
    def forward(self, ids):
        return super().forward(ids) + (ids == 3).sum(1, keepdim=True)


class NoModule(nn.Module):
    def __init__(self, words):
        super().__init__()
        self.table = nn.Parameter(torch.ones(words, 2))

    def forward(self, ids):
        return nn.functional.embedding(ids, self.table).sum(1)


class Uncopied(Bag):
    def __deepcopy__(self, memo):
        raise RuntimeError("not me")


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (LooksAtIds, "uses ids other than to look up embeddings"),
        (NoModule, "no nn.Embedding of the vocabulary"),
        (Uncopied, "cannot be copied .RuntimeError: not me"),
    ],
)
def test_models_that_cannot_be_tested_are_refused(model, reason):
    known = bag_classifier()
    words = len(known.vocabulary)
    classifier = TextClassifier(
        model(words).eval(), known.vocabulary, known.labels, known.tokenizer
    )
    word = known.vocabulary.tokens[3]
    made = explained_by(classifier, [f"{word} a good film"], "random")
    with pytest.raises(ModelError, match=reason):
        table_of(made)
