"""Training a text classifier on a corpus: labelled texts in, a classifier and a report out."""

from __future__ import annotations

import dataclasses
import sys
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, get_args

import numpy as np
import numpy.typing as npt
import torch
from tqdm import tqdm

from seqlrp.classifiers import HierarchicalClassifier, Layout, RecurrentClassifier
from seqlrp.devices import resolve_device
from seqlrp.errors import CorpusError, ImbalanceWarning, LabelError, OptionError, near
from seqlrp.optimising import Documents, Epoch, Schedule, optimise
from seqlrp.text.corpora import Corpus
from seqlrp.text.encoded import Tokenizer, tokenised
from seqlrp.text.tokens import SpacyTokenizer
from seqlrp.text.vectors import load_vectors
from seqlrp.text.vocabulary import Vocabulary
from seqlrp.text_classifier import TextClassifier

_MODELS = {model.layout: model for model in (RecurrentClassifier, HierarchicalClassifier)}
_SCHEDULE = tuple(field.name for field in dataclasses.fields(Schedule))
_MODEL = (
    *("embedding", "hidden", "cell", "layers", "bidirectional", "pooling"),
    *("dropout", "head_bias"),
)
# From here on the largest class drowns the smallest.
_IMBALANCE = 5


@dataclass(frozen=True)
class TrainingReport:
    """What happened in a training.

    Attributes:
        corpus: the name of the corpus.
        class_counts: texts of each class that were trained on.
        skipped: texts left out because they hold no token.
        vocabulary_size: tokens, padding and the unknown word included.
        vectors_found: how many of them had a pretrained vector; None without such vectors.
        epochs: one entry an epoch.
        best_epoch: the one whose weights were kept, counted from 1.
        seconds: from the corpus to the classifier.
        options: all that the training depends on.
    """

    corpus: str
    class_counts: Mapping[str, int]
    skipped: int
    vocabulary_size: int
    vectors_found: int | None
    epochs: tuple[Epoch, ...]
    best_epoch: int
    seconds: float
    options: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """What JSON can hold of it, which is all."""
        return dataclasses.asdict(self)

    def sentence(self) -> str:
        """What happened, for people."""
        counts = ", ".join(f"{name} {count:,}" for name, count in self.class_counts.items())
        kept = self.epochs[self.best_epoch - 1]
        accuracy = ""
        if kept.validation_accuracy is not None:
            accuracy = f", accuracy {kept.validation_accuracy:.3f} on the part held out to stop by"
        return (
            f"Trained on {sum(self.class_counts.values()):,} texts ({counts}) in "
            f"{self.seconds:.0f} s; kept epoch {self.best_epoch} of {len(self.epochs)}{accuracy}."
        )


class Trained(NamedTuple):
    """A classifier, and the report of its training."""

    classifier: TextClassifier
    report: TrainingReport


