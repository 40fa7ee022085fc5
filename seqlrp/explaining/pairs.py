"""Pairs of classes: which class is the predicted one, and where both sides are the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from seqlrp.engine.batches import Budget, in_batches
from seqlrp.explaining.questions import Question
from seqlrp.explaining.skipped import SAME_CLASS, SkippedTexts
from seqlrp.explaining.targets import PREDICTED
from seqlrp.methods import Method

if TYPE_CHECKING:
    from seqlrp.models.classifier import TextClassifier


def leave_out_same_class(
    classifier: TextClassifier,
    method: Method,
    questions: Sequence[Question],
    skipped: SkippedTexts,
    budget: Budget,
) -> list[Question]:
    """Leave out questions with one class on both sides of a pair, if texts may be left out.

    In the other pairs, "predicted" is replaced by the class that it stands for. Questions about a
    single class, or about all, stay as they are.

    Args:
        classifier: the classifier that is explained; it is run where a side is "predicted".
        method: the method of attribution, which knows which output of the model holds the scores.
        questions: all about a pair of classes, or none.
        skipped: where such texts are noted, if it allows them.
        budget: the most tokens in a batch.
    """
    if not skipped.allowed or all(question.against is None for question in questions):
        return list(questions)
    predicted = _predicted(classifier, method, questions, budget)
    kept = []
    for question, answer in zip(questions, predicted, strict=True):
        target = answer if question.target == PREDICTED else question.target
        against = answer if question.against == PREDICTED else question.against
        if target == against:
            skipped.add(question.number, SAME_CLASS)
        else:
            kept.append(replace(question, target=target, against=against))
    return kept


def _predicted(
    classifier: TextClassifier, method: Method, questions: Sequence[Question], budget: Budget
) -> list[int | str]:
    """The class that the model predicts for each text, if a question asks for it."""
    predicted: list[int | str] = [PREDICTED] * len(questions)
    if not any(PREDICTED in (question.target, question.against) for question in questions):
        return predicted
    documents = [question.document for question in questions]
    output = getattr(method, "output", None)

    def run(batch: list[int]) -> list[int]:
        scores = classifier.scores([documents[k] for k in batch], output=output)
        return list(scores.argmax(1).tolist())

    lengths = [classifier.length(document) for document in documents]
    for batch, classes in in_batches(lengths, budget, run):
        for k, found in zip(batch, classes, strict=True):
            predicted[k] = found
    return predicted
