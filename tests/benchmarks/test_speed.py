"""That LRP is not slow: bounds so wide that a busy machine keeps them."""

from __future__ import annotations

import pytest

from seqlrp.benchmark import BenchmarkReport, benchmark

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def report() -> BenchmarkReport:
    return benchmark(
        hidden=(64,), length=(100,), batch=(32,), threads=(1,), limit=3.0, memory=False, quick=True
    )


@pytest.mark.parametrize(
    ("question", "ratio", "bound"),
    [
        ("speed", "lrp/gradient_x_input", 2.0),
        ("speed", "lrp/forward", 6.0),
        ("classes", "all/one", 12.0),  # 20 classes one by one would take 20 times as long
        ("growth", "growth", 2.0),
    ],
)
def test_relevance_is_not_slow(
    report: BenchmarkReport, question: str, ratio: str, bound: float
) -> None:
    cells = [cell for cell in report.cells if cell.question == question]
    assert len(cells) == (4 if question == "speed" else 2)
    for cell in cells:
        assert report.ratio(cell, ratio) < bound, str(cell)
