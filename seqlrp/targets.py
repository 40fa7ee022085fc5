"""Which class is explained: one for all texts, one for each, or one rather than another."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING

from seqlrp.errors import InputError, LabelError, TargetError, near
from seqlrp.explanation import ALL

if TYPE_CHECKING:
    from seqlrp.text_classifier import TextClassifier

Side = int | str | Iterable[int | str]
Target = Side | tuple[Side, Side]
RESOLVED_LATER = ("predicted", "label")  # known only when a document is at hand


def checked_target(
    classifier: TextClassifier, target: Target, *, labelled: bool, each: bool = False
) -> Target:
    """The target with names of classes replaced by their indices.

    Args:
        classifier: knows the names.
        target: as `seqlrp.explain` takes it.
        labelled: whether true classes are known.
        each: whether there may be a class for each text; these become iterators, of which
            `next_targets` takes some at a time.

    Raises:
        TargetError: no such class, or a pair that is none of two different classes.
        LabelError: the true class is asked for where it is not known.
    """
    if not isinstance(target, tuple):
        if isinstance(target, str) and target == ALL:
            return ALL
        return _checked_side(classifier, target, labelled, each)
    if len(target) != 2 or any(isinstance(side, str) and side == ALL for side in target):
        raise TargetError(
            f"Got the target {target!r}; a pair names two classes, e.g. ('positive', 'negative'): "
            f"why this one rather than that. A list gives a class for each text."
        )
    one, other = (_checked_side(classifier, side, labelled, each) for side in target)
    if isinstance(one, int | str) and one == other:
        raise TargetError(
            f"Got the target {target!r}, which compares a class with itself; name two classes."
        )
    return one, other


def _checked_side(classifier: TextClassifier, side: Side, labelled: bool, each: bool) -> Side:
    if isinstance(side, Iterable) and not isinstance(side, str):
        if not each:
            raise TargetError(
                f"Got a {type(side).__name__} as the target; expected a class, or a pair of "
                "classes, for all texts. seqlrp.explain takes a class for each text."
            )
        return iter(side)
    if side == "label" and not labelled:
        raise LabelError(
            "target='label' explains the true class, but no labels are given; pass labels=, or "
            "target='predicted'."
        )
    return side if side in RESOLVED_LATER else classifier.label_index(side)


def by_side(target: Target, change: Callable[[Side], Side]) -> Target:
    """The target with its one side changed, or with both."""
    if isinstance(target, tuple):
        return change(target[0]), change(target[1])
    return change(target)


def next_targets(
    classifier: TextClassifier, target: Target, texts: range, kept: Iterable[int]
) -> Target:
    """The target of those of the next texts that are kept: lists in the place of iterators.

    Raises:
        TargetError: too few classes, or one that the classifier has never seen.
    """

    def taken(side: Side) -> Side:
        if not isinstance(side, Iterator):
            return side
        return classes_of(classifier, side, texts, kept, "target", TargetError)

    return by_side(target, taken)


def for_documents(target: Target, documents: Sequence[int]) -> Target:
    """The target of some documents, by their places in a sequence, from that of all of them."""
    return by_side(
        target, lambda side: [side[k] for k in documents] if isinstance(side, list) else side
    )


def classes_of(
    classifier: TextClassifier,
    given: Iterator[int | str],
    texts: range,
    kept: Iterable[int],
    name: str,
    error: type[InputError],
) -> list[int]:
    """The classes of those of the next texts that are kept, from names and indices of all.

    Args:
        classifier: knows the names.
        given: a stream of names and indices, one for each text.
        texts: the numbers of the next texts.
        kept: of those the ones that are asked for.
        name: what these classes are, for messages.
        error: raised for too few, or one that the classifier has never seen.
    """
    taken = list(islice(given, len(texts)))
    if len(taken) < len(texts):
        raise error(f"Got {texts.start + len(taken)} {name}s for more texts than that.")
    found: list[int] = []
    for number in kept:
        one = taken[number - texts.start]
        if isinstance(one, str):
            if one not in classifier.labels:
                raise error(
                    f"Text {number} has the {name} {one!r}, which the classifier has never "
                    f"seen. {near(one, classifier.labels)}"
                )
            found.append(classifier.labels.index(one))
            continue
        try:
            index = operator.index(one)
        except TypeError:
            raise error(
                f"Text {number} has the {name} {one!r:.40}, expected the name of a class or its "
                "index."
            ) from None
        if not 0 <= index < len(classifier.labels):
            raise error(
                f"Text {number} has the {name} {one}, but the classifier has "
                f"{len(classifier.labels)} classes, 0 to {len(classifier.labels) - 1}."
            )
        found.append(index)
    return found
