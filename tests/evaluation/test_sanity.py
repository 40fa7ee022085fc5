"""Sanity checks: untouched is 1, random is near 0, and the user's model stays as it is."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from samples.classifiers import small_classifier, some_texts
from samples.explained import bag_classifier
from torch import nn

from seqlrp import Corpus, explain
from seqlrp.errors import CorpusError, InputError, ModelError, OptionError
from seqlrp.evaluation.correlation import spearman
from seqlrp.evaluation.sanity import (
    cascading_randomisation,
    layers_from_output,
    randomise,
    randomised_labels,
)
from seqlrp.evaluation.twin import Twin
from seqlrp.explaining.explain import chosen_method
from seqlrp.methods import Method
from seqlrp.models.classifier import TextClassifier

TEXTS = [text for text in some_texts(60, seed=3) if len(text.split()) > 4]


# The order of layers


def test_layers_come_from_the_output_down():
    found = layers_from_output(small_classifier(), TEXTS[0])
    assert found == [
        *("head", "encoder.attention", "encoder.projection", "encoder.recurrence", "embedding"),
    ]


class Crooked(nn.Module):
    """Registered upside down, with weights of its own and a module that is never called."""

    def __init__(self, words):
        super().__init__()
        self.head = nn.Linear(3, 2)
        self.attention = nn.MultiheadAttention(3, 1, batch_first=True)
        self.embedding = nn.Embedding(words, 3, padding_idx=0)
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, ids):
        vectors = self.embedding(ids)
        return self.head(self.attention(vectors, vectors, vectors)[0].sum(1)) * self.scale


def test_the_order_is_that_of_the_calls_not_of_the_names():
    known = bag_classifier()
    model = Crooked(len(known.vocabulary)).eval()
    classifier = TextClassifier(model, known.vocabulary, known.labels, known.tokenizer)
    found = layers_from_output(classifier, "a good film")
    assert found == ["", "head", "attention", "attention.out_proj", "embedding"]
    assert not any(module._forward_hooks for module in model.modules())


def test_a_model_without_weights_is_refused():
    class Nothing(nn.Module):
        def forward(self, ids):
            return nn.functional.one_hot(ids % 2, 2).sum(1).float()

    known = bag_classifier()
    classifier = TextClassifier(Nothing().eval(), known.vocabulary, known.labels, known.tokenizer)
    with pytest.raises(ModelError, match="no weights"):
        layers_from_output(classifier, "a good film")


# Random weights


def test_random_weights_keep_their_size_and_the_padding():
    module = nn.Embedding(2000, 5, padding_idx=0)
    with torch.no_grad():
        module.weight.mul_(7)
    before = module.weight.detach().clone()
    randomise(module, torch.Generator().manual_seed(0))
    assert module.weight.detach().pow(2).mean().sqrt() == pytest.approx(7, rel=0.03)
    assert torch.equal(module.weight[0], before[0])
    together = torch.stack([module.weight.detach().flatten(), before.flatten()])
    assert abs(float(torch.corrcoef(together)[0, 1])) < 0.03


def test_a_seed_gives_the_same_weights_and_only_a_module_s_own():
    outer = nn.Sequential(nn.Linear(2, 2))
    before = outer[0].weight.detach().clone()
    randomise(outer, torch.Generator().manual_seed(0))
    assert torch.equal(outer[0].weight, before)
    twin = copy.deepcopy(outer)
    for one in (outer, twin):
        randomise(one[0], torch.Generator().manual_seed(1))
    assert torch.equal(outer[0].weight, twin[0].weight)
    assert not torch.equal(outer[0].weight, before)


# The cascade


@pytest.fixture(scope="module")
def cascade():
    return cascading_randomisation(small_classifier(), TEXTS, seed=1, progress=False).table


def test_untouched_is_one(cascade):
    untouched = cascade[cascade["k"] == 0]
    assert len(untouched) == 2 * len(TEXTS)
    assert (untouched["layer"] == "").all()
    assert untouched["value"].to_numpy() == pytest.approx(1)


@pytest.mark.parametrize("method", ["lrp", "gradient_x_input"])
def test_of_a_bag_of_words_nothing_is_left(method):
    """Every word has its weight; all drawn anew, their order has nothing to do with before.

    Few kinds of words share the fate of one draw, so seeds are what is averaged over.
    """
    means = []
    for seed in range(30):
        table = cascading_randomisation(
            bag_classifier(size=16), TEXTS[:15], method, seed=seed, progress=False
        ).table
        last = table[(table["k"] == 2) & (table["metric"] == "spearman")]
        assert (last["layer"] == "embedding").all()
        means.append(last["value"].mean())
    assert abs(np.mean(means)) < 0.15
    assert np.std(means) > 0.05  # and not because all of it is constant


def test_a_random_method_does_not_notice():
    """Numbers that depend on the text alone fail the check: they stay as they were."""
    table = cascading_randomisation(small_classifier(), TEXTS[:5], "random", progress=False).table
    assert table["value"].to_numpy() == pytest.approx(1)


def test_each_step_is_the_relevance_of_the_model_so_far(cascade):
    """Rebuilt from scratch: a fresh copy, a fresh method, the same random numbers."""
    classifier = small_classifier()
    before = explain(classifier, TEXTS, progress=False)
    model = copy.deepcopy(classifier.model)
    random = torch.Generator().manual_seed(1)
    for k, name in enumerate(layers_from_output(classifier, TEXTS[0]), 1):
        randomise(model.get_submodule(name), random)
        after = explain(
            replace(classifier, model=model),
            TEXTS,
            target="label",
            labels=[e.predicted for e in before],
            progress=False,
        )
        step = cascade[cascade["k"] == k]
        assert set(step["layer"]) == {name}
        for metric, change in (("spearman", np.asarray), ("spearman_absolute", np.abs)):
            expected = [
                spearman(change(a.relevance), change(b.relevance))
                for a, b in zip(before, after, strict=True)
            ]
            values = step[step["metric"] == metric]["value"].to_numpy()
            assert values == pytest.approx(expected, abs=0.02, nan_ok=True)


def test_chosen_layers_become_random_in_their_order():
    classifier = small_classifier()
    table = cascading_randomisation(
        classifier, TEXTS[:2], layers=["embedding", "head"], progress=False
    ).table
    assert table.groupby("k")["layer"].first().tolist() == ["", "embedding", "head"]
    for name in ("heat", "encoder", "dropout"):
        with pytest.raises(OptionError, match=f"'{name}' is no module that holds weights"):
            cascading_randomisation(classifier, TEXTS[:1], layers=[name], progress=False)


def test_weights_that_are_shared_become_random_once():
    classifier = bag_classifier(size=4)
    model = classifier.model
    model.other = model.head  # the same module under two names is one layer
    tied = nn.Linear(4, len(classifier.vocabulary), bias=False)
    tied.weight = model.embedding.weight
    model.tied = tied.eval()
    table = cascading_randomisation(
        classifier, TEXTS[:2], layers=["embedding", "tied"], progress=False
    ).table
    values = table.pivot(index=["document", "metric"], columns="k", values="value")
    assert np.allclose(values[1], values[2])


def test_the_model_the_method_and_random_numbers_stay():
    classifier = small_classifier()
    before = copy.deepcopy(classifier.model.state_dict())
    state = torch.get_rng_state()
    cascading_randomisation(classifier, TEXTS[:3], progress=False)
    assert torch.equal(state, torch.get_rng_state())
    after = classifier.model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert not any(module._forward_hooks for module in classifier.model.modules())


def test_nothing_to_explain_is_refused():
    with pytest.raises(InputError, match="Got no text"):
        cascading_randomisation(small_classifier(), [], progress=False)


def test_a_twin_answers_the_same_question():
    """Also for a contrast, and in the order of the documents."""
    classifier = small_classifier(labels=("a", "b", "c"))
    method: Method = chosen_method(classifier, "lrp", {})
    encoded = list(classifier.encode(TEXTS[:4]))
    like = [
        *explain(classifier, TEXTS[:2], target=("c", "a"), progress=False),
        *explain(classifier, TEXTS[2:3], target="b", progress=False),
        *explain(classifier, TEXTS[3:4], target=("a", "b"), progress=False),
    ]
    found = Twin.of(classifier, method).explain(encoded, like, 8192)
    for e, other in zip(like, found, strict=True):
        assert (e.target, e.against, e.tokens) == (other.target, other.against, other.tokens)
        assert other.relevance == pytest.approx(e.relevance, abs=1e-5)


# The record and its figure


def test_the_curve_has_the_means_and_their_intervals():
    found = cascading_randomisation(small_classifier(), TEXTS[:12], seed=1, progress=False)
    assert repr(found) == "Cascade('lrp', 5 layers, 12 texts)"
    for metric in ("spearman", "spearman_absolute"):
        rows = found.table[found.table["metric"] == metric]
        curve = found.curve(metric)
        means = rows.groupby("k")["value"].mean()
        assert curve["value"].to_numpy() == pytest.approx(means.to_numpy())
        assert curve["layer"].tolist() == rows.groupby("k")["layer"].first().tolist()
        inside = curve.iloc[1:]
        assert ((inside["low"] < inside["value"]) & (inside["value"] < inside["high"])).all()
        assert curve["documents"].tolist() == [12] * 6
    ax = found.plot()
    (line,) = [line for line in ax.lines if line.get_label() == "LRP"]
    assert line.get_ydata() == pytest.approx(found.curve()["value"].to_numpy())
    assert [t.get_text() for t in ax.get_xticklabels()][:3] == ["none", "head", "encoder.attention"]
    assert "|relevance|" in ax.get_ylabel()
    ax.figure.draw_without_rendering()
    with pytest.raises(OptionError, match="Got metric='pearson'"):
        found.plot("pearson")


def test_methods_stand_beside_each_other():
    own = Figure().add_subplot()
    for method in ("lrp", "occlusion"):
        found = cascading_randomisation(small_classifier(), TEXTS[:3], method, progress=False)
        assert found.plot("spearman", ax=own) is own
    assert [t.get_text() for t in own.get_legend().get_texts()] == ["LRP", "occlusion"]
    colours = {line.get_color() for line in own.lines if line.get_label()[0] != "_"}
    assert len(colours) == 2


# Shuffled labels


def corpus_of(labels):
    return Corpus("made", TEXTS[: len(labels)], np.array(labels), ("negative", "positive"))


def test_labels_are_shuffled_and_relevance_compared():
    classifier, seen = small_classifier(), []
    other = small_classifier(pooling="max")

    def fit(corpus):
        seen.append(corpus)
        return other

    train = corpus_of([0, 0, 0, 1, 1, 1, 0, 1] * 2)
    found = randomised_labels(classifier, train, TEXTS[:6], fit, seed=2, progress=False)
    assert sorted(seen[0].labels) == sorted(train.labels)
    assert (seen[0].labels != train.labels).any()
    assert list(seen[0].texts) == list(train.texts)
    assert found.classifier is other
    right = other.predict(train.texts).predicted == seen[0].labels
    assert found.accuracy == pytest.approx(right.mean())
    before = explain(classifier, TEXTS[:6], progress=False)
    after = explain(
        other, TEXTS[:6], target="label", labels=[e.predicted for e in before], progress=False
    )
    expected = [spearman(a.relevance, b.relevance) for a, b in zip(before, after, strict=True)]
    values = found.table[found.table["metric"] == "spearman"]["value"].to_numpy()
    assert values == pytest.approx(expected, abs=0.02)
    same = randomised_labels(classifier, train, TEXTS[:6], lambda _: classifier, progress=False)
    assert same.table["value"].to_numpy() == pytest.approx(1)


def test_by_default_seqlrp_trains(monkeypatch):
    calls = []

    def fit(corpus, **options):
        calls.append(options)
        return type("Trained", (), {"classifier": small_classifier()})

    monkeypatch.setattr("seqlrp.evaluation.sanity.train_as_usual", fit)
    randomised_labels(small_classifier(), corpus_of([0, 1]), TEXTS[:2], progress=False)
    assert calls == [{"validation_fraction": 0, "progress": False}]


def test_what_cannot_be_compared_is_refused():
    classifier, train = small_classifier(), corpus_of([0, 1])
    unlabelled = Corpus("made", TEXTS[:2], None, ())
    with pytest.raises(CorpusError, match="no labels"):
        randomised_labels(classifier, unlabelled, TEXTS[:2], progress=False)
    others = small_classifier(labels=("a", "b"))
    with pytest.raises(InputError, match="has the classes"):
        randomised_labels(classifier, train, TEXTS[:2], lambda _: others, progress=False)
    letters = replace(classifier, tokenizer=list)
    with pytest.raises(InputError, match="Text 0 has other words"):
        randomised_labels(classifier, train, ["abc"], lambda _: letters, progress=False)
