"""The words of a class: what the model relies on, and words that are only frequent in it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.special import stdtrit

from seqlrp.analysis.terms import (
    By,
    Terms,
    count_terms,
    explained_class,
    inverse_document_frequency,
)
from seqlrp.errors import InputError, check_number

if TYPE_CHECKING:
    import pandas as pd
    from spacy.language import Language

    from seqlrp.explanations.record import Explanation

Floats = npt.NDArray[np.float64]

MIN_DOCUMENTS = 5
# What counts as used, frequent and rare; a share is one of the strongest words of the class.
STRONGEST = 10  # words whose mean relevance says how strong words of the class are
USED = 0.25  # a word is used where its mean relevance is at least this share of theirs,
UNUSED = 0.1  # and not used where even the upper end of its interval is below this share
FREQUENT = 30  # a word is frequent where it is among so many of the most distinctive,
RARE = 0.005  # and rare where it is not, and at most this share of the class's documents hold it
FREQUENT_BUT_NOT_USED, USED_BUT_RARE = "frequent but not used", "used but rare"


def class_words(
    explanations: Iterable[Explanation],
    *,
    by: By = "word",
    pipeline: Language | None = None,
    length: int = 2,
    fold_case: bool = True,
    min_documents: int | None = None,
    terms: Terms | None = None,
) -> pd.DataFrame:
    """For each class, the words that the model rests on, and those that counting alone would name.

    An explanation counts for the class that it explains, or for the predicted one where it explains
    all. Words are ordered by the lower end of the interval of their mean relevance, so that neither
    a common word (by its many occurrences) nor a word of one text (by chance) comes first.

    Args:
        explanations: a list, or a stream of any length, of one method.
        by: "word", "lemma", "ngram" or "sentence"; see `seqlrp.analysis.terms.count_terms`.
        pipeline: for "lemma", a spaCy pipeline with a lemmatizer.
        length: of n-grams, in tokens.
        fold_case: whether words that differ by case alone are one, in lower case.
        min_documents: words in fewer documents of a class are left out; in a class with fewer
            documents than that, those that are not in all of them. By default 5, and 1 for
            sentences, which are seldom said twice.
        terms: what `count_terms` with these options has counted already.

    Returns:
        One row for each class and word, with columns

        - class: the name of the class.
        - word.
        - mean: the relevance of one occurrence, on average.
        - low, high: its 95 % interval over documents; missing where one document holds the word.
        - sum: the relevance of all occurrences.
        - documents: how many documents of the class hold it.
        - count: how often it occurs in them.
        - tfidf: the mean over the class's documents of tf · idf, tf the share of a document's
            words, idf = ln(N / n) for n of N documents that hold the word.
        - distinctive: the score of Horn et al. 2017, from 0 to 1, by counts alone; see
            `distinctiveness`. Missing where there is one class only.
        - use: "frequent but not used", "used but rare", or "".

    Raises:
        InputError: explanations of several methods or classifiers.
        OptionError: another `by`, or by="lemma" without a pipeline that gives lemmas.
    """
    if min_documents is None:
        min_documents = 1 if by == "sentence" else MIN_DOCUMENTS
    check_number("min_documents", min_documents, least=1, whole=True)
    seen = _Origins([], set(), set())
    noted = map(seen.note, explanations)
    if terms is None:
        terms = count_terms(noted, by, length=length, fold_case=fold_case, pipeline=pipeline)
    deque(noted, maxlen=0)  # what was not read by counting
    labels = seen.labels()
    return words_of_classes(terms, np.array(seen.classes, np.int64), labels, min_documents)


class _Origins(NamedTuple):
    """The classes, methods and label names of a stream of explanations."""

    classes: list[int]
    methods: set[str]
    names: set[tuple[str, ...]]

    def note(self, explanation: Explanation) -> Explanation:
        self.classes.append(explained_class(explanation))
        self.methods.add(explanation.method)
        self.names.add(explanation.labels)
        return explanation

    def labels(self) -> tuple[str, ...]:
        """The names of the classes, once the stream is used up."""
        if len(self.methods) > 1 or len(self.names) > 1:
            raise InputError(
                f"Got explanations by {', '.join(sorted(self.methods))} of {len(self.names)} "
                "classifiers; expected those of one method and one classifier, because relevance "
                "of different ones cannot be averaged."
            )
        return next(iter(self.names), ())


def words_of_classes(
    terms: Terms, classes: npt.NDArray[np.int64], labels: tuple[str, ...], min_documents: int
) -> pd.DataFrame:
    """The table of `class_words` for documents of the given classes `[N]`."""
    import pandas as pd

    shares, weights = class_shares(terms.counts, classes), tfidf(terms.counts)
    names = np.array(terms.names, dtype=object)
    parts: list[dict[str, npt.NDArray[Any]]] = []
    for row, class_ in enumerate(np.unique(classes).tolist()):
        own = np.flatnonzero(classes == class_)
        found = relevance_of_words(terms, own)
        found = found.part(found.documents >= min(min_documents, len(own)))
        held = weights[own]
        mean_weight = np.bincount(held.indices, held.data, len(names))[found.places] / len(own)
        distinctive = distinctiveness(shares, row, found.places)
        words = names[found.places]
        columns = {
            "class": np.repeat(np.array(labels[class_], object), len(words)),
            "word": words,
            "mean": found.mean,
            "low": found.low,
            "high": found.high,
            "sum": found.sum,
            "documents": found.documents,
            "count": found.occurrences,
            "tfidf": mean_weight,
            "distinctive": distinctive,
            "use": _use(found, distinctive, len(own)),
        }
        order = np.lexsort((words.astype(str), -found.mean, -found.low))  # NaN comes last
        parts.append({name: values[order] for name, values in columns.items()})
    whole = {
        name: np.concatenate([part[name] for part in parts] or [np.zeros(0)]) for name in _TYPES
    }
    return pd.DataFrame(whole).astype(_TYPES)


_TYPES: dict[str, Any] = {
    "class": "str",
    "word": "str",
    **dict.fromkeys(("mean", "low", "high", "sum"), "float64"),
    **dict.fromkeys(("documents", "count"), "int64"),
    **dict.fromkeys(("tfidf", "distinctive"), "float64"),
    "use": "str",
}


class WordRelevance(NamedTuple):
    """The relevance of the W words that stand in some documents, `[W]` each.

    Attributes:
        places: which of the terms each word is.
        mean, low, high: the relevance of one occurrence, and its 95 % interval.
        sum: the relevance of all occurrences.
        documents: how many documents hold it.
        occurrences: how often it stands there.
    """

    places: npt.NDArray[np.intp]
    mean: Floats
    low: Floats
    high: Floats
    sum: Floats
    documents: Floats
    occurrences: Floats

    def part(self, kept: npt.NDArray[np.bool_]) -> WordRelevance:
        """Some of the words."""
        numbers = [values[kept] for values in self[1:]]
        return WordRelevance(self.places[kept], *numbers)


def relevance_of_words(terms: Terms, rows: npt.NDArray[np.integer]) -> WordRelevance:
    """The mean relevance of one occurrence of each word, with its 95 % interval over documents.

    The mean is a ratio of two sums over the D documents with the word, ΣS/Σn; its variance, by
    linearisation, is D/(D-1) · Σ(S - mean·n)² / (Σn)² (Cochran 1977, chapter 6), with Student's t
    of D-1 degrees of freedom. The interval is NaN where one document alone has the word.
    """
    relevance, counts = terms.relevance[rows], terms.counts[rows]
    places, word = np.unique(relevance.indices, return_inverse=True)
    s, n = relevance.data, counts.data

    def total(values: Floats) -> Floats:
        return np.asarray(np.bincount(word, values, len(places)), np.float64)

    documents, occurrences, whole = (total(values) for values in (np.ones(len(s)), n, s))
    mean = whole / occurrences
    freedom = np.maximum(documents - 1, 1)
    variance = total((s - mean[word] * n) ** 2) * documents / freedom / occurrences**2
    half = stdtrit(freedom, 0.975) * np.sqrt(variance)
    half[documents < 2] = np.nan
    return WordRelevance(places, mean, mean - half, mean + half, whole, documents, occurrences)


def tfidf(counts: sparse.csr_array) -> sparse.csr_array:
    """tf · idf of each word in each document, tf the share of the document's words: `[N, V]`."""
    length = np.asarray(counts.sum(axis=1)).ravel()
    share = sparse.diags_array(1 / np.maximum(length, 1))
    weights = sparse.diags_array(inverse_document_frequency(counts))
    return sparse.csr_array(share @ counts @ weights)


