"""Methods on texts of which it is known what decides: a small language, hybrids, an artefact.

Three tables, of a bidirectional LSTM trained on sentences of `seqlrp.truth.sentiment_language`:

- words: does relevance for the true class point at the opinions that count (and not at fillers,
  nor at opinions that are overruled or reported of somebody else)? In sentences without a negation,
  where it is plain what each word does; and in those with one, where the opinion and the negation
  are both to be found;
- hybrids: ten sentences shuffled into one document; does the most relevant word for a class come
  from a sentence of that class (Poerner et al. 2018)?
- artefact: a word is planted in half of the positive sentences of another training; in texts of
  either class that have it, does relevance for "positive" point at it?

    python tests/benchmarks/language.py [--sentences 5000]
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

import seqlrp
from seqlrp.evaluation.hybrid import hybrid_pointing
from seqlrp.evaluation.metrics.agreement import auroc, average_precision, pointing, tokens_inside
from seqlrp.explanations.record import Explanation
from seqlrp.truth import Annotated, hybrid_documents, planted, sentiment_language

METHODS = ("lrp", "gradient_x_input", "sensitivity", "occlusion", "random")
ARTEFACT = "@web"


class Agreement(NamedTuple):
    """Means over documents, and how many there are."""

    auroc: float
    precision: float
    pointing: float
    marked: float
    documents: int


class Trained(NamedTuple):
    """A classifier, the sentences it has never seen, and how many of them it gets right."""

    classifier: seqlrp.TextClassifier
    test: Annotated
    accuracy: float


def trained(sentences: int, *, reported: float = 0.3, seed: int = 0, **options: Any) -> Trained:
    """Train on four of five sentences of the language; `options` are those of `seqlrp.fit`."""
    train, test = sentiment_language(sentences, seed + 1, reported=reported).split(0.2, seed)
    classifier = fitted(train.corpus, seed, **options)
    return Trained(classifier, test, accuracy(classifier, test.corpus))


def fitted(corpus: seqlrp.Corpus, seed: int, **options: Any) -> seqlrp.TextClassifier:
    """A bidirectional LSTM of 2 × 40 units with attention pooling."""
    options = {"hidden": 40, "epochs": 12} | options
    found, _ = seqlrp.fit(corpus, seed=seed, device="cpu", progress=False, **options)
    return found


def accuracy(classifier: seqlrp.TextClassifier, corpus: seqlrp.Corpus) -> float:
    """The share of texts classified rightly."""
    found = classifier.predict(corpus.texts, progress=False).predicted
    return float((found == corpus.labels).mean())


def agreement(
    explanations: Sequence[Explanation], rationales: Sequence[Sequence[tuple[int, int]]]
) -> Agreement:
    """How relevance agrees with spans."""
    rows = []
    for e, spans in zip(explanations, rationales, strict=True):
        inside = tokens_inside(e.offsets, spans)
        values = [figure(e.relevance, inside) for figure in (auroc, average_precision, pointing)]
        rows.append([*values, float(inside.mean())])
    return Agreement(*np.nanmean(rows, 0).tolist(), len(rows))


def of_words(run: Trained, method: str, *, negated: bool) -> Agreement:
    """Relevance for the true class of test sentences that are classified rightly."""
    part = _right(run, negated=negated)
    explanations = seqlrp.explain(
        run.classifier, part.corpus, method, target="label", progress=False
    )
    kinds = ("sentiment", "negation") if negated else ("sentiment",)
    return agreement(list(explanations), part.rationales(*kinds))


def _right(run: Trained, *, negated: bool) -> Annotated:
    predicted = run.classifier.predict(run.test.corpus.texts, progress=False).predicted
    assert run.test.corpus.labels is not None
    chosen = [
        row
        for row, spans in enumerate(run.test.spans)
        if predicted[row] == run.test.corpus.labels[row]
        and any(span.kind == "negation" for span in spans) == negated
    ]
    return run.test.part(chosen)


class Signs(NamedTuple):
    """Of a negation and the opinion it turns round: how often each speaks for the true class."""

    negation: float
    opinion: float
    ratio: float  # mean relevance of the negation over that of the opinion


def of_negations(run: Trained, method: str) -> Signs:
    """Relevance for the true class in test sentences that are classified rightly."""
    part = _right(run, negated=True)
    pairs = []
    explanations = seqlrp.explain(
        run.classifier, part.corpus, method, target="label", progress=False
    )
    for e, spans in zip(explanations, part.spans, strict=True):  # a span is a token
        kinds = [span.kind for span in spans]
        at = kinds.index("negation")
        pairs.append((e.relevance[at], e.relevance[kinds.index("sentiment", at)]))
    found = np.array(pairs)
    return Signs(*(found > 0).mean(0).tolist(), float(found[:, 0].mean() / found[:, 1].mean()))


def of_hybrids(run: Trained, method: str) -> tuple[float, float, int]:
    """Hits in the pointing game, those of chance, and the number of games."""
    documents = hybrid_documents(run.test.corpus, 10, seed=0)
    explanations = seqlrp.explain(
        run.classifier, documents.corpus.texts, method, target="all", progress=False
    )
    table = hybrid_pointing(explanations, documents)
    return float(table["value"].mean()), float(table["chance"].mean()), len(table)


def with_artefact(run: Trained, sentences: int, seed: int = 0) -> Trained:
    """A classifier of sentences half of whose positive ones have a planted word."""
    train, _ = sentiment_language(sentences, seed + 1, reported=0.3).split(0.2, seed)
    hans = fitted(planted(train.corpus, ARTEFACT, "positive", 0.5, seed).corpus, seed)
    test = planted(run.test.corpus, ARTEFACT, None, 1.0, seed)
    return Trained(hans, test, accuracy(hans, test.corpus))


def of_artefact(hans: Trained, method: str) -> Agreement:
    """Relevance for "positive" and where the artefact stands, in texts of either class."""
    texts = hans.test.corpus.texts
    explanations = seqlrp.explain(hans.classifier, texts, method, target="positive", progress=False)
    return agreement(list(explanations), hans.test.rationales("artefact"))


def main(arguments: Sequence[str] | None = None) -> None:
    """Train and print the tables."""
    parser = argparse.ArgumentParser(description="Methods on texts whose truth is known.")
    parser.add_argument("--sentences", type=int, default=5000, help="(default: %(default)s)")
    options = parser.parse_args(arguments)
    run = trained(options.sentences)
    print(f"{run.accuracy:.1%} of {len(run.test):,} unseen sentences classified rightly.")
    head = f"{'':20}{'AUROC':>10}{'precision':>11}{'pointing':>10}{'marked':>10}{'texts':>8}"
    for negated in (False, True):
        print(f"\nopinions that count, {'with' if negated else 'without'} negation\n{head}")
        for method in METHODS:
            print(_line(method, of_words(run, method, negated=negated)))
    print(f"\nwho speaks for the true class\n{'':20}{'negation':>10}{'opinion':>10}{'ratio':>10}")
    for method in METHODS:
        print(f"{method:20}" + "".join(f"{value:10.3f}" for value in of_negations(run, method)))
    print(f"\nhybrids of ten sentences\n{'':20}{'hits':>10}{'chance':>11}{'games':>10}")
    for method in METHODS:
        hits, chance, games = of_hybrids(run, method)
        print(f"{method:20}{hits:10.3f}{chance:11.3f}{games:10,}")
    hans = with_artefact(run, options.sentences)
    print(f"\na planted artefact (accuracy where every text has it: {hans.accuracy:.1%})\n{head}")
    for method in METHODS:
        print(_line(method, of_artefact(hans, method)))


def _line(method: str, found: Agreement) -> str:
    return (
        f"{method:20}{found.auroc:10.3f}{found.precision:11.3f}{found.pointing:10.3f}"
        f"{found.marked:10.3f}{found.documents:8,}"
    )


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
