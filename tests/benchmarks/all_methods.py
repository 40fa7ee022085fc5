"""All methods by all metrics on one corpus, in texts that the classifier has never seen.

    python tests/benchmarks/all_methods.py reviews --out FOLDER
    python tests/benchmarks/all_methods.py imdb --out FOLDER --long --texts 200
    python tests/benchmarks/all_methods.py news.csv --out FOLDER

A fifth of the corpus is held out, as `seqlrp demo` holds it out (whose model --model takes). Of it
so many texts of ten words or more are explained by every method, and words are removed in the order
in which each of them names. FOLDER receives the table, as Markdown, LaTeX and CSV, the pictures and
every single value. A run that was interrupted goes on where it was.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import seqlrp
from seqlrp.text import Corpus

MIN_WORDS = 10
# Of long texts, methods that ask the model once for each word and sample would take days.
_LONG: dict[str, dict[str, Any] | None] = {
    "shapley": None,
    "deepshap": None,
    "integrated_gradients": {"n_steps": 20},
    "kernel_shap": None,
    "lime": {"samples": 300},
    "contextual_decomposition": None,
    "input_reduction": None,
}

SHOWN = {
    ("deletion_accuracy", "right"): "accuracy, right ↓",
    ("deletion_accuracy", "wrong"): "accuracy, wrong ↑",
    ("abpc", "all"): "area ↑",
    ("comprehensiveness", "all"): "comprehensiveness ↑",
    ("sufficiency", "all"): "sufficiency ↓",
    ("unexplained", "all"): "unexplained ↓",
}
RANKED_BY = ("abpc", "all")


def methods(long: bool) -> dict[str, Any]:
    """Every method with its options, or for long texts those that end within the hour."""
    chosen: dict[str, Any] = {}
    for name in seqlrp.METHODS:
        options = _LONG.get(name, {}) if long else {}
        if options is not None:
            chosen[name] = {"method": name, **options} if options else name
    return chosen


def held_out(corpus: Corpus, texts: int, seed: int) -> tuple[Corpus, Corpus]:
    """What to train on, and so many texts that are not among it."""
    rest, unseen = corpus.split(0.2, seed)
    if len(unseen) > texts:
        _, unseen = unseen.split(texts / len(unseen), seed)
    return rest, unseen


def by_method(report: seqlrp.EvaluationReport) -> str:
    """A Markdown table with a row for each method, the best ranking first."""
    found = report.results.set_index(["metric", "direction", "method"])
    order = sorted(report.methods, key=lambda m: -found.loc[(*RANKED_BY, m), "value"])
    lines = [
        f"| method | {' | '.join(SHOWN.values())} | time, LRP = 1 |",
        "| --- " * (len(SHOWN) + 2) + "|",
    ]
    for method in order:
        rows = (found.loc[(*key, method)] for key in SHOWN)
        cells = [f"{r.value:.3f} [{r.low:.3f}, {r.high:.3f}]" for r in rows]
        time = report.seconds[method] / report.seconds["lrp"]
        lines.append(f"| {method} | {' | '.join(cells)} | {time:.1f} |")
    return "\n".join(lines)


def main() -> None:
    """Evaluate, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("corpus", help="a name or path, as `seqlrp train` takes it")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--model", help="what `seqlrp demo` trained on the same corpus and seed")
    parser.add_argument("--texts", type=int, default=500)
    parser.add_argument("--long", action="store_true", help="leave out what takes days")
    parser.add_argument("--vectors", default=None)
    parser.add_argument("--epochs", type=int, default=None)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    rest, unseen = held_out(seqlrp.load_corpus(given.corpus), given.texts, given.seed)
    if given.model:
        classifier = seqlrp.load(given.model)
    else:
        options = {} if given.epochs is None else {"epochs": given.epochs}
        classifier = seqlrp.fit(rest, vectors=given.vectors, seed=given.seed, **options).classifier
        seqlrp.save(classifier, given.out / "model")
    report = seqlrp.evaluate(
        classifier,
        unseen,
        methods=methods(given.long),
        metrics=["word_deletion", "aopc", "comprehensiveness", "sufficiency", "infidelity"],
        min_words=MIN_WORDS,
        seed=given.seed,
        out=given.out,
    )
    print(by_method(report))


if __name__ == "__main__":
    main()
