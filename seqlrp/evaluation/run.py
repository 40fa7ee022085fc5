"""The experiment: every method explains every text once, and every metric looks at all of it."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from tqdm import tqdm

from seqlrp.attributing import strings, true_classes
from seqlrp.batching import BatchTokens, Budget, ran_out_of_memory
from seqlrp.deletion import Removal, Remover
from seqlrp.errors import (
    CorpusError,
    InputError,
    LabelError,
    OptionError,
    SeqlrpError,
    TextError,
)
from seqlrp.evaluation.candidates import (
    Candidate,
    Methods,
    candidates,
    chosen_metrics,
    outside,
)
from seqlrp.evaluation.explained import Explained, Score
from seqlrp.evaluation.metric import Metric
from seqlrp.evaluation.metrics import METRICS
from seqlrp.evaluation.parts import Parts
from seqlrp.evaluation.report import EvaluationReport
from seqlrp.evaluation.word_deletion import KS
from seqlrp.explain import BATCH_TOKENS, explained_documents, label_names
from seqlrp.explanation import Explanation
from seqlrp.text.corpora import Corpus

if TYPE_CHECKING:
    import numpy.typing as npt
    import pandas as pd

    from seqlrp.text.encoded import EncodedText
    from seqlrp.text_classifier import TextClassifier

METHODS_COMPARED = ("lrp", "gradient_x_input", "sensitivity", "random")
METRICS_COMPUTED = ("word_deletion", "aopc", "comprehensiveness", "sufficiency")


class Texts(NamedTuple):
    """The documents that take part: those that are long enough."""

    documents: list[EncodedText]
    numbers: list[int]  # which of the user's texts they are
    labels: list[int | None]
    rationales: list[npt.NDArray[np.float64]] | None


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
    """Explain texts by several methods and measure what their explanations are worth.

    Args:
        classifier: what is explained and asked again.
        texts: strings, a `Corpus` with labels, a pandas data frame, or a `datasets.Dataset`.
        labels: the true class of each text, by index or name; word deletion needs them.
        methods: names in `seqlrp.METHODS`, method objects, or a mapping of a name of your own to a
            name, an object, a mapping of options (`{"lrp, ε=0.1": {"method": "lrp", "epsilon":
            0.1}}`), or attributions from outside: one array a text, `[T]` for the class that is
            predicted, or `[C, T]` for all classes. A figure that needs another class than an array
            is about is missing.
        metrics: names in `seqlrp.evaluation.METRICS`, or metric objects.
        ks: how many words to delete; 0 is the text as it is.
        removal: `"zero"`, `"delete"`, `"unk"` or `"mask"`, see `seqlrp.deletion.Remover`.
        score: what is watched: `"probability"`, `"logit"` or `"accuracy"`.
        rationales: the words that people marked, for metrics that compare with them: a number a
            word `[T]` from 0 to 1, or bool, for each text.
        random_orders: how many seeds `"random"` is run with.
        column: which column of a data frame or `datasets.Dataset` holds the text.
        min_words: texts with fewer words are left out, and counted.
        seed: of random orders, metrics and bootstraps.
        batch_tokens: the most tokens in a batch, padding included, or `"auto"`.
        out: a folder to save the report to. Each method that is finished is kept there, so that an
            evaluation that was interrupted goes on where it was when it is called again with the
            same model, texts and options.
        progress: show a bar; None shows one where stderr is a terminal.

    Raises:
        CorpusError: no text is long enough.
        LabelError: labels are missing or unknown.
        OptionError: an unknown method, metric, removal or score.
        SeqlrpError: a text could not be explained; the message says which.
    """
    if isinstance(texts, Corpus):
        labels = label_names(texts) if labels is None else labels
    stream, _ = strings(texts, column)
    texts = list(stream)
    compared = candidates(classifier, methods, texts=len(texts), orders=random_orders, seed=seed)
    measured = chosen_metrics(metrics, METRICS, {"ks": ks, "score": score})
    if labels is None and any("labels" in m.needs for m in measured):
        raise LabelError("Deleting words needs the true class of each text; pass labels=.")
    if rationales is None and any("rationales" in m.needs for m in measured):
        raise OptionError("A metric compares with the words that people marked; pass rationales=.")
    remover = Remover(classifier, removal, batch_tokens)
    chosen = _long_enough(classifier, texts, labels, rationales, max(min_words, 1))
    made = {
        "seed": seed,
        "options": {"removal": removal, "random_orders": random_orders},
        "metrics": {m.name: m.parameters for m in measured},
        "versions": _versions(),
        "labels": list(classifier.labels),
        "documents": len(chosen.documents),
        "min_words": min_words,
        "left_out": len(texts) - len(chosen.documents),
    }
    parts = None if out is None else Parts(out, classifier, chosen, made)
    tables: list[pd.DataFrame] = []
    seconds: dict[str, list[float]] = {}
    total = len(compared) * len(chosen.documents) * (1 + len(measured))
    hidden = None if progress is None else not progress
    with tqdm(total=total, unit="step", disable=hidden) as bar:
        for place, candidate in enumerate(compared, 1):
            bar.set_description(f"{candidate.name} ({place} of {len(compared)})")
            found = None if parts is None else parts.read(candidate)
            if found is None:
                found = _measured(candidate, chosen, remover, measured, seed, bar)
                if parts is not None:
                    parts.write(candidate, *found)
            else:
                bar.update(len(chosen.documents) * (1 + len(measured)))
            tables.append(found[0])
            seconds.setdefault(candidate.name, []).append(found[1])
            bar.set_postfix_str(f"{candidate.name}: {1000 * found[1]:.1f} ms/text", refresh=False)
    report = _report(tables, seconds, measured, made, compared)
    if parts is not None and out is not None:
        report.save(out)
        parts.remove()
    return report


def _report(
    tables: list[pd.DataFrame],
    seconds: Mapping[str, list[float]],
    metrics: Sequence[Metric],
    made: dict[str, Any],
    compared: Sequence[Candidate],
) -> EvaluationReport:
    import pandas as pd

    table = pd.concat(tables, ignore_index=True)
    quantities = {name: q for metric in metrics for name, q in metric.quantities.items()}
    methods = {c.name: c.about for c in reversed(compared)}  # of several orders the first
    made = {**made, "methods": {name: methods[name] for name in seconds}}
    means = {name: float(np.mean(each)) for name, each in seconds.items()}
    return EvaluationReport(table, quantities, means, made)


def _long_enough(
    classifier: TextClassifier,
    texts: list[str],
    labels: Sequence[int | str] | None,
    rationales: Sequence[Any] | None,
    min_words: int,
) -> Texts:
    for name, given in (("labels", labels), ("rationales", rationales)):
        if given is not None and len(given) != len(texts):
            error = LabelError if name == "labels" else InputError
            raise error(f"Got {len(given)} {name} for {len(texts)} texts.")
    for k, text in enumerate(texts):
        if not isinstance(text, str):
            raise TextError(f"Text {k} is {type(text).__name__}, expected a string.")
    encoded = list(classifier.encode(texts))
    numbers = [k for k, e in enumerate(encoded) if len(e) >= min_words]
    if not numbers:
        raise CorpusError(
            f"None of the {len(texts)} texts has {min_words} words; pass a smaller min_words."
        )
    documents = [encoded[k] for k in numbers]
    known = None
    if labels is not None:  # all of them, so that a message names the right text
        every = true_classes(classifier, iter(labels), range(len(texts)))
        known = [every[k] for k in numbers]
    marked = None
    if rationales is not None:
        marked = [_rationale(rationales[k], encoded[k], k) for k in numbers]
    return Texts(documents, numbers, known or [None] * len(numbers), marked)


def _rationale(given: Any, document: EncodedText, number: int) -> npt.NDArray[np.float64]:
    marks = np.asarray(given)
    if marks.shape != (len(document),):
        raise InputError(
            f"The rationale of text {number} has the shape {list(marks.shape)}; expected "
            f"[{len(document)}], a number a word."
        )
    marks = marks.astype(np.float64)
    if not ((marks >= 0) & (marks <= 1)).all():
        raise InputError(f"The rationale of text {number} holds numbers that are not in 0 to 1.")
    return marks


def _measured(
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
    explanations = _of_predicted(candidate, texts, remover, bar)
    taken = (time.perf_counter() - started) / len(texts.documents)
    of_label: list[Explanation | None] = [None] * len(explanations)
    if any("labels" in m.needs for m in metrics):
        of_label = _of_label(candidate, texts, explanations, remover)
    explained = Explained(
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
        mine = metric.fresh()
        mine.update(explained)
        tables.append(mine.compute())
        bar.update(len(texts.documents))
    outside = candidate.method is None
    return pd.concat(tables, ignore_index=True), float("nan") if outside else taken


def _warm_up(candidate: Candidate, texts: Texts, remover: Remover) -> None:
    """Explain the shortest text, so that what loads or compiles once is not the method's time."""
    shortest = min(range(len(texts.documents)), key=lambda n: len(texts.documents[n]))
    if candidate.method is not None:
        with tqdm(disable=True) as silent, contextlib.suppress(Exception):  # the run will say it
            _explanations(candidate, texts, [shortest], "predicted", remover, silent)