def fit(
    train: Corpus,
    validation: Corpus | None = None,
    *,
    layout: Layout = "words",
    vectors: str | Path | None = None,
    tokenizer: Tokenizer | None = None,
    lowercase: bool = True,
    min_count: int = 1,
    max_size: int | None = 30_000,
    validation_fraction: float = 0.1,
    device: str | torch.device = "auto",
    progress: bool | None = None,
    **options: Any,
) -> Trained:
    """Train a classifier on a labelled corpus.

    Training stops early by the loss on texts that are not trained on. An interrupt stops it at once
    and leaves nothing behind.

    Args:
        train: the texts and their classes.
        validation: texts to stop by; by default a part of `train` is held out for that.
        layout: "words" trains a `RecurrentClassifier`, "sentences" a `HierarchicalClassifier`.
        vectors: pretrained word vectors to begin with, as `load_vectors` takes them.
        tokenizer: by default spaCy's rules for English.
        lowercase: look up words in lower case.
        min_count: rarer words are unknown.
        max_size: the most words; rarer ones are unknown.
        validation_fraction: of each class, held out where `validation` is None; with 0 training
            takes all epochs.
        device: "auto", "cpu" or "cuda".
        progress: show a bar; None shows one where standard error is a terminal.
        options: the fields of `Schedule` (epochs, learning_rate, seed, ...) and the options of the
            classifier: embedding, hidden, cell, layers, bidirectional, pooling, dropout, head_bias.

    Raises:
        CorpusError: a corpus has no labels, or fewer than two classes.
        LabelError: the validation corpus has other classes.
        OptionError: an unknown option, or a value out of its range.
        VectorsError: the vectors cannot be read.
        NonFiniteError: the loss became NaN or infinite.

    Warns:
        ImbalanceWarning: the largest class has more than five times the texts of the smallest.
    """
    started = time.perf_counter()
    if unknown := sorted(options.keys() - {*_SCHEDULE, *_MODEL}):
        raise OptionError(f"Unknown option {unknown[0]!r}. {near(unknown[0], _SCHEDULE + _MODEL)}")
    schedule = Schedule(**{name: options[name] for name in _SCHEDULE if name in options})
    arguments = {name: options[name] for name in _MODEL if name in options}
    if layout not in get_args(Layout):
        raise OptionError(f"Unknown layout {layout!r}. {near(str(layout), get_args(Layout))}")
    chosen = resolve_device(device)
    tokenizer = SpacyTokenizer() if tokenizer is None else tokenizer
    for corpus in (train, validation):
        if corpus is not None and not len(corpus):
            raise CorpusError(
                f"The corpus {corpus.name} has no texts, expected some of each class."
            )
        if corpus is not None and corpus.labels is None:
            raise CorpusError(f"The corpus {corpus.name} has no labels, expected one a text.")
    if validation is None and validation_fraction:
        train, validation = train.split(validation_fraction, schedule.seed)
    if validation is not None and validation.label_names != train.label_names:
        raise LabelError(
            f"The validation corpus has the classes {validation.label_names!r}, expected "
            f"{train.label_names!r}; load it with label_names={train.label_names!r}."
        )

    read = _read(train, tokenizer, progress)
    counts = _class_counts(read, train)
    vocabulary = Vocabulary.build(
        read.tokens, min_count=min_count, max_size=max_size, lowercase=lowercase
    )
    found = None
    if vectors is not None:
        table, found = load_vectors(vectors, vocabulary, seed=schedule.seed)
        if arguments.setdefault("embedding", table.shape[1]) != table.shape[1]:
            raise OptionError(
                f"Got embedding={arguments['embedding']} for vectors of {table.shape[1]} numbers; "
                "leave out embedding."
            )
    documents = read.encoded(vocabulary)
    held_out = None
    if validation is not None:
        held_out = _read(validation, tokenizer, progress).encoded(vocabulary)
        if not len(held_out):
            raise CorpusError(f"The validation corpus {validation.name} holds not a single token.")

    with _seeded(schedule.seed, chosen):
        model = _MODELS[layout](len(vocabulary), len(train.label_names), **arguments)
        if vectors is not None:
            model.embedding.weight.data.copy_(torch.from_numpy(table))
        model.to(chosen)
        epochs, best = optimise(model, documents, held_out, schedule, progress=progress)
    report = TrainingReport(
        corpus=train.name,
        class_counts=counts,
        skipped=len(train) - len(documents),
        vocabulary_size=len(vocabulary),
        vectors_found=found,
        epochs=epochs,
        best_epoch=best,
        seconds=time.perf_counter() - started,
        options={
            "vectors": None if vectors is None else str(vectors),
            "min_count": min_count,
            "max_size": max_size,
            "validation_fraction": validation_fraction,
            "device": str(chosen),
            **dataclasses.asdict(schedule),
        },
    )
    return Trained(TextClassifier(model, vocabulary, train.label_names, tokenizer, layout), report)


class _Read(NamedTuple):
    """Tokenised documents: what training needs of them, which is not their text."""

    tokens: list[tuple[str, ...]]
    sentences: list[npt.NDArray[np.int32]]
    labels: npt.NDArray[np.int64]

    def encoded(self, vocabulary: Vocabulary) -> Documents:
        ids = [vocabulary.encode(tokens) for tokens in self.tokens]
        return Documents(ids, self.sentences, self.labels)


def _read(corpus: Corpus, tokenizer: Tokenizer, progress: bool | None) -> _Read:
    """Tokenise the texts of a corpus; those without a token are left out."""
    shown = None if progress is None else not progress
    texts = tqdm(corpus.texts, desc="Tokenising", unit="text", disable=shown)
    tokens, sentences, kept = [], [], []
    for index, source in enumerate(tokenised(tokenizer, texts)):
        if source.tokens:
            # A word that is there a million times is held once.
            tokens.append(tuple(map(sys.intern, source.spelled)))
            sentences.append(source.sentences)
            kept.append(index)
    assert corpus.labels is not None
    return _Read(tokens, sentences, corpus.labels[kept])


def _class_counts(read: _Read, corpus: Corpus) -> dict[str, int]:
    counts = np.bincount(read.labels, minlength=len(corpus.label_names))
    if np.count_nonzero(counts) < 2:
        raise CorpusError(
            f"All texts of the corpus {corpus.name} that can be trained on are of one class; "
            "expected two classes or more."
        )
    if counts.max() > _IMBALANCE * counts.min():
        most, least = corpus.label_names[counts.argmax()], corpus.label_names[counts.argmin()]
        warnings.warn(
            f"The class {most!r} has {counts.max()} texts and the class {least!r} has "
            f"{counts.min()}; pass class_weights='balanced' so that the smaller is learnt too.",
            ImbalanceWarning,
            stacklevel=3,
        )
    return dict(zip(corpus.label_names, counts.tolist(), strict=True))


@contextmanager
def _seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Random numbers from a seed; afterwards the caller's go on as if nothing had been drawn."""
    cuda = []
    if device.type == "cuda":
        cuda = [torch.cuda.current_device() if device.index is None else device.index]
    with torch.random.fork_rng(devices=cuda):
        torch.default_generator.manual_seed(seed)
        for index in cuda:
            torch.cuda.default_generators[index].manual_seed(seed)
        yield
