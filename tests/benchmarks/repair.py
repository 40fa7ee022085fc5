"""Planted shortcuts, and what each way of repair makes of them.

A word is planted in a share of the training texts of one class, a small bi-LSTM is trained on them,
and repaired in each way by `seqlrp.repair`. All is measured on texts that neither training nor
repair has seen:

- misled: accuracy on texts of other classes into which the word was put; the loss is how much
  lower it is than on the same texts without it.
- recovered: the share of that loss which the repair gives back, beside the accuracy before.
- clean: accuracy on texts without the word, before and after.

    python tests/benchmarks/repair.py --data DATA --models FOLDER --out rows.jsonl

Trained models are kept in `--models` and rows in `--out`; the same command goes on from there.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from shortcuts import corpora as whole_corpora
from shortcuts import planted, word

import seqlrp
from seqlrp.improving.measures import CLEAN, HOLDING, OTHERS, PUT_IN
from seqlrp.text.corpora import Corpus

PLANTED = "zorblax"
WAYS: dict[str, tuple[Any, dict[str, Any]]] = {
    "project": ("project", {}),
    "project, orthogonal": ("project", {"oblique": False}),
    "data": ("data", {}),
    "data, deleted and anew": ("data", {"edit": "delete", "anew": True}),
    "penalise": ("penalise", {}),
    "disable": ("disable", {}),
    "disable, trained on": ("disable", {"train_on": True}),
}
CORPORA = ("reviews", "ag_news", "newsgroups")
_GROUPS = (3, 4)  # of newsgroups: hardware of PCs and of Macs, which are hard to tell apart
_WORDS = 60  # of a text of newsgroups that are kept


class Texts(NamedTuple):
    """Texts with the planted word: to train on, and to measure on."""

    train: Corpus
    test: Corpus


def texts(data: Path, name: str, share: float, seed: int, sizes: tuple[int, int]) -> Texts:
    """Draw texts of a corpus by the seed, and plant the word in a share of the first class."""
    corpus = _newsgroups(data, seed) if name == "newsgroups" else None
    corpus = corpus or whole_corpora(data, name, sum(sizes), seed)
    train = min(sizes[0], round(len(corpus) * sizes[0] / sum(sizes)))
    random = np.random.default_rng(seed)
    parts = (corpus.part(slice(train)), corpus.part(slice(train, None)))
    return Texts(*(planted(part, [word(PLANTED)], share, random)[0] for part in parts))


def _newsgroups(data: Path, seed: int) -> Corpus:
    parts = [
        seqlrp.load_corpus(data / "newsgroups" / f"{name}.csv", on_unanswerable="skip")
        for name in ("train", "test")
    ]
    found, labels = [], []
    for part in parts:
        assert part.labels is not None
        for text, label in zip(part.texts, part.labels.tolist(), strict=True):
            if label in _GROUPS:
                found.append(" ".join(text.split()[:_WORDS]))
                labels.append(_GROUPS.index(label))
    names = tuple(parts[0].label_names[k] for k in _GROUPS)
    corpus = Corpus("newsgroups", found, np.array(labels), names)
    return corpus.part(np.random.default_rng(seed).permutation(len(corpus)))


def trained(given: Texts, seed: int, hidden: int, folder: Path) -> seqlrp.TextClassifier:
    """The model that is to be repaired; trained once and kept."""
    if folder.exists():
        return seqlrp.load(folder)
    classifier = seqlrp.fit(
        given.train, embedding=32, hidden=hidden, epochs=8, min_count=2, max_size=6000,
        learning_rate=5e-3, batch_size=32, seed=seed, progress=False, device="cpu",
    ).classifier  # fmt: skip
    seqlrp.save(classifier, folder)
    return classifier


def rows(
    classifier: seqlrp.TextClassifier, given: Texts, seed: int, way: str
) -> dict[str, float | str]:
    """Repair a model in one way, and measure it."""
    how, options = WAYS[way]
    started = time.perf_counter()
    _, report = seqlrp.repair(
        classifier, given.train, PLANTED, how, test=given.test, explained=50, seed=seed,
        progress=False, **options,
    )  # fmt: skip
    misled, others = (report.value(texts) for texts in (PUT_IN, OTHERS))
    clean, relevance = report.value(CLEAN), report.value(HOLDING, "relevance")
    return {
        "clean": clean["before"],
        "clean_after": clean["after"],
        "others": others["before"],
        "misled": misled["before"],
        "misled_after": misled["after"],
        "relevance": relevance["before"],
        "relevance_after": relevance["after"],
        "seconds": time.perf_counter() - started,
        "made": json.dumps(report.made),
    }


def table(found: pd.DataFrame) -> str:
    """A line for each corpus, share and way: means over seeds."""
    lines = [
        "| corpus | share | way | seeds | misled: before | after | without the word | recovered "
        "| clean: before | after | relevance: before | after |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for (corpus, share, way), own in found.groupby(["corpus", "share", "way"], sort=False):
        mean = own.mean(numeric_only=True)
        recovered = (mean["misled_after"] - mean["misled"]) / (mean["others"] - mean["misled"])
        numbers = [f"{mean[name]:.3f}" for name in ("misled", "misled_after", "others")]
        more = ("clean", "clean_after", "relevance", "relevance_after")
        numbers += [f"{recovered:.0%}", *(f"{mean[name]:.3f}" for name in more)]
        lines.append(f"| {corpus} | {share:.0%} | {way} | {len(own)} | {' | '.join(numbers)} |")
    return "\n".join(lines)


def main() -> None:
    """Run all that is not yet in `--out`, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--corpora", nargs="+", default=CORPORA)
    parser.add_argument("--ways", nargs="+", default=list(WAYS))
    parser.add_argument("--shares", nargs="+", type=float, default=[0.05, 0.2])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2, 3, 4])
    parser.add_argument("--sizes", nargs=2, type=int, default=[2000, 1000])
    parser.add_argument("--hidden", type=int, default=32)
    given = parser.parse_args()
    torch.set_num_threads(1)
    for seed, name, share in itertools.product(given.seeds, given.corpora, given.shares):
        known = [json.loads(line) for line in _lines(given.out)]
        done = {(row["seed"], row["corpus"], row["share"], row["way"]) for row in known}
        missing = [w for w in given.ways if (seed, name, share, w) not in done]
        if not missing:
            continue
        found = texts(given.data, name, share, seed, tuple(given.sizes))
        folder = given.models / f"{name}-{share:g}-{seed}-{given.hidden}"
        classifier = trained(found, seed, given.hidden, folder)
        for way in missing:
            row = rows(classifier, found, seed, way)
            row |= {"seed": seed, "corpus": name, "share": share, "way": way}
            print(row, flush=True)
            with given.out.open("a") as file:
                file.write(json.dumps(row) + "\n")
    print(table(pd.DataFrame([json.loads(line) for line in _lines(given.out)])))


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


if __name__ == "__main__":
    main()
