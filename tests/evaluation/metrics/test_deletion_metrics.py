"""Metrics of deletion: those of the papers, for any parts of a corpus, no number for nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from oracles.deletion import Oracle, ranked
from samples.classifiers import WORDS, some_texts
from samples.evaluations import explained_by, labelled, lively_classifier
from samples.examples import all_pairs, examples

import seqlrp
from seqlrp.errors import InputError, LabelError, OptionError
from seqlrp.evaluation import (
    Comprehensiveness,
    Measured,
    Metric,
    Perturbation,
    Quantity,
    Sufficiency,
    WordDeletion,
)
from seqlrp.evaluation.metrics.erasure import rationale_size

KS = [0, 1, 2, 4, 7]


def tied(documents: Sequence[int], classes: int, seed: int = 0) -> list[npt.NDArray[np.float64]]:
    """Relevances `[C, T]` with many ties."""
    drawn = np.random.default_rng(seed)
    return [drawn.integers(-2, 3, (classes, length)) / 2 for length in documents]


@all_pairs(
    "removal,score,single",
    ["zero", "delete", "unk", "mask"],
    ["probability", "logit", "accuracy"],
    [False, True],
)
def test_every_value_is_that_of_the_paper(removal: str, score: str, single: bool) -> None:
    options = {"classes": 1} if single else {"labels": ("bad", "so-so", "good")}
    classifier = lively_classifier(double=True, strength=0.8, **options)
    texts = some_texts(14, seed=3, longest=9)
    classes = len(classifier.labels)
    labels = [k % classes for k in range(len(texts))]
    documents = list(classifier.encode(texts))
    arrays = tied([len(d) for d in documents], classes)
    report = seqlrp.evaluate(
        classifier,
        texts,
        labels,
        {"mine": arrays},
        ks=KS,
        removal=removal,
        score=score,
        min_words=1,
    )
    keys = report.table[["metric", "document", "k"]].fillna(-1).itertuples(index=False, name=None)
    rows = dict(zip(keys, report.table["value"], strict=True))
    accuracy = report.table[report.table["metric"] == "deletion_accuracy"]
    directions = accuracy.groupby("document")["direction"].unique()
    mask = None
    if removal == "mask":
        table = classifier.model.embedding.weight.detach()[2:]
        mask = [float(sum(column) / len(column)) for column in table.T]
    checked = 0
    for n, (document, label) in enumerate(zip(documents, labels, strict=True)):
        oracle = Oracle(
            classifier.model,
            document.ids.tolist(),
            arrays[n].tolist(),
            removal,
            score,
            single,
            mask,
        )
        right = "right" if oracle.predicted == label else "wrong"
        assert directions[n].tolist() == [right]
        expected = {}
        for k in KS:
            expected["deletion_accuracy", k] = oracle.word_deletion(label, k, "accuracy")
            if score != "accuracy":
                expected[f"deletion_{score}", k] = oracle.word_deletion(label, k, score)
            expected["morf", k] = oracle.curve(True, k)
            expected["lerf", k] = oracle.curve(False, k)
        most, least = oracle.aopc(True, KS), oracle.aopc(False, KS)
        expected["aopc_morf", None], expected["aopc_lerf", None] = most, least
        expected["abpc", None] = most - least
        for q in (1, 5, 10, 20, 50):
            expected["comprehensiveness", q] = oracle.erasure(q, keep=False)
            expected["sufficiency", q] = oracle.erasure(q, keep=True)
        for (metric, k), number in expected.items():
            found = rows.pop((metric, n, -1 if k is None else k))
            assert found == pytest.approx(number, abs=2e-6, nan_ok=True), (metric, n, k)
            checked += not math.isnan(number)
    assert checked > 20 * len(texts)
    assert not rows  # nothing but what the papers have


# What `seqlrp.evaluate` gave before it was a package, by removal, method and direction; k: 0 1 3 6.
BEFORE = {
    ("zero", "lrp", "right"): ([1, 1, 0.86364, 0.86364], [0.81809, 0.76428, 0.7001, 0.64045]),
    ("zero", "random", "right"): ([1, 0.96364, 0.94545, 0.8], [0.81809, 0.79273, 0.73963, 0.67315]),
    ("zero", "lrp", "wrong"): ([0, 0, 0.05556, 0.16667], [0.14249, 0.19485, 0.2776, 0.32211]),
    ("delete", "sensitivity", "right"): (
        [1, 0.90909, 0.90909, 0.90909],
        [0.81809, 0.75941, 0.76878, 0.76457],
    ),
    ("delete", "random", "wrong"): (
        [0, 0.02222, 0.02222, 0.1],
        [0.14249, 0.15219, 0.16729, 0.21393],
    ),
    ("unk", "lrp", "right"): ([1, 0.81818, 0.63636, 0.40909], [0.81809, 0.71266, 0.53032, 0.43577]),
    ("unk", "gradient_x_input", "wrong"): (
        [0, 0.27778, 0.38889, 0.72222],
        [0.14249, 0.34911, 0.51945, 0.68478],
    ),
    ("unk", "random", "wrong"): ([0, 0.18889, 0.47778, 0.6], [0.14249, 0.2827, 0.4699, 0.57815]),
}
GAINED = {  # mean advantage over random in accuracy
    ("zero", "sensitivity", "right"): 0.05455,
    ("delete", "lrp", "wrong"): 0.02593,
    ("unk", "lrp", "wrong"): 0.13333,
    ("unk", "gradient_x_input", "right"): -0.05152,
}


@pytest.mark.parametrize("removal", ["zero", "delete", "unk"])
def test_word_deletion_gives_what_it_gave(removal: str) -> None:
    texts, labels = labelled()
    report = seqlrp.evaluate(
        lively_classifier(),
        texts,
        labels,
        {
            "lrp": {"method": "lrp", "epsilon": 1e-6},  # as it was by default
            **{name: name for name in ("gradient_x_input", "sensitivity", "random")},
        },
        metrics=["word_deletion"],
        ks=(1, 3, 6),
        removal=removal,
    )
    for (way, method, direction), expected in BEFORE.items():
        for metric, numbers in zip(("accuracy", "probability"), expected, strict=True):
            curve = report.curves(f"deletion_{metric}").set_index(["direction", "method"])
            if way == removal:
                found = curve.loc[(direction, method), "value"]
                np.testing.assert_allclose(found, numbers, atol=2e-5)
    gains = report.advantage().set_index(["metric", "method", "direction"])["difference"]
    for (way, method, direction), number in GAINED.items():
        if way == removal:
            found = gains["deletion_accuracy", method, direction]
            assert found == pytest.approx(number, abs=1e-5)


def test_nothing_to_measure_is_missing_and_counted() -> None:
    classifier = lively_classifier()
    texts = ["good", "good film but very dull"]
    for removal, most in (("zero", 5), ("unk", 5), ("mask", 5), ("delete", 4)):
        report = seqlrp.evaluate(
            classifier, texts, [0, 1], ["lrp"], ks=(4, 5, 6), removal=removal, min_words=1
        )
        rows = report.table.set_index(["metric", "document", "k"])["value"].unstack()
        for metric in ("deletion_accuracy", "deletion_probability", "morf", "lerf"):
            assert rows.loc[(metric, 1)].dropna().index.tolist() == [
                k for k in (0, 4, 5, 6) if k <= most
            ]
            assert rows.loc[(metric, 0)].dropna().index.tolist() == [0]
        ones = report.table[(report.table["document"] == 0)].set_index("metric")["value"]
        assert ones[["aopc_morf", "aopc_lerf", "abpc"]].isna().all()
        assert ones["sufficiency"].isna().all()  # the rationale is the whole text
        assert ones["comprehensiveness"].isna().all() == (removal == "delete")
        results = report.results.set_index("metric")
        assert results.loc["sufficiency", "missing"] == 1
        assert results.loc["sufficiency", "documents"] == 1
        beyond = report.curves()[report.curves()["k"] > most]
        assert beyond["value"].isna().all()
        assert (beyond["documents"] == 0).all()
        told = " ".join(report.summary().split())
        assert "Missing in 1 more, where there is nothing to measure." in told


@pytest.mark.parametrize(("most_first", "gone"), [(True, 0), (False, 0)])
def test_ties_go_in_the_order_of_the_text(most_first: bool, gone: int) -> None:
    classifier = lively_classifier(double=True)
    texts = [t for t in some_texts(30, seed=1) if len(t.split()) > 3][:8]
    documents = list(classifier.encode(texts))
    arrays = [np.zeros(len(d)) for d in documents]
    report = seqlrp.evaluate(
        classifier, texts, None, {"flat": arrays}, ["aopc"], ks=[1], min_words=1
    )
    table = report.table[report.table["metric"] == ("morf" if most_first else "lerf")]
    rows = table[table["k"] == 1].set_index("document")["value"]
    for n, document in enumerate(documents):
        oracle = Oracle(
            classifier.model,
            document.ids.tolist(),
            [[0.0] * len(document)] * 2,
            "zero",
            "probability",
        )
        first_word = oracle.f([gone], oracle.predicted, "probability")
        last_word = oracle.f([len(document) - 1], oracle.predicted, "probability")
        assert rows[n] == pytest.approx(first_word, abs=1e-6)
        assert abs(first_word - last_word) > 1e-6
    assert ranked([1.0, 2.0, 2.0], True) == [1, 2, 0]


@cache
def of_twelve(kind: type[Metric]) -> Metric:
    whole = kind()
    whole.update(explained_by(lively_classifier(), *labelled(12)))
    return whole


@pytest.mark.parametrize(
    "kind", [WordDeletion, Perturbation, Comprehensiveness, Sufficiency], ids=lambda kind: kind.name
)
@examples(8)
@given(st.permutations(range(12)), st.integers(1, 11), st.integers(1, 11))
def test_parts_of_a_corpus_add_up(
    kind: type[Metric], order: list[int], first: int, second: int
) -> None:
    classifier = lively_classifier()
    texts, labels = labelled(12)
    whole = of_twelve(kind)
    parts = []
    cuts = sorted({0, first, second, 12})
    for begin, end in pairwise(cuts):
        members = order[begin:end]
        part = whole.fresh()
        part.update(
            explained_by(
                classifier, [texts[k] for k in members], [labels[k] for k in members], members
            )
        )
        parts.append(part)
    parts[0].merge(*parts[1:])
    pd.testing.assert_frame_equal(parts[0].compute(), whole.compute(), atol=1e-5)


def test_what_a_metric_refuses() -> None:
    classifier = lively_classifier()
    texts, labels = labelled(3)
    metric = WordDeletion(ks=(1,))
    assert metric.compute().empty
    metric.update(explained_by(classifier, texts, labels))
    metric.update(explained_by(classifier, texts, labels))
    with pytest.raises(InputError, match=r"Document 0 was measured twice for method 'lrp'"):
        metric.compute()
    metric.reset()
    assert metric.compute().empty
    with pytest.raises(InputError, match="merge metrics of one class"):
        metric.merge(WordDeletion(ks=(2,)))
    with pytest.raises(LabelError, match="Pass labels="):
        metric.update(explained_by(classifier, texts, [None] * 3))
    for wrong in (-1, 1.5, True):
        with pytest.raises(OptionError, match="expected a whole number, at least 0"):
            Perturbation(ks=[wrong])  # type: ignore[list-item]
    with pytest.raises(OptionError, match="Did you mean 'logit'"):
        Perturbation(score="logits")  # type: ignore[arg-type]
    for part in (0, -1, 101):
        with pytest.raises(OptionError, match="above 0, at most 100"):
            Sufficiency(percentages=[part])


class Wrong(Metric):
    """Gives values of the wrong shape, or of a name that it does not explain."""

    name = "wrong"

    def __init__(self, metric: str = "length") -> None:
        super().__init__()
        self.metric = metric
        self.quantities = {"length": Quantity("length", "neither", "How many words.")}

    def measure(self, explained: object) -> list[Measured]:
        return [Measured(self.metric, np.zeros((2, 3)), [1, 2, 3])]


def test_what_a_metric_gives_is_checked() -> None:
    texts, labels = labelled(3)
    explained = explained_by(lively_classifier(), texts, labels)
    with pytest.raises(InputError, match=r"Got values of shape \[2, 3\] for 'length'"):
        Wrong().update(explained)
    with pytest.raises(OptionError, match="no quantity of this metric"):
        Wrong("width").update(explained)


def test_a_rationale_size_the_words_is_rounded_up_but_not_by_a_rounding_error() -> None:
    assert [rationale_size(q, 20) for q in (1, 5, 10, 20, 50)] == [1, 1, 2, 4, 10]
    assert rationale_size(7, 100) == 7  # 7 * 100 / 100 in floats is 7.000000000000001
    assert rationale_size(0.1, 3000) == 3
    assert rationale_size(100, 7) == 7
    assert rationale_size(1, 1) == 1


def test_what_is_asked_twice_is_run_once(monkeypatch: pytest.MonkeyPatch) -> None:
    classifier = lively_classifier()
    texts, labels = labelled(10)
    explained = explained_by(classifier, texts, labels)
    asked: list[int] = []
    answers = type(explained.remover).scores

    def counted(self: object, documents: list[object], removed: object) -> object:
        asked.append(len(documents))
        return answers(self, documents, removed)  # type: ignore[arg-type]

    monkeypatch.setattr(type(explained.remover), "scores", counted)
    first = Perturbation(ks=(0, 1, 2))
    first.update(explained)
    assert asked == [20, 20]  # nothing removed is known, each k is asked for once
    Comprehensiveness(percentages=[1]).update(explained)
    assert asked == [20, 20]  # one word, which was asked for before
    WordDeletion(ks=(2,)).update(explained)
    wrong = int((explained.predicted != np.array(labels)).sum())
    assert sum(asked[2:]) <= wrong  # of two classes, the others were among those asked for


def test_words_are_masked_by_the_vocabularys_own_mask() -> None:
    plain = lively_classifier()
    vocabulary = seqlrp.Vocabulary((*plain.vocabulary.tokens[:-1], "<mask>"))
    masked = seqlrp.TextClassifier(
        plain.model, vocabulary, plain.labels, plain.tokenizer, plain.layout
    )
    (document,) = masked.encode(["good bad film plot"])
    from seqlrp.evaluation.removal import scores_without

    found = scores_without(masked, [document], [np.array([1, 2])], "mask")
    ids = torch.from_numpy(document.ids)[None].clone()
    ids[0, 1:3] = len(WORDS) + 1
    np.testing.assert_allclose(found, masked.model(ids).detach(), atol=1e-5)
    with pytest.raises(OptionError, match="Did you mean 'mask'"):
        scores_without(masked, [document], [np.array([1])], "masked")  # type: ignore[arg-type]


def test_probabilities_where_texts_may_have_several_labels() -> None:
    classifier = replace(lively_classifier(), multilabel=True)
    explained = explained_by(classifier, ["a good film", "dull and bad"], [None, None])
    classes = np.array([1, 0])
    found = explained.value(explained.scores, classes, "probability")
    expected = 1 / (1 + np.exp(-explained.scores.astype(np.float64)[[0, 1], classes]))
    np.testing.assert_allclose(found, expected, rtol=1e-6)
