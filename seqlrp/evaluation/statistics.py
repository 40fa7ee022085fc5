"""How sure a figure is: bootstrap intervals, paired comparisons, sizes of effects.

Documents are what is sampled: a row each. Where a method was run in several random orders, those
are a sample as well, crossed with the documents, and both are drawn again (the pigeonhole
bootstrap, Owen 2007, which is on the safe side). Nothing depends on the order of the documents,
and swapping two methods swaps the sign and nothing else. Missing values (NaN) are left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from seqlrp.errors import InputError

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

RESAMPLES = 2000
FLIPS = 10_000
LEVEL = 0.95
_EXACT = 12  # pairs up to which all sign flips are tried
_HELD = 4_000_000  # numbers that are held at a time


@dataclass(frozen=True)
class Comparison:
    """How two methods differ on the same documents.

    Attributes:
        difference: the mean over documents of one minus the other.
        low, high: its 95 % interval, by a bootstrap of pairs and of random orders.
        p: two-sided p value of no difference, by flips of the differences' signs (Fisher 1935;
            with the observed one among the flips, Phipson and Smyth 2010); given the random orders.
        d_z: the mean difference over the differences' standard deviation (Cohen 1988, sec. 2.3.5);
            NaN where all differences are the same.
        rank_biserial: the share of ranks that speaks for one minus that for the other, -1 to 1
            (matched pairs, Kerby 2014, from Wilcoxon's ranks); 0 where nothing differs.
        documents: how many have a value for both.
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
    """Mean over documents, and the ends of its percentile bootstrap interval (Efron 1979), `[K]`.

    Args:
        values: `[N, O, K]`, or `[N, K]` for a single order: N documents, O random orders; NaN where
            something is missing.
        seed: of what is drawn; the same for every column, so that curves are drawn together.
        resamples: how often documents and orders are drawn again.
        level: how much the interval holds.

    Returns:
        mean, low, high; NaN where a column has no value at all.
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
    """How two methods differ on the same documents, a `Comparison`.

    Args:
        one: a value a document, `[N]`, or `[N, O]` for O random orders.
        other: the same for the other method, in the same order of documents.
        seed: of what is drawn.
        resamples: how often documents and orders are drawn again.
        flips: how many flips of signs; all of them where there are few documents.
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
    """Two-sided p value of a mean of 0, where each difference could as well have the other sign.

    For 12 differences or fewer every flip is tried; for more, `flips` random ones, and the
    observed one counts among them, so that p is never 0 (Phipson and Smyth 2010).
    """
    sizes = np.sort(np.abs(differences[differences != 0]))
    observed = abs(float(np.sum(differences)))
    if not len(sizes):
        return 1.0
    limit = observed - 1e-12 * float(sizes.sum())  # what is equal but for rounding counts
    if len(sizes) <= _EXACT:
        bits = np.arange(2 ** len(sizes))[:, None] >> np.arange(len(sizes)) & 1
        return float((np.abs((1 - 2 * bits) @ sizes) >= limit).mean())
    generator = np.random.default_rng(seed)
    found = 0
    for count in _parts(flips, len(sizes)):
        signs = 1 - 2 * generator.integers(0, 2, (count, len(sizes)), dtype=np.int8)
        found += int((np.abs(signs @ sizes) >= limit).sum())
    return (found + 1) / (flips + 1)


def holm(p: Floats) -> Floats:
    """P values corrected for their number (Holm 1979); NaN stays and does not count."""
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
    """How often each document (`[R, N]`) and each order (`[R, O]`, in shares) is drawn, in parts.

    Orders come from a generator of their own, so that they do not change what documents are drawn.
    """
    of_documents, of_orders = np.random.default_rng(seed), np.random.default_rng([seed, 1])
    first = 0
    for count in _parts(resamples, documents):
        weights = _times_drawn(of_documents, count, documents)
        chosen = [_times_drawn(of_orders, count, o) / o for o in orders]
        yield slice(first, first + count), weights, chosen
        first += count


def _times_drawn(generator: np.random.Generator, count: int, number: int) -> Floats:
    """How often each of `number` things is among `number` drawn with replacement, `[R, number]`."""
    drawn = generator.integers(0, number, (count, number)) + number * np.arange(count)[:, None]
    times = np.bincount(drawn.ravel(), minlength=count * number)
    return times.reshape(count, number).astype(np.float64)


def _parts(count: int, width: int) -> Iterator[int]:
    """`count` rows of `width` numbers, as many at a time as may be held."""
    each = max(1, _HELD // max(width, 1))
    for first in range(0, count, each):
        yield min(each, count - first)


def _weighted(cube: Floats, weights: Floats, of_orders: Floats) -> Floats:
    """Σ_n Σ_o w_n v_o x_nok for each draw, `[R, K]`."""
    documents, orders, places = cube.shape
    by_order = (weights @ cube.reshape(documents, -1)).reshape(-1, orders, places)
    total: Floats = np.einsum("rok,ro->rk", by_order, of_orders)
    return total


def _percentiles(drawn: Floats, level: float) -> tuple[Floats, Floats]:
    """The ends of the interval in each column, of the draws that had any document."""
    tail = 50 * (1 - level)
    low, high = np.full((2, drawn.shape[1]), np.nan)
    for column, values in enumerate(drawn.T):
        values = values[~np.isnan(values)]
        if len(values):
            low[column], high[column] = np.percentile(values, [tail, 100 - tail])
    return low, high


def _sorted(rows: Floats) -> npt.NDArray[np.int64]:
    """An order of the rows that depends on what they hold alone."""
    return np.lexsort(rows.T[::-1])


def _swapped(a: Floats, b: Floats) -> bool:
    """Whether to look at b - a instead, so that a comparison and its mirror are the same sum."""
    ours, theirs = (np.sort(v) for v in (a.mean(1) - b.mean(1), b.mean(1) - a.mean(1)))
    unlike = np.flatnonzero(ours != theirs)
    return bool(len(unlike)) and bool(ours[unlike[0]] < theirs[unlike[0]])


def _d_z(differences: Floats) -> float:
    if len(differences) < 2:
        return float("nan")
    spread = float(differences.std(ddof=1))
    least = 1e-12 * float(np.abs(differences).max())  # differences that are one but for rounding
    return float(differences.mean()) / spread if spread > least else float("nan")


def _rank_biserial(differences: Floats) -> float:
    """Ranks of the sizes, those of ties averaged, differences of 0 left out."""
    unlike = differences[differences != 0]
    if not len(unlike):
        return 0.0
    _, places, counts = np.unique(np.abs(unlike), return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[places]
    return float((ranks * np.sign(unlike)).sum() / ranks.sum())
