"""Spectral clustering of document vectors, as SpRAy does it (Lapuschkin et al. 2019).

Neighbours become a graph, the small eigenvalues of its normalised Laplacian say into how many parts
it nearly falls, and their eigenvectors are coordinates in which these parts are compact (von
Luxburg 2007, A tutorial on spectral clustering).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.linalg import eigh
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import eigsh

from seqlrp.analysis.scikit import scikit

Floats = npt.NDArray[np.float64]

_DENSE = 400  # documents of one component up to which the whole matrix is decomposed


class Spectrum(NamedTuple):
    """The smallest eigenvalues of the Laplacian of a graph of n documents.

    Attributes:
        values: float64 `[m]`, ascending, from 0 to 2.
        vectors: float64 `[n, m]`, the eigenvectors as columns.
    """

    values: Floats
    vectors: Floats


def neighbour_graph(points: Any, neighbours: int) -> sparse.csr_array:
    """The symmetric graph of nearest neighbours: float64 `[n, n]`, 1 where there is an edge.

    Two documents are joined if one of them is among the nearest `neighbours` of the other, by
    Euclidean distance; a document is no neighbour of itself.
    """
    count = points.shape[0]
    if count < 2:
        return sparse.csr_array((count, count))
    index = scikit("neighbors").NearestNeighbors(
        n_neighbors=min(neighbours, count - 1), algorithm="brute"
    )
    directed = sparse.csr_array(index.fit(points).kneighbors_graph(mode="connectivity"))
    return sparse.csr_array(directed.maximum(directed.T)).astype(np.float64)


def laplacian(graph: sparse.csr_array) -> sparse.csr_array:
    """The normalised Laplacian I - D^(-1/2) A D^(-1/2) of a symmetric graph A, D its degrees.

    The row of a document without an edge is zero, so that it counts as a part of its own.
    """
    degree = np.asarray(graph.sum(axis=1)).ravel()
    scale = sparse.diags_array(1 / np.sqrt(np.where(degree > 0, degree, 1)))
    return sparse.csr_array(
        sparse.diags_array((degree > 0).astype(np.float64)) - scale @ graph @ scale
    )


def spectrum(graph: sparse.csr_array, most: int) -> Spectrum:
    """The smallest `most` eigenvalues of the normalised Laplacian, and their eigenvectors.

    Each connected part of the graph is decomposed by itself, because an iterative method may miss
    an eigenvalue that occurs several times, and 0 occurs once for each part.
    """
    count = graph.shape[0]
    most = min(most, count)
    parts, owner = connected_components(graph, directed=False)
    matrix = laplacian(graph)
    values, columns = [], []
    for part in range(parts):
        rows = np.flatnonzero(owner == part)
        found, vectors = _smallest(matrix[rows][:, rows], min(most, len(rows)))
        for k in range(len(found)):
            values.append(found[k])
            columns.append((rows, vectors[:, k]))
    order = np.argsort(values, kind="stable")[:most]
    whole = np.zeros((count, len(order)))
    for place, k in enumerate(order.tolist()):
        rows, vector = columns[k]
        whole[rows, place] = vector
    return Spectrum(np.maximum(np.array(values)[order], 0.0), whole)


def _smallest(matrix: sparse.csr_array, most: int) -> tuple[Floats, Floats]:
    """The smallest eigenvalues and eigenvectors of the Laplacian of a connected graph."""
    count = matrix.shape[0]
    if count <= _DENSE or most > count // 4:
        values, vectors = eigh(matrix.toarray(), subset_by_index=[0, most - 1])
    else:  # the largest of 2 - L converge faster than the smallest of L
        start = np.random.default_rng(0).standard_normal(count)
        flipped = 2 * sparse.eye_array(count) - matrix
        values, vectors = eigsh(
            flipped, k=most, which="LA", v0=start, ncv=min(count, 3 * most + 20)
        )
        order = np.argsort(-values)
        values, vectors = 2 - values[order], vectors[:, order]
    flip = np.sign(vectors[np.abs(vectors).argmax(axis=0), np.arange(vectors.shape[1])])
    return values, vectors * flip


def eigengap(values: Floats) -> int:
    """The number of clusters before the largest gap between the eigenvalues, at least 1."""
    if len(values) < 3:
        return 1
    return int(np.argmax(np.diff(values)[: len(values) - 1])) + 1


def embedding(found: Spectrum, clusters: int) -> Floats:
    """Coordinates `[n, clusters]`: the first eigenvectors, rows of length 1 (Ng et al. 2002)."""
    rows = found.vectors[:, :clusters]
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.where(length > 0, length, 1))


def cluster(points: Floats, clusters: int, seed: int, starts: int = 5) -> npt.NDArray[np.int64]:
    """The cluster of each point `[n]` by k-means, at most as many as there are distinct points."""
    if len(np.unique(points[:, -1].round(12))) < clusters:  # soon seen; sorting rows takes long
        clusters = min(clusters, len(np.unique(points.round(12), axis=0)))
    if clusters < 2:
        return np.zeros(len(points), np.int64)
    means = scikit("cluster").KMeans(clusters, n_init=starts, random_state=seed)
    labels: npt.NDArray[np.int64] = means.fit_predict(points).astype(np.int64)
    return labels
