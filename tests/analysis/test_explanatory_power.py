"""The explanatory power index: 1 where classes lie apart, chance where they do not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from oracles import explanatory_power as oracle
from samples.clusters import groups
from scipy import sparse, stats

from seqlrp.analysis.explanatory_power import explanatory_power, random_splits, vote
from seqlrp.errors import InputError, OptionError


def test_groups_apart_have_full_power_and_mixed_ones_have_none() -> None:
    points, owner = groups([60, 60])
    full = explanatory_power(points, owner)
    assert full.value == full.low == full.high == 1
    drawn = np.random.default_rng(0)
    none = explanatory_power(drawn.normal(size=(400, 5)), drawn.integers(0, 2, 400))
    assert 0.4 < none.low < none.value < none.high < 0.62
    assert none.neighbours in set(none.table["neighbours"])
    assert none.value == none.table["accuracy"].max()


@pytest.mark.parametrize("seed", range(3))
def test_agrees_with_the_loops_of_the_oracle(seed: int) -> None:
    points, owner = groups([9, 12, 10], noise=0.6, seed=seed)
    found = explanatory_power(points, owner, neighbours=(1, 2, 3, 5), splits=3, seed=seed)
    splits = list(random_splits(len(owner), 3, np.random.default_rng(seed)))
    vectors = points.astype(np.float64)
    expected = oracle.mean_accuracies(vectors, owner.tolist(), splits, (1, 2, 3, 5))
    np.testing.assert_allclose(found.table["accuracy"], expected, rtol=1e-12)
    best = oracle.explanatory_power_index(vectors, owner.tolist(), splits, (1, 2, 3, 5))
    assert (found.value, found.neighbours) == pytest.approx(best)


def test_names_sparse_vectors_and_lengths_make_no_difference() -> None:
    points, owner = groups([20, 25, 30], noise=0.4)
    one = explanatory_power(points, owner)
    names = np.array(["c", "a", "b"])[owner]
    order = np.argsort(np.unique(names, return_index=True)[1])
    assert len(order) == 3
    scaled = points * np.random.default_rng(0).uniform(0.5, 9, (len(points), 1))
    for other in (
        explanatory_power(sparse.csr_array(points), owner),
        explanatory_power(scaled.astype(np.float32), owner),
    ):
        assert other.value == pytest.approx(one.value, abs=0.02)
    assert explanatory_power(scaled, owner, normalise=False).value < one.value


def test_the_same_seed_gives_the_same_numbers_and_a_sample_is_said() -> None:
    points, owner = groups([40, 40], noise=0.5)
    one, again = (explanatory_power(points, owner, seed=3, splits=4) for _ in range(2))
    assert (one.value, one.low, one.high) == (again.value, again.low, again.high)
    assert explanatory_power(points, owner, sample=30).documents == 30


@pytest.mark.parametrize(("count", "classes"), [(2, [0, 1]), (3, [0, 1, 2])])
def test_few_documents(count: int, classes: list[int]) -> None:
    assert explanatory_power(np.ones((count, 3)), classes).value == 0.0


@pytest.mark.parametrize("count", [2, 5])
def test_one_class_is_refused(count: int) -> None:
    """By its definition the index is 1 there, whatever the vectors are: that says nothing."""
    with pytest.raises(InputError, match=f"Got {count} documents of one class; expected two"):
        explanatory_power(np.ones((count, 3)), ["positive"] * count)


def test_zero_vectors_and_many_classes() -> None:
    power = explanatory_power(np.zeros((50, 3)), [k % 2 for k in range(50)])
    assert 0 <= power.value <= 1
    assert explanatory_power(np.eye(60), range(60)).value == 0


@given(arrays.arrays(np.int64, (7, 6), elements=st.integers(0, 3)))
def test_votes_are_modes(classes: np.ndarray) -> None:
    np.testing.assert_array_equal(vote(classes), stats.mode(classes, axis=1).mode)


def test_refusals() -> None:
    with pytest.raises(InputError, match="two documents"):
        explanatory_power(np.ones((1, 3)), [0])
    with pytest.raises(InputError, match="3 classes for 4"):
        explanatory_power(np.ones((4, 3)), [0, 1, 1])
    for options in ({"neighbours": [0]}, {"splits": 0}, {"sample": 1}):
        with pytest.raises(OptionError):
            explanatory_power(np.ones((4, 3)), [0, 1, 1, 0], **options)  # type: ignore[arg-type]
