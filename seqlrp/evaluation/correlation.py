"""Rank correlations, with ties, of as many pairs as there are words in a text."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from seqlrp.errors import InputError


def midranks(values: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """The rank of each value `[N]` from 1 on; equal values share the mean of their ranks."""
    _, place, counts = np.unique(_finite(values), return_inverse=True, return_counts=True)
    ranks: npt.NDArray[np.float64] = (np.cumsum(counts) - (counts - 1) / 2)[place]
    return ranks


def spearman(one: npt.ArrayLike, other: npt.ArrayLike) -> float:
    """Spearman's ρ: the correlation of the midranks of values `[N]` and `[N]`.

    NaN where all values of one side are equal, or there are fewer than two.
    """
    first, second = _pair(one, other)
    if not len(first):
        return np.nan
    first, second = midranks(first), midranks(second)
    first, second = first - first.mean(), second - second.mean()
    size = np.sqrt((first @ first) * (second @ second))
    return float(np.clip(first @ second / size, -1, 1)) if size else np.nan


def kendall(one: npt.ArrayLike, other: npt.ArrayLike) -> float:
    """Kendall's τ_b of values `[N]` and `[N]`: pairs in the same order less those in the other.

    τ_b = (C − D) / √((P − X)(P − Y)), with C pairs that agree, D that disagree, P pairs, X and Y
    pairs that are equal in the first and in the second. NaN where the root is 0. Takes N² steps.
    """
    first, second = _pair(one, other)
    agreeing, untied = 0.0, np.zeros(2)
    for k in range(1, len(first)):
        a, b = np.sign(first[k] - first[:k]), np.sign(second[k] - second[:k])
        agreeing += float(a @ b)
        untied += [np.count_nonzero(a), np.count_nonzero(b)]
    size = np.sqrt(untied[0] * untied[1])
    return float(agreeing / size) if size else np.nan


def _pair(
    one: npt.ArrayLike, other: npt.ArrayLike
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    first, second = _finite(one), _finite(other)
    if first.shape != second.shape:
        raise InputError(
            f"Got {len(first)} values to correlate with {len(second)}, expected as many."
        )
    return first, second


def _finite(values: npt.ArrayLike) -> npt.NDArray[np.float64]:
    found = np.asarray(values, np.float64)
    if found.ndim != 1 or not np.isfinite(found).all():
        raise InputError(
            f"Got values of the shape {list(found.shape)} to rank, expected finite numbers [N]; "
            f"leave out what is missing."
        )
    return found
