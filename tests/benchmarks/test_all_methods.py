"""The script behind the tables of docs/evaluation.md, on a corpus of some words."""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import pytest

import seqlrp
from benchmarks import all_methods


@pytest.mark.slow
def test_a_corpus_becomes_a_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    corpus = seqlrp.load_corpus("generated")
    rows = zip(corpus.texts[:80], corpus.labels[:80], strict=True)
    with (tmp_path / "corpus.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("text", "label"), *((t, "ab"[k]) for t, k in rows)])
    chosen = {name: name for name in ("lrp", "gradient_x_input", "random")}
    monkeypatch.setattr(all_methods, "methods", lambda long: chosen)
    arguments = [str(tmp_path / "corpus.csv"), "--out", str(tmp_path / "out"), "--epochs", "1"]
    monkeypatch.setattr(sys, "argv", ["all_methods.py", *arguments, "--texts", "10"])
    all_methods.main()
    rows = capsys.readouterr().out.strip().splitlines()
    assert len(rows) == 5
    assert {row.split("|")[1].strip() for row in rows[2:]} == set(chosen)
    report = seqlrp.EvaluationReport.load(tmp_path / "out")
    best = rows[2].split("|")[1].strip()
    areas = report.results.query("metric == 'abpc'").set_index("method")["value"]
    assert areas.idxmax() == best


def test_long_texts_leave_out_what_asks_for_every_word_and_sample() -> None:
    every, fewer = all_methods.methods(long=False), all_methods.methods(long=True)
    assert set(every) == set(seqlrp.METHODS)
    assert set(every) - set(fewer) >= {"shapley", "kernel_shap"}
    assert fewer["lime"] == {"method": "lime", "samples": 300}
