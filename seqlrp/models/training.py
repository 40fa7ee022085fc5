"""Trains a text classifier on a corpus of labelled texts."""

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

from seqlrp.errors import CorpusError, ImbalanceWarning, LabelError, OptionError, check_choice, near
from seqlrp.models.classifier import TextClassifier
from seqlrp.models.devices import resolve_device
from seqlrp.models.networks import HierarchicalClassifier, Layout, RecurrentClassifier
from seqlrp.models.optimisation import Documents, Epoch, OnEpoch, Schedule, optimise
from seqlrp.text.corpora import Corpus
from seqlrp.text.encoded import Tokenizer, tokenised
from seqlrp.text.tokens import SpacyTokenizer
from seqlrp.text.vectors import load_vectors
from seqlrp.text.vocabulary import Vocabulary

_MODELS = {model.layout: model for model in (RecurrentClassifier, HierarchicalClassifier)}
_SCHEDULE = tuple(field.name for field in dataclasses.fields(Schedule))
_MODEL = (
    *("embedding", "hidden", "cell", "layers", "bidirectional", "pooling"),
    *("dropout", "head_bias"),
)
# How many times the texts of the smallest class the largest may have without a warning.
_IMBALANCE = 5
_NAMED = 20  # classes whose texts are counted one by one in the summary


