"""Concept activation vectors and P-ClArC's projection, written out with loops.

Anders et al. 2022, "Finding and removing Clever Hans" (Information Fusion 77), section on P-ClArC;
Haufe et al. 2014 and Pahde et al. 2022 for the pattern. Nothing here knows of the package.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


def mean(activations: Array) -> Array:
    """Mean of the rows of [N, H]."""
    out = np.zeros(activations.shape[1])
    for a in activations:
        out += a
    return out / len(activations)


def unit(vector: Array) -> Array:
    """The vector at Euclidean length 1."""
    return vector / math.sqrt(sum(float(x) ** 2 for x in vector))


def pattern(activations: Array, labels: Array) -> Array:
    """Unit vector of cov(a, y) / var(y), where y is 1 for the concept.

    Haufe et al. 2014; Pahde et al. 2022. Before scaling it is
    Σ_n (a_n - ā)(y_n - ȳ) / Σ_n (y_n - ȳ)². With y in {0, 1} that is exactly
    the difference of the two means.
    """
    centre, middle = mean(activations), float(sum(labels)) / len(labels)
    top, bottom = np.zeros(activations.shape[1]), 0.0
    for a, y in zip(activations, labels, strict=True):
        top += (a - centre) * (y - middle)
        bottom += (float(y) - middle) ** 2
    return unit(top / bottom)


def mean_difference(activations: Array, labels: Array) -> Array:
    """Unit vector of (mean with the concept) - (mean without it)."""
    return unit(mean(activations[labels == 1]) - mean(activations[labels == 0]))


def project(activation: Array, v: Array, z: Array) -> Array:
    """a' = (I - v vᵀ) a + v vᵀ z; v is a unit vector, z the mean activation of clean samples."""
    h = len(v)
    out = np.zeros(h)
    for i in range(h):
        for j in range(h):
            out[i] += (float(i == j) - v[i] * v[j]) * activation[j] + v[i] * v[j] * z[j]
    return out
