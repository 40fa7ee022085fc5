"""The command line: results, messages and exit statuses, as somebody who types sees them."""

from __future__ import annotations

import importlib.metadata
import io
import json
import shutil
import subprocess
import sys
import warnings

import pytest
from samples.classifiers import WORDS
from samples.commands import refused, run

import seqlrp


def test_explain_then_render(model, corpus, tmp_path, capsys) -> None:  # type: ignore[no-untyped-def]
    parquet, page = tmp_path / "r.parquet", tmp_path / "r.html"
    status, out, _ = run(capsys, "explain", model, corpus, "--out", parquet, "--target", "label")
    assert (status, out.split()) == (0, [str(parquet)])
    found = seqlrp.Explanations.load(parquet)
    assert len(found) == 20
    assert [e.target for e in found] == [1, 0] * 10
    status, out, err = run(capsys, "render", parquet, "--out", page, "--first", 5, "--title", "<T>")
    assert (status, out.split()) == (0, [str(page)])
    assert "first 5 texts" in err
    assert "&lt;T&gt;" in page.read_text(encoding="utf-8")
    assert page.read_text(encoding="utf-8").count("<article") == 5
    status, _, err = run(capsys, "render", parquet, "--out", page, "--first", 20)
    assert (status, err) == (0, "")


@pytest.mark.parametrize("scale", ["document", "corpus"])
def test_a_folder_of_pages_is_made_from_a_stream(
    model, corpus, tmp_path, capsys, monkeypatch, scale
) -> None:  # type: ignore[no-untyped-def]
    parquet, folder = tmp_path / "r.parquet", tmp_path / "pages"
    run(capsys, "explain", model, corpus, "--out", parquet)

    def refuse(*_):  # type: ignore[no-untyped-def]
        raise AssertionError("all explanations at once")

    monkeypatch.setattr(seqlrp.Explanations, "load", refuse)
    monkeypatch.setattr(seqlrp.Explanations, "__init__", refuse)
    status, out, _ = run(capsys, "render", parquet, "--out", folder, "--scale", scale)
    assert (status, out.split()) == (0, [str(folder)])
    assert (folder / "page-1.html").read_text(encoding="utf-8").count("<article") == 20


def test_explain_text_prints_words(model, capsys) -> None:  # type: ignore[no-untyped-def]
    hostile = "not a good\x1b[31m film \u202e"
    status, out, _ = run(capsys, "explain", model, "--text", hostile, "--epsilon", 0.1)
    assert status == 0
    assert "good" in out
    assert "= all tokens" in out
    assert "\x1b" not in out
    assert "\u202e" not in out


def test_explain_text_for_all_classes(model, capsys) -> None:  # type: ignore[no-untyped-def]
    status, out, _ = run(capsys, "explain", model, "--text", "a good film", "--target", "all")
    assert status == 0
    assert "'all'" not in out
    verdict, *_, told, first, second = out.splitlines()
    assert "every class" in told
    assert first.split(",")[0].strip() == verdict.split(",")[0]  # the predicted class
    [e] = seqlrp.explain(seqlrp.load(model), ["a good film"], target="all")
    for line in (first, second):
        one = e.for_target(line.split(",")[0].strip())
        assert f"score {one.score:+.3f}:" in line
        for token, relevance in zip(one.tokens, one.relevance, strict=True):
            assert f"{token} {relevance:+.3f}" in line


