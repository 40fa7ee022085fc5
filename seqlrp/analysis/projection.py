"""A map of document vectors in two dimensions."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from seqlrp.analysis.clustering import reduced
from seqlrp.analysis.scikit import scikit
from seqlrp.analysis.spectral import neighbour_graph, spectrum
from seqlrp.errors import MissingPackageError

Projection = Literal["tsne", "spectral", "umap", "none"]

SAMPLE = 1000  # t-SNE of more takes longer than everything else together
_STEPS = 350  # of t-SNE
_ANGLE = 0.8  # of its tree: maps are as good as with 0.5, by divergence and by trustworthiness
_NEIGHBOURS = 3  # whose places a document that was not drawn stands between


def project(
    points: Any, method: Projection, *, sample: int = SAMPLE, neighbours: int, seed: int
) -> npt.NDArray[np.float64]:
    """Places `[N, 2]` of vectors `[N, D]`; those of more than `sample` are put between neighbours.

    Args:
        points: dense or sparse, rows of length 1.
        method: "tsne" (van der Maaten and Hinton 2008), "spectral" (two eigenvectors of the
            Laplacian), "umap" (where umap-learn is installed), or "none", which gives NaN.
        sample: the most documents that are projected.
        neighbours: in the graph of "spectral" and "umap".
        seed: of the sample and the projection.
    """
    count = points.shape[0]
    if method == "none" or not count:
        return np.full((count, 2), np.nan)
    rows = np.arange(count)
    if count > sample:
        rows = np.sort(np.random.default_rng(seed).permutation(count)[:sample])
    drawn = _projected(points[rows], method, neighbours, seed)
    if len(rows) == count:
        return drawn
    index = scikit("neighbors").NearestNeighbors(n_neighbors=_NEIGHBOURS, algorithm="brute")
    rest = np.setdiff1d(np.arange(count), rows)
    distances, found = index.fit(points[rows]).kneighbors(points[rest])
    weights = 1 / np.maximum(distances, 1e-6)
    places = np.empty((count, 2))
    places[rows] = drawn
    places[rest] = (drawn[found] * weights[..., None]).sum(1) / weights.sum(1, keepdims=True)
    return places


def _projected(
    points: Any, method: Projection, neighbours: int, seed: int
) -> npt.NDArray[np.float64]:
    count = points.shape[0]
    if count < 4:  # in a row
        return np.stack([np.arange(count, dtype=np.float64), np.zeros(count)], axis=1)
    found: npt.NDArray[np.float64]
    if method == "spectral":
        graph = spectrum(neighbour_graph(points, neighbours), 3)
        found = graph.vectors[:, 1:3] * np.sqrt(count)
        return found
    dense = reduced(points)
    if method == "umap":
        try:
            from umap import UMAP
        except ImportError as error:
            raise MissingPackageError(
                "projection='umap' needs umap-learn, which is not installed: pip install "
                "umap-learn; projection='tsne' needs nothing more."
            ) from error
        umap = UMAP(n_neighbors=min(neighbours, count - 1), random_state=seed, n_jobs=1)
        found = umap.fit_transform(dense)
        return found.astype(np.float64)
    start = np.random.default_rng(seed).normal(0, 1e-4, (count, 2)).astype(np.float32)
    spread = dense - dense.mean(axis=0)
    if np.ptp(spread) > 0:
        left, sizes, _ = np.linalg.svd(spread, full_matrices=False)
        axes = left[:, :2] * sizes[:2]
        start[:, : axes.shape[1]] += (1e-4 * axes / max(axes[:, 0].std(), 1e-12)).astype(np.float32)
    method_ = scikit("manifold").TSNE(
        perplexity=min(30.0, (count - 1) / 3), init=start, random_state=seed, max_iter=_STEPS,
        angle=_ANGLE,
    )  # fmt: skip
    found = method_.fit_transform(dense.astype(np.float32)).astype(np.float64)
    return found
