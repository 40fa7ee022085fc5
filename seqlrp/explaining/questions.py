"""Questions to a classifier, one for each text.

`explain`, `check` and `evaluate` all read their texts here: strings, data frames, data sets and
corpora become `Question`s, with the targets, labels and ids that belong to them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count, islice, repeat
from typing import TYPE_CHECKING, Any

import numpy as np

from seqlrp.errors import (
    CorpusError,
    InputError,
    LabelError,
    TargetError,
    TextError,
    check_number,
    near,
)
from seqlrp.explaining.skipped import NO_WORD, TOO_LONG, SkippedTexts
from seqlrp.explaining.targets import LABEL, Target, checked_target, class_index
from seqlrp.text.corpora import Corpus

if TYPE_CHECKING:
    from seqlrp.models.classifier import TextClassifier
    from seqlrp.text.encoded import EncodedText

WINDOW = 4096  # texts of a stream that are held in memory, and sorted by length, together


@dataclass(frozen=True, eq=False)
class Question:
    """A question to a classifier: why does this text get its score for this class?

    Attributes:
        number: which of the user's texts it is, for messages.
        document: the text, encoded.
        target: the class that is explained, an index; or "predicted", or "all".
        against: in a pair, the class that the target is compared with, an index or "predicted".
        truth: the true class, None where it is not known.
        name: what the user calls the text, None where it has no name.
    """

    number: int
    document: EncodedText
    target: int | str = "predicted"
    against: int | str | None = None
    truth: int | None = None
    name: str | None = None


class PerText:
    """Values for a stream of texts: one for each, or one for all.

    Args:
        values: an iterable with a value for each text, or the one value, which may be a string.
        name: what they are, in the plural, for messages.
        error: raised where there are fewer or more values than texts.
    """

    def __init__(self, values: Any, name: str, error: type[InputError]) -> None:
        self.each = isinstance(values, Iterable) and not isinstance(values, str)
        self._values: Iterator[Any] = iter(values) if self.each else repeat(values)
        self._name, self._error = name, error
        self._taken = 0

    def take(self, texts: int) -> list[Any]:
        """The values of the next `texts` texts."""
        taken = list(islice(self._values, texts))
        self._taken += len(taken)
        if len(taken) < texts:
            raise self._error(
                f"Got {self._taken} {self._name} for more texts than that.", option=self._name
            )
        return taken

    def check_used_up(self) -> None:
        """Check that there are no more values than texts."""
        nothing = object()
        if self.each and next(self._values, nothing) is not nothing:
            several = "; a list has a class for each text, a pair is a tuple"
            hint = several if self._name == "targets" else ""
            raise self._error(
                f"Got more {self._name} than the {self._taken} texts{hint}.", option=self._name
            )


class QuestionStream:
    """Questions about a stream of texts, in their order; iterating gives one after the other.

    Args:
        classifier: encodes the texts and knows the names of classes.
        texts: strings, one string, a `Corpus`, a pandas data frame, or a `datasets.Dataset`.
        target: which class is explained, as `seqlrp.explain` takes it.
        labels: the true classes, by index or name; those of a `Corpus` where None are given.
        ids: the names of the texts. Where None are given and texts may be left out, or have
            numbers of their own, the number of each is its name.
        numbers: the numbers of the texts; by default those of a `Corpus` that has them, or 0, 1, …
        column: which column of a data frame or `datasets.Dataset` holds the text.
        skipped: what happens to texts without a word.
        per_text: whether `target` may hold a class for each text.

    Attributes:
        total: how many texts there are, None where that is not known before they are read.

    Raises:
        TargetError: no such class, or a pair that is none of two different classes.
        LabelError: the true class is asked for where it is not known.
        CorpusError: a data frame or `datasets.Dataset` without that column; no texts at all.
    """

    def __init__(
        self,
        classifier: TextClassifier,
        texts: Iterable[Any] | Corpus | Any,
        target: Target = "predicted",
        *,
        labels: Iterable[int | str] | None = None,
        ids: Iterable[Any] | None = None,
        numbers: Iterable[int] | None = None,
        column: str = "text",
        skipped: SkippedTexts | None = None,
        per_text: bool = True,
        max_words: int | None = None,
    ) -> None:
        if isinstance(texts, Corpus):
            labels = label_names(texts) if labels is None else labels
            numbers = texts.numbers if numbers is None else numbers
        self._classifier = classifier
        self._skipped = SkippedTexts() if skipped is None else skipped
        if max_words is not None:
            check_number("max_words", max_words, least=1, whole=True)
        self._max_words = max_words
        target = checked_target(classifier, target, labelled=labels is not None, per_text=per_text)
        one, other = target if isinstance(target, tuple) else (target, None)
        self._texts, self.total = read_texts(texts, column)
        self._labels = PerText(None if labels is None else iter(labels), "labels", LabelError)
        self._targets = PerText(one, "targets", TargetError)
        self._against = PerText(other, "targets", TargetError)
        self._ids = PerText(None if ids is None else map(str, ids), "ids", InputError)
        self._numbers = count() if numbers is None else map(int, numbers)
        self._named_by_number = ids is None and (self._skipped.allowed or numbers is not None)

    def windows(self, size: int = WINDOW) -> Iterator[tuple[int, list[Question]]]:
        """Read `size` texts at a time; give how many were read, and the questions about them.

        Raises:
            TextError: a text is no string; or it holds no word, where such are not left out.
            TargetError, LabelError, InputError: fewer targets, labels or ids than texts, or a
                class that the classifier does not have.
        """
        while texts := list(islice(self._texts, size)):
            yield len(texts), self._questions(texts)

    def __iter__(self) -> Iterator[Question]:
        for _, questions in self.windows():
            yield from questions

    def check_used_up(self) -> None:
        """Check that there were no more labels, ids or targets than texts."""
        for values in (self._labels, self._ids, self._targets, self._against):
            values.check_used_up()

    def _questions(self, texts: list[Any]) -> list[Question]:
        numbers = list(islice(self._numbers, len(texts)))
        documents = encode_texts(
            self._classifier, texts, numbers, self._skipped, max_words=self._max_words
        )
        columns = (self._labels, self._targets, self._against, self._ids)
        labels, targets, against, ids = (values.take(len(texts)) for values in columns)
        rows = zip(numbers, documents, labels, targets, against, ids, strict=True)
        return [
            self._question(number, document, *row)
            for number, document, *row in rows
            if document is not None
        ]

    def _question(
        self, number: int, document: EncodedText, label: Any, target: Any, against: Any, name: Any
    ) -> Question:
        truth = None
        if self._labels.each:
            truth = class_index(self._classifier, label, number, "label", LabelError)

        def chosen(side: Any, values: PerText) -> Any:
            if values.each:
                return class_index(self._classifier, side, number, "target", TargetError)
            return truth if side == LABEL else side

        return Question(
            number,
            document,
            chosen(target, self._targets),
            chosen(against, self._against),
            truth,
            str(number) if self._named_by_number else name,
        )


def encode_texts(
    classifier: TextClassifier,
    texts: Sequence[Any],
    numbers: Sequence[int],
    skipped: SkippedTexts,
    *,
    max_words: int | None = None,
) -> list[EncodedText | None]:
    """Encode texts; None for those that are left out because they hold no word.

    Args:
        classifier: has the tokenizer and the vocabulary.
        texts: strings; None and NaN are texts without a word.
        numbers: the number of each text, for messages.
        skipped: what happens to texts without a word, and to those with too many.
        max_words: the most words that a text may have for the model; None allows any number.

    Raises:
        TextError: a text is no string; or it holds no word or too many, where such are not left
            out.
    """
    for number, text in zip(numbers, texts, strict=True):
        if isinstance(text, str):
            continue
        error = TextError(
            f"Text {number} is {type(text).__name__}, expected a string.",
            skipped.advice,
            text=number,
            got=text,
            code="unanswerable",
        )
        if text is not None and text == text:  # not NaN either
            raise error
        skipped.add_or_raise(number, NO_WORD, error)
    strings = [text for text in texts if isinstance(text, str)]
    encoded = zip(strings, classifier.encode(strings), strict=True)
    documents: list[EncodedText | None] = []
    for number, text in zip(numbers, texts, strict=True):
        document = next(encoded)[1] if isinstance(text, str) else None
        # A text without a word has no token, or none that stands in it, such as [CLS].
        if document is not None and not np.diff(document.source.offsets).any():
            error = TextError(
                f"Text {number} holds no word: {text[:40]!a}.",
                skipped.advice,
                text=number,
                got=text,
                code="unanswerable",
            )
            skipped.add_or_raise(number, NO_WORD, error)
            document = None
        if document is not None and max_words is not None and len(document) > max_words:
            skipped.add_or_raise(number, TOO_LONG, _too_long(number, len(document), max_words))
            document = None
        documents.append(document)
    return documents


def _too_long(number: int, words: int, most: int) -> TextError:
    return TextError(
        f"Text {number} has {words:,} words, and max_words is {most:,}: memory grows with the "
        "longest text, by about 11 kB a word for a bidirectional LSTM of 64 units.",
        "Raise max_words where that is there.",
        text=number,
        got=words,
        option="max_words",
    )


def label_names(corpus: Corpus) -> list[str] | None:
    """The true class of each text of a corpus by name, or None if they are not known."""
    if corpus.labels is None:
        return None
    return [corpus.label_names[label] for label in corpus.labels]


def read_texts(texts: Any, column: str) -> tuple[Iterator[Any], int | None]:
    """Read texts from what a user hands in, and count them where that can be done beforehand.

    Args:
        texts: strings, one string, a `Corpus`, a pandas data frame, or a `datasets.Dataset`.
        column: which column of a data frame or `datasets.Dataset` holds the text.

    Raises:
        CorpusError: there is no such column, or what is handed in holds no texts.
    """
    _check_texts(texts)
    if isinstance(texts, str):
        texts = [texts]
    elif isinstance(texts, Corpus):
        texts = texts.texts
    elif hasattr(texts, "columns") and hasattr(texts, "iloc"):  # a pandas data frame
        _check_column("data frame", column, texts.columns)
        texts = texts[column]
    elif hasattr(texts, "column_names"):  # a datasets.Dataset, in memory or streamed
        _check_column("dataset", column, texts.column_names)
        total = len(texts) if hasattr(texts, "__len__") else None
        return (row[column] for row in texts), total
    if hasattr(texts, "notna"):  # a column of pandas, which has several ways to say nothing
        texts = texts.astype(object).where(texts.notna(), None)
    return iter(texts), len(texts) if hasattr(texts, "__len__") else None


def _check_texts(texts: Any) -> None:
    if isinstance(texts, Mapping):
        raise CorpusError(
            f"Got a {type(texts).__name__} of {', '.join(map(repr, list(texts)[:5]))}; expected "
            "texts, such as one of its parts, or its values() with its keys() as ids=."
        )
    if not isinstance(texts, Corpus | Iterable):
        raise CorpusError(
            f"Got texts of type {type(texts).__name__}; expected strings, a seqlrp.Corpus, a "
            "pandas data frame or a datasets.Dataset."
        )


def _check_column(kind: str, column: str, known: Iterable[Any] | None) -> None:
    if known is not None and column not in known:
        names = tuple(map(str, known))
        raise CorpusError(
            f"The {kind} has no column {column!r}. {near(column, names)} Say column=.",
            option="column",
            got=column,
            known=names,
        )
