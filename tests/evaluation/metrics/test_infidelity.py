"""Infidelity against its definition, and on a model where the right answer is 0."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples.classifiers import small_classifier, some_texts
from samples.explained import bag_classifier, explained_by

from seqlrp.errors import InputError, OptionError
from seqlrp.evaluation.metrics.infidelity import Infidelity, infidelity, unexplained, word_subsets

numbers = st.floats(-3, 3, allow_subnormal=False)


def table_of(explained, **options):
    metric = Infidelity(**options)
    metric.update(explained)
    return metric.compute().set_index(["metric", "document"])["value"]


@given(st.lists(st.tuples(numbers, numbers), min_size=1, max_size=8))
def test_infidelity_is_a_mean_of_squares(pairs):
    expected = sum((a - c) ** 2 for a, c in pairs) / len(pairs)
    assert infidelity(*zip(*pairs, strict=True)) == pytest.approx(expected, abs=1e-12)


@given(st.lists(st.tuples(numbers, numbers), min_size=2, max_size=8))
def test_what_is_left_is_that_of_the_best_factor(pairs):
    said, done = (np.array(side) for side in zip(*pairs, strict=True))
    if (done @ done) < 1e-6 or (said @ said) < 1e-6:
        return
    factor = np.linalg.lstsq(said[:, None], done, rcond=None)[0][0]
    expected = np.square(factor * said - done).sum() / np.square(done).sum()
    assert unexplained(said, done) == pytest.approx(expected, abs=1e-9)


def test_where_nothing_changes_nothing_is_measured():
    assert np.isnan(infidelity([], []))
    assert np.isnan(unexplained([1.0], [0.0]))
    assert unexplained([0.0], [2.0]) == 1
    with pytest.raises(InputError, match="expected"):
        infidelity([1.0], [1.0, 2.0])


@pytest.mark.parametrize("method", ["gradient_x_input", "lrp", "occlusion"])
def test_a_linear_bag_of_words_is_explained_without_error(method):
    exact = {"epsilon": 0} if method == "lrp" else {}
    made = explained_by(bag_classifier(), some_texts(12), method, **exact)
    table = table_of(made)
    assert table["infidelity"].max() < 1e-9
    assert table["unexplained"].max() < 1e-6


def test_random_relevance_of_that_bag_is_wrong():
    table = table_of(explained_by(bag_classifier(), some_texts(12), "random"))
    assert table["infidelity"].min() > 1e-3
    assert table["unexplained"].mean() > 0.3


@pytest.mark.parametrize("removal", ["zero", "delete", "unk", "mask"])
def test_the_figure_is_that_of_the_definition(removal):
    classifier = small_classifier()
    made = explained_by(classifier, some_texts(6), removal=removal, numbers=range(5, 11), seed=2)
    table = table_of(made, samples=7)
    for e, number in zip(made.explanations, made.numbers, strict=True):
        words = len(e.tokens)
        keep = removal == "delete"
        if words <= keep:
            assert np.isnan(table["infidelity", number])
            continue
        errors = []
        for removed in word_subsets(words, words - keep, 7, np.random.default_rng([2, number])):
            row = made.numbers.index(number)
            left = made.scores_without([row], [removed])[0, e.target]
            errors.append((sum(float(e.relevance[k]) for k in removed) - (e.score - left)) ** 2)
        assert table["infidelity", number] == pytest.approx(np.mean(errors), rel=1e-4, abs=1e-9)


def test_parts_of_a_corpus_give_what_the_whole_gives(monkeypatch):
    classifier, texts = small_classifier(), some_texts(8)
    whole = table_of(explained_by(classifier, texts))
    one, other = Infidelity(), Infidelity()
    one.update(explained_by(classifier, texts[:3]))
    other.update(explained_by(classifier, texts[3:], numbers=range(3, 8)))
    one.merge(other)
    parts = one.compute().set_index(["metric", "document"])["value"]
    assert np.allclose(parts[whole.index], whole, atol=1e-5, equal_nan=True)
    monkeypatch.setattr("seqlrp.evaluation.metrics.infidelity._CHUNK", 3)
    again = table_of(explained_by(classifier, texts))
    assert np.allclose(again, whole, atol=1e-5, equal_nan=True)


def test_sets_of_words_are_drawn_as_stated():
    drawn = word_subsets(4, 4, 4000, np.random.default_rng(0))
    counts = Counter(len(removed) for removed in drawn)
    assert sorted(counts) == [1, 2, 3, 4]
    assert min(counts.values()) > 900
    single = Counter(int(removed[0]) for removed in drawn if len(removed) == 1)
    assert min(single[k] for k in range(4)) > 200
    assert all(len(set(removed.tolist())) == len(removed) for removed in drawn)
    assert {len(r) for r in word_subsets(4, 3, 100, np.random.default_rng(0))} == {1, 2, 3}
    assert word_subsets(1, 0, 5, np.random.default_rng(0)) == []


@pytest.mark.parametrize("samples", [0, -1, True, 1.5])
def test_a_number_of_samples_that_is_none_is_refused(samples):
    with pytest.raises(OptionError, match="samples="):
        Infidelity(samples)
