"""`seqlrp repair`: a new model folder, its report, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from samples.commands import refused, run

import seqlrp


def test_a_model_is_repaired_and_saved(
    capsys: pytest.CaptureFixture[str], model: Path, corpus: Path, tmp_path: Path
) -> None:
    before = {path.name: path.read_bytes() for path in model.iterdir()}
    out, report = tmp_path / "model2", tmp_path / "report"
    status, said, _ = run(
        capsys, "repair", model, corpus, "--shortcut", "dull", "--shortcut", "the last word",
        "--how", "data", "--edit", "delete", "--epochs", 1, "--out", out, "--report", report,
    )  # fmt: skip
    assert status == 0
    assert said.startswith("Repaired 'dull', 'the last word' by training on with a corpus")
    assert said.splitlines()[-2:] == [str(out), str(report / "page.html")]
    assert before == {path.name: path.read_bytes() for path in model.iterdir()}
    texts = ["a good film", "a dull plot"]
    old, new = (seqlrp.load(folder).predict(texts).scores for folder in (model, out))
    assert not np.array_equal(old, new)
    mended = pd.read_parquet(report / "mended.parquet")
    assert not mended["text"].str.contains("dull").any()
    made = json.loads((out / "config.json").read_text())["training"]["repair"]["made"]
    assert made["edit"] == "delete"


def test_units_are_switched_off(
    capsys: pytest.CaptureFixture[str], model: Path, corpus: Path, tmp_path: Path
) -> None:
    out = tmp_path / "model2"
    units = ("--units-off", "encoder.recurrence:0,2")
    status, said, _ = run(capsys, "repair", model, corpus, *units, "--how", "disable", "--out", out)
    assert status == 0
    assert "by switching off 2 units" in said
    weight = seqlrp.load(out).model.encoder.recurrence.weight_ih_l0  # type: ignore[union-attr]
    assert (weight[[10, 12]] == 0).all()


def test_what_is_refused(
    capsys: pytest.CaptureFixture[str], model: Path, corpus: Path, tmp_path: Path
) -> None:
    out = ("--out", tmp_path / "model2")
    shortcut = ("--shortcut", "dull")
    assert "Name what is to be repaired" in refused(capsys, "repair", model, corpus, *out)
    message = refused(capsys, "repair", model, corpus, *out, "--shortcut", "nowhere")
    assert "'nowhere' stands in none of the" in message
    message = refused(
        capsys, "repair", model, corpus, *out, "--units-off", "lstm", "--how", "disable"
    )
    assert "encoder.recurrence:3,17" in message
    layer = ("--how", "project", "--layer", "lstm")
    assert "no layer 'lstm'" in refused(capsys, "repair", model, corpus, *out, *shortcut, *layer)
    plain = tmp_path / "plain.txt"
    plain.write_text("a dull film\na good plot\n")
    assert "has no labels" in refused(capsys, "repair", model, plain, *out, *shortcut)
    message = refused(capsys, "repair", model, corpus, "--out", model, *shortcut)
    assert "would be lost" in message or "holds a model already" in message
    assert not (tmp_path / "model2").exists()
