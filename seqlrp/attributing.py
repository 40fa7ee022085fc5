"""Texts as a method sees them: ids in batches, targets in terms of the classifier's labels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from seqlrp.errors import CorpusError, LabelError, TargetError, TextError, near
from seqlrp.explanation import ALL
from seqlrp.lrp import Attribution
from seqlrp.lrp.door import One, resolved_contrast, resolved_target
from seqlrp.methods import Explainer, Method
from seqlrp.text.corpora import Corpus

if TYPE_CHECKING:
    from seqlrp.text.encoded import EncodedText
    from seqlrp.text_classifier import TextClassifier

Side = int | str
Target = Side | tuple[Side, Side]
RESOLVED_LATER = ("predicted", "label")  # known only when a document is at hand


def checked_target(classifier: TextClassifier, target: Target, *, labelled: bool) -> Target:
    """The target with names of classes replaced by their indices.

    Args:
        classifier: knows the names.
        target: as `seqlrp.explain` takes it.
        labelled: whether true classes are known.

    Raises:
        TargetError: no such class, or a pair that is none of two different classes.
        LabelError: the true class is asked for where it is not known.
    """
    if not isinstance(target, tuple):
        return ALL if target == ALL else _checked_side(classifier, target, labelled)
    if len(target) != 2 or ALL in target:
        raise TargetError(
            f"Got the target {target!r}; a pair names two classes, e.g. ('positive', 'negative'): "
            f"why this one rather than that."
        )
    one, other = (_checked_side(classifier, side, labelled) for side in target)
    if one == other:
        raise TargetError(
            f"Got the target {target!r}, which compares a class with itself; name two classes."
        )
    return one, other


def _checked_side(classifier: TextClassifier, side: Side, labelled: bool) -> Side:
    if side == "label" and not labelled:
        raise LabelError(
            "target='label' explains the true class, but no labels are given; pass labels=, or "
            "target='predicted'."
        )
    return side if side in RESOLVED_LATER else classifier.label_index(side)


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
    labels = None
    if "label" in (target if isinstance(target, tuple) else (target,)):
        labels = torch.tensor([t for t in truth if t is not None], device=classifier.device)

    def asked(side: Side) -> Side | Tensor:
        return labels if side == "label" and labels is not None else side

    if not isinstance(target, tuple):
        return as_classes(classifier, method, ids, padding, asked(target)), words
    pair = asked(target[0]), asked(target[1])
    try:
        return as_classes(classifier, method, ids, padding, pair), words
    except TargetError as error:
        scores = as_classes(classifier, method, ids, padding, "predicted").scores
        _refuse_same(classifier, target, pair, scores, numbers, error)
        raise


def _refuse_same(
    classifier: TextClassifier,
    target: tuple[Side, Side],
    pair: tuple[Side | Tensor, Side | Tensor],
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
            names = tuple(s if isinstance(s, str) else classifier.labels[s] for s in target)
            raise TargetError(
                f"For text {number} both sides of the target {names!r} are "
                f"{classifier.labels[side]!r}, and a class differs from itself by nothing; leave "
                f"out such texts (classifier.predict tells which), or compare with another class."
            ) from error


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
            raise LabelError(
                f"The model gives {found.scores.shape[1]} scores a text, but the classifier names "
                f"{labels} labels: {', '.join(classifier.labels)}."
            )
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
        CorpusError: a data frame or `datasets.Dataset` without that column.
    """
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
    total = len(texts) if hasattr(texts, "__len__") else None
    return iter(texts), total


def encoded_texts(
    classifier: TextClassifier, texts: Sequence[str], first: int = 0
) -> list[EncodedText]:
    """Texts as ids; `first` is the number of the first one among all texts, for messages.

    Raises:
        TextError: a text holds no word, or is no string.
    """
    for k, text in enumerate(texts):
        if not isinstance(text, str):
            raise TextError(f"Text {first + k} is {type(text).__name__}, expected a string.")
    encoded = list(classifier.encode(texts))
    for k, one in enumerate(encoded):
        if not np.diff(one.source.offsets).any():  # nothing, or nothing but [CLS] and the like
            shown = texts[k][:40]
            raise TextError(f"Text {first + k} holds no word: {shown!a}; leave empty texts out.")
    return encoded


def true_classes(
    classifier: TextClassifier, labels: Iterator[int | str] | None, count: int, first: int = 0
) -> list[int | None]:
    """The next `count` labels as class indices, or so many None where none are known.

    Raises:
        LabelError: too few labels, or one that the classifier has never seen.
    """
    if labels is None:
        return [None] * count
    given = list(islice(labels, count))
    if len(given) < count:
        raise LabelError(f"Got {first + len(given)} labels for more texts than that.")
    truths: list[int | None] = []
    for k, label in enumerate(given):
        if isinstance(label, str):
            if label not in classifier.labels:
                raise LabelError(
                    f"Text {first + k} has the label {label!r}, which the classifier has never "
                    f"seen. {near(label, classifier.labels)}"
                )
            truths.append(classifier.labels.index(label))
        else:
            if not 0 <= int(label) < len(classifier.labels):
                raise LabelError(
                    f"Text {first + k} has the label {label}, but the classifier has "
                    f"{len(classifier.labels)} classes, 0 to {len(classifier.labels) - 1}."
                )
            truths.append(int(label))
    return truths
