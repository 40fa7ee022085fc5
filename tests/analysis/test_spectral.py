"""Spectral clustering against dense linear algebra, and on graphs with known spectra."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles import spectral as oracle
from samples.clusters import groups
from samples.examples import examples
from scipy import sparse
from scipy.spatial.distance import cdist

from seqlrp.analysis.clustering import (
    NOISE,
    Clustering,
    combined,
    distinct_rows,
    find_clusters,
    jaccard,
    reduced,
)
from seqlrp.analysis.spectral import (
    cluster,
    eigengap,
    embedding,
    laplacian,
    neighbour_graph,
    spectrum,
)


def dense_spectrum(points: np.ndarray, neighbours: int) -> np.ndarray:
    """All eigenvalues, by loops and a dense matrix."""
    count = len(points)
    distances = cdist(points, points)
    np.fill_diagonal(distances, np.inf)
    joined = np.zeros((count, count))
    for k in range(count):
        for other in np.argsort(distances[k], kind="stable")[:neighbours]:
            joined[k, other] = joined[other, k] = 1
    degree = joined.sum(1)
    return np.linalg.eigvalsh(np.eye(count) - joined / np.sqrt(np.outer(degree, degree)))


@examples(15)
@given(st.integers(6, 60), st.integers(1, 8), st.integers(0, 99))
def test_eigenvalues_are_those_of_the_dense_matrix(count: int, neighbours: int, seed: int) -> None:
    points = np.random.default_rng(seed).normal(size=(count, 5))
    found = spectrum(neighbour_graph(points, neighbours), 12)
    expected = dense_spectrum(points, min(neighbours, count - 1))[:12]
    np.testing.assert_allclose(found.values, np.maximum(expected, 0), atol=1e-8)


@pytest.mark.parametrize("sizes", [[700], [450, 450], [600, 30, 5]])
def test_large_graphs_too_in_every_connected_part(sizes: list[int]) -> None:
    points, _ = groups(sizes, noise=0.15, dimensions=20)
    graph = neighbour_graph(points, 8)
    found = spectrum(graph, 12)
    expected = np.linalg.eigvalsh(laplacian(graph).toarray())[:12]
    np.testing.assert_allclose(found.values, np.maximum(expected, 0), atol=1e-8)
    applied = laplacian(graph) @ found.vectors
    np.testing.assert_allclose(applied, found.vectors * found.values, atol=1e-8)
    np.testing.assert_allclose(found.vectors.T @ found.vectors, np.eye(12), atol=1e-8)


@examples(20)
@given(st.integers(4, 30), st.integers(1, 6), st.integers(0, 99))
def test_agrees_with_the_loops_of_the_oracle(count: int, neighbours: int, seed: int) -> None:
    points = np.random.default_rng(seed).normal(size=(count, 4))
    neighbours = min(neighbours, count - 1)
    graph = neighbour_graph(points, neighbours)
    expected = oracle.affinity(points, neighbours)
    np.testing.assert_array_equal(graph.toarray(), expected)
    np.testing.assert_allclose(laplacian(graph).toarray(), oracle.laplacian(expected), atol=1e-12)
    found = spectrum(graph, count)
    values = oracle.eigenvalues(expected)
    np.testing.assert_allclose(found.values, values, atol=1e-8)
    for q in range(1, count):  # where a gap makes the first q eigenvectors unique but for rotation
        if values[q] - values[q - 1] > 1e-3:
            mine, theirs = embedding(found, q), oracle.embedding(expected, q, unit_rows=True)
            np.testing.assert_allclose(mine @ mine.T, theirs @ theirs.T, atol=1e-6)
    if np.diff(np.sort(oracle.eigengaps(values)))[-1:].sum() > 1e-6:
        assert eigengap(found.values) == oracle.cluster_number(values, count)


def test_spectra_that_are_known() -> None:
    """A complete graph of n: 0, and n - 1 times n / (n - 1); documents without neighbours: 0."""
    complete = sparse.csr_array(np.ones((5, 5)) - np.eye(5))
    np.testing.assert_allclose(spectrum(complete, 5).values, [0, *[1.25] * 4], atol=1e-12)
    nothing = sparse.csr_array((3, 3))
    np.testing.assert_allclose(spectrum(nothing, 9).values, [0, 0, 0])
    ring = neighbour_graph(np.exp(2j * np.pi * np.arange(8) / 8).view(float).reshape(-1, 2), 2)
    expected = np.sort(1 - np.cos(2 * np.pi * np.arange(8) / 8))
    np.testing.assert_allclose(spectrum(ring, 8).values, expected, atol=1e-12)


def test_graphs_are_symmetric_and_have_no_loops() -> None:
    points, _ = groups([30, 20])
    graph = neighbour_graph(points, 4)
    assert (graph != graph.T).nnz == 0
    assert not graph.diagonal().any()
    assert graph.sum(axis=1).min() >= 4
    assert (neighbour_graph(sparse.csr_array(points), 4) != graph).nnz == 0
    assert neighbour_graph(points[:1], 4).nnz == 0
    assert neighbour_graph(points[:2], 4).nnz == 2


def test_the_largest_gap_says_how_many_parts_there_are() -> None:
    points, owner = groups([40, 40, 40])
    found = spectrum(neighbour_graph(points, 8), 10)
    assert eigengap(found.values) == 3
    labels = cluster(embedding(found, 3), 3, 0)
    np.testing.assert_array_equal(jaccard(labels, owner, 3), [1, 1, 1])
    assert eigengap(np.array([0.0])) == eigengap(np.array([0.0, 1.0])) == 1


@pytest.mark.parametrize("method", ["spectral", "hdbscan"])
@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_array])
def test_a_small_cluster_is_found_and_stable(method: str, kind: object) -> None:
    points, owner = groups([150, 120, 15], noise=0.12)
    found = find_clusters(kind(points), method, "auto", 10, 0)  # type: ignore[operator, arg-type]
    assert isinstance(found, Clustering)
    counts = np.bincount(found.labels[owner == 2] + 1)
    best = int(counts.argmax()) - 1
    inside = found.labels == best
    overlap = (inside & (owner == 2)).sum() / (inside | (owner == 2)).sum()
    assert overlap > 0.8
    assert found.stability[best] > 0.75


def test_clusters_can_be_told() -> None:
    points, _ = groups([30, 30])
    found = find_clusters(points, "spectral", 5, 10, 0)
    assert found.labels.max() == 4
    assert find_clusters(points[:3], "spectral", 5, 10, 0).labels.max() <= 2
    assert [row[0] for row in found.tried] == [5]


def test_noise_is_not_divided() -> None:
    points = np.random.default_rng(0).normal(size=(200, 30)).astype(np.float32)
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    found = find_clusters(points, "spectral", "auto", 10, 0)
    assert found.labels.max() + 1 <= 3
    assert [row[0] for row in found.tried] == list(range(1, 17))


def test_equal_documents_stay_together() -> None:
    points, owner = groups([30, 30])
    again = np.concatenate([points, np.repeat(points[:1], 90, 0)])
    for matrix in (again, sparse.csr_array(again)):
        found = find_clusters(matrix, "spectral", "auto", 10, 0)
        assert len(set(found.labels[60:])) == 1
        assert found.labels[60] == found.labels[0]
    rows, place = distinct_rows(np.array([[0.0, 1.0], [1.0, 0.0], [-0.0, 1.0]]))
    assert rows.shape == (2, 2)
    assert place.tolist() == [0, 1, 0]
    assert len(owner) == 60


@pytest.mark.parametrize("count", [1, 2, 3, 19, 40])
@pytest.mark.parametrize("method", ["spectral", "hdbscan"])
def test_degenerate_classes(count: int, method: str) -> None:
    for points in (np.zeros((count, 4), np.float32), np.eye(count, dtype=np.float32)):
        found = find_clusters(points, method, "auto", 10, 0)  # type: ignore[arg-type]
        assert len(found.labels) == count
        assert len(found.stability) == found.labels.max() + 1
        assert np.isfinite(found.eigenvalues).all()


def test_stable_clusters_of_several_numbers_are_put_together() -> None:
    two, four = np.repeat([0, 1], [40, 60]), np.repeat([0, 1, 2, 3], [41, 9, 30, 20])
    stability = {2: np.array([0.9, 0.8]), 4: np.array([0.85, 0.95, 0.5, 0.76])}
    labels, stable, kept = combined({2: two, 4: four}, stability)
    # The 9 first, then the 20, then the 40; the 60 have lost less than half of their documents.
    np.testing.assert_array_equal(labels, np.repeat([2, 3, 0, 3, 1], [40, 1, 9, 30, 20]))
    np.testing.assert_array_equal(stable, [0.95, 0.76, 0.9, 0.8])
    assert kept == {2: 2, 4: 2}


def test_what_is_in_no_stable_cluster_is_the_rest() -> None:
    three = np.repeat([0, 1, 2], [10, 50, 40])
    labels, stable, kept = combined({3: three}, {3: np.array([0.9, 0.5, 0.6])})
    np.testing.assert_array_equal(labels, np.repeat([0, 1], [10, 90]))
    assert stable[0] == 0.9
    assert np.isnan(stable[1])
    few = np.repeat([0, 1, 2], [50, 46, 4])
    labels, _, kept = combined({3: few}, {3: np.array([0.9, 0.8, 0.9])})
    assert labels[-4:].tolist() == [NOISE] * 4
    assert kept == {3: 2}
    nothing, stable, _ = combined({3: three}, {3: np.zeros(3)})
    assert not nothing.any()
    assert np.isnan(stable).tolist() == [True]


def test_similarity_of_clusterings() -> None:
    one, other = np.array([0, 0, 0, 1, 1, -1]), np.array([1, 1, 0, 0, -1, 0])
    np.testing.assert_allclose(jaccard(one, other, 2), [2 / 3, 1 / 4])
    np.testing.assert_allclose(jaccard(one, np.full(6, -1), 2), [0, 0])


def test_reduced_vectors_keep_distances() -> None:
    points, _ = groups([20, 20], dimensions=80)
    found = reduced(points)
    assert found.shape == (40, 39)
    np.testing.assert_allclose(cdist(found, found), cdist(points, points), atol=0.05)
    assert reduced(sparse.csr_array((60, 70))).shape == (60, 50)
    assert reduced(points[:, :3]).shape == (40, 3)
