"""What a repair did, measured on texts: accuracy, flips and relevance before and after."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import stats

from seqlrp.analysis.interventions import paired_interval
from seqlrp.engine.batches import BatchTokens, batches_by_length
from seqlrp.evaluation.statistics import mean_interval
from seqlrp.explaining.attribute import attribute_batch
from seqlrp.explaining.questions import Question
from seqlrp.improving.labelled_texts import LabelledTexts
from seqlrp.improving.probes import Probes
from seqlrp.improving.shortcut import Located
from seqlrp.methods import Method
from seqlrp.models.classifier import TextClassifier

Floats = npt.NDArray[np.float64]
MOST_EXPLAINED = 200  # texts of a kind
_RESAMPLES = 2000
# The kinds of texts, as they are called in tables.
AS_THEY_ARE, CLEAN, HOLDING = "as they are", "without the shortcut", "with the shortcut"
TAKEN_OUT, OTHERS = "shortcut taken out", "of other classes"
PUT_IN = "of other classes, shortcut put in"
COLUMNS = (
    "shortcut", "texts", "measure", "documents", "before", "before_low", "before_high", "after",
    "after_low", "after_high", "change", "low", "high",
)  # fmt: skip


class Sides(NamedTuple):
    """The classifier before and after the repair, and how their predictions are computed."""

    before: TextClassifier
    after: TextClassifier
    batch_tokens: BatchTokens

    def predicted(self, texts: LabelledTexts) -> list[npt.NDArray[np.int64]]:
        """The classes int64 `[N]` that each of the two predicts."""
        return [texts.predicted(side, self.batch_tokens) for side in (self.before, self.after)]


def whole_rows(sides: Sides, texts: LabelledTexts) -> Iterator[tuple[Any, ...]]:
    """The accuracy on all texts as they are."""
    right = [p == texts.labels for p in sides.predicted(texts)]
    yield ("", AS_THEY_ARE, "accuracy", *_shares(*right))


def probe_rows(sides: Sides, probes: Probes) -> tuple[list[tuple[Any, ...]], tuple[float, ...]]:
    """Accuracy and flips of the texts about one shortcut.

    Returns:
        the rows, and how much of the loss by the shortcut is recovered, with its interval.
    """
    name, class_ = probes.shortcut.name, probes.shortcut.class_
    named = {
        CLEAN: probes.clean,
        HOLDING: probes.holding,
        TAKEN_OUT: probes.taken_out,
        OTHERS: probes.others,
        PUT_IN: probes.put_in,
    }
    predicted = {texts: sides.predicted(own) for texts, own in named.items()}
    rows = [
        (name, texts, "accuracy", *_shares(*(p == own.labels for p in predicted[texts])))
        for texts, own in named.items()
    ]
    others, put_in = predicted[OTHERS], predicted[PUT_IN]
    flips = [(a != class_) & (b == class_) for a, b in zip(others, put_in, strict=True)]
    rows.append((name, PUT_IN, "flips", *_shares(*flips)))
    labels = probes.others.labels
    return rows, recovered_share([p == labels for p in others], [p == labels for p in put_in])


def relevance_row(sides: Sides, probes: Probes, methods: tuple[Method, Method]) -> tuple[Any, ...]:
    """The share of the shortcut in the absolute relevance of the texts that hold it."""
    holding = probes.holding.part(np.arange(min(len(probes.holding), MOST_EXPLAINED)))
    located = Located(probes.shortcut, holding)
    if not len(holding):
        return (probes.shortcut.name, HOLDING, "relevance", 0, *[np.nan] * 9)
    shares = [
        _relevance_shares(side, method, located)
        for side, method in zip((sides.before, sides.after), methods, strict=True)
    ]
    columns = np.stack([*shares, shares[1] - shares[0]], axis=1)
    mean, low, high = mean_interval(columns)
    values = [float(v) for k in range(3) for v in (mean[k], low[k], high[k])]
    return (probes.shortcut.name, HOLDING, "relevance", len(holding), *values)


def _relevance_shares(classifier: TextClassifier, method: Method, located: Located) -> Floats:
    """Σ|R_t| of the shortcut over Σ|R_t| of the text, for the class of the shortcut, `[N]`."""
    texts, class_ = located.texts, located.shortcut.class_ or 0
    shares = np.zeros(len(texts))
    for chosen in batches_by_length(texts.lengths, 8192):
        questions = [Question(k, texts.documents[k], class_) for k in chosen]
        found, words = attribute_batch(classifier, method, questions)
        for row, k in enumerate(chosen):
            amounts = np.abs(found.relevance[row][words[row]].double().cpu().numpy())
            whole = amounts.sum()
            shares[k] = amounts[located.mark(k)].sum() / whole if whole else 0.0
    return shares


def _shares(before: npt.NDArray[np.bool_], after: npt.NDArray[np.bool_]) -> tuple[Any, ...]:
    """The shares of True before and after with Wilson intervals, and their difference."""
    n = len(before)
    if not n:
        return (0, *[np.nan] * 9)
    low, high = paired_interval(int((after & ~before).sum()), int((before & ~after).sum()), n)
    change = float(after.mean()) - float(before.mean())
    return (n, *_wilson(before), *_wilson(after), change, low, high)


def _wilson(holds: npt.NDArray[np.bool_]) -> tuple[float, float, float]:
    found = stats.binomtest(int(holds.sum()), len(holds)).proportion_ci(method="wilson")
    return float(holds.mean()), float(found.low), float(found.high)


def recovered_share(
    without: Sequence[npt.NDArray[np.bool_]], put_in: Sequence[npt.NDArray[np.bool_]]
) -> tuple[float, ...]:
    """How much of the accuracy that the shortcut cost is back, with its percentile bootstrap.

    It is 1 - (kept - put_in[1]) / (without[0] - put_in[0]) in accuracy, `kept` being without[0] or
    without[1], whichever is more: where training on makes a classifier better on all texts, that is
    no recovery, and where it is worse on all, the loss is not back. NaN where the shortcut cost
    nothing (the loss is not surely above 0).

    Args:
        without: whether texts of other classes are predicted rightly, before and after, bool `[N]`.
        put_in: the same of these texts with the shortcut.
    """
    clean, misled = without[0], put_in[0]
    n = len(clean)
    if not n:
        return (np.nan,) * 3
    sure, _ = paired_interval(int((clean & ~misled).sum()), int((misled & ~clean).sum()), n)
    if sure <= 0:
        return (np.nan,) * 3
    right = np.stack([*without, *put_in]).astype(float)  # [4, N]
    drawn = np.random.default_rng(0).integers(n, size=(_RESAMPLES, n))
    with np.errstate(divide="ignore", invalid="ignore"):
        low, high = np.nanpercentile(_back(np.stack([r[drawn].sum(1) for r in right])), [2.5, 97.5])
    return float(_back(right.sum(axis=1))), float(low), float(high)


def _back(right: Floats) -> Any:
    """The share of the loss that is back, by the numbers of texts predicted rightly `[4, …]`."""
    without, without_now, put_in, put_in_now = right
    return 1 - (np.maximum(without, without_now) - put_in_now) / (without - put_in)
