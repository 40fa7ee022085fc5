"""Units taken out of recurrent classifiers by each criterion: what accuracy is left?

Four small classifiers are trained, with several seeds. Units are scored by 5 or 50 reference texts
of each class, which no model was trained on, and are silenced, the lowest scores first; accuracy is
measured on 800 further texts, with and without a refit of the scores on the references.

    python -m tests.benchmarks.pruning --data DATA --models FOLDER --out rows.jsonl
    python -m tests.benchmarks.pruning --data DATA --models FOLDER --out trained.jsonl --epochs 3
    python -m tests.benchmarks.pruning --out rows.jsonl --table

With `--epochs`, smaller models are trained on with the texts that the full ones were trained on,
after they were pruned by the default criterion.

Trained models are kept in `--models` and rows in `--out`; the same command goes on from there.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

import seqlrp
from seqlrp.engine.batches import Budget
from seqlrp.improving.criteria import CRITERIA, Texts, unit_scores
from seqlrp.improving.refit import fit_scores
from seqlrp.improving.selection import choose
from seqlrp.improving.shrink import silence_units
from seqlrp.improving.unit_sets import unit_sets
from seqlrp.text.corpora import Corpus
from tests.benchmarks.shortcuts import corpora

SHARES = (0.5, 0.65, 0.75, 0.9)
RANDOM_DRAWS = 3
WORDS = 40  # that are read of a text
HELD_OUT, REFERENCES = 800, 50
# The corpus, the number of texts, and the options of each classifier.
MODELS: dict[str, tuple[str, int, dict[str, Any]]] = {
    "AG News, bi-LSTM": ("ag_news", 7600, {}),
    "AG News, bi-GRU": ("ag_news", 7600, {"cell": "gru"}),
    "AG News, last state": ("ag_news", 7600, {"bidirectional": False, "pooling": "last"}),
    "reviews, bi-LSTM": ("reviews", 7000, {}),
    "newsgroups, two layers": ("newsgroups", 7000, {"layers": 2, "pooling": "max"}),
}


class Setting(NamedTuple):
    """A trained classifier with texts that it has not seen."""

    classifier: seqlrp.TextClassifier
    train: Corpus
    pool: Texts
    held: Texts


def setting(name: str, seed: int, data: Path, models: Path) -> Setting:
    """Train a classifier, or load it where it was trained before."""
    source, size, options = MODELS[name]
    corpus = corpora(data, source, size, seed)
    corpus = replace(corpus, texts=[" ".join(text.split()[:WORDS]) for text in corpus.texts])
    assert corpus.labels is not None
    pool_size = 3 * REFERENCES * len(corpus.label_names)
    cut = len(corpus) - HELD_OUT - pool_size
    train, pool = corpus.part(slice(cut)), corpus.part(slice(cut, len(corpus) - HELD_OUT))
    held = corpus.part(slice(len(corpus) - HELD_OUT, None))
    folder = models / f"{name.replace(', ', '-').replace(' ', '-')}-{seed}"
    if not folder.exists():
        options = {
            "embedding": 50,
            "hidden": 48,
            "epochs": 3,
            "learning_rate": 4e-3,
            "max_size": 10_000,
        } | options
        trained = seqlrp.fit(train, seed=seed, progress=False, device="cpu", **options)
        print(name, seed, trained.report.sentence(), flush=True)
        seqlrp.save(trained.classifier, folder)
    classifier = seqlrp.load(folder)
    return Setting(classifier, train, encoded(classifier, pool), encoded(classifier, held))


def encoded(classifier: seqlrp.TextClassifier, corpus: Corpus) -> Texts:
    """The texts with a token."""
    assert corpus.labels is not None
    documents = list(classifier.encode(corpus.texts))
    kept = [k for k, document in enumerate(documents) if len(document)]
    return Texts([documents[k] for k in kept], corpus.labels[kept])


def references(pool: Texts, size: int, seed: int) -> Texts:
    """Draw texts of each class."""
    order = np.random.default_rng(seed).permutation(len(pool.documents))
    rows = np.concatenate([order[pool.classes[order] == c][:size] for c in np.unique(pool.classes)])
    return Texts([pool.documents[k] for k in rows.tolist()], pool.classes[rows])


def variants(
    given: Setting, size: int, draw: int, criteria: Sequence[str]
) -> Iterator[list[dict[str, Any]]]:
    """Accuracy with each criterion and share, plain and with the refit: a list a criterion."""
    classifier, _, pool, held = given
    texts = references(pool, size, draw)
    sets = unit_sets(classifier.model, None)
    budget = Budget(8192, classifier.device)

    def scores_of(c: seqlrp.TextClassifier, some: Texts) -> Any:
        return c.all_scores(some.documents, budget).astype(np.float64)

    full, full_held = scores_of(classifier, texts), scores_of(classifier, held)
    whole = float((full_held.argmax(1) == held.classes).mean())
    yield [{"criterion": "all units", "share": 0.0, "plain": whole}]
    for criterion in criteria:
        rows: list[dict[str, Any]] = []
        for k in range(RANDOM_DRAWS if criterion == "random" else 1):
            started = time.perf_counter()
            found = unit_scores(
                classifier, texts, sets, criterion, seed=100 * draw + k, progress=False
            )
            seconds = time.perf_counter() - started
            for share in SHARES:
                gone = choose(found, share, "global")
                pruned = replace(classifier, model=silence_units(classifier.model, gone))
                scale, offsets = fit_scores(scores_of(pruned, texts), full)
                scores = scores_of(pruned, held)
                row = {
                    "criterion": criterion, "share": share, "seconds": seconds,
                    "plain": float((scores.argmax(1) == held.classes).mean()),
                    "refit": float(((scale * scores + offsets).argmax(1) == held.classes).mean()),
                }  # fmt: skip
                rows.append(row)
        yield rows


def run(
    data: Path, models: Path, out: Path, seeds: int, names: list[str], criteria: list[str]
) -> None:
    """Measure everything that is not in `out` yet."""
    keys = ("model", "seed", "size", "draw", "criterion")
    done = {tuple(row[k] for k in keys) for row in rows_of(out)}
    for size, draw, seed in [(n, d, s) for n, d in ((5, 0), (50, 0), (5, 1)) for s in range(seeds)]:
        for name in names:
            missing = [c for c in criteria if (name, seed, size, draw, c) not in done]
            if not missing:
                continue
            where = {"model": name, "seed": seed, "size": size, "draw": draw}
            rows = variants(setting(name, seed, data, models), size, draw, missing)
            for own in rows:
                with out.open("a") as file:
                    file.writelines(json.dumps(where | row) + "\n" for row in own)
            print(name, seed, size, draw, time.strftime("%H:%M:%S"), flush=True)


def train_on(
    data: Path, models: Path, out: Path, seeds: int, names: list[str], epochs: int
) -> None:
    """Measure models that are trained on after pruning, all that are not in `out` yet."""
    keys = ("model", "seed", "share")
    done = {tuple(row[k] for k in keys) for row in rows_of(out)}
    for seed, name, share in product(range(seeds), names, (0.5, 0.75)):
        if (name, seed, share) in done:
            continue
        classifier, train, _, held = setting(name, seed, data, models)
        smaller = seqlrp.prune(
            classifier, train, share=share, epochs=epochs, compare=(), shares=(share,), seed=seed,
            progress=False,
        ).classifier  # fmt: skip
        budget = Budget(8192, classifier.device)
        right = [
            float((c.all_scores(held.documents, budget).argmax(1) == held.classes).mean())
            for c in (classifier, smaller)
        ]
        row = {
            "model": name, "seed": seed, "size": 20, "criterion": "lrp, trained on",
            "share": share, "whole": right[0], "plain": right[1], "refit": float("nan"),
        }  # fmt: skip
        with out.open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(name, seed, share, *right, time.strftime("%H:%M:%S"), flush=True)


def rows_of(out: Path) -> list[dict[str, Any]]:
    """The rows that were measured before."""
    if not out.exists():
        return []
    return [json.loads(line) for line in out.read_text().splitlines()]


def table(out: Path) -> str:
    """Accuracy by criterion: the mean over shares, seeds and draws, plain / with refit."""
    rows = pd.DataFrame(rows_of(out))
    keys = ["model", "size", "criterion"]
    means = rows.groupby(keys, sort=False)[["plain", "refit"]].mean().reset_index()
    means["value"] = [
        f"{p:.3f}" if np.isnan(r) else f"{p:.3f} / {r:.3f}"
        for p, r in zip(means["plain"], means["refit"], strict=True)
    ]
    return str(
        means.pivot(index="criterion", columns=["model", "size"], values="value").to_string()
    )


def main() -> None:
    """Run the benchmark, or show its table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--models", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--names", nargs="*", default=list(MODELS), choices=MODELS)
    parser.add_argument("--criteria", nargs="*", default=list(CRITERIA), choices=CRITERIA)
    parser.add_argument("--epochs", type=int, default=0, help="of training on; 0 for none")
    parser.add_argument("--table", action="store_true")
    given = parser.parse_args()
    if given.table:
        print(table(given.out))
    elif given.epochs:
        where = (given.data, given.models, given.out, given.seeds, given.names)
        train_on(*where, given.epochs)
    else:
        run(given.data, given.models, given.out, given.seeds, given.names, given.criteria)


if __name__ == "__main__":
    main()