def test_explain_one_class_rather_than_another(model, corpus, tmp_path, capsys) -> None:  # type: ignore[no-untyped-def]
    pair = ("--target", "positive", "--against", "negative")
    status, out, _ = run(capsys, "explain", model, "--text", "a good film", *pair)
    assert status == 0
    assert "for 'positive' rather than 'negative')  a good film" in out
    parquet, page = tmp_path / "r.parquet", tmp_path / "r.html"
    status, _, _ = run(
        capsys,
        "explain",
        model,
        corpus,
        *pair,
        "--gate-rule",
        "half",
        "--out",
        parquet,
        "--html",
        page,
    )
    assert status == 0
    found = seqlrp.Explanations.load(parquet)
    assert {(e.target_label, e.against_label) for e in found} == {("positive", "negative")}
    assert {e.parameters["gate_rule"] for e in found} == {"half"}
    assert "Explained: why " in page.read_text(encoding="utf-8")
    one = ("explain", model, "--text", "a good film")
    assert "Did you mean 'negative'" in refused(capsys, *one, *pair[:2], "--against", "negativ")
    assert "with itself" in refused(capsys, *one, *pair[:2], "--against", "positive")
    assert "two classes" in refused(capsys, *one, "--target", "all", "--against", "positive")
    assert "takes no --gate-rule" in refused(
        capsys, *one, "--method", "random", "--gate-rule", "half"
    )


def test_the_version_is_told(capsys) -> None:  # type: ignore[no-untyped-def]
    status, out, err = run(capsys, "--version")
    assert (status, err) == (0, "")
    assert out == f"seqlrp {importlib.metadata.version('seqlrp')}\n"


def test_a_blank_text_that_was_typed_is_named(model, capsys) -> None:  # type: ignore[no-untyped-def]
    for command in ("explain", "check"):
        said = refused(capsys, command, model, "--text", "good", "--text", " ")
        assert said == "seqlrp: Got --text ' '; expected a text with a word in it."


def test_check_tells_where_the_score_goes(model, corpus, capsys) -> None:  # type: ignore[no-untyped-def]
    status, out, err = run(capsys, "check", model)
    assert status == 0
    assert out.startswith("Can LRP's explanations of this model be believed, judging by 8 doc")
    assert "\nWhere the scores of 8 documents went (LRP: epsilon 5%, gate_rule all" in out
    assert "sentences of seqlrp's own" in err
    status, out, err = run(capsys, "check", model, corpus, "--first", 7, "--epsilon", 0)
    assert status == 0
    assert "sentences" not in err
    assert "7 documents went (LRP: epsilon 0.0" in out
    assert "stabiliser" not in out
    status, out, _ = run(
        capsys, "check", model, "--text", "a good film", "--text", "a bad plot", "--target",
        "positive", "--against", "negative", "--gate-rule", "abs",
    )  # fmt: skip
    assert status == 0
    assert "2 documents went (LRP: epsilon 5%, gate_rule abs)" in out


def test_check_warns_and_still_succeeds(model, corpus, capsys) -> None:  # type: ignore[no-untyped-def]
    status, out, err = run(capsys, "check", model, corpus, "--epsilon", 1000)
    assert status == 0
    assert err == ""
    said = " ".join(out.partition("\n\n")[0].split())
    assert "be believed, judging by 20 documents? With care: " in said
    assert "seqlrp analyse" in said  # one word is strongest everywhere
    assert "Only 0% of the relevance reaches the words" in said
    assert "lost to the stabiliser" in said
    assert "Take a smaller epsilon; it is 1000" in said
    assert "not both" in refused(capsys, "check", model, corpus, "--text", "good")
    assert "at least 1" in refused(capsys, "check", model, "--first", 0, "--text", "good")
    assert "Got --target all;" in refused(
        capsys, "check", model, "--text", "good", "--target", "all"
    )
    assert "nowhere.csv" in refused(capsys, "check", model, "nowhere.csv")


