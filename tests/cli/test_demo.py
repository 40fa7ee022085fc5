"""The whole path in one call."""

from __future__ import annotations

from pathlib import Path

import pytest
from samples.explanations import explanation

import seqlrp
from seqlrp.cli.demonstration import _account_sentence, run_demo


def test_shares_are_of_sizes_so_that_signs_do_not_cancel() -> None:
    accounts = [{"tokens": 2.0, "bias": 1.0, "stabiliser": 0.0}, {"tokens": 1.0, "bias": -1.0}]
    explanations = seqlrp.Explanations(explanation("a b", ledger=each) for each in accounts)
    assert _account_sentence(explanations).endswith(
        "made it: the words 60%, constants of the model (biases) 40%."
    )


@pytest.mark.slow
def test_the_demo_leaves_all_that_it_says(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_demo("generated", tmp_path)
    said = capsys.readouterr().out
    classifier = seqlrp.load(tmp_path / "model")
    texts = seqlrp.load_corpus(tmp_path / "held-out.csv", label_names=classifier.labels)
    explanations = seqlrp.Explanations.load(tmp_path / "explanations.parquet")
    assert [e.text for e in explanations] == texts.texts
    assert texts.labels is not None
    assert [e.label for e in explanations] == texts.labels.tolist()
    right = (classifier.predict(texts.texts).predicted == texts.labels).mean()
    assert f"is right in {right:.1%} of 600 held-out texts." in said
    assert right > 0.85
    report = seqlrp.EvaluationReport.load(tmp_path / "evaluation")
    gains = report.advantage().set_index(["metric", "direction", "method"])["low"]
    assert gains["deletion_accuracy", "right", "lrp"] > 0
    assert report.verdict() in said
    assert (tmp_path / "evaluation" / "summary.txt").read_text("utf-8") == report.summary() + "\n"
    assert (tmp_path / "page.html").read_text("utf-8").count("<article") == 60
    for path in ("model", "explanations.parquet", "held-out.csv", "evaluation", "page.html"):
        assert str(tmp_path / path) in said
