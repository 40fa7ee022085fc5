"""The simulation agrees with what can be reckoned, and knows what lost shards cost."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.cluster_simulation import Cluster, overheads, simulate

SMALL = Cluster(workers=10, documents=100_000, rate=10, start=0, delay=0, lifetime=1e12, shard=0,
                hand=0)  # fmt: skip


def test_without_failures_the_time_is_that_of_the_shards() -> None:
    assert simulate(SMALL, 1000) == pytest.approx(1000)  # ten shards each
    assert simulate(SMALL, 20_000) == pytest.approx(2000)  # half of the workers have none
    assert simulate(replace(SMALL, shard=1), 100) == pytest.approx(1100)


def test_the_process_that_hands_out_can_be_the_limit() -> None:
    assert simulate(replace(SMALL, hand=2), 100) == pytest.approx(2000, rel=0.02)


def test_lost_shards_cost_what_the_exponential_says() -> None:
    """A shard of s seconds takes L (e^(s/L) - 1) on average, where workers live L seconds."""
    one = replace(SMALL, workers=1, documents=200_000, lifetime=100)
    found = overheads(one, [1000], seeds=5)[1000]
    assert found == pytest.approx(1.718, rel=0.12)


def test_there_is_a_best_size() -> None:
    cluster = Cluster(workers=100, documents=10_000_000, lifetime=600)
    found = overheads(cluster, [64, 1024, 65_536], seeds=1)
    assert found[1024] < found[64]
    assert found[1024] < found[65_536]
