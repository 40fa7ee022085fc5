"""Words of a subject stand in texts that are alike; an artefact stands in any texts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples.planted import planted_classifier
from scipy.stats import binomtest
from sklearn.metrics.pairwise import cosine_similarity

import seqlrp
from seqlrp.analysis.indexed_texts import IndexedTexts
from seqlrp.analysis.suspicion import Likeness, least_share, lift, suspicion
from seqlrp.text.corpora import Corpus

SUBJECTS = (("good", "film", "plot"), ("bright", "story", "music"))


def indexed() -> IndexedTexts:
    """Texts of two subjects of one class, half of each with "very", and of another class."""
    drawn = np.random.default_rng(0)
    texts, labels = [], []
    for k in range(80):
        words = list(drawn.choice(SUBJECTS[k % 2], 4)) if k < 40 else ["bad", "a"]
        words += ["very"] * (k % 4 < 2 and k < 40)
        words += drawn.choice(["and", "but", "a"], 3).tolist()
        texts.append(" ".join(words))
        labels.append(int(k < 40))
    corpus = Corpus("subjects", texts, np.array(labels), ("negative", "positive"))
    classifier = planted_classifier()
    return IndexedTexts(seqlrp.explain(classifier, corpus, progress=False), classifier)


def test_a_word_of_a_subject_stands_in_texts_that_are_alike() -> None:
    texts = indexed()
    likeness = Likeness(texts)
    assert likeness.of([("film",)], 1) > 1.2
    assert likeness.of([("very",)], 1) == pytest.approx(1, abs=0.1)
    assert np.isnan(likeness.of([("film",)], 0))  # no text of that class holds it
    assert np.isnan(likeness.of([("unheard",)], 1))


def test_it_is_the_mean_cosine_of_scikit() -> None:
    texts = indexed()
    counts = texts.counts().toarray()
    weights = np.log(len(texts) / (counts > 0).sum(0))
    without = [texts.number("film")]

    def mean(rows: np.ndarray, left_out: list[int | None]) -> float:
        part = counts[rows] * weights
        part[:, left_out] = 0
        cosines = cosine_similarity(part)
        return float(cosines[~np.eye(len(rows), dtype=bool)].mean())

    own = np.flatnonzero(texts.true == 1)
    held = own[counts[own][:, without[0]] > 0]
    expected = mean(held, without) / mean(own, [])
    assert Likeness(texts).of([("film",)], 1) == pytest.approx(expected)


def test_words_are_counted_by_text_and_by_class() -> None:
    texts = indexed()
    counts = texts.counts().toarray()
    own = np.flatnonzero(texts.true == 1)
    assert (counts.sum(axis=1) == [len(tokens) for tokens in texts.tokens]).all()
    assert ((counts > 0).sum(axis=0) == texts.frequency).all()
    assert ((counts[own] > 0).sum(axis=0) == texts.frequency_in(own)).all()


@given(st.integers(1, 200), st.data())
def test_least_share_is_that_of_scipy(n: int, data: st.DataObject) -> None:
    held = data.draw(st.integers(0, n))
    interval = binomtest(held, n).proportion_ci(method="wilson")
    assert least_share(held / n, n) == pytest.approx(interval.low, abs=1e-9)
    assert np.isnan(least_share(np.nan, 0))


def test_suspicion_rises_with_what_is_exclusive_and_falls_with_what_is_alike() -> None:
    assert lift(0.5, 0.5) == lift(0.3, 0.5) == 0
    assert 0 < lift(0.6, 0.5) < lift(0.6, 0.25) < lift(0.9, 0.25)
    assert suspicion(0.2, 1.0, 3.0) < suspicion(0.2, 1.0, 1.0)
    assert suspicion(0.2, 1.0, 0.5) == suspicion(0.2, 1.0, np.nan) == suspicion(0.2, 1.0, 1.0)
