"""The commands on a terminal, in a pipe, interrupted, and on a disk that is full."""

from __future__ import annotations

import io
import json
import os
import pty
import signal
import subprocess
import sys
import warnings
from collections.abc import Iterator

import numpy as np
import pytest
from samples.commands import refused, run
from samples.explanations import explanation

import seqlrp
from seqlrp.cli.plain_text import format_explanation
from seqlrp.errors import ImbalanceWarning
from seqlrp.models.fingerprint import fingerprint


def piped(*arguments: object, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "seqlrp", *map(str, arguments)]
    return subprocess.run(command, input=given, capture_output=True)


def typed(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))


def test_a_line_is_a_text(model, capsys, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    typed(monkeypatch, "a good film\n\na bad plot\r\n")
    status, out, err = run(capsys, "explain", model, "-")
    assert status == 0
    assert "1 blank line: left out (line 2," in err
    first, second = out.split("\n\n")
    assert first.splitlines()[0].endswith(")  a good film")
    assert second.splitlines()[0].endswith(")  a bad plot")


def test_texts_are_counted_from_0_to_the_last(model, capsys, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    texts: list[object] = ["a good film"] * 150 + [7]
    monkeypatch.setattr("seqlrp.cli.input_texts.numbered_lines", lambda _: enumerate(texts))
    status, out, err = run(capsys, "explain", model, "-", "--out", "-")
    assert status == 2
    assert err.startswith("seqlrp: Text 150 is int")
    assert err.endswith(" Texts are counted from 0.\n")
    assert len(out.splitlines()) == 128  # what was explained before is there


def test_json_lines_on_standard_output_are_those_of_a_file(model, corpus, tmp_path, capsys) -> None:  # type: ignore[no-untyped-def]
    file = tmp_path / "r.jsonl"
    run(capsys, "explain", model, corpus, "--out", file)
    status, out, _ = run(capsys, "explain", model, corpus, "--out", "-")
    assert status == 0
    guards = ("number", "checksum")  # in a file, rows are counted
    lines, rows = ([json.loads(line) for line in text.splitlines()]
                   for text in (out, file.read_text()))  # fmt: skip
    assert [row.pop("count") for row in rows] == [None] * (len(rows) - 1) + [len(rows)]
    assert all(line.pop("count") is None for line in lines)
    assert [row["number"] for row in rows] == list(range(1, len(rows) + 1))
    assert all(
        line.pop(name) != row.pop(name)
        for name in guards
        for line, row in zip(lines, rows, strict=True)
    )
    assert lines == rows
    status, out, _ = run(capsys, "explain", model, corpus, "--out", "-", "--first", 3)
    assert len(out.splitlines()) == 3
    page = tmp_path / "r.html"
    assert "--html" in refused(capsys, "explain", model, corpus, "--out", "-", "--html", page)
    assert not page.exists()


def test_documents_of_a_folder_keep_their_names(model, tmp_path, capsys) -> None:  # type: ignore[no-untyped-def]
    for name in ("two", "one"):
        (tmp_path / f"{name}.txt").write_text(f"a good film {name}")
    status, out, _ = run(capsys, "explain", model, tmp_path, "--out", "-")
    assert status == 0
    assert [json.loads(line)["id"] for line in out.splitlines()] == ["one.txt", "two.txt"]
    _, out, _ = run(capsys, "explain", model, tmp_path)
    assert out.startswith("one.txt: ")
    status, out, _ = run(capsys, "check", model, tmp_path)
    assert "Where the scores of 2 documents went" in out


def test_check_reads_standard_input(model, capsys, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    typed(monkeypatch, "a good film\na bad plot\n")
    assert "of 2 documents" in run(capsys, "check", model, "-")[1]
    typed(monkeypatch, "a good film\na bad plot\n")
    assert "of 1 document went" in run(capsys, "check", model, "--text", "-")[1]


def test_the_verdict(model, corpus, capsys) -> None:  # type: ignore[no-untyped-def]
    _, out, _ = run(capsys, "explain", model, corpus)
    verdicts = [line for line in out.splitlines() if line and not line.startswith(" ")]
    assert len(verdicts) == 20
    found = list(seqlrp.explain(seqlrp.load(model), seqlrp.load_corpus(corpus)))
    for verdict, e in zip(verdicts, found, strict=True):
        truth = "right" if e.predicted == e.label else f"wrong: it is {e.label_name}"
        chance = f"probability {e.probabilities[e.predicted]:.3f}"
        assert verdict.startswith(
            f"{e.predicted_label}, {chance}, {truth}  (score {e.score:+.3f} for"
        )
    _, out, _ = run(capsys, "explain", model, corpus, "--no-labels")
    assert ", right  (" not in out
    assert ", wrong: " not in out


def test_probabilities_where_they_are_known() -> None:
    e = explanation(probabilities=np.array([0.06, 0.94], np.float32))
    verdict = format_explanation(e).splitlines()[0]
    assert verdict.startswith("reviews/1: positive, probability 0.940, wrong: it is negative  (")
    assert "Predicted: positive, probability 0.940 (wrong, it is negative)" in e.to_ansi()


def test_labels_that_the_model_does_not_know(model, tmp_path, capsys) -> None:  # type: ignore[no-untyped-def]
    strange = tmp_path / "strange.csv"
    strange.write_text("text,label\na good film,neutral\n")
    assert "--no-labels" in refused(capsys, "explain", model, strange)
    status, out, _ = run(capsys, "explain", model, strange, "--no-labels", "--out", "-")
    assert status == 0
    assert json.loads(out)["label"] is None
    assert run(capsys, "check", model, strange)[0] == 0
    assert "'neutral'" in refused(capsys, "check", model, strange, "--target", "label")


def test_options_of_methods(model, corpus, tmp_path, capsys) -> None:  # type: ignore[no-untyped-def]
    steps = ("explain", model, corpus, "--method", "integrated_gradients", "--option")
    out = tmp_path / "r.jsonl"
    rule = ("--option", "rule=riemann_left")
    status, _, _ = run(
        capsys, *steps, "n_steps=3", *rule, "--out", out, "--batch-tokens", "auto", "--first", 1
    )
    assert status == 0
    [found] = seqlrp.Explanations.load(out)
    assert found.parameters["n_steps"] == 3
    assert found.parameters["rule"] == "riemann_left"
    assert "expected a whole number" in refused(capsys, *steps, "n_steps=many")
    assert "expected a whole number" in refused(capsys, *steps, "n_steps=true")
    assert "a name and a value" in refused(capsys, *steps, "n_steps")
    assert "Did you mean 'n_steps'" in refused(capsys, *steps, "n_step=3")
    assert "twice" in refused(capsys, *steps, "n_steps=3", "--option", "n_steps=4")
    unnamed = refused(capsys, "explain", model, corpus, "--option", "gates=embeding,lstm")
    assert "Did you mean 'embedding'" in unnamed
    assert "takes no --option model" in refused(capsys, *steps, "model=x")
    for wrong in ("0", "-1", "many", "²"):
        assert "or auto" in refused(capsys, "explain", model, corpus, "--batch-tokens", wrong)


def test_a_page_and_a_file_from_one_stream(model, corpus, tmp_path, capsys, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    out, page, pages = tmp_path / "r.parquet", tmp_path / "r.html", tmp_path / "pages"
    monkeypatch.setattr("seqlrp.cli.pages.SHOWN", 4)
    status, said, err = run(capsys, "explain", model, corpus, "--out", out, "--html", page)
    assert (status, said.split()) == (0, [str(page), str(out)])
    assert "shows the first 4 texts" in err
    assert page.read_text("utf-8").count("<article") == 4
    same = fingerprint(seqlrp.load(model), {}, ()).hexdigest()  # as the live page says it
    assert f"<bdi>{same[:16]}</bdi>" in page.read_text("utf-8")
    assert len(seqlrp.Explanations.load(out)) == 20
    status, said, err = run(capsys, "explain", model, corpus, "--html", page, "--first", 7)
    assert (status, said.split(), err) == (0, [str(page)], "")
    assert page.read_text("utf-8").count("<article") == 7
    status, _, err = run(capsys, "explain", model, corpus, "--html", pages)
    assert (status, err) == (0, "")
    assert (pages / "page-1.html").read_text("utf-8").count("<article") == 20
    assert "would be replaced" in refused(capsys, "explain", model, corpus, "--html", tmp_path)
    run(capsys, "render", out, "--out", pages, "--first", 6)
    assert (pages / "page-1.html").read_text("utf-8").count("<article") == 6


def test_only_the_texts_of_a_page_are_explained(model, tmp_path, capsys, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr("seqlrp.cli.pages.SHOWN", 4)

    class Endless(io.StringIO):
        def __iter__(self) -> Iterator[str]:  # type: ignore[override]
            yield from ["a good film\n"] * 5
            raise AssertionError("a text that the page has no room for")

    monkeypatch.setattr(sys, "stdin", Endless())
    status, _, err = run(capsys, "explain", model, "-", "--html", tmp_path / "r.html")
    assert status == 0
    assert "first 4" in err


def test_explanations_are_never_all_in_memory(model, corpus, tmp_path, capsys, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    def refuse(*_: object) -> None:
        raise AssertionError("all explanations at once")

    monkeypatch.setattr(seqlrp.Explanations, "__init__", refuse)
    pages = tmp_path / "pages"
    for where in (("--out", tmp_path / "r.parquet", "--html", pages), ("--out", "-"), ()):
        assert run(capsys, "explain", model, corpus, *where)[0] == 0


def test_an_interrupt_leaves_what_was_there(model, corpus, tmp_path, capsys, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    out = tmp_path / "r.parquet"
    run(capsys, "explain", model, corpus, "--out", out, "--first", 2)
    before, names = out.read_bytes(), set(os.listdir(tmp_path))
    written = seqlrp.explanations.files.ExplanationWriter.append
    count = 0

    def interrupted(self, explanation) -> None:  # type: ignore[no-untyped-def]
        nonlocal count
        count += 1
        if count == 5:
            raise KeyboardInterrupt
        written(self, explanation)

    monkeypatch.setattr(seqlrp.explanations.files.ExplanationWriter, "append", interrupted)
    status, said, err = run(capsys, "explain", model, corpus, "--out", out)
    assert (status, said) == (130, "")
    assert err == (
        "seqlrp: interrupted; no file is left half-written, and those of before are unchanged.\n"
    )
    assert out.read_bytes() == before
    assert set(os.listdir(tmp_path)) == names


def test_an_interrupted_evaluation_says_where_it_goes_on(
    model, corpus, tmp_path, capsys, monkeypatch
) -> None:  # type: ignore[no-untyped-def]
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("seqlrp.evaluation.evaluate", interrupted)
    status, _, err = run(capsys, "evaluate", model, corpus, "--out", tmp_path / "e")
    assert status == 130
    assert f"kept in {tmp_path / 'e'}; the same command goes on" in err


def test_a_warning_is_a_sentence(capsys, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    def warn(*_: object, **__: object) -> None:
        advice = "Pass class_weights='balanced'."
        warning = ImbalanceWarning("Some are rare.", advice, code="imbalanced_classes")
        warnings.warn(warning, stacklevel=2)
        raise seqlrp.errors.CorpusError("Enough.")

    monkeypatch.setattr("seqlrp.text.corpora.load_corpus", warn)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        status, _, err = run(capsys, "train", "x", "--out", "y")
    assert status == 2
    first, second = err.splitlines()
    assert first.startswith("seqlrp: Some are rare. Pass --class-weights balanced")
    assert second == "seqlrp: Enough."


def test_a_model_is_not_replaced_unasked(corpus, tmp_path, capsys) -> None:  # type: ignore[no-untyped-def]
    folder = tmp_path / "m"
    train = ("train", corpus, "--out", folder, "--epochs", 1, "--hidden", 2)
    assert run(capsys, *train)[0] == 0
    before = (folder / "config.json").read_bytes()
    assert "--overwrite" in refused(capsys, *train)
    assert (folder / "config.json").read_bytes() == before
    more = ("--overwrite", "--seed", 1, "--class-weights", "balanced")
    assert run(capsys, *train, *more)[0] == 0
    assert (folder / "config.json").read_bytes() != before
    assert '"class_weights": "balanced"' in (folder / "config.json").read_text()
    (folder / "notes.txt").touch()
    assert "'notes.txt'" in refused(capsys, *train, "--overwrite")
    (tmp_path / "empty").mkdir()
    assert run(capsys, "train", corpus, "--out", tmp_path / "empty", *train[4:])[0] == 0


def test_a_demo_replaces_what_demos_made(corpus, tmp_path, capsys, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    ran = []
    monkeypatch.setattr("seqlrp.cli.demonstration.run_demo", lambda *a, **_: ran.append(a))
    demo = ("demo", "--corpus", corpus, "--out", tmp_path)
    assert run(capsys, *demo)[0] == 0
    (tmp_path / "model").mkdir()
    assert "'model'" in refused(capsys, *demo)
    (tmp_path / "held-out.csv").touch()
    (tmp_path / "notes.txt").touch()
    assert run(capsys, *demo)[0] == 0
    assert len(ran) == 2


def test_help_speaks_of_what_is_typed(capsys) -> None:  # type: ignore[no-untyped-def]
    status, out, _ = run(capsys, "explain", "--help")
    assert status == 0
    assert out.startswith("Usage: seqlrp explain ")
    assert "--text TEXT" in out
    assert "--option NAME=VALUE" in out


@pytest.mark.slow
def test_pipes(model, corpus) -> None:  # type: ignore[no-untyped-def]
    hostile = piped("explain", model, "-", given=b"caf\xe9 good\r\n\xff\n")
    assert hostile.returncode == 0, hostile.stderr
    assert "caf\ufffd good" in hostile.stdout.decode()
    command = f"{sys.executable} -m seqlrp explain {model} {corpus}"
    done = subprocess.run(f"{command} | head -1", shell=True, capture_output=True)
    assert done.stdout.count(b"\n") == 1
    assert b"Traceback" not in done.stderr
    old = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run([*command.split()[:5], "--text", "日 good"], env=old, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert b"\\u65e5 good" in done.stdout


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is always full")
def test_standard_output_on_a_full_disk(model, corpus) -> None:  # type: ignore[no-untyped-def]
    for more in ((), ("--out", "-")):
        with open("/dev/full", "wb") as full:
            done = subprocess.run(
                [sys.executable, "-m", "seqlrp", "explain", str(model), str(corpus), *more],
                stdout=full,
                stderr=subprocess.PIPE,
            )
        assert done.returncode == 2
        assert done.stderr.startswith(b"seqlrp: Could not write to standard output: No space")
        assert done.stderr.count(b"\n") == 1


@pytest.mark.slow
def test_a_person_types_and_reads(model) -> None:  # type: ignore[no-untyped-def]
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "seqlrp", "explain", str(model), "-"]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs) as done:
        os.close(theirs)
        seen = b""
        with open(ours, "r+b", buffering=0) as terminal:

            def until(wanted: bytes) -> None:
                nonlocal seen
                while wanted not in seen:
                    seen += terminal.read(1024)

            until(b"Ctrl-D ends.")
            terminal.write(b"a good film\n")
            until(b"Where it went: words")  # the answer, before the next line is typed
            assert b"Predicted: " in seen
            assert b"\x1b[" in seen
            terminal.write(b"\x04")
            assert done.wait(60) == 0


@pytest.mark.slow
def test_an_interrupt_from_the_keyboard(model, tmp_path) -> None:  # type: ignore[no-untyped-def]
    command = [sys.executable, "-m", "seqlrp", "explain", str(model), "-"]
    out = tmp_path / "r.parquet"
    with subprocess.Popen(
        [*command, "--out", str(out)], stdin=subprocess.PIPE, stderr=subprocess.PIPE
    ) as done:
        assert done.stdin is not None
        assert done.stderr is not None
        done.stdin.write(b"a good film\n" * 5000)
        done.stdin.flush()
        while not list(tmp_path.glob(".r.parquet.*/new/r.parquet")):  # it has begun
            assert done.poll() is None
        done.send_signal(signal.SIGINT)
        try:
            done.wait(30)
        except subprocess.TimeoutExpired:  # Python drops what a callback raises in C code
            done.send_signal(signal.SIGINT)
        assert done.wait(60) == 130
        assert b"interrupted; no file is left half-written" in done.stderr.read()
    assert os.listdir(tmp_path) == []


def test_an_output_that_is_an_input_is_refused(model, corpus, tmp_path, capsys) -> None:  # type: ignore[no-untyped-def]
    file = tmp_path / "r.jsonl"
    run(capsys, "explain", model, corpus, "--out", file)
    before = file.read_bytes()
    (tmp_path / "link.jsonl").symlink_to(file)
    for out in (file, tmp_path / "link.jsonl", tmp_path / "." / "r.jsonl"):
        assert "would be lost" in refused(capsys, "render", file, "--out", out)
        said = refused(capsys, "explain", model, file, "--no-labels", "--out", out)
        assert "would be lost" in said
    assert file.read_bytes() == before


def test_a_closed_standard_output_is_one_sentence(model) -> None:  # type: ignore[no-untyped-def]
    command = f"{sys.executable} -m seqlrp explain {model} --text good >&-"
    done = subprocess.run(command, shell=True, capture_output=True, text=True)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "Standard output is closed" in done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="names of files are bytes on Linux")
@pytest.mark.parametrize("suffix", [".parquet", ".jsonl"])
def test_a_file_name_that_is_not_utf_8(model, tmp_path, capsys, suffix) -> None:  # type: ignore[no-untyped-def]
    out = os.fsdecode(os.fsencode(tmp_path) + b"/\xff") + suffix
    assert run(capsys, "explain", model, "--text", "good", "--out", out)[0] == 0
    assert os.path.exists(out)
    assert run(capsys, "render", out, "--out", tmp_path / "r.html")[0] == 0
