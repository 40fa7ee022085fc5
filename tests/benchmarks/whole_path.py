"""How much of the whole path, from texts to a Parquet file, is time inside the model.

    python tests/benchmarks/whole_path.py MODEL CORPUS [TEXTS]

explains the first TEXTS of a corpus (by default all) as `seqlrp explain MODEL CORPUS --out` does,
and prints where the time went: in LRP (the model's forward pass, the way back, and all checks), in
tokens and ids, and elsewhere, most of which is writing.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import torch

import seqlrp
from seqlrp.explaining.explain import iter_explanations
from seqlrp.explanations.files import explanation_writer
from seqlrp.lrp import LRP, Attribution
from seqlrp.models.classifier import TextClassifier
from seqlrp.text.corpora import load_corpus


class Shares(NamedTuple):
    """Seconds: in all, inside LRP, and for tokens; and how many texts."""

    total: float
    model: float
    tokens: float
    texts: int


class _Timed(LRP):
    """LRP that adds up how long it takes."""

    seconds = 0.0

    def attribution(self, *args: Any, **options: Any) -> Attribution:
        start = time.perf_counter()
        found = super().attribution(*args, **options)
        self.seconds += time.perf_counter() - start
        return found


def measured(classifier: TextClassifier, texts: list[str], labels: list[str] | None) -> Shares:
    """Explain the texts into a file, and note where the time goes."""
    lrp = _Timed(classifier.model)
    seqlrp.explain(classifier, texts[:64], lrp)  # what is loaded or compiled once
    lrp.seconds = spent = 0.0
    encode = TextClassifier.encode

    def timed(self: TextClassifier, given: Iterable[str]) -> Iterator[Any]:
        nonlocal spent
        start = time.perf_counter()
        found = list(encode(self, given))
        spent += time.perf_counter() - start
        return iter(found)

    with (
        patch.object(TextClassifier, "encode", timed),
        tempfile.TemporaryDirectory() as folder,
    ):
        start = time.perf_counter()
        with explanation_writer(Path(folder) / "r.parquet") as file:
            file.extend(iter_explanations(classifier, texts, lrp, labels=labels))
        total = time.perf_counter() - start
    return Shares(total, lrp.seconds, spent, len(texts))


def main(arguments: list[str]) -> Shares:
    """Print the shares of one corpus."""
    model, name, *count = arguments
    corpus = load_corpus(name)
    number = int(count[0]) if count else len(corpus)
    labels = None if corpus.labels is None else corpus.labels[:number]
    names = None if labels is None else [corpus.label_names[k] for k in labels]
    found = measured(seqlrp.load(model), list(corpus.texts[:number]), names)
    print(f"{found.texts:,} texts in {found.total:.1f} s, {torch.get_num_threads()} threads")
    print(f"  {found.model / found.total:4.0%}  in the model: LRP with its checks")
    print(f"  {found.tokens / found.total:4.0%}  tokens and ids")
    rest = found.total - found.model - found.tokens
    print(f"  {rest / found.total:4.0%}  the rest: batches, records, the file")
    return found


if __name__ == "__main__":
    main(sys.argv[1:])
