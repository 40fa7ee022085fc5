"""The oracles of the analyses against values by hand, closed forms and scipy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from tests.oracles import distinctive_words, explanatory_power, rank_correlation, spectral


def test_graph_takes_an_edge_that_one_side_knows() -> None:
    line = np.array([[0.0], [1.0], [3.0]])
    assert spectral.neighbours(line, 1) == [[1], [0], [1]]
    np.testing.assert_array_equal(spectral.affinity(line, 1), [[0, 1, 0], [1, 0, 1], [0, 1, 0]])
    averaged = spectral.affinity(line, 1, average=True)
    np.testing.assert_array_equal(averaged, [[0, 1, 0], [1, 0, 0.5], [0, 0.5, 0]])


def test_ties_of_distance_go_to_the_lowest_index() -> None:
    assert spectral.neighbours(np.array([[0.0], [1.0], [-1.0]]), 1)[0] == [1]


def test_complete_graph_has_the_known_spectrum() -> None:
    values = spectral.eigenvalues(np.ones((5, 5)) - np.eye(5))
    np.testing.assert_allclose(values, [0] + [5 / 4] * 4, atol=1e-12)


def test_cycle_has_the_known_spectrum() -> None:
    n = 6
    cycle = np.roll(np.eye(n), 1, axis=0) + np.roll(np.eye(n), -1, axis=0)
    known = sorted(1 - math.cos(2 * math.pi * k / n) for k in range(n))
    np.testing.assert_allclose(spectral.eigenvalues(cycle), known, atol=1e-12)


def test_two_separate_groups_give_two_clusters_and_constant_rows() -> None:
    points = np.array([[0.0], [0.1], [0.2], [9.0], [9.1], [9.2]])
    a = spectral.affinity(points, 2)
    values = spectral.eigenvalues(a)
    np.testing.assert_allclose(values, [0, 0, 1.5, 1.5, 1.5, 1.5], atol=1e-12)
    assert spectral.cluster_number(values, 5) == 2
    rows = spectral.embedding(a, 2, unit_rows=True)
    np.testing.assert_allclose((rows**2).sum(1), 1)
    np.testing.assert_allclose(rows @ rows.T, np.kron(np.eye(2), np.ones((3, 3))), atol=1e-12)


def test_document_vectors_by_hand() -> None:
    words = np.array([[1.0, 2.0], [3.0, -1.0]])
    weighted = explanatory_power.weighted_vector(np.array([2.0, -1.0]), words)
    np.testing.assert_array_equal(weighted, [-1, 5])
    unpooled = np.array([[1.0, 0.5], [0.0, 2.0]])
    np.testing.assert_array_equal(explanatory_power.element_wise_vector(unpooled, words), [1, -1])
    np.testing.assert_array_equal(explanatory_power.uniform_vector(words), [4, 1])
    corpus = [["a", "a", "b"], ["b"]]
    assert explanatory_power.tfidf(corpus[0], corpus) == {"a": 2 * math.log(2), "b": 0}
    named = {"a": words[0], "b": words[1]}
    vector = explanatory_power.tfidf_vector(corpus[0], corpus, named)
    np.testing.assert_allclose(vector, 2 * math.log(2) * words[0])


def test_explanatory_power_by_hand() -> None:
    vectors = np.array([[1.0, 0.0], [5.0, 0.1], [0.0, 1.0], [0.1, 3.0], [0.0, 2.0]])
    labels = [0, 0, 1, 1, 1]
    splits = [([0, 2, 4], [1, 3]), ([1, 3, 4], [0, 2])]
    assert explanatory_power.mean_accuracies(vectors, labels, splits, [1, 3]) == [1, 0.5]
    assert explanatory_power.explanatory_power_index(vectors, labels, splits, [1, 3]) == (1, 1)
    assert explanatory_power.knn_accuracy(vectors, labels, [0, 2], [1, 3], 2) == 0.5  # tied votes


def test_distinctive_words_by_hand() -> None:
    documents = [["x", "y"], ["x", "x"], ["y"], ["z"], ["y"], ["x"]]
    scores = distinctive_words.distinctive_words(documents, [0, 0, 1, 1, 2, 2])
    # x: rates 1, 0, 1/2, so the others of class 0 have mean 1/4 and deviation 1/4.
    assert scores[0]["x"] == pytest.approx(0.5 * (0.5 + 1 / 3))
    assert scores[1]["z"] == pytest.approx(0.5 * (0.5 + 1))
    assert scores[0]["y"] == 0
    assert distinctive_words.false_positive_rate([0.0, 0.5]) == pytest.approx(0.5)


def test_rank_correlations_by_hand_and_as_scipy() -> None:
    assert rank_correlation.ranks([10, 20, 20, 5]) == [2, 3.5, 3.5, 1]
    assert rank_correlation.kendall([1, 2, 3], [1, 3, 2]) == pytest.approx(1 / 3)
    assert rank_correlation.spearman([1, 2, 3], [1, 3, 2]) == pytest.approx(0.5)
    assert math.isnan(rank_correlation.kendall([1, 1], [1, 2]))
    assert math.isnan(rank_correlation.spearman([1, 1], [1, 2]))
    a, b = np.random.default_rng(0).integers(0, 5, (2, 30)).tolist()
    assert rank_correlation.kendall(a, b) == pytest.approx(stats.kendalltau(a, b).statistic)
    assert rank_correlation.spearman(a, b) == pytest.approx(stats.spearmanr(a, b).statistic)
