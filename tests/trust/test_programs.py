"""Random programs of 5 to 30 functions are explained rightly, or refused in a sentence."""

from __future__ import annotations

from collections import Counter

import pytest
from trust.programs import judge_program


def counts_of(seeds: range) -> Counter[str]:
    """How often each verdict was given; wrong answers and raw errors fail."""
    counts: Counter[str] = Counter()
    for seed in seeds:
        verdict, program = judge_program(seed)
        assert verdict.kind not in ("wrong", "raw"), f"{seed}: {verdict.message}\n{program}"
        counts[verdict.kind] += 1
    return counts


# An in-place step reaches a tensor that only pooling knew; ids of unknown origin are overwritten; a
# signal is overwritten that another step has kept; a sum that starts with 0 grows in place; the
# result of a logsumexp, which its truth keeps, is overwritten.
@pytest.mark.parametrize("seed", [10066, 5961, 122, 8, 203, 502412])
def test_programs_that_were_wrong_or_raised(seed: int) -> None:
    counts_of(range(seed, seed + 1))


def test_random_programs() -> None:
    counts = counts_of(range(60))
    assert counts["right"] >= 30
    assert counts["answered"] <= 3


@pytest.mark.slow
def test_more_random_programs() -> None:
    counts = counts_of(range(60, 1060))
    assert counts["right"] >= 500
    assert counts["answered"] <= 30
