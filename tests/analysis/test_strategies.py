"""Strategies: planted groups are found and described; new texts are assigned; nothing breaks it."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from samples.classifiers import small_classifier, some_texts
from samples.clusters import explained, groups
from scipy import sparse
from scipy.stats import ttest_ind

import seqlrp
from seqlrp.analysis.projection import project
from seqlrp.analysis.strategies import UNKNOWN, Strategies, find_strategies
from seqlrp.analysis.strategy_table import distinguishing_words, fisher, prototypes
from seqlrp.analysis.terms import count_terms
from seqlrp.errors import InputError, OptionError
from seqlrp.explanations.record import Explanation

DOCUMENTS = ["document", "id", "class", "strategy", "outlier", "distance", "sampled", "x", "y"]
TABLE = ["class", "strategy", "size", "share", "accuracy", "confidence", "words", "prototypes"]
TABLE += ["stability", "separation"]
QUICK: dict[str, Any] = {"projection": "none", "progress": False}


def planted() -> tuple[list[Explanation], np.ndarray, np.ndarray]:
    """Texts of one class in two large groups, and 15 that rest on the word "quasar"."""
    points, owner = groups([150, 120, 15], noise=0.12)
    names = ("film", "actor", "quasar")
    texts = [
        explained(
            ["the", names[group]], [0.1, 1.0], id=f"t{k}", label=int(group < 2),
            probabilities=np.array([0.25, 0.75]),
        )
        for k, group in enumerate(owner)
    ]  # fmt: skip
    return texts, points, owner


def test_a_planted_strategy_is_found_and_described() -> None:
    texts, points, owner = planted()
    found = find_strategies(texts, vectors=points, **QUICK)
    assert list(found.documents.columns) == DOCUMENTS
    assert list(found.table.columns) == TABLE
    assert found.documents["id"].tolist() == [f"t{k}" for k in range(len(texts))]
    strategies = found.documents["strategy"].to_numpy()
    chosen = int(np.bincount(strategies[owner == 2]).argmax())
    row = found.table[found.table["strategy"] == chosen].iloc[0]
    assert row["words"] == ["quasar"]
    assert row["accuracy"] == 0
    assert row["confidence"] == pytest.approx(0.75)
    assert row["size"] == (strategies == chosen).sum()
    assert row["share"] == row["size"] / len(texts)
    assert row["stability"] > 0.75
    assert set(owner[row["prototypes"]]) == {2}
    assert row["separation"] > 1
    assert found.table["size"].is_monotonic_decreasing
    assert found.table["size"].sum() == len(texts)
    words = found.words[found.words["strategy"] == chosen].iloc[0]
    assert words["word"] == "quasar"
    assert 0 < words["low"] <= words["difference"] <= words["high"]
    assert found.scan["kept"].sum() >= 2
    assert set(found.eigenvalues) == {"positive"}
    assert found.eigenvalues["positive"][0] == pytest.approx(0, abs=1e-12)


def test_new_texts_are_assigned_and_strange_ones_are_outliers() -> None:
    texts, points, owner = planted()
    found = find_strategies(texts, vectors=points, **QUICK)
    again = found.assign(texts, vectors=points)
    assert (again["strategy"] == found.documents["strategy"]).mean() > 0.97
    assert found.documents["outlier"].mean() < 0.05
    strange = np.zeros((3, 12), np.float32)
    strange[:, -1] = -1
    found_strange = found.assign(texts[:3], vectors=strange)
    assert found_strange["outlier"].all()
    assert (found_strange["distance"] > again["distance"].max()).all()
    other_class = explained(["film"], [1.0], target=0, predicted=0)
    unknown = found.assign([other_class], vectors=points[:1])
    assert unknown["strategy"].tolist() == [UNKNOWN]
    assert unknown["outlier"].tolist() == [True]
    assert found.assign([], vectors=points[:0]).empty
    assert len(owner) == len(texts)


def test_a_sample_is_clustered_and_the_rest_assigned() -> None:
    texts, points, owner = planted()
    found = find_strategies(texts, vectors=points, sample=200, clusters=3, **QUICK)
    assert found.documents["sampled"].sum() == 200
    strategies = found.documents["strategy"].to_numpy()
    assert np.bincount(strategies[owner == 2]).max() >= 14
    assert set(found.documents.loc[found.table["prototypes"].sum(), "sampled"]) == {True}


def test_seeds_and_orders() -> None:
    texts, points, _ = planted()
    one, again = (find_strategies(texts, vectors=points, seed=1, **QUICK) for _ in range(2))
    pd.testing.assert_frame_equal(one.documents, again.documents)
    pd.testing.assert_frame_equal(one.table, again.table)


@pytest.mark.parametrize("kind", ["relevance", "words"])
@pytest.mark.parametrize("method", ["spectral", "hdbscan"])
def test_the_state_gives_the_same_answers(kind: str, method: Any, tmp_path: Any) -> None:
    classifier = small_classifier()
    texts = some_texts(40) + ["very bad story"] * 3
    found = seqlrp.explain(classifier, texts, labels=[0] * 43, progress=False)
    one = find_strategies(found, classifier, kind=kind, method=method, **QUICK)
    facts, frames = one.state()
    facts = json.loads(json.dumps(facts))
    for name, frame in frames.items():
        frame.to_parquet(tmp_path / f"{name}.parquet")
        frames[name] = pd.read_parquet(tmp_path / f"{name}.parquet")
    again = Strategies.from_state(facts, frames)
    new = seqlrp.explain(classifier, some_texts(20, seed=5), progress=False)
    pd.testing.assert_frame_equal(again.assign(new, classifier), one.assign(new, classifier))
    assert again.labels == one.labels
    assert again.settings == one.settings
    for name, values in one.eigenvalues.items():
        np.testing.assert_array_equal(again.eigenvalues[name], values)
    assert len(set(one.documents["strategy"][-3:])) == 1


def test_words_that_set_documents_apart() -> None:
    texts = [explained(["a", "b"], [1, k % 3]) for k in range(6)]
    texts += [explained(["b"], [value]) for value in (0.5, 1.5, 1, 1)]
    found = distinguishing_words(count_terms(texts), np.arange(6), np.arange(6, 10)).set_index(
        "word"
    )
    assert found.loc["a", ["mean", "rest", "difference", "low"]].tolist() == [1, 0, 1, 1]
    assert found.loc["b", ["mean", "rest", "documents"]].tolist() == [1, 1, 6]
    assert found.loc["b", "low"] == pytest.approx(-found.loc["b", "high"])
    interval = ttest_ind(
        [0, 1, 2, 0, 1, 2], [0.5, 1.5, 1, 1], equal_var=False
    ).confidence_interval()
    assert found.loc["b", ["low", "high"]].tolist() == pytest.approx(list(interval), rel=1e-9)
    alone = distinguishing_words(count_terms(texts[:1]), np.arange(1), np.arange(0))
    assert alone[["rest", "low", "high"]].isna().all(axis=None)


def test_separation_and_prototypes() -> None:
    points, owner = groups([40, 40])
    apart = fisher(points.astype(float), owner == 0)
    drawn = np.random.default_rng(0)
    mixed = fisher(drawn.normal(size=(80, 12)), owner == 0)
    assert apart > 10 > 2 > mixed > 0
    assert np.isnan(fisher(points.astype(float), owner >= 0))
    line = np.array([[0.0], [1.0], [2.0], [10.0]])
    assert prototypes(line, np.arange(4)) == [1, 2, 0]
    assert prototypes(line, np.array([3])) == [3]


@pytest.mark.parametrize("method", ["tsne", "spectral"])
@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 5, 40])
def test_maps(method: Any, count: int) -> None:
    points, owner = groups([20, 20])
    for vectors in (points[:count], sparse.csr_array(points[:count]), 0 * points[:count]):
        places = project(vectors, method, sample=1000, neighbours=5, seed=0)
        assert places.shape == (count, 2)
        assert np.isfinite(places).all()
    if count == 40:
        part = project(points, method, sample=30, neighbours=5, seed=0)
        centres = np.stack([part[owner == k].mean(0) for k in (0, 1)])
        near = np.linalg.norm(part[:, None] - centres, axis=2).argmin(1)
        assert (near == owner).mean() > 0.9


def one_class(words: list[list[str]], relevance: float = 1.0, **more: Any) -> list[Explanation]:
    return [explained(own, [relevance] * len(own), **more) for own in words]


DEGENERATE: dict[str, list[Explanation]] = {
    "nothing": [],
    "one text": one_class([["word"]]),
    "two equal texts": one_class([["good", "film"]] * 2),
    "many equal texts": one_class([["good", "film"]] * 50),
    "no relevance": one_class([["good", "film"]] * 30, 0.0),
    "unlabelled": one_class([["good"], ["film", "good"]] * 12, label=None),
    "one word each": one_class([[f"w{k % 7}"] for k in range(40)]),
    "a class of one": [
        *one_class([["good", f"w{k}"] for k in range(30)]),
        explained(["bad"], [1.0], target=0, predicted=0),
    ],
    "no words": one_class([[]] * 5),
}


@pytest.mark.parametrize("method", ["spectral", "hdbscan"])
@pytest.mark.parametrize("name", DEGENERATE)
def test_degenerate_corpora(name: str, method: Any) -> None:
    texts = DEGENERATE[name]
    names = sorted({word for e in texts for word in e.tokens})
    vectors = np.zeros((len(texts), len(names) + 1), np.float32)
    for k, e in enumerate(texts):
        for word, value in zip(e.tokens, e.relevance, strict=True):
            vectors[k, names.index(word)] += value
    found = find_strategies(texts, vectors=vectors, method=method, progress=False)
    assert len(found.documents) == len(texts)
    assert found.table["size"].sum() == len(texts)
    if name == "unlabelled":
        assert found.table["accuracy"].isna().all()
    if "equal" in name or name in ("no relevance", "one text", "no words"):
        assert found.table["strategy"].tolist() == [0]
    assert list(found.documents.columns) == DOCUMENTS
    assert list(found.table.columns) == TABLE


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize("method", ["spectral", "hdbscan"])
def test_equal_vectors_of_many_numbers(kind: Any, method: Any) -> None:
    texts = one_class([["word"]] * 80)
    for vectors in (np.ones((80, 70)), np.eye(80), np.zeros((80, 70))):
        found = find_strategies(
            texts, vectors=kind(vectors.astype(np.float32)), method=method, progress=False
        )
        assert np.isfinite(found.documents[["x", "y"]]).all(axis=None)
        assert found.table["size"].sum() == 80


def test_many_classes() -> None:
    labels = tuple(f"class {k}" for k in range(300))
    texts = [
        explained(
            ["the", f"w{k}"], [0, 1.0], labels=labels, target=k % 300, predicted=k % 300,
            label=0, scores=np.zeros(300),
        )
        for k in range(600)
    ]  # fmt: skip
    vectors = np.random.default_rng(0).normal(size=(600, 8)).astype(np.float32)
    found = find_strategies(texts, vectors=vectors, **QUICK)
    assert len(found.table) == 300


def test_refusals() -> None:
    texts = one_class([["a"], ["b"]])
    with pytest.raises(OptionError, match="classifier"):
        find_strategies(texts)
    with pytest.raises(InputError, match="3 document vectors for 2"):
        find_strategies(texts, vectors=np.ones((3, 2), np.float32))
    other = explained(["a"], [1], labels=("x", "y"))
    with pytest.raises(InputError, match="Explanation 2"):
        find_strategies([*texts, other], vectors=np.ones((3, 2), np.float32))
    for options in (
        {"method": "kmeans"}, {"projection": "3d"}, {"clusters": 0}, {"neighbours": 0},
        {"sample": 3}, {"clusters": "many"},
    ):  # fmt: skip
        with pytest.raises(OptionError):
            find_strategies(texts, vectors=np.ones((2, 2), np.float32), **options)  # type: ignore[arg-type]
    found = find_strategies(texts, vectors=np.eye(2, dtype=np.float32), **QUICK)
    with pytest.raises(InputError, match="vectors of 3 numbers"):
        found.assign(texts, vectors=np.ones((2, 3), np.float32))
    with pytest.raises(InputError, match="Explanation 0"):
        found.assign([other], vectors=np.ones((1, 2), np.float32))
