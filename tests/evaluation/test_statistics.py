"""Intervals and comparisons: right as often as they say, and blind to what must not matter."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from samples.examples import examples

from seqlrp.errors import InputError
from seqlrp.evaluation.statistics import compare, holm, mean_interval, sign_flip_p

finite = st.floats(-100, 100, allow_nan=False).map(lambda x: round(x, 3))


def matrices(orders: int = 3) -> st.SearchStrategy[np.ndarray]:
    return st.integers(2, 12).flatmap(
        lambda n: arrays(np.float64, (n, orders), elements=finite | st.just(float("nan")))
    )


def test_the_interval_is_that_of_a_bootstrap_written_as_a_loop() -> None:
    drawn = np.random.default_rng(0)
    values = drawn.normal(0, 1, (60, 4, 2))
    values[3, :, 1] = np.nan
    mean, low, high = mean_interval(values, resamples=4000)
    other = np.random.default_rng(99)
    means = []
    for _ in range(4000):
        rows, orders = other.integers(0, 60, 60), other.integers(0, 4, 4)
        means.append(np.nanmean(values[rows][:, orders], axis=(0, 1)))
    np.testing.assert_allclose(mean, np.nanmean(values, axis=(0, 1)))
    expected = np.percentile(means, [2.5, 97.5], axis=0)
    np.testing.assert_allclose([low, high], expected, atol=0.02)
    # the textbook interval of the mean of independent values
    one, low, high = mean_interval(values[:, :1, :1])
    half = 1.96 * values[:, 0, 0].std(ddof=1) / np.sqrt(60)
    np.testing.assert_allclose([low[0], high[0]], [one[0] - half, one[0] + half], atol=0.04)


@examples(40)
@given(matrices(), st.randoms(use_true_random=False))
def test_the_order_of_documents_does_not_matter(values: np.ndarray, random: object) -> None:
    order = list(range(len(values)))
    random.shuffle(order)  # type: ignore[attr-defined]
    for found, again in zip(
        mean_interval(values[:, :, None], resamples=50),
        mean_interval(values[order][:, :, None], resamples=50),
        strict=True,
    ):
        np.testing.assert_allclose(found, again, rtol=1e-9, atol=1e-9)
    other = np.flip(values, axis=1)[:, :1] ** 2
    options = {"resamples": 50, "flips": 50}
    one = compare(values, other, **options)  # type: ignore[arg-type]
    two = compare(values[order], other[order], **options)  # type: ignore[arg-type]
    assert vars(one) == pytest.approx(vars(two), nan_ok=True, rel=1e-9, abs=1e-9)


@examples(60)
@given(matrices(1), matrices(3))
def test_swapping_two_methods_swaps_the_sign(a: np.ndarray, b: np.ndarray) -> None:
    documents = min(len(a), len(b))
    a, b = a[:documents], b[:documents]
    one = compare(a, b, resamples=60, flips=60)
    two = compare(b, a, resamples=60, flips=60)
    close = {"nan_ok": True, "rel": 1e-9, "abs": 1e-9}
    assert one.difference == pytest.approx(-two.difference, **close)
    assert (one.low, one.high) == pytest.approx((-two.high, -two.low), **close)
    assert one.p == pytest.approx(two.p, **close)
    assert one.d_z == pytest.approx(-two.d_z, **close)
    assert one.rank_biserial == pytest.approx(-two.rank_biserial, **close)
    assert one.documents == two.documents
    if one.documents:
        assert one.low - 1e-9 <= one.high
        assert 0 < one.p <= 1


def test_missing_values_are_left_out() -> None:
    values = np.array([[1.0, np.nan], [3.0, np.nan], [np.nan, np.nan]])
    mean, low, high = mean_interval(values)
    assert mean[0] == 2
    assert 1 <= low[0] < high[0] <= 3
    assert np.isnan([mean[1], low[1], high[1]]).all()
    found = compare(np.array([1.0, 2.0, np.nan, 5.0]), np.array([0.0, np.nan, 1.0, 1.0]))
    assert (found.documents, found.difference) == (2, 2.5)
    nothing = compare(np.array([np.nan]), np.array([1.0]))
    assert nothing.documents == 0
    assert np.isnan([nothing.difference, nothing.low, nothing.p, nothing.d_z]).all()
    for wrong in (np.zeros(3), np.zeros((1, 2, 3, 4))):
        with pytest.raises(InputError, match=r"expected \[N, O, K\]"):
            mean_interval(wrong)
    with pytest.raises(InputError, match="Got 2 and 3 documents"):
        compare(np.zeros(2), np.zeros(3))


def test_the_p_value_of_few_pairs_counts_every_flip() -> None:
    differences = np.array([1.2, -0.3, 2.0, 0.7, 0.1, 0.0, 1.1])
    observed = abs(differences.sum())
    signs = list(itertools.product([1, -1], repeat=len(differences)))
    extreme = sum(
        abs(sum(s * d for s, d in zip(flip, differences, strict=True))) >= observed - 1e-9
        for flip in signs
    )
    assert sign_flip_p(differences) == pytest.approx(extreme / len(signs))
    assert sign_flip_p(np.zeros(5)) == 1
    assert sign_flip_p(np.ones(100), flips=999) == pytest.approx(1 / 1000)  # never 0


def test_the_p_value_of_many_pairs_is_near_that_of_all_flips() -> None:
    drawn = np.random.default_rng(4)
    differences = drawn.normal(0.3, 1, 14)
    signs = 1 - 2 * (np.arange(2**14)[:, None] >> np.arange(14) & 1)
    every = (np.abs(signs @ differences) >= abs(differences.sum()) - 1e-9).mean()
    assert sign_flip_p(differences, flips=20_000) == pytest.approx(every, abs=0.015)
    assert sign_flip_p(differences, seed=1) != sign_flip_p(differences, seed=2)


def test_effects_are_those_of_their_formulas() -> None:
    a, b = np.array([3.0, 5.0, 4.0, 9.0, 1.0]), np.array([2.0, 6.0, 2.0, 4.0, 1.0])
    found = compare(a, b)
    differences = [1.0, -1.0, 2.0, 5.0, 0.0]
    mean = sum(differences) / 5
    spread = (sum((d - mean) ** 2 for d in differences) / 4) ** 0.5
    assert found.d_z == pytest.approx(mean / spread)
    # ranks of |1|, |-1|, |2|, |5|: 1.5, 1.5, 3, 4; of 10 in all, 8.5 speak for a
    assert found.rank_biserial == pytest.approx((1.5 + 3 + 4 - 1.5) / 10)
    same = compare(a, a)
    assert (same.difference, same.p, same.rank_biserial) == (0, 1, 0)
    assert np.isnan(same.d_z)


def test_holm_by_hand() -> None:
    # sorted: 0.01 * 3, 0.02 * 2, 0.9 * 1, each at least the one before
    np.testing.assert_allclose(holm(np.array([0.02, 0.9, np.nan, 0.01])), [0.04, 0.9, np.nan, 0.03])
    np.testing.assert_allclose(holm(np.array([0.5, 0.5])), [1, 1])
    np.testing.assert_allclose(holm(np.array([0.01, 0.011])), [0.02, 0.02])
    assert holm(np.zeros(0)).size == 0


def test_more_documents_or_more_differing_orders_change_the_width() -> None:
    drawn = np.random.default_rng(0)
    few, many = drawn.normal(size=(50, 1, 1)), drawn.normal(size=(800, 1, 1))

    def width(values: np.ndarray) -> float:
        _, low, high = mean_interval(values)
        return float(high[0] - low[0])

    assert width(few) == pytest.approx(4 * width(many), rel=0.3)
    alike = np.repeat(many, 5, axis=1)
    unlike = alike + np.array([-1, -0.5, 0, 0.5, 1])[:, None]
    assert width(alike) == pytest.approx(width(many), rel=0.05)
    assert width(unlike) > 3 * width(alike)


@pytest.mark.slow
@pytest.mark.parametrize("orders", [1, 6])
def test_the_interval_holds_the_truth_as_often_as_it_says(orders: int) -> None:
    drawn = np.random.default_rng(7)
    held = []
    for trial in range(600):
        of_documents = drawn.exponential(1, (100, 1)) - 1  # skewed, as scores are
        of_orders = drawn.normal(0, 0.2 if orders > 1 else 0, (1, orders))
        values = of_documents + of_orders + drawn.normal(0, 0.5, (100, orders))
        _, (low,), (high,) = mean_interval(values[:, :, None], trial, resamples=500)
        held.append(low <= 0 <= high)
    # 95 %, within what 600 trials and few orders allow
    assert 0.88 < np.mean(held) < 0.985


@pytest.mark.slow
def test_chance_differences_are_called_significant_one_time_in_twenty() -> None:
    drawn = np.random.default_rng(8)
    p = [compare(drawn.normal(size=40), drawn.normal(size=40), k, flips=400, resamples=20).p
         for k in range(1000)]  # fmt: skip
    assert np.mean(np.array(p) <= 0.05) == pytest.approx(0.05, abs=0.02)