def _of_predicted(
    candidate: Candidate, texts: Texts, remover: Remover, bar: tqdm[Any]
) -> list[Explanation]:
    """What is said of the class that is predicted for each document."""
    everything = list(range(len(texts.documents)))
    if candidate.method is not None:
        return _explanations(candidate, texts, everything, "predicted", remover, bar)
    whole = Remover(remover.classifier, "unk", remover.batch_tokens)
    scores = whole.scores(texts.documents, [np.zeros(0, np.int64)] * len(everything))
    found = []
    for n in everything:
        explanation = _given(candidate, texts, n, scores[n], int(scores[n].argmax()), remover)
        if explanation is None:
            raise InputError(
                f"The explanation for text {texts.numbers[n]} in {candidate.name!r} is not of the "
                f"class that is predicted; explain with target='predicted' or 'all'."
            )
        found.append(explanation)
    bar.update(len(everything))
    return found


def _of_label(
    candidate: Candidate, texts: Texts, predicted: Sequence[Explanation], remover: Remover
) -> list[Explanation | None]:
    """What is said of the true class of each document, None where that is not known."""
    found = [e if e.predicted == e.label else None for e in predicted]
    wrong = [n for n, e in enumerate(found) if e is None and texts.labels[n] is not None]
    if candidate.method is not None:
        with tqdm(disable=True) as silent:
            for n, e in zip(
                wrong,
                _explanations(candidate, texts, wrong, "label", remover, silent),
                strict=True,
            ):
                found[n] = e
        return found
    for n in wrong:
        label = texts.labels[n]
        assert label is not None
        found[n] = _given(candidate, texts, n, predicted[n].scores, label, remover)
    return found


