"""Bootstrap intervals, paired comparisons and effect sizes for values of documents.

Documents are resampled. Where a method was run in several random orders, the orders are resampled
as well, crossed with the documents (the pigeonhole bootstrap, Owen 2007, which is conservative).
Results do not depend on the order of the documents, and exchanging two methods changes the sign
alone. Missing values (NaN) are left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from seqlrp.errors import InputError
from seqlrp.evaluation.correlation import midranks

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

RESAMPLES = 2000
FLIPS = 10_000
LEVEL = 0.95
_EXACT = 12  # pairs up to which all sign flips are enumerated
_MOST_NUMBERS = 4_000_000  # numbers in memory at a time


@dataclass(frozen=True)
class Comparison:
    """The difference of two methods on the same documents.

    Attributes:
        difference: the mean difference over documents, the first method minus the second.
        low: the lower end of its 95 % interval, by a bootstrap of pairs and random orders.
        high: the upper end of its 95 % interval.
        p: the two-sided p value of no difference, by a sign-flip permutation test (Fisher 1935)
            that counts the observed signs among the flips (Phipson and Smyth 2010), given the
            random orders.
        d_z: the mean difference over the standard deviation of the differences (Cohen 1988, sec.
            2.3.5); NaN where all differences are equal.
        rank_biserial: the matched-pairs rank-biserial correlation (Kerby 2014), the share of
            Wilcoxon's ranks in favour of the first method minus that of the second, from -1 to 1;
            0 where nothing differs.
        documents: the number of documents that have a value for both methods.
    """

    difference: float
    low: float
    high: float
    p: float
    d_z: float
    rank_biserial: float
    documents: int


def mean_interval(
    values: Floats, seed: int = 0, *, resamples: int = RESAMPLES, level: float = LEVEL
) -> tuple[Floats, Floats, Floats]:
    """Compute means over documents and their percentile bootstrap intervals (Efron 1979), `[K]`.

    Args:
        values: `[N, O, K]` for N documents and O random orders, or `[N, K]` for a single order; NaN
            where a value is missing.
        seed: the seed of the bootstrap, which draws the same documents for every column.
        resamples: the number of bootstrap samples.
        level: the confidence level of the interval.

    Returns:
        mean, low, high; NaN where a column has no value at all.

    Raises:
        InputError: `values` has another number of dimensions.
    """
    cube = np.asarray(values, np.float64)
    cube = cube[:, None, :] if cube.ndim == 2 else cube
    if cube.ndim != 3:
        raise InputError(f"Got values of shape {list(np.shape(values))}; expected [N, O, K].")
    documents, orders, places = cube.shape
    cube = cube[_sorted(cube.reshape(documents, -1))]
    known = ~np.isnan(cube)
    filled = np.where(known, cube, 0.0)
    counts = known.sum((0, 1))
    with np.errstate(invalid="ignore"):
        mean = filled.sum((0, 1)) / counts
    drawn = np.full((resamples, places), np.nan)
    for rows, weights, chosen in _draws(documents, [orders], seed, resamples):
        (of_orders,) = chosen
        total = _weighted(filled, weights, of_orders)
        with np.errstate(invalid="ignore"):
            drawn[rows] = total / _weighted(known.astype(np.float64), weights, of_orders)
    low, high = _percentiles(drawn, level)
    low[counts == 0] = high[counts == 0] = np.nan
    return mean, low, high


def compare(
    one: Floats, other: Floats, seed: int = 0, *, resamples: int = RESAMPLES, flips: int = FLIPS
) -> Comparison:
    """Compare two methods on the same documents.

    Args:
        one: a value for each document, `[N]`, or `[N, O]` for O random orders.
        other: the same for the other method, in the same order of documents.
        seed: the seed of the bootstrap and of the sign flips.
        resamples: the number of bootstrap samples.
        flips: the number of random sign flips; few documents have all of them enumerated.

    Raises:
        InputError: there are more documents for one method than for the other.
    """
    a, b = (np.asarray(v, np.float64).reshape(len(v), -1) for v in (one, other))
    if len(a) != len(b):
        raise InputError(f"Got {len(a)} and {len(b)} documents; a comparison needs pairs.")
    paired = ~(np.isnan(a).any(1) | np.isnan(b).any(1))
    a, b = a[paired], b[paired]
    if not len(a):
        nothing = float("nan")
        return Comparison(nothing, nothing, nothing, nothing, nothing, nothing, 0)
    if swapped := _swapped(a, b):
        a, b = b, a
    order = _sorted(np.concatenate([a, b], axis=1))
    a, b = a[order], b[order]
    differences = a.mean(1) - b.mean(1)
    drawn = np.empty(resamples)
    for rows, weights, (of_a, of_b) in _draws(len(a), [a.shape[1], b.shape[1]], seed, resamples):
        of_one = _weighted(a[:, :, None], weights, of_a)[:, 0]
        drawn[rows] = (of_one - _weighted(b[:, :, None], weights, of_b)[:, 0]) / len(a)
    (low,), (high,) = _percentiles(drawn[:, None], LEVEL)
    mean, effect, share = float(differences.mean()), _d_z(differences), _rank_biserial(differences)
    if swapped:
        mean, low, high, effect, share = -mean, -high, -low, -effect, -share
    p = sign_flip_p(differences, seed, flips=flips)
    return Comparison(mean, float(low), float(high), p, effect, share, len(a))


def sign_flip_p(differences: Floats, seed: int = 0, *, flips: int = FLIPS) -> float:
    """Compute the two-sided p value of a sign-flip permutation test of a mean of 0.

    For up to 12 differences that are not 0 all flips are enumerated. For more, `flips` are drawn,
    and the observed signs count among them, so that p is never 0 (Phipson and Smyth 2010).
    """
    sizes = np.sort(np.abs(differences[differences != 0]))
    observed = abs(float(np.sum(differences)))
    if not len(sizes):
        return 1.0
    limit = observed - 1e-12 * float(sizes.sum())  # sums that are equal but for rounding count
    if len(sizes) <= _EXACT:
        bits = np.arange(2 ** len(sizes))[:, None] >> np.arange(len(sizes)) & 1
        return float((np.abs((1 - 2 * bits) @ sizes) >= limit).mean())
    generator = np.random.default_rng(seed)
    found = 0
    for count in _chunk_sizes(flips, len(sizes)):
        signs = 1 - 2 * generator.integers(0, 2, (count, len(sizes)), dtype=np.int8)
        found += int((np.abs(signs @ sizes) >= limit).sum())
    return (found + 1) / (flips + 1)


def holm(p: Floats) -> Floats:
    """Correct p values for multiple tests (Holm 1979); NaN stays NaN and does not count."""
    p = np.asarray(p, np.float64)
    corrected = np.full(len(p), np.nan)
    known = np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(p[known], kind="stable")]
    factors = np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(np.maximum.accumulate(p[order] * factors), 1.0)
    return corrected


def _draws(
    documents: int, orders: list[int], seed: int, resamples: int
) -> Iterator[tuple[slice, Floats, list[Floats]]]:
    """Draw bootstrap samples in chunks: counts of documents `[R, N]`, shares of orders `[R, O]`.

    Orders have a random generator of their own, so that they do not change which documents are
    drawn.
    """
    of_documents, of_orders = np.random.default_rng(seed), np.random.default_rng([seed, 1])
    first = 0
    for count in _chunk_sizes(resamples, documents):
        weights = _times_drawn(of_documents, count, documents)
        chosen = [_times_drawn(of_orders, count, o) / o for o in orders]
        yield slice(first, first + count), weights, chosen
        first += count


def _times_drawn(generator: np.random.Generator, count: int, number: int) -> Floats:
    """Draw `number` of `number` items with replacement, and count each: `[R, number]`."""
    drawn = generator.integers(0, number, (count, number)) + number * np.arange(count)[:, None]
    times = np.bincount(drawn.ravel(), minlength=count * number)
    return times.reshape(count, number).astype(np.float64)


def _chunk_sizes(count: int, width: int) -> Iterator[int]:
    """Divide `count` rows of `width` numbers into chunks that fit into memory."""
    each = max(1, _MOST_NUMBERS // max(width, 1))
    for first in range(0, count, each):
        yield min(each, count - first)


def _weighted(cube: Floats, weights: Floats, of_orders: Floats) -> Floats:
    """Compute Σ_n Σ_o w_n v_o x_nok for each bootstrap sample: `[R, K]`."""
    documents, orders, places = cube.shape
    by_order = (weights @ cube.reshape(documents, -1)).reshape(-1, orders, places)
    total: Floats = np.einsum("rok,ro->rk", by_order, of_orders)
    return total


def _percentiles(drawn: Floats, level: float) -> tuple[Floats, Floats]:
    """Compute the ends of the interval in each column, over the samples that are not NaN."""
    tail = 50 * (1 - level)
    low, high = np.full((2, drawn.shape[1]), np.nan)
    for column, values in enumerate(drawn.T):
        values = values[~np.isnan(values)]
        if len(values):
            low[column], high[column] = np.percentile(values, [tail, 100 - tail])
    return low, high


def _sorted(rows: Floats) -> npt.NDArray[np.int64]:
    """Return an order of the rows that depends on their values alone."""
    return np.lexsort(rows.T[::-1])


def _swapped(a: Floats, b: Floats) -> bool:
    """Whether to compute b - a, so that a comparison and its reverse use the same sums."""
    ours, theirs = (np.sort(v) for v in (a.mean(1) - b.mean(1), b.mean(1) - a.mean(1)))
    unlike = np.flatnonzero(ours != theirs)
    return bool(len(unlike)) and bool(ours[unlike[0]] < theirs[unlike[0]])


def _d_z(differences: Floats) -> float:
    if len(differences) < 2:
        return float("nan")
    spread = float(differences.std(ddof=1))
    rounding = 1e-12 * float(np.abs(differences).max())
    return float(differences.mean()) / spread if spread > rounding else float("nan")


def _rank_biserial(differences: Floats) -> float:
    """Compute the rank-biserial correlation, without differences of 0."""
    unlike = differences[differences != 0]
    if not len(unlike):
        return 0.0
    ranks = midranks(np.abs(unlike))
    return float((ranks * np.sign(unlike)).sum() / ranks.sum())
