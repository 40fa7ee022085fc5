"""The strategies of a classifier: within each class, groups of texts that it decides alike.

SpRAy (Lapuschkin et al. 2019) for texts: the texts of a class are clustered by the relevance of
their words. A cluster says that texts are alike in what the model looks at; whether the model
needs what they have in common, only an intervention shows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import numpy.typing as npt
from scipy import sparse
from tqdm import tqdm

from seqlrp.analysis.clustering import Clustering, ClusterMethod, find_clusters
from seqlrp.analysis.explanatory_power import vote
from seqlrp.analysis.projection import Projection, project
from seqlrp.analysis.scikit import scikit
from seqlrp.analysis.strategy_table import describe_strategies
from seqlrp.analysis.terms import Terms, count_terms, explained_class
from seqlrp.analysis.vectors import Vectors, document_vectors
from seqlrp.errors import InputError, OptionError, check_choice, check_number
from seqlrp.explanations.sampling import reservoir

if TYPE_CHECKING:
    import pandas as pd

    from seqlrp.explanations.record import Explanation
    from seqlrp.models.classifier import TextClassifier

NEIGHBOURS = 10
SAMPLE = 2000
UNKNOWN = -1  # the strategy of a text of a class that had no texts
_VOTERS = 5  # the nearest known texts that decide on the strategy of a text


@dataclass(frozen=True, eq=False)
class Reference:
    """The texts of one class that new ones are compared with.

    Attributes:
        vectors: `[S, D]`, rows of length 1.
        strategies: `[S]`, the strategy of each.
        limit: the mean distance to the nearest of them from which a text is an outlier.
    """

    vectors: Vectors
    strategies: npt.NDArray[np.int64]
    limit: float


@dataclass(frozen=True, eq=False)
class Strategies:
    """The strategies of each class, the texts that follow them, and what tells them apart.

    Attributes:
        documents: one row a text, in order, with columns document (its number from 0), id, class,
            strategy (from 0 within the class, the largest first), outlier, distance (the mean
            distance to the nearest texts of the class), sampled (whether it was clustered, or only
            assigned), x and y (its place on the map).
        table: one row a strategy, with columns class, strategy, size, share (of the class),
            accuracy (missing where true classes are not known), confidence (the mean probability of
            the predicted class), words (what tells it from the rest of the class), prototypes (the
            numbers of its most central texts), stability (from 0 to 1; from 0.75 it is stable;
            missing for the rest of the class, which is in no stable cluster), separation (Fisher's
            discriminant against the rest of the class).
        words: one row a strategy and word: class, strategy, word, mean (relevance a text, in the
            strategy), rest (in the rest of the class), difference, low, high (its 95 % interval),
            documents.
        scan: for each class and number of clusters that was tried: class, clusters, stable (how
            many of them are), stability (on average), kept (how many of the strategies come from
            it), gap (whether the largest gap of the eigenvalues says so).
        eigenvalues: the smallest eigenvalues of the Laplacian of each class, by its name.
        settings: the options, JSON values.
        labels: the names of the classes.
        references: by class, the texts that new ones are compared with.
    """

    documents: pd.DataFrame
    table: pd.DataFrame
    words: pd.DataFrame
    scan: pd.DataFrame
    eigenvalues: dict[str, npt.NDArray[np.float64]]
    settings: dict[str, Any]
    labels: tuple[str, ...]
    references: dict[int, Reference]

    def __repr__(self) -> str:
        return (
            f"Strategies({len(self.table)} in {len(self.references)} classes, "
            f"{len(self.documents)} documents)"
        )

    def assign(
        self,
        explanations: Iterable[Explanation],
        classifier: TextClassifier | None = None,
        *,
        vectors: Vectors | None = None,
    ) -> pd.DataFrame:
        """Assign new texts to the strategies of their class: the vote of the nearest known texts.

        Args:
            explanations: of the same method as those that were clustered.
            classifier: the classifier, to compute their vectors.
            vectors: these vectors, where they are known already.

        Returns:
            One row a text: id, class, strategy (-1 where no text of that class was known),
            outlier (farther from all known texts than these are from each other), distance.

        Raises:
            InputError: other labels, or vectors of another size.
            OptionError: neither a classifier nor vectors.
        """
        import pandas as pd

        held = list(explanations)
        classes = _classes(held, self.labels)
        points = _points(held, classifier, vectors, self.settings["kind"])
        strategies = np.full(len(held), UNKNOWN, np.int64)
        distances = np.full(len(held), np.nan)
        outlier = np.ones(len(held), bool)
        for class_, reference in self.references.items():
            rows = np.flatnonzero(classes == class_)
            if len(rows):
                if points.shape[1] != reference.vectors.shape[1]:
                    raise InputError(
                        f"Got vectors of {points.shape[1]} numbers, expected "
                        f"{reference.vectors.shape[1]} as for the texts that were clustered."
                    )
                strategies[rows], distances[rows] = _nearest(reference, points[rows])
                outlier[rows] = distances[rows] > reference.limit
        return pd.DataFrame(
            {
                "id": _ids(held),
                "class": [self.labels[class_] for class_ in classes.tolist()],
                "strategy": strategies,
                "outlier": outlier,
                "distance": distances,
            }
        )

    def state(self) -> tuple[dict[str, Any], dict[str, pd.DataFrame]]:
        """All that `from_state` needs: JSON values, and frames that fit into Parquet files."""
        import pandas as pd

        rows = []
        for class_, reference in self.references.items():
            matrix = sparse.csr_array(reference.vectors)
            for k, strategy in enumerate(reference.strategies.tolist()):
                part = slice(matrix.indptr[k], matrix.indptr[k + 1])
                values = matrix.data[part].astype(np.float32)
                rows.append((class_, strategy, matrix.indices[part].astype(np.int32), values))
        values = [
            (name, k, value)
            for name, found in self.eigenvalues.items()
            for k, value in enumerate(found.tolist())
        ]
        first = next(iter(self.references.values()), None)
        facts = {
            "settings": self.settings,
            "labels": list(self.labels),
            "limits": {str(class_): r.limit for class_, r in self.references.items()},
            "dimensions": 0 if first is None else int(first.vectors.shape[1]),
            "sparse": first is not None and sparse.issparse(first.vectors),
        }
        return facts, {
            "documents": self.documents,
            "strategies": self.table,
            "strategy_words": self.words,
            "scan": self.scan,
            "eigenvalues": pd.DataFrame(values, columns=["class", "number", "value"]),
            "references": pd.DataFrame(rows, columns=["class", "strategy", "places", "values"]),
        }

    @classmethod
    def from_state(cls, facts: dict[str, Any], frames: dict[str, pd.DataFrame]) -> Strategies:
        """The same strategies again, from what `state` gave."""
        references = {}
        for class_, rows in frames["references"].groupby("class"):
            lengths = [len(places) for places in rows["places"]]
            matrix = sparse.csr_array(
                (
                    np.concatenate(list(rows["values"])).astype(np.float32),
                    np.concatenate(list(rows["places"])).astype(np.int32),
                    np.concatenate([[0], np.cumsum(lengths)]),
                ),
                shape=(len(rows), facts["dimensions"]),
            )
            vectors = matrix if facts["sparse"] else matrix.toarray()
            limit = float(facts["limits"][str(class_)])
            references[int(str(class_))] = Reference(
                vectors, rows["strategy"].to_numpy(np.int64), limit
            )
        by_class = frames["eigenvalues"].groupby("class", sort=False)["value"]
        eigenvalues = {str(name): values.to_numpy(np.float64) for name, values in by_class}
        return cls(
            frames["documents"],
            frames["strategies"],
            frames["strategy_words"],
            frames["scan"],
            eigenvalues,
            facts["settings"],
            tuple(facts["labels"]),
            references,
        )


def find_strategies(
    explanations: Iterable[Explanation],
    classifier: TextClassifier | None = None,
    *,
    vectors: Vectors | None = None,
    kind: str = "words",
    clusters: int | Literal["auto"] = "auto",
    method: ClusterMethod = "spectral",
    neighbours: int = NEIGHBOURS,
    sample: int = SAMPLE,
    projection: Projection = "tsne",
    seed: int = 0,
    terms: Terms | None = None,
    progress: bool | None = None,
) -> Strategies:
    """Find groups of texts within each class that the classifier decides alike.

    For each class: document vectors of length 1, the symmetric graph of nearest neighbours, its
    normalised Laplacian, the small eigenvalues, and k-means on their eigenvectors (SpRAy,
    Lapuschkin et al. 2019). Up to 16 clusters are tried, because the largest gap of the eigenvalues
    misses small ones; the strategies are the stable clusters of all numbers, small ones first, and
    the rest of the class as one more.
    Memory is bounded by `sample`; the texts of a larger class that were not drawn are assigned to
    the clusters of the nearest that were, and the column `sampled` says which.

    Args:
        explanations: of one method; a text counts for the class that is explained, or for the
            predicted one where all are.
        classifier: the classifier, to compute document vectors.
        vectors: these vectors `[N, D]`, where they are known already.
        kind: of the vectors, see `seqlrp.document_vectors`. By "words", texts that rest on the same
            word are neighbours; by "relevance", those that rest on words of like meaning, among
            which a small strategy is easily lost.
        clusters: in each class, or "auto".
        method: "spectral", or "hdbscan", which finds the number of clusters by density and needs no
            `clusters`.
        neighbours: of a text in the graph.
        sample: the most texts of a class that are clustered.
        projection: of the map: "tsne", "spectral", "umap" (where umap-learn is installed) or
            "none". 1,000 texts are projected, others put between their nearest neighbours there.
        seed: of the samples, of k-means and of the map.
        terms: the words of these explanations, where `count_terms` has counted them already.
        progress: show a bar; None shows one where standard error is a terminal.

    Raises:
        InputError: explanations of several classifiers, or not as many vectors as explanations.
        OptionError: neither a classifier nor vectors; an option that is not allowed.
        MissingPackageError: scikit-learn is not installed.
    """
    settings = {
        "kind": kind, "clusters": clusters, "method": method, "neighbours": neighbours,
        "sample": sample, "projection": projection, "seed": seed,
    }  # fmt: skip
    _check(settings)
    held = list(explanations)
    labels = held[0].labels if held else ()
    classes = _classes(held, labels)
    points = _points(held, classifier, vectors, kind)
    found = _Found(len(held))
    hidden = None if progress is None else not progress
    for class_ in tqdm(
        np.unique(classes).tolist(), desc="strategies", unit="class", disable=hidden
    ):
        rows = drawn = np.flatnonzero(classes == class_)
        if len(rows) > sample:
            drawn = rows[_drawn(len(rows), sample, seed, class_)]
        clustering = find_clusters(points[drawn], method, clusters, neighbours, seed)
        found.add(class_, rows, drawn, points, clustering)
    places = project(points, projection, neighbours=neighbours, seed=seed)
    documents = found.documents(_ids(held), [labels[c] for c in classes.tolist()], places)
    table, words = describe_strategies(
        held, terms or count_terms(held), points, classes, documents, found.stability
    )
    eigenvalues = {labels[c]: found.clusterings[c].eigenvalues for c in found.clusterings}
    scan, references = found.scan(labels), found.references
    return Strategies(documents, table, words, scan, eigenvalues, settings, labels, references)


def _drawn(count: int, sample: int, seed: int, class_: int) -> npt.NDArray[np.intp]:
    """Which texts of a class are clustered, those that `draw_sample` draws of a stream of them."""
    held = np.arange(sample)
    for number, place in zip(range(count), reservoir(sample, seed, class_), strict=False):
        if place is not None:
            held[place] = number
    return np.sort(held)


def _check(settings: dict[str, Any]) -> None:
    check_choice("method", settings["method"], get_args(ClusterMethod))
    check_choice("projection", settings["projection"], get_args(Projection))
    if settings["clusters"] != "auto":
        check_number("clusters", settings["clusters"], least=1, whole=True)
    check_number("neighbours", settings["neighbours"], least=1, whole=True)
    check_number("sample", settings["sample"], least=10, whole=True)


class _Found:
    """The clusters of all classes, put together while they are found."""

    def __init__(self, count: int) -> None:
        self.strategies = np.zeros(count, np.int64)
        self.distances = np.full(count, np.nan)
        self.outlier = np.zeros(count, bool)
        self.sampled = np.zeros(count, bool)
        self.stability: dict[tuple[int, int], float] = {}
        self.references: dict[int, Reference] = {}
        self.clusterings: dict[int, Clustering] = {}

    def add(
        self,
        class_: int,
        rows: npt.NDArray[np.intp],
        drawn: npt.NDArray[np.intp],
        points: Any,
        clustering: Clustering,
    ) -> None:
        """Number the clusters of a class by size, and assign the texts that were not drawn."""
        own = clustering.labels.copy()
        noise = own < 0
        known = points[drawn]
        if noise.any():
            own[noise], _ = _nearest(Reference(known[~noise], own[~noise], 0.0), known[noise])
        order = np.argsort(-np.bincount(own), kind="stable")
        numbers = np.empty_like(order)
        numbers[order] = np.arange(len(order))
        own = numbers[own]
        distances = _mean_distances(known)
        low, high = np.quantile(distances, [0.25, 0.75])
        limit = float(high + 3 * (high - low)) if np.isfinite(high) else np.inf
        reference = Reference(known, own, limit)
        self.strategies[drawn], self.distances[drawn] = own, distances
        self.outlier[drawn] = noise | (distances > limit)
        self.sampled[drawn] = True
        rest = np.setdiff1d(rows, drawn)
        if len(rest):
            self.strategies[rest], self.distances[rest] = _nearest(reference, points[rest])
            self.outlier[rest] = self.distances[rest] > limit
        self.references[class_], self.clusterings[class_] = reference, clustering
        for number, old in enumerate(order.tolist()):
            self.stability[class_, number] = float(clustering.stability[old])

    def documents(
        self, ids: pd.Series[str], classes: Sequence[str], places: npt.NDArray[np.float64]
    ) -> pd.DataFrame:
        """One row a text, with its place on the map `[N, 2]`."""
        import pandas as pd

        return pd.DataFrame(
            {
                "document": np.arange(len(ids)),
                "id": ids,
                "class": pd.Series(classes, dtype="str"),
                "strategy": self.strategies,
                "outlier": self.outlier,
                "distance": self.distances,
                "sampled": self.sampled,
                "x": places[:, 0],
                "y": places[:, 1],
            }
        )

    def scan(self, labels: Sequence[str]) -> pd.DataFrame:
        """What was tried for each class."""
        import pandas as pd

        rows = [
            (labels[class_], *tried, tried[0] == c.gap)
            for class_, c in self.clusterings.items()
            for tried in c.tried
        ]
        columns = ["class", "clusters", "stable", "stability", "kept", "gap"]
        return pd.DataFrame(rows, columns=columns)


def _classes(explanations: Sequence[Explanation], labels: tuple[str, ...]) -> npt.NDArray[np.int64]:
    """The explained class of each text `[N]`."""
    for k, explanation in enumerate(explanations):
        if explanation.labels is not labels and explanation.labels != labels:
            raise InputError(
                f"Explanation {k} has the classes {explanation.labels!r:.80}, expected "
                f"{labels!r:.80}, as the others have.",
                text=k,
            )
    return np.array([explained_class(e) for e in explanations], np.int64)


def _ids(explanations: Sequence[Explanation]) -> pd.Series[str]:
    """What the caller calls each text, or its number."""
    import pandas as pd

    names = [str(k) if e.id is None else e.id for k, e in enumerate(explanations)]
    return pd.Series(names, dtype="str")


def _points(
    explanations: Sequence[Explanation],
    classifier: TextClassifier | None,
    vectors: Vectors | None,
    kind: str,
) -> Any:
    """The document vectors `[N, D]`, brought to length 1; those of length 0 stay."""
    if vectors is None:
        if classifier is None:
            raise OptionError(
                "Document vectors are computed with the classifier: hand it in, or the vectors "
                "themselves as vectors=.",
                option="classifier",
            )
        vectors = document_vectors(explanations, classifier, kind)
    if vectors.shape[0] != len(explanations):
        raise InputError(
            f"Got {vectors.shape[0]} document vectors for {len(explanations)} explanations, "
            "expected one each."
        )
    if isinstance(vectors, sparse.sparray):
        length = np.sqrt(np.asarray(vectors.power(2).sum(axis=1)).ravel())
        scale = sparse.diags_array(1 / np.where(length > 0, length, 1))
        return sparse.csr_array(scale @ vectors)
    dense = np.asarray(vectors, np.float32)
    size = np.linalg.norm(dense, axis=1, keepdims=True)
    return dense / np.where(size > 0, size, 1)


def _nearest(
    reference: Reference, points: Any
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """The strategy of most of the nearest known texts, and the mean distance to these: `[N]`."""
    index = scikit("neighbors").NearestNeighbors(
        n_neighbors=min(_VOTERS, len(reference.strategies)), algorithm="brute"
    )
    distances, found = index.fit(reference.vectors).kneighbors(points)
    return vote(reference.strategies[found]), distances.mean(axis=1).astype(np.float64)


def _mean_distances(points: Any) -> npt.NDArray[np.float64]:
    """The mean distance of each text to its nearest others; NaN where there is no other."""
    count = points.shape[0]
    if count < 2:
        return np.full(count, np.nan)
    index = scikit("neighbors").NearestNeighbors(
        n_neighbors=min(_VOTERS, count - 1), algorithm="brute"
    )
    distances: npt.NDArray[np.float64] = index.fit(points).kneighbors()[0].mean(axis=1)
    return distances.astype(np.float64)
