"""One method put to the test: it explains each text, and every metric measures the explanations."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

from seqlrp.engine.batches import Budget, ran_out_of_memory
from seqlrp.engine.completeness import totals_for, warn_if_incomplete
from seqlrp.errors import InputError, SeqlrpError
from seqlrp.evaluation.candidates import Candidate, outside
from seqlrp.evaluation.documents import ExplainedDocuments, Texts
from seqlrp.evaluation.metrics.metric import Metric
from seqlrp.evaluation.removal import Remover
from seqlrp.explaining.attribute import explain_questions
from seqlrp.explaining.explain import add_account
from seqlrp.explaining.questions import Question
from seqlrp.explanations.record import Explanation

if TYPE_CHECKING:
    import numpy.typing as npt
    import pandas as pd


def measure(
    candidate: Candidate,
    texts: Texts,
    remover: Remover,
    metrics: Sequence[Metric],
    seed: int,
    bar: tqdm[Any],
) -> tuple[pd.DataFrame, float]:
    """The rows of one method, and the seconds that it took to explain a text."""
    import pandas as pd

    _warm_up(candidate, texts, remover)
    started = time.perf_counter()
    explanations = _explain_predicted(candidate, texts, remover, bar)
    taken = (time.perf_counter() - started) / len(texts.questions)
    if (totals := totals_for(candidate.method)) is not None:
        for explanation in explanations:
            add_account(totals, explanation)
        warn_if_incomplete(candidate.method, totals)
    of_label: list[Explanation | None] = [None] * len(explanations)
    if any("labels" in m.needs for m in metrics):
        of_label = _explain_true(candidate, texts, explanations, remover)
    data = ExplainedDocuments(
        classifier=remover.classifier,
        documents=texts.documents,
        numbers=texts.numbers,
        labels=texts.labels,
        method=candidate.name,
        order=candidate.order,
        explanations=explanations,
        of_label=of_label,
        explainer=candidate.method,
        rationales=texts.rationales,
        remover=remover,
        seed=seed,
        batch_tokens=remover.batch_tokens,
    )
    tables = []
    for metric in metrics:
        empty = metric.fresh()
        empty.update(data)
        tables.append(empty.compute())
        bar.update(len(texts.questions))
    timed = candidate.method is not None and not any(
        texts.known_answer(question, candidate.method) for question in texts.questions[:1]
    )
    return pd.concat(tables, ignore_index=True), taken if timed else float("nan")


def _warm_up(candidate: Candidate, texts: Texts, remover: Remover) -> None:
    """Explain the shortest text, so that one-time loading and compiling is not measured."""
    shortest = min(texts.questions, key=lambda question: len(question.document))
    if candidate.method is not None:
        with tqdm(disable=True) as silent, contextlib.suppress(Exception):  # the run raises it
            _explain(candidate, [shortest], remover, silent)


def _explain_predicted(
    candidate: Candidate, texts: Texts, remover: Remover, bar: tqdm[Any]
) -> list[Explanation]:
    """Explain the predicted class of each document."""
    if candidate.method is not None:
        return _answers(candidate, texts, texts.questions, remover, bar)
    everything = range(len(texts.questions))
    whole = Remover(remover.classifier, "delete", remover.batch_tokens)  # of nothing
    scores = whole.scores(texts.documents, [np.zeros(0, np.int64)] * len(everything))
    found = []
    for n in everything:
        explanation = _from_outside(
            candidate, texts, n, scores[n], int(scores[n].argmax()), remover
        )
        if explanation is None:
            raise InputError(
                f"The explanation for text {texts.numbers[n]} in {candidate.name!r} is not of the "
                f"class that is predicted; explain with target='predicted' or 'all'."
            )
        found.append(explanation)
    bar.update(len(everything))
    return found


def _explain_true(
    candidate: Candidate, texts: Texts, predicted: Sequence[Explanation], remover: Remover
) -> list[Explanation | None]:
    """Explain the true class of each document; None where there is no explanation of it."""
    found = [e if e.predicted == e.label else None for e in predicted]
    wrong = [n for n, e in enumerate(found) if e is None and texts.labels[n] is not None]
    if candidate.method is not None:
        questions = [texts.questions[n] for n in wrong]
        asked = [replace(q, target=q.truth) for q in questions if q.truth is not None]
        with tqdm(disable=True) as silent:
            made = _answers(candidate, texts, asked, remover, silent)
        for n, e in zip(wrong, made, strict=True):
            found[n] = e
        return found
    for n in wrong:
        label = texts.labels[n]
        assert label is not None
        found[n] = _from_outside(candidate, texts, n, predicted[n].scores, label, remover)
    return found


def _from_outside(
    candidate: Candidate,
    texts: Texts,
    n: int,
    scores: npt.NDArray[np.float32],
    wanted: int,
    remover: Remover,
) -> Explanation | None:
    assert candidate.given is not None
    question, names = texts.questions[n], remover.classifier.labels
    item = candidate.given[question.number]
    return outside(candidate.name, item, question, wanted, scores, names)


def _answers(
    candidate: Candidate,
    texts: Texts,
    questions: Sequence[Question],
    remover: Remover,
    bar: tqdm[Any],
) -> list[Explanation]:
    """Explanations of these texts by a method: those that are known, and the others made."""
    assert candidate.method is not None
    known = [texts.known_answer(question, candidate.method) for question in questions]
    unknown = [question for question, e in zip(questions, known, strict=True) if e is None]
    made = iter(_explain(candidate, unknown, remover, bar))
    bar.update(len(questions) - len(unknown))
    return [next(made) if e is None else e for e in known]


def _explain(
    candidate: Candidate, questions: Sequence[Question], remover: Remover, bar: tqdm[Any]
) -> list[Explanation]:
    """Explain these texts by a method; where it fails, the error names the text."""
    method, classifier = candidate.method, remover.classifier
    assert method is not None

    def explain(chosen: Sequence[Question], bar: tqdm[Any]) -> Iterable[Explanation]:
        budget = Budget(remover.batch_tokens, classifier.device)
        return explain_questions(classifier, method, chosen, budget, bar)

    done: list[Explanation] = []
    try:
        done.extend(explain(questions, bar))
    except Exception as error:
        if ran_out_of_memory(error):
            raise
        with tqdm(disable=True) as silent:
            for question in questions[len(done) :]:  # a batch failed: which of its texts is it?
                try:
                    list(explain([question], silent))
                except Exception as alone:
                    raise _with_place(alone, candidate, question) from error
        raise
    return done


def _with_place(error: Exception, candidate: Candidate, question: Question) -> Exception:
    """The error with the method and the text in its message."""
    place = f"{candidate.name!r} fails at text {question.number}"
    shown = f"{question.document.source.text[:40]!a}"
    if isinstance(error, SeqlrpError):
        fields = {name: getattr(error, name) for name in SeqlrpError.__annotations__}
        fields["text"] = question.number
        return type(error)(f"{place} ({shown}): {error}", **fields)
    error.add_note(f"seqlrp: {place} ({shown})")
    return error
