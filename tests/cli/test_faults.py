"""A command that is killed or interrupted leaves the old result or the new one, whole."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from samples.commands import run
from samples.faults import Fault, run_with_faults

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs fork and signals")

COMMANDS = {  # what is written, how it is looked at, and the arguments
    "explain-parquet": ("r.parquet", "explanations", ["explain", "{model}", "{corpus}", "--out"]),
    "explain-jsonl": ("r.jsonl", "explanations", ["explain", "{model}", "{corpus}", "--out"]),
    "explain-html": ("r.html", "file", ["explain", "{model}", "{corpus}", "--html"]),
    "explain-pages": ("pages", "folder", ["explain", "{model}", "{corpus}", "--html"]),
    "render": ("r.html", "file", ["render", "{explanations}", "--out"]),
    "render-pages": ("pages", "folder", ["render", "{explanations}", "--out"]),
    "train": (
        "trained",
        "model",
        ["train", "{corpus}", "--hidden", "2", "--epochs", "1", "--overwrite", "--out"],
    ),
    "evaluate": (
        "evaluation",
        "evaluation",
        ["evaluate", "{model}", "{corpus}", "--methods", "lrp,random", "--metrics", "aopc",
         "--random-orders", "1", "--min-words", "3", "--out"],
    ),
}  # fmt: skip
HOW = ("copy", "interrupt", "write")


def _fault(name: str, how: str, most: int, model: Path, corpus: Path, capsys) -> Fault:  # type: ignore[no-untyped-def]
    """The command with its output as it was made of fewer texts."""
    output, kind, command = COMMANDS[name]
    given = corpus.parent / "given.jsonl"
    folder = corpus.parent / "written"
    folder.mkdir()
    fewer = corpus.parent / "fewer.csv"
    fewer.write_text("".join(corpus.read_text().splitlines(keepends=True)[:13]))

    def arguments(texts: Path) -> list[str]:
        run(capsys, "explain", model, texts, "--out", given)
        named = {"model": model, "corpus": texts, "explanations": given}
        return [*(part.format(**named) for part in command), str(folder / output)]

    status, _, err = run(capsys, *arguments(fewer))
    assert status == 0, err
    return Fault(arguments(corpus), str(folder), str(folder / output), kind, how, most)


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_some_moments_of_a_real_kill(name, model, corpus, capsys) -> None:  # type: ignore[no-untyped-def]
    found = run_with_faults(_fault(name, "kill", 4, model, corpus, capsys))
    assert len(found["states"]) == 4
    assert set(found["states"].values()) <= {"old", "new"}, found


@pytest.mark.slow
@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("name", COMMANDS)
def test_every_moment(name, how, model, corpus, capsys) -> None:  # type: ignore[no-untyped-def]
    found = run_with_faults(_fault(name, how, 0, model, corpus, capsys))
    assert found["moments"] > 3
    assert set(found["states"].values()) <= {"old", "new"}, found
