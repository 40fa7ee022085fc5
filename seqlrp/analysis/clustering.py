"""The stable clusters of one class, at several resolutions.

The largest gap of the eigenvalues alone misses small clusters, and no single number of clusters
suits large and small ones. So several numbers are tried, each on samples of the documents as well.
A cluster is stable if clustering the samples finds it again; the stable ones of all numbers are
put together.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import sparse

from seqlrp.analysis.scikit import scikit
from seqlrp.analysis.spectral import (
    Floats,
    Spectrum,
    cluster,
    eigengap,
    embedding,
    neighbour_graph,
    spectrum,
)

Labels = npt.NDArray[np.int64]
ClusterMethod = Literal["spectral", "hdbscan"]

NOISE = -1  # the label of documents in no cluster, by HDBSCAN
MOST_CLUSTERS = 16
STABLE = 0.75  # mean Jaccard similarity from which a cluster is stable (Hennig 2007)
_LEAST = 20  # documents below which a class is not divided
_SMALLEST = 5  # documents of a cluster
_SAME = 0.5  # Jaccard similarity from which two clusters are taken for the same one
_SAMPLES, _SHARE = 4, 0.8  # samples for stability, and their share of the documents


class Clustering(NamedTuple):
    """The clusters of the n documents of a class.

    Attributes:
        labels: the cluster of each document, `[n]`, from 0; `NOISE` for none.
        stability: of each cluster, from 0 to 1; NaN where that was not asked, and for the last
            where it is the rest, the documents of no stable cluster.
        tried: for each number of clusters, how many there were, how many of them are stable, the
            mean stability, and how many of the clusters are of this number.
        eigenvalues: the smallest eigenvalues of the Laplacian, ascending.
        gap: the number of clusters before the largest gap of the eigenvalues.
    """

    labels: Labels
    stability: Floats
    tried: list[tuple[int, int, float, int]]
    eigenvalues: Floats
    gap: int


def find_clusters(
    points: Any,
    method: ClusterMethod,
    clusters: int | Literal["auto"],
    neighbours: int,
    seed: int,
) -> Clustering:
    """Cluster the documents of one class, vectors `[n, D]`.

    Args:
        points: dense or sparse, rows of length 1.
        method: "spectral" or "hdbscan".
        clusters: of "spectral"; "auto" takes the stable clusters of up to 16, and the rest as one.
        neighbours: of each document, in the graph.
        seed: of k-means and of the samples.
    """
    points, place = distinct_rows(points)
    found = _find(points, method, clusters, neighbours, seed)
    return found._replace(labels=found.labels[place])


def distinct_rows(points: Any) -> tuple[Any, npt.NDArray[np.intp]]:
    """The distinct rows in the order in which they first come, and which of them each row is.

    Documents that are equal, to five decimals of a vector of length 1, belong together; in a graph
    of neighbours, those with more twins than neighbours would fall apart.
    """
    rows: dict[bytes, int] = {}
    first, place = [], []
    for k in range(points.shape[0]):
        if sparse.issparse(points):
            part = slice(points.indptr[k], points.indptr[k + 1])
            key = points.indices[part].tobytes() + _rounded(points.data[part])
        else:
            key = _rounded(points[k])
        if key not in rows:
            first.append(k)
        place.append(rows.setdefault(key, len(rows)))
    return points[first], np.array(place, np.intp)


def _rounded(values: npt.NDArray[np.floating]) -> bytes:
    """Numbers to five decimals, as bytes; the same answer in another batch has another rounding."""
    return (values.round(5) + 0.0).tobytes()  # -0.0 + 0.0 is 0.0


def _find(
    points: Any,
    method: ClusterMethod,
    clusters: int | Literal["auto"],
    neighbours: int,
    seed: int,
) -> Clustering:
    """Cluster distinct documents."""
    count = points.shape[0]
    graph = neighbour_graph(points, neighbours)
    if count < 2 or (clusters == "auto" and count < _LEAST):
        values = spectrum(graph, MOST_CLUSTERS + 1).values
        alone = np.zeros(count, np.int64)
        return Clustering(alone, np.full(1, np.nan), [(1, 1, np.nan, 1)], values, eigengap(values))
    if clusters == "auto":
        numbers = list(range(1, max(2, min(MOST_CLUSTERS, count // 10)) + 1))
    else:
        numbers = [min(clusters, count)]
    of_all = spectrum(graph, max(numbers[-1], MOST_CLUSTERS) + 1)
    found = _divided(points, of_all, method, numbers, seed, starts=5)
    drawn = np.random.default_rng(seed)
    sums = {k: np.zeros(labels.max() + 1) for k, labels in found.items()}
    for draw in range(_SAMPLES):
        rows = np.sort(drawn.permutation(count)[: max(2, round(_SHARE * count))])
        some = points[rows]
        part = of_all
        if method == "spectral":
            part = spectrum(neighbour_graph(some, neighbours), numbers[-1])
        again = _divided(some, part, method, numbers, seed + draw + 1, starts=1)
        for k, labels in found.items():
            sums[k] += jaccard(labels[rows], again[k], len(sums[k]))
    stability = {k: total / _SAMPLES for k, total in sums.items()}
    if len(found) == 1:
        only = next(iter(found))
        labels, stable = found[only], stability[only]
        kept = {only: len(stable)}
    else:
        labels, stable, kept = combined(found, stability)
    tried = [
        (len(own), int((own >= STABLE).sum()), float(own.mean()), kept.get(k, 0))
        for k, own in stability.items()
    ]
    return Clustering(labels, stable, tried, of_all.values, eigengap(of_all.values))


def combined(
    found: Mapping[int, Labels], stability: Mapping[int, Floats]
) -> tuple[Labels, Floats, dict[int, int]]:
    """Put the stable clusters of several clusterings together, small ones first.

    Of clusters that are nearly the same the most stable one is taken. A larger cluster loses the
    documents of smaller ones in it, and is left out if these are most of it. What is in no cluster
    is the rest, which is the last cluster, or noise where it is smaller than a cluster may be.

    Returns:
        labels, stability of the clusters, and how many of them are of each clustering.
    """
    pool = [
        (float(stability[k][c]), k, labels == c)
        for k, labels in found.items()
        for c in np.flatnonzero(stability[k] >= STABLE).tolist()
        if _SMALLEST <= (labels == c).sum() < len(labels)
    ]
    distinct: list[tuple[float, int, npt.NDArray[np.bool_]]] = []
    for one in sorted(pool, key=lambda one: (-one[0], one[1])):
        if all((one[2] & o).sum() < _SAME * (one[2] | o).sum() for _, _, o in distinct):
            distinct.append(one)
    labels = np.full(len(next(iter(found.values()))), NOISE, np.int64)
    stable: list[float] = []
    kept: Counter[int] = Counter()
    for value, k, inside in sorted(distinct, key=lambda one: int(one[2].sum())):
        left = inside & (labels == NOISE)
        if left.sum() >= max(_SMALLEST, inside.sum() / 2):
            labels[left] = len(stable)
            stable.append(value)
            kept[k] += 1
    rest = labels == NOISE
    if rest.sum() >= _SMALLEST or not stable:
        labels[rest] = len(stable)
        stable.append(np.nan)
    return labels, np.array(stable), dict(kept)


def _divided(
    points: Any,
    graph: Spectrum,
    method: ClusterMethod,
    numbers: Sequence[int],
    seed: int,
    starts: int,
) -> dict[int, Labels]:
    """The clusters of documents for each number of clusters; by HDBSCAN there is a single one."""
    if method == "hdbscan":
        return {0: density_clusters(points)}
    return {k: cluster(embedding(graph, k), k, seed, starts) for k in numbers}


def jaccard(labels: Labels, others: Labels, clusters: int) -> Floats:
    """For each cluster, its greatest Jaccard similarity to a cluster of another clustering."""
    kept = (labels >= 0) & (others >= 0)
    together = np.zeros((clusters, max(others.max(initial=0) + 1, 1)))
    np.add.at(together, (labels[kept], others[kept]), 1)
    of_one = np.bincount(labels[labels >= 0], minlength=clusters)[:, None]
    of_other = np.bincount(others[others >= 0], minlength=together.shape[1])
    union = of_one + of_other - together
    similar: Floats = (together / np.maximum(union, 1)).max(axis=1)
    return similar


def density_clusters(points: Any) -> Labels:
    """Clusters by HDBSCAN (Campello et al. 2013), which finds their number and leaves some out."""
    count = points.shape[0]
    least = max(5, round(0.01 * count))
    if count <= least:
        return np.zeros(count, np.int64)
    method = scikit("cluster").HDBSCAN(min_cluster_size=least, copy=True)
    labels: Labels = method.fit_predict(reduced(points)).astype(np.int64)
    return labels if labels.max() >= 0 else np.zeros(count, np.int64)


def reduced(points: Any, dimensions: int = 50) -> Floats:
    """Vectors in at most 50 dimensions, dense: the leading ones of a singular value analysis."""
    if points.shape[1] <= dimensions or min(points.shape) <= 2:
        return np.asarray(points.toarray() if sparse.issparse(points) else points, np.float64)
    dimensions = min(dimensions, min(points.shape) - 1)
    decomposition = scikit("decomposition").TruncatedSVD(dimensions, random_state=0)
    if not (abs(points).sum() > 0):
        return np.zeros((points.shape[0], dimensions))
    with np.errstate(invalid="ignore", divide="ignore"):  # shares of a variance that is 0
        found: Floats = decomposition.fit_transform(points)
    return found