def test_evaluate(model, corpus, tmp_path, capsys) -> None:  # type: ignore[no-untyped-def]
    folder = tmp_path / "e"
    status, out, _ = run(
        capsys, "evaluate", model, corpus, "--out", folder, "--k", "1,2", "--score", "logit",
        "--methods", "lrp, random", "--removal", "delete", "--random-orders", 2,
        "--metrics", "word_deletion, sufficiency",
    )  # fmt: skip
    assert status == 0
    assert out.splitlines()[-1] == str(folder)
    lines = out.splitlines()
    assert len(lines) <= 14
    assert len(set(lines)) == len(lines) - lines.count("") + 1
    written = {path.name for path in folder.iterdir()}
    assert written == {
        "evaluation.parquet", "evaluation.csv", "evaluation.md", "curves.csv", "curves.png",
        "results.png", "summary.txt",
    }  # fmt: skip
    report = seqlrp.EvaluationReport.load(folder)
    assert report.methods == ("lrp", "random")
    assert set(report.quantities) == {"deletion_accuracy", "deletion_logit", "sufficiency"}
    assert report.table["order"].max() == 1
    assert report.ks("deletion_logit") == (0, 1, 2)
    assert report.summary() == (folder / "summary.txt").read_text().rstrip("\n")
    said = " ".join(lines)
    assert report.verdict().splitlines()[0] in said  # the headline
    assert "Compared were lrp (" in said
    assert lines[-2].endswith(str(folder / "summary.txt"))
    metric = ("evaluate", model, corpus, "--out", folder, "--metrics", "sufficient")
    assert "Did you mean 'sufficiency'" in refused(capsys, *metric)


def test_what_the_user_got_wrong(model, corpus, tmp_path, capsys) -> None:  # type: ignore[no-untyped-def]
    out = tmp_path / "r.parquet"
    explain = ("explain", model, corpus, "--out", out)
    assert "Name the texts" in refused(capsys, "explain", model)
    assert "Did you mean 'positive'" in refused(capsys, *explain, "--target", "positiv")
    assert "Did you mean 'lrp'" in refused(capsys, *explain, "--method", "lrpp")
    assert "epsilon" in refused(capsys, *explain, "--epsilon", -1)
    assert "a text with a word" in refused(capsys, "explain", model, "--text", " ", "--out", out)
    assert "nowhere.csv" in refused(capsys, "explain", model, "nowhere.csv", "--out", out)
    missing = refused(capsys, "explain", tmp_path / "nowhere", corpus)
    assert "No such file" in missing
    assert "damaged" not in missing
    (tmp_path / "file").touch()
    blocked = tmp_path / "file" / "model"
    assert "Could not write" in refused(capsys, "train", corpus, "--out", blocked)
    assert "Got --k one;" in refused(
        capsys, "evaluate", model, corpus, "--out", tmp_path, "--k", "one"
    )
    assert "no column" in refused(capsys, *explain, "--text-column", "body")
    empty = tmp_path / "empty.csv"
    empty.write_text("")
    assert "empty" in refused(capsys, "explain", model, empty, "--out", out)
    strange = tmp_path / "strange.csv"
    strange.write_text("text,label\na good film,neutral\n")
    assert "'neutral'" in refused(capsys, "explain", model, strange, "--out", out)
    assert "r.xyz" in refused(capsys, "explain", model, corpus, "--out", tmp_path / "r.xyz")
    assert "parquet" in refused(capsys, "render", corpus, "--out", tmp_path / "r.html")
    assert not out.exists()
    assert not (tmp_path / "r.html").exists()


def test_a_damaged_model_is_refused(model, corpus, tmp_path, capsys) -> None:  # type: ignore[no-untyped-def]
    for name, change in (
        ("vocabulary.json", lambda b: b.replace(b'"film"', b'"filn"')),
        ("weights.safetensors", lambda b: b[:-8]),
        ("config.json", lambda b: b[:40]),
    ):
        folder = tmp_path / name
        shutil.copytree(model, folder)
        (folder / name).write_bytes(change((folder / name).read_bytes()))
        refused(capsys, "explain", folder, corpus)


def test_an_unknown_option_is_refused_by_the_parser() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "seqlrp", "explain", "--nonsense"], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "nonsense" in done.stderr


