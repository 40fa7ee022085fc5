"""Options of train and evaluate, the list of methods, and CSV output."""

from __future__ import annotations

import inspect
import json

import pandas as pd
import pytest
from samples.commands import refused, run

from seqlrp.cli.commands.evaluate import evaluate as command
from seqlrp.evaluation.report.report import EvaluationReport
from seqlrp.evaluation.run import METHODS_COMPARED, METRICS_COMPUTED
from seqlrp.methods import METHODS


def test_methods_are_listed_with_their_options(capsys) -> None:
    status, out, _ = run(capsys, "methods")
    assert status == 0
    assert [line.split(":")[0] for line in out.splitlines() if line[0] != " "] == list(METHODS)
    assert "n_steps=" in out


def test_explanations_as_csv(model, corpus, tmp_path, capsys) -> None:
    status, _, err = run(capsys, "explain", model, corpus, "--out", tmp_path / "r.csv")
    assert status == 0, err
    found = pd.read_csv(tmp_path / "r.csv")
    assert found["document"].nunique() == len(corpus.read_text().splitlines()) - 1


def test_training_options_and_a_line_an_epoch(corpus, tmp_path, capsys) -> None:
    status, _, err = run(
        capsys, "train", corpus, "--out", tmp_path / "m", "--hidden", 2, "--epochs", 2,
        "--learning-rate", 0.01, "--batch-size", 4, "--max-tokens", 5, "--min-count", 2,
    )  # fmt: skip
    assert status == 0, err
    assert [line for line in err.splitlines() if line.startswith("epoch 2: loss ")]
    training = json.loads((tmp_path / "m" / "config.json").read_text())["training"]
    options = training["options"]
    assert options["learning_rate"] == 0.01
    assert options["batch_size"] == 4
    assert options["max_length"] == 5
    assert options["min_count"] == 2


def test_a_corpus_without_labels_names_its_columns(tmp_path, capsys) -> None:
    (tmp_path / "a.csv").write_text("body,opinion\nso good,x\n")
    said = refused(
        capsys, "train", tmp_path / "a.csv", "--text-column", "body", "--out", tmp_path / "m"
    )
    assert "the columns 'body', 'opinion'" in said
    assert "--label-column" in said


@pytest.mark.usefixtures("without_pictures")
def test_options_of_evaluate(model, corpus, tmp_path, capsys) -> None:
    rows = len(corpus.read_text().splitlines()) - 1
    spans = tmp_path / "spans.jsonl"
    spans.write_text("[[0, 4]]\n" * rows)
    out = tmp_path / "out"
    status, _, err = run(
        capsys, "evaluate", model, corpus, "--methods", "lrp,random", "--metrics", "aopc",
        "--random-orders", 1, "--min-words", 1, "--first", 3, "--rationales", spans,
        "--option", "lrp.epsilon=0.1", "--batch-tokens", "auto", "--on-unanswerable", "skip",
        "--out", out,
    )  # fmt: skip
    assert status == 0, err
    table = EvaluationReport.load(out).table
    assert table["document"].nunique() <= 3
    assert "token_f1" in set(table["metric"])


@pytest.mark.parametrize(("lines", "says"), [
    ("[[0, 4]]\n", "has 1 lines"),
    ("[[0, 0]]\n" * 40, "Line 1"),
    ("0\n" * 40, "Line 1"),
])  # fmt: skip
def test_broken_rationales(model, corpus, tmp_path, capsys, lines, says) -> None:
    spans = tmp_path / "spans.jsonl"
    spans.write_text(lines)
    said = refused(
        capsys, "evaluate", model, corpus, "--rationales", spans, "--out", tmp_path / "out"
    )
    assert says in said


def test_the_defaults_of_evaluate_are_those_of_python() -> None:
    given = inspect.signature(command).parameters
    assert given["methods"].default == ",".join(METHODS_COMPARED)
    assert given["metrics"].default == ",".join(METRICS_COMPUTED)


def test_an_option_of_no_method(model, corpus, tmp_path, capsys) -> None:
    for typed in ("epsilon=1", "lime.samples=3"):
        said = refused(
            capsys, "evaluate", model, corpus, "--option", typed, "--out", tmp_path / "out"
        )
        assert "METHOD.NAME=VALUE" in said
