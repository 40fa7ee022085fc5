"""Spectral relevance analysis, written out with loops: graph, Laplacian, eigengap, embedding.

Lapuschkin et al. 2019, "Unmasking Clever Hans predictors" (Nature Communications 10, methods:
SpRAy); von Luxburg 2007, "A tutorial on spectral clustering", sections 2.2, 3.2 and 8.3; Ng,
Jordan, Weiss 2001 for the normalised rows. Nothing here knows of the package.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


def neighbours(vectors: Array, k: int) -> list[list[int]]:
    """The k nearest other points of each point, Euclidean; ties go to the lowest index."""
    out = []
    for i, x in enumerate(vectors):
        order = []
        for j, y in enumerate(vectors):
            if j != i:
                square = sum((float(a) - float(b)) ** 2 for a, b in zip(x, y, strict=True))
                order.append((math.sqrt(square), j))
        out.append([j for _, j in sorted(order)[:k]])
    return out


def affinity(vectors: Array, k: int, average: bool = False) -> Array:
    """Symmetric k-nearest-neighbour graph [N, N] (von Luxburg, section 2.2).

    An edge is 1 where either point is a neighbour of the other; with `average` (A + Aᵀ)/2, so an
    edge that one side alone knows is 1/2.
    """
    near = neighbours(vectors, k)
    n = len(vectors)
    a = np.zeros((n, n))
    for i in range(n):
        for j in range(n):
            sides = (j in near[i]) + (i in near[j])
            a[i, j] = sides / 2 if average else float(sides > 0)
    return a


def laplacian(a: Array) -> Array:
    """L = I - D^-1/2 A D^-1/2 with D_ii = Σ_j A_ij (von Luxburg, section 3.2)."""
    n = len(a)
    degree = [float(sum(a[i])) for i in range(n)]
    out = np.zeros((n, n))
    for i in range(n):
        for j in range(n):
            out[i, j] = float(i == j) - a[i, j] / math.sqrt(degree[i] * degree[j])
    return out


def eigenvalues(a: Array) -> Array:
    """All eigenvalues of the Laplacian of affinity `a`, ascending."""
    return np.asarray(np.linalg.eigvalsh(laplacian(a)), dtype=np.float64)


def eigengaps(values: Array) -> Array:
    """λ_{i+1} - λ_i; entry i-1 belongs to i clusters (von Luxburg, section 8.3)."""
    return np.array([values[i + 1] - values[i] for i in range(len(values) - 1)])


def cluster_number(values: Array, most: int) -> int:
    """The number of clusters 1..most whose eigengap is largest; the smallest number at a tie."""
    gaps = eigengaps(values)
    best = 1
    for i in range(1, min(most, len(gaps)) + 1):
        if gaps[i - 1] > gaps[best - 1]:
            best = i
    return best


def embedding(a: Array, q: int, unit_rows: bool = False) -> Array:
    """The first q eigenvectors as columns [N, q]; signs (and rotations at ties) are arbitrary.

    With `unit_rows` each row has Euclidean length 1 (Ng, Jordan, Weiss 2001, step 4).
    """
    _, vectors = np.linalg.eigh(laplacian(a))
    out = np.array(vectors[:, :q], dtype=np.float64)
    if unit_rows:
        for row in out:
            row /= math.sqrt(sum(float(x) ** 2 for x in row))
    return out