class ClassShares(NamedTuple):
    """The share of the documents of each of C classes that hold each of V words.

    Attributes:
        shares: `[C, V]`, sparse.
        total: their sum over classes, `[V]`.
        squares: the sum of their squares, `[V]`.
    """

    shares: sparse.csr_array
    total: Floats
    squares: Floats


def class_shares(counts: sparse.csr_array, classes: npt.NDArray[np.int64]) -> ClassShares:
    """Compute the share of each class's documents that contain each word, for classes that occur.

    Args:
        counts: how often each word stands in each document, `[N, V]`.
        classes: of the documents, `[N]`.
    """
    present, place = np.unique(classes, return_inverse=True)
    sizes = np.bincount(place, minlength=len(present))
    shape = (len(present), len(classes))
    member = sparse.csr_array((np.ones(len(classes)), (place, np.arange(len(classes)))), shape)
    held = sparse.csr_array((np.ones(counts.nnz), counts.indices, counts.indptr), counts.shape)
    shares = sparse.csr_array(sparse.diags_array(1 / np.maximum(sizes, 1)) @ (member @ held))
    words = counts.shape[1]
    total, squares = (
        np.asarray(np.bincount(shares.indices, values, words), np.float64)
        for values in (shares.data, shares.data**2)
    )
    return ClassShares(shares, total, squares)


