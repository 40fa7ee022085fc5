"""The command `analyse`."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from samples.commands import refused, run

import seqlrp

pytest.importorskip("sklearn")


def test_it_writes_a_report(model, corpus, tmp_path, capsys) -> None:  # type: ignore[no-untyped-def]
    out: Path = tmp_path / "report"
    status, printed, _ = run(capsys, "analyse", model, corpus, "--out", out, "--candidate", "good")
    assert status == 0
    assert printed.splitlines()[0].startswith("20 texts of")
    assert printed.splitlines()[-1] == str(out / "index.html")
    assert "good" in set(seqlrp.CorpusAnalysis.load(out).shortcuts["candidate"])


def test_a_decisive_candidate_fails_where_it_is_asked_to(  # type: ignore[no-untyped-def]
    model, corpus, tmp_path, capsys, monkeypatch
) -> None:
    from seqlrp.analysis import shortcuts

    monkeypatch.setattr(shortcuts, "verdict", lambda *_: "decisive")
    command = ["analyse", model, corpus, "--out", tmp_path / "report"]
    assert run(capsys, *command)[0] == 0
    status, _, err = run(capsys, *command, "--fail-on-shortcut")
    assert status == 3
    assert "decisive: " in err
    names = set(seqlrp.CorpusAnalysis.load(tmp_path / "report").shortcuts["candidate"])
    allowed = [word for name in names for word in ("--allow", name)]
    assert run(capsys, *command, "--fail-on-shortcut", *allowed)[0] == 0


def test_a_missing_package_is_told_before_anything_is_loaded(  # type: ignore[no-untyped-def]
    capsys, tmp_path, monkeypatch
) -> None:
    for name in [n for n in sys.modules if n.partition(".")[0] == "sklearn"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "sklearn", None)
    said = refused(capsys, "analyse", tmp_path / "no model", "no corpus", "--out", tmp_path / "r")
    assert 'pip install "seqlrp[sklearn]"' in said
