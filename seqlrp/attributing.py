"""Texts as a method sees them: ids in batches, targets in terms of the classifier's labels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from seqlrp.consistency import scores_for_labels
from seqlrp.errors import CorpusError, LabelError, TargetError, TextError, near
from seqlrp.lrp import Attribution
from seqlrp.lrp.door import One, resolved_contrast, resolved_target
from seqlrp.methods import Explainer, Method
from seqlrp.targets import Side, Target, classes_of
from seqlrp.text.corpora import Corpus
from seqlrp.unanswerable import WORDLESS, Unanswerable

if TYPE_CHECKING:
    from seqlrp.text.encoded import EncodedText
    from seqlrp.text_classifier import TextClassifier


def attributed(
    classifier: TextClassifier,
    method: Method,
    members: Sequence[EncodedText],
    target: Target,
    truth: Sequence[int | None],
    numbers: Sequence[int],
) -> tuple[Attribution, Tensor]:
    """The attribution of one batch, and which places of it are words: bool on the CPU, as its ids.

    Args:
        classifier: as for `seqlrp.explain`.
        method: its method.
        members: the documents.
        target: as `checked_target` gives it.
        truth: the true class of each document where that is known.
        numbers: which of the user's texts the documents are, for messages.

    Raises:
        TargetError: both sides of a pair are the same class for a document.
    """
    ids, words = classifier.collate(members)
    ids, padding = ids.to(classifier.device), (~words).to(classifier.device)

    def asked(side: Side) -> One:
        known = truth if side == "label" else side
        if isinstance(known, int | str):
            return known
        return torch.tensor([t for t in known if t is not None], device=classifier.device)

    if not isinstance(target, tuple):
        return as_classes(classifier, method, ids, padding, asked(target)), words
    pair = asked(target[0]), asked(target[1])
    try:
        return as_classes(classifier, method, ids, padding, pair), words
    except TargetError as error:
        scores = as_classes(classifier, method, ids, padding, "predicted").scores
        _refuse_same(classifier, target, pair, scores, numbers, error)
        raise


def differing(
    classifier: TextClassifier,
    method: Method,
    members: Sequence[EncodedText],
    target: tuple[Side, Side],
    truth: Sequence[int | None],
) -> tuple[list[int], Target]:
    """Places of the documents with two different classes in a pair, and these classes.

    The model is asked where one side is the predicted class, so that nothing else is explained.
    """

    def classes(side: Side) -> list[int]:
        if side == "label":
            return [t for t in truth if t is not None]
        if side == "predicted":
            return _predicted(classifier, method, members)
        return [side] * len(members) if isinstance(side, int) else list(side)  # type: ignore[arg-type]

    one, other = classes(target[0]), classes(target[1])
    places = [k for k in range(len(members)) if one[k] != other[k]]
    return places, ([one[k] for k in places], [other[k] for k in places])


def _predicted(
    classifier: TextClassifier, method: Method, members: Sequence[EncodedText]
) -> list[int]:
    scores = classifier.scores(members, output=getattr(method, "output", None))
    found: list[int] = scores.argmax(1).tolist()
    return found


def _refuse_same(
    classifier: TextClassifier,
    target: tuple[Side, Side],
    pair: tuple[One, One],
    scores: Tensor,
    numbers: Sequence[int],
    error: TargetError,
) -> None:
    """Say which of the user's texts has the same class on both sides."""
    one, other = (resolved_target(side, scores) for side in pair)
    if one is None or other is None:
        return
    sides = zip(numbers, one.tolist(), other.tolist(), strict=True)
    for number, side, compared in sorted(sides):
        if side == compared:
            raise _same_class(classifier, target, number, side) from error


def _same_class(
    classifier: TextClassifier, target: tuple[Side, Side], number: int, side: int
) -> TargetError:
    """The error that a text has the class `side` on both sides of the target."""

    def named(one: Side) -> str:
        if isinstance(one, str):
            return repr(one)
        return repr(classifier.labels[one]) if isinstance(one, int) else "a class for each text"

    return TargetError(
        f"For text {number} both sides of the target ({named(target[0])}, {named(target[1])}) are "
        f"{classifier.labels[side]!r}, and a class differs from itself by nothing; leave such "
        "texts out (on_unanswerable='skip'), or compare with another class."
    )