def distinctiveness(of: ClassShares, class_: int, places: npt.NDArray[np.intp]) -> Floats:
    """How distinctive words are for a class, by counts alone (Horn et al. 2017): `[W]`, 0 to 1.

    With t the share of the class's documents that hold the word, and f the mean plus the standard
    deviation of that share over the other classes: the mean of max(t - f, 0) and of t / f, clipped
    to [1, 4] and rescaled to [0, 1]. NaN where there is no other class.

    Args:
        of: the shares of all classes.
        class_: the row of the class.
        places: the words.
    """
    others = of.shares.shape[0] - 1
    if not others:
        return np.full(len(places), np.nan)
    own = of.shares[[class_]].toarray()[0, places]
    mean = (of.total[places] - own) / others
    variance = (of.squares[places] - own**2) / others - mean**2
    other = mean + np.sqrt(np.maximum(variance, 0))
    least = 1e-12  # rounding of sums that are 0
    quotient = (np.clip(own / np.maximum(other, least), 1, 4) - 1) / 3
    score: Floats = (np.maximum(own - other, 0) + quotient) / 2
    return score


def _use(found: WordRelevance, distinctive: Floats, documents: int) -> npt.NDArray[np.object_]:
    """Where what counting says and what the model uses differ, in words."""
    use = np.full(len(found.mean), "", dtype=object)
    used = found.low > 0  # False where it is NaN
    if not used.any():
        return use
    strength = float(np.median(np.sort(found.mean[used])[-STRONGEST:]))
    score = np.nan_to_num(distinctive)
    frequent = (score > 0) & (score >= np.sort(score)[-FREQUENT:][0])
    rare = ~frequent & (found.documents <= max(RARE * documents, 2))
    use[frequent & (found.high < UNUSED * strength)] = FREQUENT_BUT_NOT_USED
    use[used & rare & (found.mean >= USED * strength)] = USED_BUT_RARE
    return use
