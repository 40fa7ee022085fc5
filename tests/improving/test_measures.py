"""What a repair gives back of the accuracy that a shortcut cost."""

from __future__ import annotations

import numpy as np
import pytest

from seqlrp.improving.measures import recovered_share


def right(share: float) -> np.ndarray:
    return np.arange(200) < 200 * share


@pytest.mark.parametrize(
    ("without", "put_in", "expected"),
    [
        ((0.9, 0.9), (0.5, 0.7), 0.5),
        ((0.9, 0.8), (0.5, 0.8), 0.75),  # worse everywhere: what it costs is not back
        ((0.7, 0.86), (0.64, 0.83), 0.5),  # better everywhere: half of the loss is still there
        ((0.7, 0.86), (0.64, 0.86), 1.0),
        ((0.9, 0.9), (0.5, 0.4), -0.25),
    ],
)
def test_what_texts_gain_or_lose_without_the_shortcut_is_no_recovery(
    without: tuple[float, float], put_in: tuple[float, float], expected: float
) -> None:
    share, low, high = recovered_share([*map(right, without)], [*map(right, put_in)])
    assert share == pytest.approx(expected)
    assert low <= share <= high


def test_nothing_is_recovered_where_nothing_is_lost() -> None:
    same = [right(0.7), right(0.8)]
    assert np.isnan(recovered_share(same, same)).all()
    assert np.isnan(recovered_share([np.zeros(0, bool)] * 2, [np.zeros(0, bool)] * 2)).all()
