"""Numbers as they are printed: four digits of the largest, shares as percentages."""

from __future__ import annotations

import pytest

from seqlrp.show.numbers import decimals_for, number_format, percent


@pytest.mark.parametrize(
    ("largest", "printed"),
    [(0.0, "+0.000"), (2.6, "+2.600"), (0.026, "+0.02600"), (250.0, "+250.0"), (3e5, "+300000"),
     (3e38, "+3.000e+38"), (2e-9, "+2.000e-09")],
)  # fmt: skip
def test_numbers_have_four_figures(largest, printed):
    assert format(largest, number_format(largest)) == printed
    assert format(-largest / 1e6, number_format(largest)) != format(-0.0, "+.3f")
    assert 999.5 <= largest * 10.0 ** decimals_for(largest) < 10_000 or largest == 0


@pytest.mark.parametrize(
    ("share", "said"),
    [(0, "0"), (1e-9, "< 1"), (0.0051, "1"), (0.5, "50"), (0.9949, "99"), (0.9951, "> 99"),
     (0.9999999, "> 99"), (1, "100")],
)  # fmt: skip
def test_what_is_not_sure_is_never_said_to_be(share, said):
    assert percent(share) == f"{said}\u00a0%"
