"""`explain --out FOLDER` on the command line."""

from __future__ import annotations

import pytest
from samples.commands import run

import seqlrp


@pytest.fixture
def here(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    """Workers in this process, which start in no time."""
    from samples.sharded import InProcess

    from seqlrp.scale import run as scale_run

    monkeypatch.setattr(scale_run, "_engine", lambda name, job, *rest: InProcess(job))


def test_a_folder_is_explained_and_shown(model, corpus, tmp_path, capsys, here) -> None:  # type: ignore[no-untyped-def]
    out = tmp_path / "explained"
    command = ("explain", model, corpus, "--out", out, "--shard-size", "8", "--epsilon", "0.1")
    status, printed, err = run(capsys, *command)
    assert status == 0, err
    assert printed.strip() == str(out)
    assert "20 explained, 0 set aside" in err
    assert run(capsys, *command)[0] == 0  # which has nothing left to do
    _, printed, _ = run(capsys, *command, "--status")
    assert printed.startswith("3 of 3 shards, 20 of 20 documents")
    status, _, err = run(capsys, *command[:-1], "0.2")
    assert status == 2
    assert "The folder was begun with parameters" in err
    assert run(capsys, "render", out, "--out", tmp_path / "pages")[0] == 0
    assert (tmp_path / "pages" / "index.html").exists()
    found = seqlrp.Explanations.load(out)
    assert found.summary("word")["documents"].max() <= 20


@pytest.mark.usefixtures("without_pictures")
def test_a_folder_is_evaluated_and_analysed(model, corpus, tmp_path, capsys, here) -> None:  # type: ignore[no-untyped-def]
    pytest.importorskip("sklearn")
    out = tmp_path / "explained"
    assert run(capsys, "explain", model, corpus, "--out", out)[0] == 0
    methods = ("--methods", "lrp,random", "--metrics", "aopc", "--min-words", "2")
    report = tmp_path / "evaluation"
    assert run(capsys, "evaluate", model, out, "--out", report, *methods)[0] == 0
    assert run(capsys, "evaluate", model, out, "--out", report, *methods, "--first", "5")[0] == 0
    status, printed, _ = run(capsys, "analyse", model, out, "--out", tmp_path / "analysis")
    assert status == 0
    assert printed.startswith("20 texts of explained, explained by LRP, of which")
    for command in ("evaluate", "analyse"):
        typed = (command, model, out, "--out", tmp_path / "o", "--text-column", "text")
        status, _, err = run(capsys, *typed)
        assert status == 2
        assert "--text-column does not go with" in err


def test_texts_that_are_set_aside_are_an_exit_status(model, tmp_path, capsys, here) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "a.csv").write_text('text\na good film\n" "\n')
    out = tmp_path / "explained"
    status, _, err = run(capsys, "explain", model, tmp_path / "a.csv", "--out", out)
    assert status == 4
    assert "_failed.parquet lists the texts" in err
    skipped = ("--on-unanswerable", "skip")
    out = tmp_path / "skipped"
    assert run(capsys, "explain", model, tmp_path / "a.csv", "--out", out, *skipped)[0] == 0


def test_options_of_folders_and_files(model, corpus, tmp_path, capsys) -> None:  # type: ignore[no-untyped-def]
    def message(*arguments: object) -> str:
        status, _, err = run(capsys, "explain", model, *arguments)
        assert status == 2
        return err

    out = tmp_path / "explained"
    assert "--workers goes with --out FOLDER" in message(corpus, "--workers", "2")
    assert "--first does not go with --out FOLDER" in message(corpus, "--out", out, "--first", "2")
    assert "name the texts by files" in message("--out", out)
    assert "Several sources go with" in message(corpus, corpus)
