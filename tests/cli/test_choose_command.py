"""The command `choose`, and those that use what it stored."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from samples.classifiers import WORDS
from samples.commands import refused, run

import seqlrp


def long_corpus(folder: Path) -> Path:
    drawn = np.random.default_rng(0)
    path = folder / "long.csv"
    rows = [f"{' '.join(drawn.choice(WORDS, 12))},positive" for _ in range(110)]
    path.write_text("text,label\n" + "\n".join(rows) + "\n")
    return path


def test_choose_and_use(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = long_corpus(tmp_path)
    assert "No method was chosen" in refused(capsys, "explain", model, path, "--method", "chosen")
    status, out, _ = run(
        capsys, "choose", model, path, "--candidate", "lrp,epsilon=10%", "--first", 100
    )
    assert status == 0
    assert out.startswith("Chosen: ")
    assert "on 50 texts" in out
    assert out.splitlines()[-1] == str(model / "choice.json")
    record = json.loads((model / "choice.json").read_text())
    assert {row["candidate"] for row in record["report"]["candidates"]} == {
        "lrp", "gradient_x_input", "lrp,epsilon=10%",
    }  # fmt: skip
    chosen = seqlrp.load(model).chosen
    assert chosen == record["method"]
    status, out, _ = run(capsys, "explain", model, path, "--method", "chosen", "--first", 1,
                         "--out", "-")  # fmt: skip
    assert json.loads(out)["method"] == chosen["method"]
    wrong = refused(capsys, "explain", model, path, "--method", "chosen", "--epsilon", "0")
    assert "has its options; leave epsilon out" in wrong


@pytest.mark.slow
def test_an_interrupted_choice_goes_on(
    model: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out, path = tmp_path / "reports", long_corpus(tmp_path)
    command = ["choose", model, path, "--candidate", "occlusion", "--out", out]
    occlusion = seqlrp.METHODS["occlusion"]
    with monkeypatch.context() as patch:
        patch.setattr(occlusion, "compute", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        status, _, err = run(capsys, *command)
    assert status == 130
    assert f"are kept in {out}" in err
    assert len(list((out / "choosing" / "unfinished").iterdir())) == 2  # LRP, gradient × input
    assert not (out / "confirming").exists()
    assert run(capsys, *command)[0] == 0
    for half in ("choosing", "confirming"):
        assert (out / half / "summary.txt").exists()
        assert not (out / half / "unfinished").exists()


def test_bad_input(model: Path, corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "a choice needs 100" in refused(capsys, "choose", model, corpus)
    assert "no --option epsilom" in refused(
        capsys, "choose", model, corpus, "--candidate", "lrp,epsilom=1"
    )
    assert "would be lost" in refused(capsys, "choose", model, corpus, "--out", model)
