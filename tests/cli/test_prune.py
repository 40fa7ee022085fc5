"""`seqlrp prune`: what it writes, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from samples.commands import refused, run

import seqlrp


def test_a_smaller_model_and_its_report(
    capsys: pytest.CaptureFixture[str], model: Path, corpus: Path, tmp_path: Path
) -> None:
    out, report = tmp_path / "smaller", tmp_path / "report"
    given = ("--share", "0.6", "--references", "2", "--criterion", "weight", "--report", report)
    status, said, _ = run(capsys, "prune", model, corpus, "--out", out, *given)
    assert status == 0
    assert "6 of 10 units are gone, by the criterion 'weight' from 4 texts" in said
    assert seqlrp.load(out).model.get_submodule("encoder.recurrence").hidden_size == 2
    kept = json.loads((out / "config.json").read_text())["training"]["pruned"]
    assert kept["settings"]["share"] == 0.6
    assert "random" in (report / "curve.csv").read_text()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("--share", "1"), "--share 1.0; expected a finite number, above 0, below 1"),
        (("--layer", "lstm"), "lstm"),
        (("--criterion", "size"), "--criterion size"),
        (("--criterion", "taylor", "--no-labels"), "--label-column"),
        (("--out", "MODEL"), "would be lost"),
    ],
)
def test_what_is_refused(
    capsys: pytest.CaptureFixture[str],
    model: Path,
    corpus: Path,
    tmp_path: Path,
    given: tuple[str, ...],
    message: str,
) -> None:
    arguments = [str(model) if value == "MODEL" else value for value in given]
    out = () if "--out" in given else ("--out", tmp_path / "smaller")
    assert message in refused(capsys, "prune", model, corpus, *arguments, *out)
    assert not (tmp_path / "smaller").exists()