def test_train_explain_round_trip(corpus, tmp_path, capsys) -> None:  # type: ignore[no-untyped-def]
    folder = tmp_path / "trained"
    status, out, _ = run(
        capsys, "train", corpus, "--out", folder, "--epochs", 1, "--hidden", 4, "--pooling", "max",
        "--cell", "gru",
    )  # fmt: skip
    assert (status, out.split()[0]) == (0, str(folder))
    assert json.loads((folder / "config.json").read_text())
    classifier = seqlrp.load(folder)
    assert classifier.labels == ("negative", "positive")
    assert "at 0 to" not in refused(capsys, "train", corpus, "--out", folder, "--cell", "rnn")


@pytest.mark.usefixtures("without_pictures")
def test_a_table_of_a_spreadsheet(model, corpus, tmp_path, capsys) -> None:  # type: ignore[no-untyped-def]
    rows = [line.split(",") for line in corpus.read_text().splitlines()]
    lines = [";".join(reversed(row)) for row in rows]
    lines[3:3] = ["positive;a café; good", "a row of one"]
    path, out = tmp_path / "sheet.csv", tmp_path / "r.jsonl"
    path.write_bytes("\r\n".join(lines).encode("cp1252"))
    calls = (
        ("train", path, "--out", tmp_path / "m", "--epochs", 1, "--hidden", 4),
        ("explain", model, path, "--out", out),
        ("evaluate", model, path, "--out", tmp_path / "e", "--methods", "lrp,random"),
    )
    for call in calls:
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            status, printed, err = run(capsys, *call)
            assert (status, printed) == (2, "")
            assert "Line 4 of" in err.splitlines()[-1]
            assert err.splitlines()[-1].endswith(
                "ends a row of 3 fields, where the header has 2; put texts that hold a delimiter "
                "in quotes. There are 2 such rows. Or leave such rows out by --on-unanswerable "
                "skip."
            )
            status, _, err = run(capsys, *call, "--on-unanswerable", "skip")
        assert status == 0, err
        said = err.splitlines()[:3]
        assert all(line.startswith("seqlrp: ") for line in said)
        assert "was read as Windows-1252 (cp1252): line 4 has 'café'" in said[0]
        assert "2 rows of other than 2 fields: left out (rows 3, 4, counted from 1" in said[1]
        assert said[2] == f"seqlrp: The columns of {path} are separated by semicolons."
    assert [e.id for e in seqlrp.Explanations.load(out)][:4] == ["0", "1", "4", "5"]


OWN = """
import seqlrp
import torch

def build(vocabulary, labels):
    model = Mean(len(vocabulary), len(labels)).eval()
    return seqlrp.TextClassifier(model, vocabulary, labels, str.split)

class Mean(torch.nn.Module):
    def __init__(self, words, classes):
        super().__init__()
        self.embedding = torch.nn.Embedding(words, classes)

    def forward(self, ids):
        return self.embedding(ids).mean(1)
"""


def test_texts_of_which_nothing_can_be_asked(model, tmp_path, capsys) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "c.csv"
    path.write_text("text,label\na good film,positive\n,positive\na bad plot,negative\n")
    out = tmp_path / "r.jsonl"
    asked = ("explain", model, path, "--out", out, "--target", "label", "--against", "predicted")
    assert "Row 2" in refused(capsys, *asked)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        status, _, err = run(capsys, *asked, "--on-unanswerable", "skip")
    assert status == 0
    first, second = err.splitlines()
    assert first.startswith("seqlrp: ")
    assert first.endswith(LEFT_OUT)
    assert second.startswith("seqlrp: Left out 1 of 2 texts: 1 with one class on both sides")
    [found] = seqlrp.Explanations.load(out)
    assert found.id in ("0", "2")
    assert f"(number {2 - int(found.id)})" in second
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        status, _, err = run(capsys, "check", model, path, "--on-unanswerable", "skip")
    assert status == 0
    assert err.splitlines()[0].endswith(LEFT_OUT)


