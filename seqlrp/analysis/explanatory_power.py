"""The explanatory power index: how well document vectors tell texts by their predicted class."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from seqlrp.analysis.scikit import scikit
from seqlrp.errors import InputError, check_number
from seqlrp.evaluation.statistics import mean_interval

if TYPE_CHECKING:
    import pandas as pd

NEIGHBOURS = (1, 2, 3, 4, 5, 7, 10, 15, 20, 30)
SPLITS = 10
SAMPLE = 10_000


@dataclass(frozen=True, eq=False)
class ExplanatoryPower:
    """The explanatory power index of document vectors, with its interval.

    Attributes:
        value: the largest mean accuracy over the numbers of neighbours.
        low: the lower end of its 95 % interval, by a bootstrap of documents and of splits.
        high: the upper end.
        neighbours: the number of neighbours K that gives it.
        documents: how many documents were used.
        table: one row for each K, with columns neighbours, accuracy, low, high.
    """

    value: float
    low: float
    high: float
    neighbours: int
    documents: int
    table: pd.DataFrame

    def __repr__(self) -> str:
        return (
            f"ExplanatoryPower({self.value:.3f} [{self.low:.3f}, {self.high:.3f}], "
            f"{self.neighbours} neighbours, {self.documents} documents)"
        )


def explanatory_power(
    vectors: npt.ArrayLike | sparse.sparray,
    predicted: Sequence[Any] | npt.NDArray[Any],
    *,
    neighbours: Sequence[int] = NEIGHBOURS,
    splits: int = SPLITS,
    normalise: bool = True,
    sample: int = SAMPLE,
    seed: int = 0,
) -> ExplanatoryPower:
    """Compute the explanatory power index of document vectors (Arras et al. 2017, PLoS ONE).

    Half of the documents, drawn at random, are classified by a vote of their K nearest neighbours
    among the other half. The index is the largest accuracy over K, where the accuracy for one K is
    the mean over random splits. Of classes with as many votes, the first one wins.

    Where the vectors are made of relevance for the predicted class, and the classes are those
    predicted, a part of the answer is in the question: an index near 1 is no proof. Classes that
    the model was never told, such as sub-topics within one class, are a question without the
    answer in it.

    Args:
        vectors: `[N, D]`, dense or sparse.
        predicted: the classes `[N]`, by default in the sense of the paper those that the model
            predicts; numbers or names.
        neighbours: the values of K that are tried; those above N/2 are left out.
        splits: the number of random splits.
        normalise: whether vectors are brought to length 1 first, as in the paper.
        sample: the most documents that are used; drawn at random where there are more.
        seed: of the splits, the sample and the interval.

    Raises:
        InputError: fewer than two documents, fewer than two classes, or not a class for each
            document.
        MissingPackageError: scikit-learn is not installed.
    """
    import pandas as pd

    for number in neighbours:
        check_number("neighbours", number, least=1, whole=True)
    check_number("splits", splits, least=1, whole=True)
    check_number("sample", sample, least=2, whole=True)
    points, classes = _checked(vectors, predicted)
    drawn = np.random.default_rng(seed)
    if len(classes) > sample:
        chosen = np.sort(drawn.permutation(len(classes))[:sample])
        points, classes = points[chosen], classes[chosen]
    if len(np.unique(classes)) < 2:
        raise InputError(
            f"Got {len(classes)} documents of one class; expected two classes or more: any vectors "
            "tell one class from no other."
        )
    if normalise:
        points = scikit("preprocessing").normalize(points)
    half = len(classes) // 2
    tried = sorted({k for k in neighbours if k <= half} or {1})
    right = np.full((len(classes), splits, len(tried)), np.nan)
    for split, (known, asked) in enumerate(random_splits(len(classes), splits, drawn)):
        voters = _nearest(points, known, asked, tried[-1])
        for place, k in enumerate(tried):
            right[asked, split, place] = vote(classes[voters[:, :k]]) == classes[asked]
    mean, low, high = mean_interval(right, seed)
    best = int(np.argmax(mean))
    table = pd.DataFrame({"neighbours": tried, "accuracy": mean, "low": low, "high": high})
    return ExplanatoryPower(
        float(mean[best]), float(low[best]), float(high[best]), tried[best], len(classes), table
    )


def random_splits(
    documents: int, splits: int, drawn: np.random.Generator
) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    """Halves of the documents, drawn at random: those that are known, and those that are asked."""
    for _ in range(splits):
        order = drawn.permutation(documents)
        yield order[: documents // 2], order[documents // 2 :]


def _checked(vectors: Any, predicted: Any) -> tuple[Any, npt.NDArray[np.int64]]:
    """The vectors as an array or CSR matrix, and the classes as numbers from 0."""
    points = sparse.csr_array(vectors) if sparse.issparse(vectors) else np.asarray(vectors)
    if points.ndim != 2 or points.shape[0] < 2:
        raise InputError(
            f"Got vectors of the shape {list(points.shape)}; expected [N, D] for at least two "
            "documents, half of which are classified by the others."
        )
    names = np.asarray(predicted)
    if names.shape != (points.shape[0],):
        raise InputError(
            f"Got {len(names)} classes for {points.shape[0]} document vectors, expected one each."
        )
    return points, np.unique(names, return_inverse=True)[1].astype(np.int64)


def _nearest(
    points: Any, known: npt.NDArray[np.int64], asked: npt.NDArray[np.int64], most: int
) -> npt.NDArray[np.int64]:
    """The nearest `most` of the known documents to each that is asked, nearest first."""
    index = scikit("neighbors").NearestNeighbors(n_neighbors=most, algorithm="brute")
    found: npt.NDArray[np.int64] = index.fit(points[known]).kneighbors(points[asked])[1]
    return known[found]


def vote(classes: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The most frequent class in each row `[N, K]`, the smallest number of several."""
    ordered = np.sort(classes, axis=1)
    counts = np.zeros_like(ordered)
    for k in range(ordered.shape[1]):  # how often the class at place k has stood there so far
        counts[:, k] = 1
        if k:
            counts[:, k] += np.where(ordered[:, k] == ordered[:, k - 1], counts[:, k - 1], 0)
    rows = np.arange(len(ordered))
    chosen: npt.NDArray[np.int64] = ordered[rows, counts.argmax(axis=1)]
    return chosen
