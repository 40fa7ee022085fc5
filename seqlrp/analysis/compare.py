"""Compares two classifiers on the same texts: whose answers changed, and whose reasons."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from seqlrp.analysis.common_units import CommonUnits, common_units
from seqlrp.analysis.comparison_report import Comparison
from seqlrp.errors import LabelError, OptionError, TextError, check_number
from seqlrp.evaluation.correlation import spearman
from seqlrp.explaining.explain import BATCH_TOKENS, explain
from seqlrp.explaining.skipped import SkippedTexts
from seqlrp.explanations.collection import Explanations
from seqlrp.explanations.record import Explanation
from seqlrp.explanations.summaries import student_t
from seqlrp.text.corpora import Corpus

if TYPE_CHECKING:
    from seqlrp.engine.batches import BatchTokens
    from seqlrp.explaining.targets import Target
    from seqlrp.models.classifier import TextClassifier

WORDS = 5  # that gained or lost most, named for each text


def compare(
    old: TextClassifier,
    new: TextClassifier,
    texts: Iterable[str] | Corpus | Any,
    labels: Iterable[int | str] | None = None,
    *,
    target: Target = "predicted",
    method: str = "lrp",
    names: Sequence[str] = ("old", "new"),
    ids: Iterable[Any] | None = None,
    min_documents: int = 5,
    batch_tokens: BatchTokens = BATCH_TOKENS,
    progress: bool | None = None,
    **options: Any,
) -> Comparison:
    """Explain the same texts with two classifiers, and say whose answers and reasons changed.

    Both are asked about the same class of each text. As scores of two models have different
    scales, words are compared by their share of the relevance of the text,

        s_t = R_t / Σ_u |R_u|,

    with the sign of R_t. Classifiers with different vocabularies and tokenizers are compared by
    characters: relevance is summed over the smallest stretches of text that cut no word of either.

    Args:
        old: the classifier that is compared with.
        new: the classifier that is judged; its labels are the same, in any order.
        texts: a list or any iterator of strings, a `Corpus`, a pandas data frame, or a
            `datasets.Dataset`.
        labels: the true classes, by index (of `old`) or name, where they are known.
        target: which class of each text is explained: `"predicted"` (by `old`), `"label"`, or a
            class by index (of `old`) or name; or a list with a class for each text.
        method: a name in `seqlrp.METHODS`, used for both.
        names: what the two are called in tables and pages.
        ids: the caller's names of the texts.
        min_documents: words of fewer texts of a class are left out of the table of words.
        batch_tokens: the most tokens in a batch; see `explain`.
        progress: show a bar; None shows one where stderr is a terminal.
        options: passed to the method.

    Returns:
        A `Comparison` with a row for each text and a row for each word of each class.

    Raises:
        LabelError: the classifiers have different labels.
        TextError: no text can be explained by both.
        TargetError, OptionError: an argument is not among what is known.
    """
    names = _checked(old, new, names, min_documents)
    sides = _explained_by_both(
        old, new, texts, labels, target, ids,
        method=method, batch_tokens=batch_tokens, progress=progress, **options,
    )  # fmt: skip
    rows: list[dict[str, Any]] = []
    changes: dict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
    for first, second in sides:
        units = common_units(first, second)
        row, of_words = _compared(first, second, units)
        rows.append(row)
        for word, shares in of_words.items():
            changes[first.target_label, word].append(shares)
    return Comparison(
        texts=_texts_table(rows),
        words=_words_table(changes, min_documents),
        names=names,
        old=Explanations(first for first, _ in sides),
        new=Explanations(second for _, second in sides),
    )


def _checked(
    old: TextClassifier, new: TextClassifier, names: Sequence[str], min_documents: int
) -> tuple[str, str]:
    if sorted(old.labels) != sorted(new.labels):
        raise LabelError(
            f"Two classifiers are compared class by class, got labels {list(old.labels)} and "
            f"{list(new.labels)}; expected the same names.",
            got=new.labels,
            known=tuple(old.labels),
        )
    check_number("min_documents", min_documents, least=1, whole=True)
    if isinstance(names, str) or len(names) != 2 or names[0] == names[1]:
        raise OptionError(option="names", got=names, expected="two different names")
    return str(names[0]), str(names[1])


def _explained_by_both(
    old: TextClassifier,
    new: TextClassifier,
    texts: Any,
    labels: Any,
    target: Target,
    ids: Iterable[Any] | None,
    **options: Any,
) -> list[tuple[Explanation, Explanation]]:
    """Explain each text for the same class with both; texts that one cannot read are left out."""
    skipped = SkippedTexts("skip")
    before = explain(
        old, texts, target=target, labels=labels, ids=ids, on_unanswerable=skipped, **options
    )
    if not before:
        raise TextError("There is no text to compare the classifiers on.")
    after = explain(
        new,
        [e.text for e in before],
        target=[e.target_label for e in before],
        labels=None if before[0].label is None else [str(e.label_name) for e in before],
        ids=range(len(before)),
        on_unanswerable=SkippedTexts("skip"),
        **options,
    )
    pairs = [(before[int(str(e.id))], e) for e in after]
    if not pairs:
        raise TextError("No text holds a word for the new classifier.")
    return pairs


def _compared(
    first: Explanation, second: Explanation, units: CommonUnits
) -> tuple[dict[str, Any], dict[str, tuple[float, float]]]:
    """One text: its row, and the share of each word in both explanations."""
    filled = units.spans[:, 1] > units.spans[:, 0]
    shares = [_shares(units.first), _shares(units.second)]
    moved = shares[1] - shares[0]
    written = [first.text[start:end] for start, end in units.spans.tolist()]
    order = [k for k in np.argsort(-np.abs(moved), kind="stable") if filled[k]]
    of_words: dict[str, tuple[float, float]] = {}
    for k, word in enumerate(written):
        if filled[k]:
            known = of_words.get(word.casefold(), (0.0, 0.0))
            of_words[word.casefold()] = (known[0] + shares[0][k], known[1] + shares[1][k])
    answer = first.labels.index(second.predicted_label)
    row = {
        "id": first.id,
        "text": first.text,
        "class": first.target_label,
        "label": first.label_name,
        "old": first.predicted_label,
        "new": second.predicted_label,
        "same": first.predicted == answer,
        "old_probability": _probability(first),
        "new_probability": _probability(second),
        "correlation": spearman(units.first[filled], units.second[filled]),
        "moved": float(np.abs(moved).sum() / 2),
        "gained": tuple(written[k] for k in order if moved[k] > 0)[:WORDS],
        "lost": tuple(written[k] for k in order if moved[k] < 0)[:WORDS],
    }
    return row, of_words


def _shares(relevance: np.ndarray[Any, np.dtype[np.float64]]) -> Any:
    whole = np.abs(relevance).sum()
    return relevance / whole if whole else relevance


def _probability(explanation: Explanation) -> float:
    """The probability of the class that is explained; NaN where it is not known."""
    if explanation.probabilities is None:
        return float("nan")
    return float(explanation.probabilities[explanation.target])  # type: ignore[index]


def _texts_table(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """A row for each text: same answers first, the least similar reasons on top; then others."""
    table = pd.DataFrame(rows)
    return table.sort_values(
        ["same", "correlation", "moved"], ascending=[False, True, False], kind="stable"
    )


def _words_table(
    changes: dict[tuple[str, str], list[tuple[float, float]]], min_documents: int
) -> pd.DataFrame:
    """The words of each class whose share changed, the surest change first.

    Sorted by the bound of the 95 % interval (Student's t over texts) that is nearer to 0, so that a
    word of two texts does not stand above one that moved in a hundred.
    """
    rows = []
    for (label, word), shares in changes.items():
        n = len(shares)
        if n < min_documents:
            continue
        before, after = np.array(shares).T
        change = after - before
        mean = float(change.mean())
        reach = student_t(n - 1) * float(change.std(ddof=1)) / np.sqrt(n) if n > 1 else np.nan
        rows.append((label, word, before.mean(), after.mean(), mean, mean - reach, mean + reach, n))
    columns = ["class", "word", "old", "new", "change", "low", "high", "documents"]
    table = pd.DataFrame(rows, columns=columns)
    surely = np.nan_to_num(np.fmax(table["low"], -table["high"]), nan=-np.inf)
    order = np.lexsort((-table["change"].abs(), -surely))
    return table.iloc[order].reset_index(drop=True)
