"""Recurrences written out step by step are explained as the fused layers are."""

# mypy: disable-error-code="no-any-return, no-untyped-call, operator, arg-type"
# mypy: disable-error-code="list-item, call-overload, index"

from __future__ import annotations

import pytest
from samples.model_functions.layers import EPSILON, FULL, Forward, attribute, build, close
from samples.model_functions.recurrences import WRITTEN


@pytest.mark.parametrize("epsilon", [0.0, EPSILON])
@pytest.mark.parametrize(("fused", "written"), WRITTEN, ids=lambda f: f.__name__)
def test_written_out_is_fused(fused: Forward, written: Forward, epsilon: float) -> None:
    close(build(fused)(FULL), build(written)(FULL), 1e-14)
    relevance, ledger = attribute(fused, FULL, epsilon)
    got, account = attribute(written, FULL, epsilon)
    close(got, relevance)
    close(account.total("tokens"), ledger.total("tokens"))
    close(account.total("stabiliser"), ledger.total("stabiliser"))
    # A bias times a gate may be booked as a constant.
    fixed = ("bias", "constant", "initial state")
    close(sum(account.total(k) for k in fixed), sum(ledger.total(k) for k in fixed))
