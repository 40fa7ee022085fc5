"""Time and memory of an analysis, stage by stage, beside those of explaining the same texts.

Where more texts are asked for than the corpus has, it is gone through again, each text without one
word that is drawn at random, so that no text comes twice. Each size runs in a process of its own;
memory is the largest so far. Seconds are those of the processor, which other work on the machine
hardly changes.

    python tests/benchmarks/analysis_cost.py MODEL reviews --sizes 5000 20000
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import count, islice
from multiprocessing import get_context
from typing import Any, TypeVar

import numpy as np
import pandas as pd
import torch

import seqlrp
from seqlrp.analysis.class_words import class_words
from seqlrp.analysis.corpus_analysis import CorpusAnalysis
from seqlrp.analysis.shortcuts import find_shortcuts
from seqlrp.analysis.strategies import find_strategies
from seqlrp.analysis.terms import Terms, count_terms
from seqlrp.explanations.collection import Explanations
from seqlrp.text.corpora import Corpus

Result = TypeVar("Result")
STAGES = ("explain", "words", "strategies and map", "shortcuts", "page and tables")


def texts_of(corpus: Corpus, size: int) -> Corpus:
    """`size` texts of a corpus, gone through as often as needed, a word less each time."""
    random = np.random.default_rng(0)

    def texts() -> Iterator[tuple[str, int]]:
        assert corpus.labels is not None
        for turn in count():
            for text, label in zip(corpus.texts, corpus.labels.tolist(), strict=True):
                words = text.split()
                for _ in range(min(turn, len(words) - 1)):
                    del words[int(random.integers(len(words)))]
                yield " ".join(words), label

    drawn, labels = zip(*islice(texts(), size), strict=True)
    return Corpus(corpus.name, list(drawn), np.array(labels), corpus.label_names)


class Stages:
    """The seconds of each stage, and the memory after it."""

    def __init__(self) -> None:
        self.found: dict[str, tuple[float, float]] = {}

    def run(self, name: str, work: Callable[..., Result], *given: Any, **options: Any) -> Result:
        """Do the work of a stage, and note what it took."""
        started = time.process_time()
        result = work(*given, **options)
        seconds = time.process_time() - started
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        self.found[name] = seconds, memory
        return result


def measure(model: str, name: str, size: int) -> dict[str, tuple[float, float]]:
    """Seconds of the processor and the largest memory so far, in MB, of each stage."""
    torch.set_num_threads(1)
    classifier = seqlrp.load(model, device="cpu")
    whole = seqlrp.load_corpus(name, label_names=classifier.labels)
    corpus = texts_of(whole, size)
    seqlrp.analyse(classifier, whole.part(slice(0, 40)), progress=False)  # what is loaded once
    stages, quiet = Stages(), {"progress": False}
    explained = stages.run("explain", seqlrp.explain, classifier, corpus, **quiet)
    terms, words = stages.run("words", _words, explained)
    found = stages.run(
        "strategies and map", find_strategies, explained, classifier, terms=terms, **quiet
    )
    table = stages.run("shortcuts", find_shortcuts, explained, classifier, words, found, **quiet)
    analysis = CorpusAnalysis(words, found, table, explained, {"corpus": name, "method": "lrp"})
    with tempfile.TemporaryDirectory() as folder:
        stages.run("page and tables", analysis.save, folder)
    return stages.found


def _words(explained: Explanations) -> tuple[Terms, pd.DataFrame]:
    """The words of all texts, counted once as `analyse` does, and those of each class."""
    terms = count_terms(explained)
    return terms, class_words(explained, terms=terms)


def main() -> None:
    """Measure all sizes and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("corpus")
    parser.add_argument("--sizes", nargs="+", type=int, default=[5000, 20000, 50000])
    given = parser.parse_args()
    print("| texts | " + " | ".join(STAGES) + " | analysis : explaining |")
    print("| --- |" + " --- |" * (len(STAGES) + 1))
    for size in given.sizes:
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:
            found = pool.submit(measure, given.model, given.corpus, size).result()
        cells = [f"{found[name][0]:.1f} s, {found[name][1]:,.0f} MB" for name in STAGES]
        seconds = [found[name][0] for name in STAGES]
        ratio = sum(seconds[1:]) / seconds[0]
        print(f"| {size:,} | {' | '.join(cells)} | {ratio:.2f} |", flush=True)


if __name__ == "__main__":
    main()
