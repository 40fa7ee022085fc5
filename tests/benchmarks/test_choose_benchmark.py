"""The benchmark of the choice runs on a small language, and its table says what was measured."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.choose import main, report, verdict


@pytest.mark.slow
def test_the_whole_script(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--train", "1500", "--texts", "240", "--epochs", "1", "--only", "language, GRU"]
    arguments = [str(tmp_path), "--out", str(tmp_path / "out"), *options]
    assert main(arguments) == 0
    first = capsys.readouterr().out
    assert "14 candidates were compared by abpc" in first
    assert main(arguments) == 0
    again = capsys.readouterr().out
    assert again in first  # from the folder, without training again
    assert again.splitlines()[2].startswith("| language, GRU | ")


def test_a_table_counts_what_is_better(capsys: pytest.CaptureFixture[str]) -> None:
    times = [{"candidate": c, "milliseconds": k} for k, c in enumerate(("lrp", "gradient_x_input"))]
    record = {"accuracy": 0.5, "texts": [60, 61], "candidates": times, "best": "lrp", "name": "lrp"}
    over = {"gradient_x_input": [0.02, 0.01, 0.03]}
    report({"one": {**record, "over": over}, "other": {**record, "over": {}}})
    out = capsys.readouterr().out
    row = "| one | 50% | 60 + 61 | lrp | lrp | the same | 2.00 [1.00, 3.00] | 0.0, 0.0, 1.0 |"
    assert row in out
    assert "Against lrp: better on 0 of 2, worse on 0." in out
    assert "Against gradient_x_input: better on 1 of 2, worse on 0." in out
    assert [verdict([-0.1, -0.2, -0.01]), verdict([0.1, -0.2, 0.3]), verdict(None)] == [-1, 0, 0]