def _given(
    candidate: Candidate,
    texts: Texts,
    n: int,
    scores: npt.NDArray[np.float32],
    wanted: int,
    remover: Remover,
) -> Explanation | None:
    assert candidate.given is not None
    number = texts.numbers[n]
    item, label = candidate.given[number], texts.labels[n]
    document, names = texts.documents[n], remover.classifier.labels
    return outside(candidate.name, item, document, number, wanted, label, scores, names)


def _explanations(
    candidate: Candidate,
    texts: Texts,
    which: list[int],
    target: str,
    remover: Remover,
    bar: tqdm[Any],
) -> list[Explanation]:
    """What a method says of these documents; where it fails, the error names the text."""
    method, classifier = candidate.method, remover.classifier
    assert method is not None

    def explain(chosen: list[int], bar: tqdm[Any]) -> Iterable[Explanation]:
        return explained_documents(
            classifier,
            method,
            [texts.documents[n] for n in chosen],
            target,
            [texts.labels[n] for n in chosen],
            [texts.numbers[n] for n in chosen],
            Budget(remover.batch_tokens, classifier.device),
            bar,
        )

    done: list[Explanation] = []
    try:
        done.extend(explain(which, bar))
    except Exception as error:
        if ran_out_of_memory(error):
            raise
        with tqdm(disable=True) as silent:
            for n in which[len(done) :]:  # a batch failed: which of its texts is it?
                try:
                    list(explain([n], silent))
                except Exception as alone:
                    raise _named(alone, candidate, texts, n) from error
        raise
    return done


def _named(error: Exception, candidate: Candidate, texts: Texts, n: int) -> Exception:
    place = f"{candidate.name!r} fails at text {texts.numbers[n]}"
    shown = f"{texts.documents[n].source.text[:40]!a}"
    if isinstance(error, SeqlrpError):
        return type(error)(f"{place} ({shown}): {error}")
    error.add_note(f"seqlrp: {place} ({shown})")
    return error


def _versions() -> dict[str, str]:
    packages = ("seqlrp", "torch", "numpy", "pandas")
    return {p: importlib.metadata.version(p) for p in packages} | {
        "python": platform.python_version()
    }
