"""Agreement of relevance with the words that people marked.

Relevance is used with its sign: a word with evidence against the class ranks below a word without
evidence. Each function measures one document; its value is NaN where no word is marked, or every
word is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from math import comb
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import numpy.typing as npt

from seqlrp.errors import InputError, OptionError
from seqlrp.evaluation.correlation import kendall, midranks, spearman
from seqlrp.evaluation.documents import ExplainedDocuments
from seqlrp.evaluation.metrics.metric import Measured, Metric, Need, Quantity
from seqlrp.explanations.record import ALL, Explanation

if TYPE_CHECKING:
    import pandas as pd

    from seqlrp.models.classifier import TextClassifier

# From spans to words


def tokens_inside(offsets: npt.ArrayLike, spans: Iterable[Sequence[int]]) -> npt.NDArray[np.bool_]:
    """Return which of T tokens overlap a span, bool `[T]`; one common character is enough.

    Args:
        offsets: `[T, 2]`, where each token starts and ends (exclusive), as in an `Explanation`.
        spans: pairs (start, end), end exclusive, in characters of the same text.

    Raises:
        InputError: a span is empty or starts before 0.
    """
    places = np.asarray(offsets, np.int64).reshape(-1, 2)
    inside = np.zeros(len(places), dtype=bool)
    for start, end in spans:
        inside |= _overlapping(places, start, end)
    return inside


def marked_words(
    classifier: TextClassifier, texts: Iterable[str], rationales: Iterable[Iterable[Sequence[int]]]
) -> list[npt.NDArray[np.bool_]]:
    """Convert spans that people marked to rationales for `seqlrp.evaluate`: bool `[T]` a text.

    A word is marked where it overlaps a span.

    Args:
        classifier: its tokenizer splits the texts into words.
        texts: the texts that people read.
        rationales: for each text its spans, pairs (start, end) in characters, end exclusive.

    Raises:
        InputError: there are more or fewer texts than rationales, or a span is empty or ends
            behind its text.
    """
    texts = list(texts)
    encoded, given = list(classifier.encode(texts)), [list(spans) for spans in rationales]
    if len(encoded) != len(given):
        raise InputError(f"Got the rationales of {len(given)} texts for {len(encoded)} texts.")
    for number, (text, spans) in enumerate(zip(texts, given, strict=True)):
        if (end := max((end for _, end in spans), default=0)) > len(text):
            raise InputError(
                f"Text {number} of {len(texts)} has {len(text)} characters, and a span that people "
                f"marked in it ends at {end}.",
                "Give the spans of each text in the order of the texts.",
                text=number,
            )
    return [tokens_inside(e.source.offsets, spans) for e, spans in zip(encoded, given, strict=True)]


def span_relevance(
    relevance: npt.ArrayLike, offsets: npt.ArrayLike, spans: Iterable[Sequence[int]]
) -> npt.NDArray[np.float64]:
    """Sum relevance `[T]` over the tokens of K spans: `[K]`; NaN for a span without a token."""
    values, places = np.asarray(relevance, np.float64), np.asarray(offsets, np.int64)
    chosen = [_overlapping(places.reshape(-1, 2), start, end) for start, end in spans]
    return np.array([values[c].sum() if c.any() else np.nan for c in chosen], np.float64)


def _overlapping(places: npt.NDArray[np.int64], start: int, end: int) -> npt.NDArray[np.bool_]:
    if not 0 <= start < end:
        raise InputError(f"Got a span from {start} to {end}, expected 0 <= start < end.")
    found: npt.NDArray[np.bool_] = (places[:, 0] < end) & (places[:, 1] > start)
    return found


# One document: relevance [T] and inside, bool [T]


def auroc(relevance: npt.ArrayLike, inside: npt.ArrayLike) -> float:
    """Return the area under the ROC curve; 0.5 is chance.

    It is the probability that a marked word has more relevance than an unmarked one, ties counted
    as one half: Mann-Whitney's U over the number of pairs.
    """
    values, marked = _relevance_and_marks(relevance, inside)
    many, others = int(marked.sum()), int((~marked).sum())
    if not many or not others:
        return np.nan
    above = midranks(values)[marked].sum() - many * (many + 1) / 2
    return float(above / (many * others))


def average_precision(relevance: npt.ArrayLike, inside: npt.ArrayLike) -> float:
    """Return the average precision, the area under the precision-recall curve as a step function.

    It is the mean over marked words of the precision among all words of at least that relevance;
    words of equal relevance form one step. Chance gives about the share of marked words.
    """
    values, marked = _relevance_and_marks(relevance, inside)
    if not marked.any() or marked.all():
        return np.nan
    _, place, counts = np.unique(-values, return_inverse=True, return_counts=True)
    hits = np.bincount(place, weights=marked, minlength=len(counts))
    precision = np.cumsum(hits) / np.cumsum(counts)
    return float(hits @ precision / marked.sum())


def pointing(relevance: npt.ArrayLike, inside: npt.ArrayLike) -> float:
    """Return 1 if the most relevant word is marked, 0 otherwise (Poerner et al. 2018).

    Where several words are most relevant, the share of them that is marked. Chance gives the share
    of marked words.
    """
    values, marked = _relevance_and_marks(relevance, inside)
    if not marked.any() or marked.all():
        return np.nan
    return float(marked[values == values.max()].mean())


def token_f1(relevance: npt.ArrayLike, inside: npt.ArrayLike) -> float:
    """Return the F1 of the k most relevant words against the k marked words (DeYoung et al. 2020).

    Precision, recall and F1 are then equal: the share of those k words that is marked. Where words
    of equal relevance stand on both sides of the k-th rank, the mean over all choices.
    """
    return _mean_over_ties(relevance, inside, lambda hits, k: hits / k)


def token_iou(relevance: npt.ArrayLike, inside: npt.ArrayLike) -> float:
    """Return the intersection over union of the k most relevant words and the k marked words.

    Where words of equal relevance stand on both sides of the k-th rank, the mean over all choices.
    """
    return _mean_over_ties(relevance, inside, lambda hits, k: hits / (2 * k - hits))


def _mean_over_ties(
    relevance: npt.ArrayLike, inside: npt.ArrayLike, value: Callable[[int, int], float]
) -> float:
    """The mean of `value(hits, k)` over all choices of the k most relevant words among ties."""
    values, marked = _relevance_and_marks(relevance, inside)
    k = int(marked.sum())
    if not k or marked.all():
        return np.nan
    last = np.sort(values)[-k]  # the k-th largest
    sure = int(marked[values > last].sum())
    tied, draws = values == last, k - int((values > last).sum())
    good, all_ = int(marked[tied].sum()), int(tied.sum())
    # `draws` of the tied words are chosen; how many of them are marked is hypergeometric.
    return sum(
        comb(good, more)
        * comb(all_ - good, draws - more)
        / comb(all_, draws)
        * value(sure + more, k)
        for more in range(max(0, draws - (all_ - good)), min(good, draws) + 1)
    )


def _relevance_and_marks(
    relevance: npt.ArrayLike, inside: npt.ArrayLike
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    values, marked = np.asarray(relevance, np.float64), np.asarray(inside)
    if values.ndim != 1 or marked.shape != values.shape or marked.dtype != np.bool_:
        raise InputError(
            f"Got relevance of the shape {list(values.shape)} and marks {marked.dtype} of the "
            f"shape {list(marked.shape)}; expected [T] and bool [T]."
        )
    if not np.isfinite(values).all():
        raise InputError("Got a relevance that is NaN or infinite, expected finite numbers.")
    return values, marked


# A corpus


class Agreement(Metric):
    """Agreement of the relevance for the true class with the words that people marked for it.

    A word is marked where `rationales` is at least 0.5. The values are missing for documents where
    no word is marked, or every word is.
    """

    name = "agreement"
    needs: ClassVar[frozenset[Need]] = frozenset({"labels", "rationales"})
    measures: ClassVar[dict[str, Callable[[npt.ArrayLike, npt.ArrayLike], float]]] = {
        "auroc": auroc,
        "average_precision": average_precision,
        "pointing": pointing,
        "token_f1": token_f1,
        "token_iou": token_iou,
    }
    quantities: Mapping[str, Quantity] = {
        "auroc": Quantity(
            "AUROC",
            "higher",
            "How often a word that people marked has more relevance than one they did not; chance "
            "is 0.5.",
        ),
        "average_precision": Quantity(
            "average precision",
            "higher",
            "The area under precision and recall of the marked words, in the order of relevance; "
            "chance is about the share of marked words.",
        ),
        "pointing": Quantity(
            "pointing game",
            "higher",
            "How often the most relevant word is a marked one (Poerner et al. 2018); chance is "
            "the share of marked words.",
        ),
        "token_f1": Quantity(
            "token F1",
            "higher",
            "The share of marked words among as many most relevant ones (DeYoung et al. 2020); "
            "chance is the share of marked words.",
        ),
        "token_iou": Quantity(
            "token IOU",
            "higher",
            "Marked words and as many most relevant ones: those in both over those in either "
            "(DeYoung et al. 2020).",
        ),
        "marked": Quantity("share of marked words", "neither", "What chance would point at."),
    }

    def measure(self, data: ExplainedDocuments) -> Iterable[Measured]:
        """Compute each quantity of every document."""
        assert data.rationales is not None
        pairs = list(zip(data.of_label, data.rationales, strict=True))
        for name, measure in self.measures.items():
            values = [
                np.nan if e is None else measure(e.relevance, np.asarray(r) >= 0.5)
                for e, r in pairs
            ]
            yield Measured(name, np.array(values))
        shares = [float((np.asarray(r) >= 0.5).mean()) for _, r in pairs]
        yield Measured("marked", np.array(shares))


def value_agreement(
    explanations: Iterable[Explanation],
    values: Iterable[Iterable[tuple[int, int, float]]],
) -> pd.DataFrame:
    """Compute the rank correlation of relevance with known values of words or phrases.

    The values can be sentiments, for example. Explain a contrast then
    (`target=("positive", "negative")`), so that relevance and sentiment have the same sign. The
    relevance of a phrase is the sum over its words.

    Args:
        explanations: of N documents.
        values: for each document spans with their values, (start, end, value).

    Returns:
        a table with the columns `document`, `method`, `metric` ("spearman", "kendall"), `spans`
        (how many were compared) and `value`, which is NaN where all spans have the same value or
        the same relevance.

    Raises:
        InputError: there are more or fewer documents than lists of spans.
        OptionError: an explanation of all classes at once.
    """
    import pandas as pd

    explanations, given = list(explanations), [list(spans) for spans in values]
    if len(explanations) != len(given):
        raise InputError(f"Got the values of {len(given)} texts for {len(explanations)} texts.")
    rows = []
    for number, (e, spans) in enumerate(zip(explanations, given, strict=True)):
        if e.target == ALL:
            raise OptionError("Got relevance for all classes; explain one class, or a contrast.")
        found = span_relevance(e.relevance, e.offsets, [(start, end) for start, end, _ in spans])
        gold = np.array([value for _, _, value in spans], np.float64)
        known = ~np.isnan(found)
        for metric, correlation in (("spearman", spearman), ("kendall", kendall)):
            value = correlation(found[known], gold[known])
            rows.append((number, e.method, metric, int(known.sum()), value))
    return pd.DataFrame(rows, columns=["document", "method", "metric", "spans", "value"])