def as_classes(
    classifier: TextClassifier,
    method: Method,
    ids: Tensor,
    padding: Tensor,
    target: One | tuple[One, One],
) -> Attribution:
    """An attribution in terms of the classifier's labels.

    A model with one output s and two labels speaks for `labels[1]`: its scores are taken as
    [-s, s], so that what speaks for `labels[0]` is the same with the sign changed, and the
    difference of the two is 2s for (`labels[1]`, `labels[0]`) and -2s for the other way round.

    Raises:
        TargetError: both sides of a pair are the same class for a document of the batch.
        LabelError: the model gives more or fewer scores than there are labels.
    """
    labels = len(classifier.labels)
    additional = classifier.arguments(ids, ~padding) or None
    if labels != 2 or not classifier.single_output:
        found = method.attribution(ids, target, additional, padding=padding)
        if found.scores.shape[1] != labels:
            raise scores_for_labels(found.scores.shape[1], classifier.labels)
        return found
    found = method.attribution(ids, 0, additional, padding=padding)
    scores = torch.cat([-found.scores, found.scores], dim=1)
    wanted, against = resolved_contrast(target, scores)
    factors = torch.tensor([[-1.0, 1.0]], dtype=scores.dtype, device=scores.device)
    relevance, documents = found.relevance, ids.ndim - 1
    if wanted is None:
        relevance = relevance.unsqueeze(1)  # [B, 1, T]
    else:
        factors = factors[0, wanted] * (1 if against is None else 2)
    factors = _rescaled(method, factors)  # [B], or [1, 2] for all
    relevance = relevance * factors.reshape(*factors.shape, *[1] * documents)
    ledger = found.ledger and found.ledger.signed(factors)
    return Attribution(relevance, scores, wanted, ledger, against)


def _rescaled(method: Method, factors: Tensor) -> Tensor:
    """What relevance is multiplied by where the score is multiplied by `factors`."""
    if method.parameters.get("start") == "one":
        return torch.ones_like(factors)  # it adds up to 1 whatever the score is
    return method.rescaled(factors) if isinstance(method, Explainer) else factors


def strings(texts: Any, column: str) -> tuple[Iterator[str], int | None]:
    """Strings one by one, and how many there are if that is known.

    Raises:
        CorpusError: a data frame or `datasets.Dataset` without that column; no texts at all.
    """
    _check_texts(texts)
    if isinstance(texts, str):
        texts = [texts]
    elif isinstance(texts, Corpus):
        texts = texts.texts
    elif hasattr(texts, "columns") and hasattr(texts, "iloc"):  # a pandas data frame
        if column not in texts.columns:
            raise CorpusError(
                f"The data frame has no column {column!r}. "
                f"{near(column, map(str, texts.columns))} Say column=."
            )
        texts = texts[column]
    elif hasattr(texts, "column_names"):  # a datasets.Dataset, in memory or streamed
        names = texts.column_names
        if names is not None and column not in names:
            raise CorpusError(
                f"The dataset has no column {column!r}. {near(column, names)} Say column=."
            )
        total = len(texts) if hasattr(texts, "__len__") else None
        return (row[column] for row in texts), total
    if hasattr(texts, "notna"):  # a column of pandas, which has several ways to say nothing
        texts = texts.astype(object).where(texts.notna(), None)
    total = len(texts) if hasattr(texts, "__len__") else None
    return iter(texts), total


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


def encoded_texts(
    classifier: TextClassifier, texts: Sequence[str], first: int = 0
) -> list[EncodedText]:
    """Texts as ids; `first` is the number of the first one among all texts, for messages.

    Raises:
        TextError: a text holds no word, or is no string.
    """
    numbers = range(first, first + len(texts))
    return list(answerable(classifier, texts, numbers, Unanswerable(offered=False)).values())


def answerable(
    classifier: TextClassifier,
    texts: Sequence[str | None],
    numbers: Sequence[int],
    unanswerable: Unanswerable,
) -> dict[int, EncodedText]:
    """Texts that hold a word, as ids, by their numbers.

    Raises:
        TextError: a text is no string; or, unless such are to be skipped, it holds no word.
    """
    held: dict[int, str] = {}
    for number, text in zip(numbers, texts, strict=True):
        if isinstance(text, str):
            held[number] = text
            continue
        error = TextError(
            f"Text {number} is {type(text).__name__}, expected a string; {unanswerable.cure}."
        )
        if text is not None and text == text:  # not NaN either
            raise error
        unanswerable.meet(number, WORDLESS, error)
    found: dict[int, EncodedText] = {}
    for number, encoded in zip(held, classifier.encode(held.values()), strict=True):
        if np.diff(encoded.source.offsets).any():
            found[number] = encoded
            continue
        # Nothing, or nothing but [CLS] and the like.
        error = TextError(
            f"Text {number} holds no word: {held[number][:40]!a}; {unanswerable.cure}."
        )
        unanswerable.meet(number, WORDLESS, error)
    return found


def true_classes(
    classifier: TextClassifier,
    labels: Iterator[int | str] | None,
    texts: range,
    kept: Iterable[int] | None = None,
) -> list[int | None]:
    """The next labels as class indices, or so many None where none are known.

    Args:
        classifier: knows the names.
        labels: a stream of names and indices, one for each text.
        texts: the numbers of the next texts.
        kept: of those the ones that are asked for; by default all.

    Raises:
        LabelError: too few labels, or one that the classifier has never seen.
    """
    kept = texts if kept is None else list(kept)
    if labels is None:
        return [None] * len(kept)
    return list(classes_of(classifier, labels, texts, kept, "label", LabelError))
