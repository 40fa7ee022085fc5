"""Agreement with people: does relevance point at the words that somebody marked?

Relevance is used with its sign: a word that speaks against the class is below one that says
nothing. All figures are of one document, and NaN where there is nothing to find, because no word is
marked, or every word is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from math import comb
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import numpy.typing as npt

from seqlrp.errors import InputError, OptionError
from seqlrp.evaluation.correlation import kendall, midranks, spearman
from seqlrp.evaluation.metric import Measured, Metric, Need, Quantity
from seqlrp.explanation import ALL, Explanation

if TYPE_CHECKING:
    import pandas as pd

    from seqlrp.evaluation.explained import Explained
    from seqlrp.text_classifier import TextClassifier

# From spans to words


def tokens_inside(offsets: npt.ArrayLike, spans: Iterable[Sequence[int]]) -> npt.NDArray[np.bool_]:
    """Which of T tokens overlap a span, bool `[T]`; one common character is enough.

    Args:
        offsets: `[T, 2]`, where each token starts and ends (exclusive), as in an `Explanation`.
        spans: (start, end) each, end exclusive, in characters of the same text.

    Raises:
        InputError: a span that ends where it starts, or before.
    """
    places = np.asarray(offsets, np.int64).reshape(-1, 2)
    inside = np.zeros(len(places), dtype=bool)
    for start, end in spans:
        inside |= _overlapping(places, start, end)
    return inside


def marked_words(
    classifier: TextClassifier, texts: Iterable[str], rationales: Iterable[Iterable[Sequence[int]]]
) -> list[npt.NDArray[np.bool_]]:
    """People's spans as `seqlrp.evaluate` takes them, bool `[T]` a text: the words they overlap.

    Args:
        classifier: splits the texts into words.
        texts: what people read.
        rationales: for each text its spans, as `tokens_inside` takes them.

    Raises:
        InputError: there are more or fewer texts than rationales, or a span of nothing.
    """
    encoded, given = list(classifier.encode(texts)), list(rationales)
    if len(encoded) != len(given):
        raise InputError(f"Got the rationales of {len(given)} texts for {len(encoded)} texts.")
    return [tokens_inside(e.source.offsets, spans) for e, spans in zip(encoded, given, strict=True)]


def span_relevance(
    relevance: npt.ArrayLike, offsets: npt.ArrayLike, spans: Iterable[Sequence[int]]
) -> npt.NDArray[np.float64]:
    """The sum of relevance `[T]` over the tokens of each of K spans, `[K]`; NaN without a token."""
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
    """The chance that a marked word has more relevance than another one; half of that where equal.

    The area under the ROC curve, as Mann-Whitney's U over the number of pairs. 0.5 is chance.
    """
    values, marked = _checked(relevance, inside)
    many, others = int(marked.sum()), int((~marked).sum())
    if not many or not others:
        return np.nan
    above = midranks(values)[marked].sum() - many * (many + 1) / 2
    return float(above / (many * others))


def average_precision(relevance: npt.ArrayLike, inside: npt.ArrayLike) -> float:
    """The mean over marked words of the precision among all words of at least that relevance.

    The area under the precision-recall curve by its steps; equal words come in one step. The share
    of marked words is about what chance gives.
    """
    values, marked = _checked(relevance, inside)
    if not marked.any() or marked.all():
        return np.nan
    _, place, counts = np.unique(-values, return_inverse=True, return_counts=True)
    hits = np.bincount(place, weights=marked, minlength=len(counts))
    precision = np.cumsum(hits) / np.cumsum(counts)
    return float(hits @ precision / marked.sum())


def pointing(relevance: npt.ArrayLike, inside: npt.ArrayLike) -> float:
    """Whether the most relevant word is marked: 1 or 0 (Poerner et al. 2018, pointing game).

    Of several most relevant words, the share that is marked. Chance gives the share of marked
    words.
    """
    values, marked = _checked(relevance, inside)
    if not marked.any() or marked.all():
        return np.nan
    return float(marked[values == values.max()].mean())


def token_f1(relevance: npt.ArrayLike, inside: npt.ArrayLike) -> float:
    """F1 of the k most relevant words, where k is the number of marked ones (DeYoung et al. 2020).

    Precision, recall and F1 are then the same: the share of those k words that is marked. Where
    equal words stand on both sides of the k-th place: the mean over all ways to choose.
    """
    return _at_its_size(relevance, inside, lambda hits, k: hits / k)


def token_iou(relevance: npt.ArrayLike, inside: npt.ArrayLike) -> float:
    """Intersection over union of the k most relevant words and the k marked ones.

    Equal words as in `token_f1`.
    """
    return _at_its_size(relevance, inside, lambda hits, k: hits / (2 * k - hits))


def _at_its_size(
    relevance: npt.ArrayLike, inside: npt.ArrayLike, value: Callable[[int, int], float]
) -> float:
    values, marked = _checked(relevance, inside)
    k = int(marked.sum())
    if not k or marked.all():
        return np.nan
    last = np.sort(values)[-k]  # the k-th largest
    sure = int(marked[values > last].sum())
    tied, draws = values == last, k - int((values > last).sum())
    good, all_ = int(marked[tied].sum()), int(tied.sum())
    # Hypergeometric: so many of the tied words are drawn, and some of them are marked.
    return sum(
        comb(good, more)
        * comb(all_ - good, draws - more)
        / comb(all_, draws)
        * value(sure + more, k)
        for more in range(max(0, draws - (all_ - good)), min(good, draws) + 1)
    )


def _checked(
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
    """Agreement of relevance for the true class with the words that people marked for it.

    A word is marked where at least half of the people did (`rationales` of 0.5 or more). Documents
    with no marked word, or of nothing else, are missing.
    """

    name = "agreement"
    needs: ClassVar[frozenset[Need]] = frozenset({"labels", "rationales"})
    figures: ClassVar[dict[str, Callable[[npt.ArrayLike, npt.ArrayLike], float]]] = {
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

    def measure(self, explained: Explained) -> Iterable[Measured]:
        """Each figure of every document."""
        assert explained.rationales is not None
        pairs = list(zip(explained.of_label, explained.rationales, strict=True))
        for name, figure in self.figures.items():
            values = [
                np.nan if e is None else figure(e.relevance, np.asarray(r) >= 0.5) for e, r in pairs
            ]
            yield Measured(name, np.array(values))
        shares = [float((np.asarray(r) >= 0.5).mean()) for _, r in pairs]
        yield Measured("marked", np.array(shares))


def value_agreement(
    explanations: Iterable[Explanation],
    values: Iterable[Iterable[tuple[int, int, float]]],
) -> pd.DataFrame:
    """Rank correlation of relevance with values that are known of words or phrases.

    Explain a contrast (`target=("positive", "negative")`), so that relevance and sentiment have one
    sign. The relevance of a phrase is the sum over its words.

    Args:
        explanations: N documents.
        values: for each of them spans with a number, (start, end, value): a word's or phrase's
            sentiment, say.

    Returns:
        rows `document`, `method`, `metric` ("spearman", "kendall"), `spans` (how many were
        compared), `value`. NaN where all spans have one value, or all the same relevance.

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
