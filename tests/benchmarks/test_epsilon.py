"""The comparison of stabilisers runs on a small language, and its tables say what they should."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.epsilon import ABSOLUTE, METHODS, Sizes, labelled_lines, main, shortfall


def test_the_whole_script(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--train", "60", "--texts", "4", "--epochs", "1", "--only", "language, GRU"]
    assert main([str(tmp_path), "--out", str(tmp_path / "out"), *options]) == 0
    first = capsys.readouterr().out
    assert "language, GRU: " in first
    for measure in ("area", "comprehensiveness", "sufficiency", "agreement"):
        assert f"\n{measure}" in first
    assert "5% minus 0.005" in first
    assert main([str(tmp_path), "--out", str(tmp_path / "out"), *options]) == 0
    assert capsys.readouterr().out in first  # from the folder, without training again


def test_shortfall_is_of_the_best_absolute_value() -> None:
    found = dict.fromkeys(METHODS, 0.5) | {f"{ABSOLUTE[1]:g}": 0.8, "5%": 0.9, "occlusion": 0.4}
    missing = shortfall(found, "area")
    assert missing["occlusion"] == pytest.approx(50)
    assert missing["5%"] == pytest.approx(-12.5)
    assert shortfall(found, "sufficiency")["5%"] == pytest.approx(40)


def test_lines_are_split_and_drawn(tmp_path: Path) -> None:
    path = tmp_path / "few.all"
    path.write_text("".join(f"{k % 2} text {k} é\n" for k in range(50)), encoding="latin-1")
    train, test = labelled_lines(path, ("no", "yes"), Sizes(20, 5, 0))
    assert (len(train), len(test)) == (20, 5)
    assert not set(train.texts) & set(test.texts)
    labels = [int(text.split()[1]) % 2 for text in train.texts]
    assert train.labels is not None
    assert np.array_equal(train.labels, labels)