LEFT_OUT = "c.csv has 1 row without a text: left out (row 2, counted from 1; ids count from 0)."


@pytest.mark.parametrize("nothing", ["", "  "])
def test_an_id_is_the_number_of_the_row(model, tmp_path, capsys, nothing) -> None:  # type: ignore[no-untyped-def]
    path, out = tmp_path / "c.csv", tmp_path / "r.jsonl"
    path.write_text(f"text,label\na good film,positive\n{nothing},negative\na bad plot,negative\n")
    skip = ("--on-unanswerable", "skip", "--out", out)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        for labels in ((), ("--no-labels",)):
            status, _, err = run(capsys, "explain", model, path, *skip, *labels)
            assert status == 0
            assert err.endswith(LEFT_OUT + "\n")
            found = seqlrp.Explanations.load(out)
            assert [(e.id, e.text) for e in found] == [("0", "a good film"), ("2", "a bad plot")]
    with pytest.warns(seqlrp.errors.LeftOutWarning):
        corpus = seqlrp.load_corpus(path, on_unanswerable="skip")
    assert [e.id for e in seqlrp.explain(seqlrp.load(model), corpus)] == ["0", "2"]
    assert [e.id for e in seqlrp.explain(seqlrp.load(model), corpus.part([1]))] == ["2"]
    assert [e.id for e in seqlrp.explain(seqlrp.load(model), corpus, ids="ab")] == ["a", "b"]


def test_an_id_is_the_number_of_the_line(model, tmp_path, capsys, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "c.txt"
    path.write_text("\na good film\n \na bad plot\n")
    monkeypatch.setattr(sys, "stdin", io.StringIO(path.read_text()))
    for name, called in ((path, str(path)), ("-", "Standard input")):
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            status, said, err = run(capsys, "explain", model, name, "--out", "-")
        assert status == 0
        assert [json.loads(line)["id"] for line in said.splitlines()] == ["1", "3"]
        assert err == (
            f"seqlrp: {called} has 2 blank lines: left out (lines 1, 3, counted from 1; "
            "ids count from 0).\n"
        )


def test_a_row_without_a_label(model, tmp_path, capsys) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "c.csv"
    path.write_text("text,label\na good film,positive\na bad plot,\n")
    message = refused(capsys, "explain", model, path)
    assert "Row 2 of" in message
    assert "--no-labels" in message
    assert run(capsys, "explain", model, path, "--no-labels")[0] == 0
    assert "--no-labels" not in refused(capsys, "train", path, "--out", tmp_path / "m")


def test_a_model_of_ones_own(tmp_path, corpus, capsys, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "own_reviews.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    from own_reviews import build  # type: ignore[import-not-found]

    vocabulary = seqlrp.Vocabulary.build([WORDS])
    seqlrp.save(build(vocabulary, ("negative", "positive")), "model", factory=build)
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    path = list(sys.path)
    sys.modules.pop("own_reviews")
    asked = ("explain", "model", "--text", "a good film", "--out", "r.jsonl")
    message = refused(capsys, *asked)
    assert "own_reviews:build" in message
    assert "--factory module:build" in message
    assert "seqlrp.load" not in message
    status, out, _ = run(capsys, *asked, "--factory", "own_reviews:build")
    assert (status, out) == (0, "r.jsonl\n")
    assert seqlrp.Explanations.load("r.jsonl")[0].tokens == ("a", "good", "film")
    assert run(capsys, "check", "model", "--text", "good", "--factory", "own_reviews:build")[0] == 0
    for wrong in ("own_reviews:biuld", "own_reviewz:build", "own_reviews", ":build"):
        assert f"Got --factory {wrong};" in refused(capsys, *asked, "--factory", wrong)
    assert "Leave out .py, as in own_reviews:build" in refused(
        capsys, *asked, "--factory", "own_reviews.py:build"
    )
    assert sys.path == path
