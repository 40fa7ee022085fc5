"""Models as people write them: each is explained rightly, or refused in a sentence."""

from __future__ import annotations

from collections import Counter

import pytest
from trust.judge import Case, judge
from trust.models import CASES

# The share of the models that are refused although they have a right answer; it may only fall.
NEEDLESS = 0.105


def faults(cases: list[Case]) -> list[str]:
    """What is wrong or raw among the cases."""
    verdicts = {case: judge(case) for case in cases}
    return [f"{v.kind} {c}: {v.message}" for c, v in verdicts.items() if v.kind in ("wrong", "raw")]


def test_names_are_all_different() -> None:
    assert max(Counter(map(str, CASES)).values()) == 1
    assert len(CASES) >= 600


@pytest.mark.parametrize("family", sorted({case.family for case in CASES}))
def test_a_tenth_of_a_family(family: str) -> None:
    assert faults([case for case in CASES if case.family == family][::10]) == []


@pytest.mark.slow
def test_no_model_is_wrong_in_silence_and_few_are_refused() -> None:
    verdicts = {case: judge(case) for case in CASES}
    refused = [c for c, v in verdicts.items() if v.kind == "refused" and c.truth is not None]
    assert [f"{c}: {v}" for c, v in verdicts.items() if v.kind in ("wrong", "raw")] == []
    assert len(refused) <= NEEDLESS * len(CASES)