@dataclass(frozen=True)
class TrainingReport:
    """The record of a training.

    Attributes:
        corpus: the name of the corpus.
        class_counts: the number of texts of each class that were trained on.
        skipped: the number of texts without a token, which were left out.
        vocabulary_size: the number of tokens, padding and the unknown word included.
        vectors_found: how many of them had a pretrained vector; None without such vectors.
        epochs: the losses, accuracy and time of each epoch.
        best_epoch: the epoch whose weights were kept, counted from 1.
        seconds: the time from the corpus to the classifier.
        options: the options that the training depends on.
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
        """The record as a dictionary that JSON can hold."""
        return dataclasses.asdict(self)

    def sentence(self) -> str:
        """A summary for people."""
        counts = ", ".join(f"{name} {count:,}" for name, count in self.class_counts.items())
        if len(self.class_counts) > _NAMED:
            sizes = self.class_counts.values()
            counts = f"{len(sizes):,} classes of {min(sizes):,} to {max(sizes):,}"
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
    on_epoch: OnEpoch = lambda number, epoch: None,
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
        on_epoch: is told after each epoch its number, from 1, and its `Epoch`.
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
    schedule, arguments = _split_options(options)
    check_choice("layout", layout, get_args(Layout))
    chosen = resolve_device(device)
    tokenizer = SpacyTokenizer() if tokenizer is None else tokenizer
    train, validation = _split_corpora(train, validation, validation_fraction, schedule.seed)
    words = {"lowercase": lowercase, "min_count": min_count, "max_size": max_size}
    texts = _prepare_texts(train, validation, tokenizer, layout, progress, **words)
    table, found = _load_vectors(vectors, texts.vocabulary, schedule.seed, arguments)
    with seeded(schedule.seed, chosen):
        sizes = len(texts.vocabulary), len(train.label_names)
        model = _initialised(layout, sizes, arguments, table).to(chosen)
        epochs, best = optimise(
            model, texts.documents, texts.held_out, schedule, progress=progress, on_epoch=on_epoch
        )
    report = TrainingReport(
        corpus=train.name,
        class_counts=texts.class_counts,
        skipped=len(train) - len(texts.documents),
        vocabulary_size=len(texts.vocabulary),
        vectors_found=found,
        epochs=epochs,
        best_epoch=best,
        seconds=time.perf_counter() - started,
        options={
            "vectors": None if vectors is None else str(vectors),
            **words,
            "validation_fraction": validation_fraction,
            "device": str(chosen),
            **dataclasses.asdict(schedule),
        },
    )
    classifier = TextClassifier(model, texts.vocabulary, train.label_names, tokenizer, layout)
    return Trained(classifier, report)


def _initialised(
    layout: Layout,
    sizes: tuple[int, int],
    arguments: Mapping[str, Any],
    table: npt.NDArray[np.float32] | None,
) -> RecurrentClassifier | HierarchicalClassifier:
    """A network for so many tokens and classes; its embedding begins with `table`, if given."""
    model = _MODELS[layout](*sizes, **arguments)
    if table is not None:
        model.embedding.weight.data.copy_(torch.from_numpy(table))
    return model


def _split_options(options: Mapping[str, Any]) -> tuple[Schedule, dict[str, Any]]:
    """Split the options of `fit` into the schedule and the arguments of the network."""
    if unknown := sorted(options.keys() - {*_SCHEDULE, *_MODEL}):
        known = _SCHEDULE + _MODEL
        raise OptionError(
            f"Unknown option {unknown[0]!r}.", near(unknown[0], known), got=unknown[0], known=known
        )
    schedule = Schedule(**{name: options[name] for name in _SCHEDULE if name in options})
    return schedule, {name: options[name] for name in _MODEL if name in options}


def _load_vectors(
    vectors: str | Path | None, vocabulary: Vocabulary, seed: int, arguments: dict[str, Any]
) -> tuple[npt.NDArray[np.float32] | None, int | None]:
    """Load pretrained vectors, if any, and set the size of the embedding to theirs.

    Gives the vectors `[V, D]`, and how many tokens have one.
    """
    if vectors is None:
        return None, None
    table, found = load_vectors(vectors, vocabulary, seed=seed)
    width = table.shape[1]
    if arguments.setdefault("embedding", width) != width:
        raise OptionError(
            f"Got embedding={arguments['embedding']} for vectors of {width} numbers.",
            "Leave out embedding.",
            option="embedding",
            got=arguments["embedding"],
        )
    return table, found


def _split_corpora(
    train: Corpus, validation: Corpus | None, fraction: float, seed: int
) -> tuple[Corpus, Corpus | None]:
    """Check the corpora, and hold out a fraction of the first where there is no second."""
    for corpus in (train, validation):
        if corpus is not None and not len(corpus):
            raise CorpusError(
                f"The corpus {corpus.name} has no texts, expected some of each class."
            )
        if corpus is not None and corpus.labels is None:
            raise CorpusError(f"The corpus {corpus.name} has no labels, expected one a text.")
    if validation is not None and validation.label_names != train.label_names:
        raise LabelError(
            f"The validation corpus has the classes {validation.label_names!r}, expected "
            f"{train.label_names!r}.",
            f"Load it with label_names={train.label_names!r}.",
        )
    if validation is None and fraction:
        return train.split(fraction, seed)
    return train, validation


class _TokenizedCorpus(NamedTuple):
    """Tokenised documents without their texts, and their labels."""

    tokens: list[tuple[str, ...]]
    sentences: list[npt.NDArray[np.int32]]
    labels: npt.NDArray[np.int64]

    def encode(self, vocabulary: Vocabulary, layout: Layout) -> Documents:
        ids = [vocabulary.encode(tokens) for tokens in self.tokens]
        return Documents(ids, self.sentences, self.labels, layout)


def _tokenize(corpus: Corpus, tokenizer: Tokenizer, progress: bool | None) -> _TokenizedCorpus:
    """Tokenise the texts of a corpus; those without a token are left out."""
    shown = None if progress is None else not progress
    texts = tqdm(corpus.texts, desc="Tokenising", unit="text", disable=shown)
    tokens, sentences, kept = [], [], []
    for index, source in enumerate(tokenised(tokenizer, texts)):
        if source.tokens:
            # A word that occurs a million times is stored once.
            tokens.append(tuple(map(sys.intern, source.spelled)))
            sentences.append(source.sentences)
            kept.append(index)
    assert corpus.labels is not None
    return _TokenizedCorpus(tokens, sentences, corpus.labels[kept])


class _TrainingTexts(NamedTuple):
    """Encoded texts, and their vocabulary."""

    vocabulary: Vocabulary
    class_counts: dict[str, int]
    documents: Documents
    held_out: Documents | None


def _prepare_texts(
    train: Corpus,
    validation: Corpus | None,
    tokenizer: Tokenizer,
    layout: Layout,
    progress: bool | None,
    **options: Any,
) -> _TrainingTexts:
    """Tokenise the texts, build a vocabulary of those that are trained on, and encode all."""
    read = _tokenize(train, tokenizer, progress)
    counts = _class_counts(read, train)
    vocabulary = Vocabulary.build(read.tokens, **options)
    held_out = None
    if validation is not None:
        held_out = _tokenize(validation, tokenizer, progress).encode(vocabulary, layout)
        if not len(held_out):
            raise CorpusError(f"The validation corpus {validation.name} holds not a single token.")
    return _TrainingTexts(vocabulary, counts, read.encode(vocabulary, layout), held_out)


def _class_counts(read: _TokenizedCorpus, corpus: Corpus) -> dict[str, int]:
    counts = np.bincount(read.labels, minlength=len(corpus.label_names))
    if np.count_nonzero(counts) < 2:
        raise CorpusError(
            f"All texts of the corpus {corpus.name} that can be trained on are of one class; "
            "expected two classes or more."
        )
    if counts.max() > _IMBALANCE * counts.min():
        most, least = corpus.label_names[counts.argmax()], corpus.label_names[counts.argmin()]
        warnings.warn(
            ImbalanceWarning(
                f"The class {most!r} has {counts.max()} texts and the class {least!r} has "
                f"{counts.min()}.",
                "Pass class_weights='balanced', so that the smaller is learnt too.",
                code="imbalanced_classes",
            ),
            stacklevel=4,  # the caller of `fit`
        )
    return dict(zip(corpus.label_names, counts.tolist(), strict=True))


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seed the random numbers; afterwards those of the caller go on where they were."""
    cuda = []
    if device.type == "cuda":
        cuda = [torch.cuda.current_device() if device.index is None else device.index]
    with torch.random.fork_rng(devices=cuda):
        torch.default_generator.manual_seed(seed)
        for index in cuda:
            torch.cuda.default_generators[index].manual_seed(seed)
        yield
