"""Rank correlations of two lists of values, with ties; SciPy's, with checked input."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from seqlrp.errors import InputError

# SciPy's statistics take a while to import, so each function imports what it needs.


def midranks(values: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return the rank of each value `[N]`, from 1; equal values share the mean of their ranks.

    Raises:
        InputError: the values are not one-dimensional and finite.
    """
    from scipy.stats import rankdata

    ranks: npt.NDArray[np.float64] = rankdata(_finite_values(values))
    return ranks


def spearman(one: npt.ArrayLike, other: npt.ArrayLike) -> float:
    """Return Spearman's ρ of values `[N]` and `[N]`: the correlation of their midranks.

    NaN where all values of one side are equal, or there are fewer than two.

    Raises:
        InputError: the sides differ in length, or are not one-dimensional and finite.
    """
    from scipy.stats import spearmanr

    first, second = _pair(one, other)
    return np.nan if _is_constant(first, second) else float(spearmanr(first, second).statistic)


def kendall(one: npt.ArrayLike, other: npt.ArrayLike) -> float:
    """Return Kendall's τ_b of values `[N]` and `[N]`.

    τ_b = (C − D) / √((P − X)(P − Y)), with C concordant pairs, D discordant ones, P pairs in all,
    and X and Y pairs that are tied in the first and in the second. NaN where the root is 0.

    Raises:
        InputError: the sides differ in length, or are not one-dimensional and finite.
    """
    from scipy.stats import kendalltau

    first, second = _pair(one, other)
    return np.nan if _is_constant(first, second) else float(kendalltau(first, second).statistic)


def _is_constant(first: npt.NDArray[np.float64], second: npt.NDArray[np.float64]) -> bool:
    """Whether all values of one side are equal, which leaves nothing to correlate."""
    return not len(first) or bool((first == first[0]).all() or (second == second[0]).all())


def _pair(
    one: npt.ArrayLike, other: npt.ArrayLike
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    first, second = _finite_values(one), _finite_values(other)
    if first.shape != second.shape:
        raise InputError(
            f"Got {len(first)} values to correlate with {len(second)}; expected as many."
        )
    return first, second


def _finite_values(values: npt.ArrayLike) -> npt.NDArray[np.float64]:
    found = np.asarray(values, np.float64)
    if found.ndim != 1 or not np.isfinite(found).all():
        raise InputError(
            f"Got values of the shape {list(found.shape)} to rank; expected finite numbers [N]; "
            f"leave out missing values."
        )
    return found
