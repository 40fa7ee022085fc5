"""Describes strategies by size, accuracy, words, prototypes and distance from each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit

from seqlrp.analysis.clustering import reduced
from seqlrp.analysis.scikit import scikit
from seqlrp.analysis.terms import Terms

if TYPE_CHECKING:
    import pandas as pd

    from seqlrp.explanations.record import Explanation

Floats = npt.NDArray[np.float64]

_WORDS = 20  # words of a strategy in the table of words
_SHOWN = 5  # and in the table of strategies
_PROTOTYPES = 3
_LEAST = 3  # documents that hold a word of a strategy
_SHRINKAGE = 0.1  # of the covariance in Fisher's discriminant, towards a multiple of the identity

_COLUMNS = ["class", "strategy", "size", "share", "accuracy", "confidence", "words", "prototypes"]
_COLUMNS += ["stability", "separation"]
_WORD_COLUMNS = ["class", "strategy", "word", "mean", "rest", "difference", "low", "high"]
_WORD_COLUMNS += ["documents"]


def describe_strategies(
    explanations: Sequence[Explanation],
    terms: Terms,
    points: Any,
    classes: npt.NDArray[np.int64],
    documents: pd.DataFrame,
    stability: dict[tuple[int, int], float],
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The tables `table` and `words` of `Strategies`."""
    import pandas as pd

    strategies = documents["strategy"].to_numpy(np.int64)
    sampled = documents["sampled"].to_numpy(bool)
    right = np.array(
        [np.nan if e.label is None else float(e.label == e.predicted) for e in explanations]
    )
    confidence = np.array(
        [
            np.nan if e.probabilities is None else float(e.probabilities[e.predicted])
            for e in explanations
        ]
    )
    rows, frames = [], []
    by_class: dict[int, Any] = {}
    for (class_, strategy), stable in stability.items():
        of_class = np.flatnonzero(classes == class_)
        drawn = of_class[sampled[of_class]]
        if class_ not in by_class:
            by_class = {class_: reduced(points[drawn])}
        inside = strategies[of_class] == strategy
        own = of_class[inside]
        label = explanations[own[0]].labels[class_]
        words = distinguishing_words(terms, own, of_class[~inside])
        words.insert(0, "class", label)
        words.insert(1, "strategy", strategy)
        frames.append(words)
        shown = words["word"][(words["low"] > 0) | words["low"].isna()]
        rows.append(
            (
                label, strategy, len(own), len(own) / len(of_class), _mean(right[own]),
                _mean(confidence[own]), shown.head(_SHOWN).tolist(),
                prototypes(points, own[sampled[own]]), stable,
                fisher(by_class[class_], strategies[drawn] == strategy),
            )
        )  # fmt: skip
    table = pd.DataFrame(rows, columns=_COLUMNS)
    if not frames:
        return table, pd.DataFrame({name: [] for name in _WORD_COLUMNS})
    return table, pd.concat(frames, ignore_index=True)[_WORD_COLUMNS]


def _mean(values: Floats) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else np.nan


class _Moments(NamedTuple):
    """Moments of the relevance of V words over some documents, `[V]` each; 0 for absent words."""

    mean: Floats
    error: Floats  # the variance of the mean
    documents: npt.NDArray[np.int64]
    size: int


def _moments(terms: Terms, rows: npt.NDArray[np.intp]) -> _Moments:
    part, words = terms.relevance[rows], len(terms.names)
    count = len(rows)
    documents = np.bincount(part.indices, minlength=words)
    total = np.bincount(part.indices, part.data, words)
    squares = np.bincount(part.indices, part.data**2, words)
    mean = total / max(count, 1)
    spread = np.maximum(squares - count * mean**2, 0) / max(count - 1, 1)
    return _Moments(mean, spread / max(count, 1), documents, count)


def distinguishing_words(
    terms: Terms, own: npt.NDArray[np.intp], rest: npt.NDArray[np.intp]
) -> pd.DataFrame:
    """The words whose relevance distinguishes some documents from the rest of their class.

    The relevance of a word in a document counts 0 where it does not stand there. The difference of
    the means has the interval of Welch's t test; words are ordered by its lower end, which is
    missing where there is a single document.
    """
    import pandas as pd

    inside, outside = _moments(terms, own), _moments(terms, rest)
    kept = np.flatnonzero((inside.documents >= min(_LEAST, len(own))) & (inside.mean > 0))
    mean, other = inside.mean[kept], outside.mean[kept]
    variance = inside.error[kept] + outside.error[kept]
    parts = inside.error[kept] ** 2 / max(inside.size - 1, 1) + outside.error[kept] ** 2 / max(
        outside.size - 1, 1
    )
    freedom = np.where(parts > 0, variance**2 / np.where(parts > 0, parts, 1), 1.0)
    half = stdtrit(np.maximum(freedom, 1.0), 0.975) * np.sqrt(variance)
    if len(own) < 2:
        half[:] = np.nan
    difference = mean - other
    frame = pd.DataFrame(
        {
            "word": pd.Series([terms.names[k] for k in kept.tolist()], dtype="str"),
            "mean": mean,
            "rest": other if len(rest) else np.nan,
            "difference": difference,
            "low": difference - half,
            "high": difference + half,
            "documents": inside.documents[kept],
        }
    )
    order = ["low", "difference", "word"]
    return frame.sort_values(order, ascending=[False, False, True], ignore_index=True).head(_WORDS)


def prototypes(points: Any, rows: npt.NDArray[np.intp]) -> list[int]:
    """The medoids: the documents with the smallest mean distance to all of these, nearest first."""
    distances = scikit("metrics").pairwise_distances(points[rows]).mean(axis=1)
    order = np.argsort(distances, kind="stable")[:_PROTOTYPES]
    return [int(rows[k]) for k in order]


def fisher(points: Floats, inside: npt.NDArray[np.bool_]) -> float:
    """Fisher's discriminant of some documents against the others: NaN where one side is empty.

    (wᵀ(μ₁ - μ₂))² / wᵀSw along the best direction w = S⁻¹(μ₁ - μ₂), which is (μ₁ - μ₂)ᵀw, with S
    the sum of both covariances (Anders et al. 2022 rank clusters by it). S is shrunk towards a
    multiple of the identity, because a small cluster has fewer documents than dimensions.
    """
    if inside.all() or not inside.any():
        return np.nan
    one, other = points[inside], points[~inside]
    between = one.mean(axis=0) - other.mean(axis=0)
    within = np.zeros((points.shape[1],) * 2)
    for part in (one, other):
        centred = part - part.mean(axis=0)
        within += centred.T @ centred / len(part)
    typical = max(np.trace(within) / len(within), np.finfo(np.float32).eps)
    within = (1 - _SHRINKAGE) * within + _SHRINKAGE * typical * np.eye(len(within))
    return float(between @ np.linalg.solve(within, between))
