"""`seqlrp compare`: what it writes, and the status with which it ends."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
import torch
from samples.commands import refused, run

import seqlrp


def test_a_model_compared_with_itself(
    capsys: pytest.CaptureFixture[str], model: Path, corpus: Path, tmp_path: Path
) -> None:
    limits = ("--max-changed-predictions", "0", "--min-agreement", "0.99")
    status, out, _ = run(capsys, "compare", model, model, corpus, "--out", tmp_path / "o", *limits)
    assert status == 0
    assert "same answer to 100.0 %" in out
    assert json.loads((tmp_path / "o" / "comparison.json").read_text())["agreement"] == 1


def test_a_passed_limit_is_a_status_of_its_own(
    capsys: pytest.CaptureFixture[str], model: Path, corpus: Path, tmp_path: Path
) -> None:
    classifier = seqlrp.load(model)
    with torch.no_grad():
        for weight in classifier.model.parameters():
            if len(weight) == 2:  # the last layer: each class gets the score of the other
                weight.copy_(weight.flip(0))
    seqlrp.save(classifier, tmp_path / "other")
    limits = ("--max-changed-predictions", "0.01", "--min-agreement", "0.99")
    status, _, err = run(
        capsys, "compare", model, tmp_path / "other", corpus, "--out", tmp_path / "o", *limits
    )
    assert status == 3
    assert "of the answers changed, at most 0.01 may" in err
    assert "at least 0.99 is asked for" in err
    page = (tmp_path / "o" / "page.html").read_text("utf-8")
    assert "<b><bdi>other</bdi></b> · Explained: " in page


def test_a_table_is_not_written_over_the_corpus(
    capsys: pytest.CaptureFixture[str], model: Path, corpus: Path, tmp_path: Path
) -> None:
    read = tmp_path / "texts.parquet"
    pd.read_csv(corpus).to_parquet(read)
    before = read.read_bytes()
    message = refused(capsys, "compare", model, model, read, "--out", tmp_path)
    assert "would be lost" in message
    assert read.read_bytes() == before
