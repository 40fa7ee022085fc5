"""`evaluate`: every method explains every text, and every metric measures the explanations."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from tqdm import tqdm

from seqlrp.engine.batches import BatchTokens, Budget, ran_out_of_memory
from seqlrp.engine.completeness import totals_for, warn_if_incomplete
from seqlrp.errors import InputError, LabelError, OptionError, SeqlrpError
from seqlrp.evaluation.blocks import Blocks
from seqlrp.evaluation.candidates import Candidate, Methods, candidates, chosen_metrics, outside
from seqlrp.evaluation.checkpoint import Checkpoint
from seqlrp.evaluation.documents import ExplainedDocuments, Score, Texts
from seqlrp.evaluation.metrics import METRICS
from seqlrp.evaluation.metrics.metric import KEY, Metric
from seqlrp.evaluation.metrics.word_deletion import KS
from seqlrp.evaluation.removal import Removal, Remover
from seqlrp.evaluation.report.report import EvaluationReport
from seqlrp.explaining.attribute import explain_questions
from seqlrp.explaining.explain import BATCH_TOKENS, add_account
from seqlrp.explaining.known import is_by
from seqlrp.explaining.questions import Question
from seqlrp.explanations.collection import Explanations
from seqlrp.explanations.record import Explanation
from seqlrp.text.corpora import Corpus

if TYPE_CHECKING:
    import numpy.typing as npt
    import pandas as pd

    from seqlrp.models.classifier import TextClassifier

METHODS_COMPARED = ("lrp", "gradient_x_input", "occlusion", "sensitivity", "random")
METRICS_COMPUTED = ("word_deletion", "aopc", "comprehensiveness", "sufficiency")


def evaluate(
    classifier: TextClassifier,
    texts: Iterable[str] | Corpus | Any,
    labels: Sequence[int | str] | None = None,
    methods: Methods = METHODS_COMPARED,
    metrics: Sequence[str | Metric] = METRICS_COMPUTED,
    *,
    ks: Sequence[int] = KS,
    removal: Removal = "zero",
    score: Score = "probability",
    rationales: Sequence[Any] | None = None,
    random_orders: int = 5,
    column: str = "text",
    min_words: int = 10,
    seed: int = 0,
    batch_tokens: BatchTokens = BATCH_TOKENS,
    out: str | os.PathLike[str] | None = None,
    progress: bool | None = None,
) -> EvaluationReport:
    """Explain texts by several methods and measure the quality of the explanations.

    Args:
        classifier: the classifier that is explained.
        texts: strings, a `Corpus` with labels, a pandas data frame, a `datasets.Dataset`, or
            `Explanations` of their predicted classes, which then stand for the method that made
            them, so that it explains nothing again. Those of a folder are read 4,096 at a time, and
            what is held of them is their values.
        labels: the true class of each text, by index or name; word deletion needs them.
        methods: names in `seqlrp.METHODS`, `"chosen"` (see `seqlrp.choose`), method objects, or a
            mapping of a name of your own to a name, an object, a mapping of options (`{"lrp,
            ε=0.1": {"method": "lrp", "epsilon": 0.1}}`), or attributions from outside: one array a
            text, `[T]` for the class that is predicted, or `[C, T]` for all classes. Values that
            need attributions for another class are missing.
        metrics: names in `seqlrp.evaluation.METRICS`, or metric objects. The name of a quantity
            (`"abpc"`) stands for its metric (`"aopc"`).
        ks: the numbers of words to delete; 0 is always among them.
        removal: `"zero"`, `"delete"`, `"unk"` or `"mask"`, see `seqlrp.evaluation.removal.Remover`.
        score: what is measured: `"probability"`, `"logit"` or `"accuracy"`.
        rationales: the words that people marked, for metrics that compare with them: for each text
            numbers from 0 to 1 `[T]`, or bool.
        random_orders: the number of seeds with which `"random"` is run.
        column: which column of a data frame or `datasets.Dataset` holds the text.
        min_words: texts with fewer words are left out, and counted.
        seed: the seed of random orders, metrics and bootstraps.
        batch_tokens: the largest number of tokens in a batch, padding included, or `"auto"`.
        out: a folder to save the report to. The results of each finished method are stored there,
            so that an interrupted evaluation continues when it is called again with the same model,
            texts and options.
        progress: show a bar; None shows one where stderr is a terminal.

    Raises:
        CorpusError: no text is long enough.
        LabelError: labels are missing or unknown.
        OptionError: an unknown method, metric, removal or score, or missing rationales.
        SeqlrpError: a text could not be explained; the message says which.
    """
    blocks = Blocks(
        classifier, texts, labels, rationales, column=column, min_words=max(min_words, 1)
    )
    compared = candidates(classifier, methods, texts=len(blocks), orders=random_orders, seed=seed)
    measured = chosen_metrics(metrics, METRICS, {"ks": ks, "score": score})
    _check_needs(measured, blocks.labelled, rationales)
    if isinstance(blocks.texts, Explanations):
        _check_compared(blocks.texts[0], compared)
    remover = Remover(classifier, removal, batch_tokens)
    options = {"removal": removal, "random_orders": random_orders}
    made = _settings(classifier, measured, options) | {"seed": seed, "min_words": min_words}
    checkpoints: list[Checkpoint] = []
    found: list[_Block] = []
    total = len(compared) * len(blocks) * (1 + len(measured))
    hidden = None if progress is None else not progress
    with tqdm(total=total, unit="step", disable=hidden) as bar:
        for block in blocks:
            if out is not None:
                checkpoints.append(Checkpoint(out, classifier, block, made))
            kept = checkpoints[-1] if checkpoints else None
            results = _measure_all(compared, block, remover, measured, seed, kept, bar)
            found.append(_Block(len(block.questions), results))
    documents = sum(block.documents for block in found)
    made |= {"documents": documents, "left_out": len(blocks) - documents}
    report = _report(found, measured, made, compared)
    if out is not None:
        report.save(out)
        for checkpoint in checkpoints:
            checkpoint.remove()
    return report


def _settings(
    classifier: TextClassifier, metrics: Sequence[Metric], options: dict[str, Any]
) -> dict[str, Any]:
    """What the numbers depend on, as JSON values."""
    return {
        "options": options,
        "metrics": {m.name: m.parameters for m in metrics},
        "figures": {m.name: list(m.quantities) for m in metrics},
        "versions": _versions(),
        "labels": list(classifier.labels),
    }


class _Block(NamedTuple):
    """What was measured of a block: for each candidate its rows, and seconds a text."""

    documents: int
    results: list[tuple[pd.DataFrame, float]]


def _check_compared(known: Explanation, compared: Sequence[Candidate]) -> None:
    """Check that the method which made explanations is among those that are compared."""
    methods = [c.method for c in compared if c.method is not None]
    if not any(is_by(known, method.name, method.parameters) for method in methods):
        raise OptionError(
            f"The explanations are by {known.method} with {dict(known.parameters)}, which is none "
            "of the methods that are compared.",
            "Name it with these options.",
            option="methods",
            got=known.method,
        )


def _check_needs(
    metrics: Sequence[Metric], labelled: bool, rationales: Sequence[Any] | None
) -> None:
    """Check that there is what the metrics compare with."""
    if not labelled and any("labels" in m.needs for m in metrics):
        raise LabelError(
            "Deleting words needs the true class of each text.",
            "Pass labels=.",
            option="labels",
            code="labels_missing",
        )
    if rationales is None and any("rationales" in m.needs for m in metrics):
        raise OptionError(
            "A metric compares with the words that people marked; pass rationales=.",
            option="rationales",
        )


def _measure_all(
    compared: Sequence[Candidate],
    texts: Texts,
    remover: Remover,
    metrics: Sequence[Metric],
    seed: int,
    checkpoint: Checkpoint | None,
    bar: tqdm[Any],
) -> list[tuple[pd.DataFrame, float]]:
    """Measure each candidate, or read what was measured before: rows, and seconds a text."""
    results = []
    for place, candidate in enumerate(compared, 1):
        bar.set_description(f"{candidate.name} ({place} of {len(compared)})")
        found = None if checkpoint is None else checkpoint.read(candidate)
        if found is None:
            found = _measure(candidate, texts, remover, metrics, seed, bar)
            if checkpoint is not None:
                checkpoint.write(candidate, *found)
        else:
            bar.update(len(texts.questions) * (1 + len(metrics)))
        results.append(found)
        bar.set_postfix_str(f"{candidate.name}: {1000 * found[1]:.1f} ms/text", refresh=False)
    return results


def _report(
    blocks: Sequence[_Block],
    metrics: Sequence[Metric],
    made: dict[str, Any],
    compared: Sequence[Candidate],
) -> EvaluationReport:
    import pandas as pd

    quantities = {name: q for metric in metrics for name, q in metric.quantities.items()}
    tables: list[pd.DataFrame] = []
    seconds: dict[str, list[float]] = {}
    sizes = [block.documents for block in blocks]
    for candidate, *results in zip(compared, *(b.results for b in blocks), strict=True):
        tables.append(_merged([table for table, _ in results], metrics))
        mean = float(np.average([each for _, each in results], weights=sizes))
        seconds.setdefault(candidate.name, []).append(mean)
    methods = {c.name: c.about for c in reversed(compared)}  # the first of several orders
    made = {**made, "methods": {name: methods[name] for name in seconds}}
    means = {name: float(np.mean(each)) for name, each in seconds.items()}
    return EvaluationReport(pd.concat(tables, ignore_index=True), quantities, means, made)


def _merged(tables: Sequence[pd.DataFrame], metrics: Sequence[Metric]) -> pd.DataFrame:
    """The rows of all blocks, metric by metric as those of one block are."""
    import pandas as pd

    if len(tables) == 1:
        return tables[0]
    table = pd.concat(tables, ignore_index=True)
    parts = [table[table["metric"].isin(list(m.quantities))].sort_values(KEY) for m in metrics]
    return pd.concat(parts, ignore_index=True)


def _measure(
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


def _versions() -> dict[str, str]:
    packages = ("seqlrp", "torch", "numpy", "pandas")
    return {p: importlib.metadata.version(p) for p in packages} | {
        "python": platform.python_version()
    }
