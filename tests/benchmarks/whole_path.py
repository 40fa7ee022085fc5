"""How much of the whole path, from texts to a Parquet file, is time inside the model.

    python tests/benchmarks/whole_path.py MODEL CORPUS [TEXTS] [--processor]

explains the first TEXTS of a corpus (by default all) as `seqlrp explain MODEL CORPUS --out` does,
and prints where the time went: in LRP (the model's forward pass, the way back, and all checks), in
tokens and ids, and elsewhere, most of which is writing. With --processor, time is that of the
processor in place of the clock, for machines that other programs share; use one thread.

Where Captum is installed, its gradient × input then takes the place of LRP, with the same tokens,
batches and file. Both take turns on six parts of the texts. Captum needs the predicted class before
it can explain it, and so one forward pass more; it is also timed with class 0 for every text, which
needs none.
"""

from __future__ import annotations

import importlib
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import torch
from torch import Tensor, nn

import seqlrp
from seqlrp.benchmark.contenders import has_captum
from seqlrp.explaining.explain import iter_explanations
from seqlrp.explanations.files import explanation_writer
from seqlrp.lrp import LRP, Attribution
from seqlrp.methods import GradientXInput
from seqlrp.models.classifier import TextClassifier
from seqlrp.text.corpora import load_corpus

_PROCESSOR = "--processor" in sys.argv
_clock = time.process_time if _PROCESSOR else time.perf_counter


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
        start = _clock()
        found = super().attribution(*args, **options)
        self.seconds += _clock() - start
        return found


class _Captum(GradientXInput):
    """Captum's gradient × input, of the predicted class or of class 0, under no mode of seqlrp."""

    predicts = True

    def attribution(self, inputs: Tensor, *args: Any, **options: Any) -> Attribution:
        attr: Any = importlib.import_module("captum.attr")
        embedding = next(m for m in self.model.modules() if isinstance(m, nn.Embedding))
        target = torch.zeros(len(inputs), dtype=torch.long)
        scores = target.new_zeros(len(inputs), 2).float()
        if self.predicts:
            with torch.no_grad():
                scores = self.model(inputs)
            target = scores.argmax(1)
        found = attr.LayerGradientXActivation(self.model, embedding).attribute(inputs, target)
        words = found.detach().sum(-1).masked_fill(inputs == embedding.padding_idx, 0)
        return Attribution(words, scores, target, None)


def compared(
    classifier: TextClassifier, texts: list[str], predicts: bool, parts: int = 6
) -> tuple[float, float]:
    """Return the seconds of LRP and of Captum for the whole path, in turns."""
    own, rival = LRP(classifier.model), _Captum(classifier.model)
    rival.predicts = predicts
    for method in (own, rival):
        seqlrp.explain(classifier, texts[:64], method)  # what is loaded or compiled once
    seconds = [0.0, 0.0]
    for part in range(parts):
        for k, method in enumerate((own, rival)):
            seconds[k] += written(classifier, texts[part::parts], method, None)
    return seconds[0], seconds[1]


def written(
    classifier: TextClassifier, texts: list[str], method: Any, labels: list[str] | None
) -> float:
    """Return the seconds that explaining texts into a file takes."""
    with tempfile.TemporaryDirectory() as folder:
        start = _clock()
        with explanation_writer(Path(folder) / "r.parquet") as file:
            file.extend(iter_explanations(classifier, texts, method, labels=labels))
        return _clock() - start


def measured(classifier: TextClassifier, texts: list[str], labels: list[str] | None) -> Shares:
    """Explain the texts into a file, and note where the time goes."""
    lrp = _Timed(classifier.model)
    seqlrp.explain(classifier, texts[:64], lrp)  # what is loaded or compiled once
    lrp.seconds = spent = 0.0
    encode = TextClassifier.encode

    def timed(self: TextClassifier, given: Iterable[str]) -> Iterator[Any]:
        nonlocal spent
        start = _clock()
        found = list(encode(self, given))
        spent += _clock() - start
        return iter(found)

    with patch.object(TextClassifier, "encode", timed):
        total = written(classifier, texts, lrp, labels)
    return Shares(total, lrp.seconds, spent, len(texts))


def main(arguments: list[str]) -> Shares:
    """Print the shares of one corpus."""
    model, name, *count = (given for given in arguments if given != "--processor")
    corpus = load_corpus(name)
    number = int(count[0]) if count else len(corpus)
    labels = None if corpus.labels is None else corpus.labels[:number]
    names = None if labels is None else [corpus.label_names[k] for k in labels]
    found = measured(seqlrp.load(model), list(corpus.texts[:number]), names)
    what = "s of the processor" if _PROCESSOR else "s"
    print(f"{found.texts:,} texts in {found.total:.1f} {what}, {torch.get_num_threads()} threads")
    print(f"  {found.model / found.total:4.0%}  in the model: LRP with its checks")
    print(f"  {found.tokens / found.total:4.0%}  tokens and ids")
    rest = found.total - found.model - found.tokens
    print(f"  {rest / found.total:4.0%}  the rest: batches, records, the file")
    for predicts in (True, False) if has_captum() else ():
        own, captum = compared(seqlrp.load(model), list(corpus.texts[:number]), predicts)
        what = "the predicted class" if predicts else "class 0, which needs no prediction"
        print(f"{captum / own:.2f} times the texts a second of Captum's gradient x input, {what}")
    return found


if __name__ == "__main__":
    main(sys.argv[1:])
