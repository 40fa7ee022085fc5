"""Which class is explained: one for all texts, one for each, or one rather than another."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from seqlrp.errors import InputError, LabelError, TargetError, near
from seqlrp.explanations.record import ALL

if TYPE_CHECKING:
    from seqlrp.models.classifier import TextClassifier

PREDICTED, LABEL = "predicted", "label"

Side = int | str | Iterable[int | str]
Target = Side | tuple[Side, Side]


def checked_target(
    classifier: TextClassifier, target: Target, *, labelled: bool, per_text: bool = False
) -> Target:
    """Check a target, and replace the names of classes by their indices.

    Args:
        classifier: knows the names.
        target: as `seqlrp.explain` takes it.
        labelled: whether true classes are known.
        per_text: whether there may be a class for each text; these are checked when their texts
            are read, by `class_index`.

    Raises:
        TargetError: no such class, a pair that is none of two different classes, or a class that
            is called like one of the words that a target may be.
        LabelError: the true class is asked for where it is not known.
    """
    if not isinstance(target, tuple):
        if isinstance(target, str) and target == ALL:
            check_unambiguous(target, classifier.labels)
            return ALL
        return _checked_side(classifier, target, labelled, per_text)
    if len(target) != 2 or any(isinstance(side, str) and side == ALL for side in target):
        raise TargetError(
            f"Got the target {target!r}; a pair names two classes, e.g. ('positive', 'negative'): "
            f"why this one rather than that. A list gives a class for each text.",
            option="target",
            got=target,
        )
    one, other = (_checked_side(classifier, side, labelled, per_text) for side in target)
    if isinstance(one, int | str) and one == other:
        raise TargetError(
            f"Got the target {target!r}, which compares a class with itself; name two classes.",
            option="target",
            got=target,
        )
    return one, other


def _checked_side(classifier: TextClassifier, side: Side, labelled: bool, per_text: bool) -> Side:
    if isinstance(side, Iterable) and not isinstance(side, str):
        if not per_text:
            raise TargetError(
                f"Got a {type(side).__name__} as the target; expected a class, or a pair of "
                "classes, for all texts. seqlrp.explain takes a class for each text.",
                option="target",
                got=side,
            )
        return side
    if side == LABEL and not labelled:
        raise LabelError(
            "target='label' explains the true class, but no labels are given.",
            "Pass labels=, or target='predicted'.",
            option="target",
            got=side,
            code="target_labels_missing",
        )
    if side not in (PREDICTED, LABEL):
        return classifier.label_index(side)
    check_unambiguous(side, classifier.labels)
    return side


def check_unambiguous(word: Any, labels: Sequence[str]) -> None:
    """Refuse `"predicted"`, `"label"` or `"all"` as a target where a class has that name, too.

    Raises:
        TargetError: one of `labels` is this word.
    """
    if word in labels:
        raise TargetError(
            f"Got the target {word!r}, which is the name of a class here and also has a meaning of "
            "its own as a target.",
            f"For the class, pass its index, target={labels.index(word)}; for the other meaning, "
            "give the class another name in the classifier's labels.",
            option="target",
            got=word,
            code="target_ambiguous",
        )


def class_index(
    classifier: TextClassifier, given: Any, number: int, name: str, error: type[InputError]
) -> int:
    """The index of a class that is given for one text, by name or index.

    Args:
        classifier: knows the names.
        given: the name or the index.
        number: the number of the text, for messages.
        name: what the class is: "label" or "target".
        error: raised where the classifier has no such class.
    """
    labels = classifier.labels
    if isinstance(given, str):
        if given in labels:
            return labels.index(given)
        raise error(
            f"Text {number} has the {name} {given!r}, which the classifier has never seen. "
            f"{near(given, labels)}",
            text=number,
            option=name,
            got=given,
            known=labels,
        )
    try:
        index = operator.index(given)
    except TypeError:
        raise error(
            f"Text {number} has the {name} {given!r:.40}, expected the name of a class or its "
            "index.",
            text=number,
            option=name,
            got=given,
        ) from None
    if not 0 <= index < len(labels):
        raise error(
            f"Text {number} has the {name} {given}, but the classifier has {len(labels)} classes, "
            f"0 to {len(labels) - 1}.",
            text=number,
            option=name,
            got=given,
        )
    return index
