"""How often each term stands in each document, and how much relevance it has there.

A term is what is counted: a word, a lemma, an n-gram of words, a sentence. All that the analysis of
a corpus says about words starts from these two sparse matrices.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import numpy.typing as npt
from scipy import sparse

from seqlrp.errors import OptionError, check_choice, check_number
from seqlrp.explanations.summaries import lemmas

if TYPE_CHECKING:
    from spacy.language import Language

    from seqlrp.explanations.record import Explanation

By = Literal["word", "lemma", "ngram", "sentence"]
# The column of each word of a document, and its value.
Document = tuple[Sequence[int] | npt.NDArray[np.int64], npt.NDArray[np.floating]]
_PART = 4096  # documents that are added up at a time
# The terms of an explanation, and the relevance of each occurrence.
Occurrences = tuple[Sequence[str], npt.NDArray[np.float32]]


@dataclass(frozen=True, eq=False)
class Terms:
    """The terms of N documents, V of them.

    Attributes:
        names: the terms, in the order in which they are first met.
        relevance: float64 `[N, V]`, the relevance of all occurrences of a term in a document.
        counts: float64 `[N, V]`, how often it stands there; both matrices have the same places.
    """

    names: list[str]
    relevance: sparse.csr_array
    counts: sparse.csr_array


def explained_class(explanation: Explanation) -> int:
    """The class that an explanation is about; the predicted one where it explains every class."""
    target = explanation.target
    return explanation.predicted if isinstance(target, str) else target


def class_relevance(explanation: Explanation) -> npt.NDArray[np.float32]:
    """The relevance `[T]` of the words for the explained class."""
    if isinstance(explanation.target, str):
        row: npt.NDArray[np.float32] = explanation.relevance[explanation.predicted]
        return row
    return explanation.relevance


def count_terms(
    explanations: Iterable[Explanation],
    by: By = "word",
    *,
    length: int = 2,
    fold_case: bool = True,
    pipeline: Language | None = None,
) -> Terms:
    """Count the terms of each document and add up their relevance.

    Explanations are read once, one after the other.

    Args:
        explanations: a list, or a stream of any length.
        by: "word" takes tokens as they are; "lemma" the dictionary form that `pipeline` gives;
            "ngram" `length` neighbouring tokens of one sentence; "sentence" whole sentences.
        length: of n-grams, in tokens.
        fold_case: whether terms that differ by case alone are one, in lower case.
        pipeline: for "lemma", a spaCy pipeline with a lemmatizer.

    Raises:
        OptionError: another `by`; by="lemma" without a pipeline that gives lemmas.
    """
    check_choice("by", by, get_args(By))
    check_number("length", length, least=1, whole=True)
    occurrences = _reader(by, length, pipeline)
    places: dict[str, int] = {}

    def documents() -> Iterator[Document]:
        for explanation in explanations:
            names, relevance = occurrences(explanation)
            if fold_case:
                names = [name.lower() for name in names]
            yield [places.setdefault(name, len(places)) for name in names], relevance

    sums, counts = sums_and_counts(documents())
    for matrix in (sums, counts):
        matrix.resize((matrix.shape[0], len(places)))
    return Terms(list(places), sums, counts)


def sums_and_counts(documents: Iterable[Document]) -> tuple[sparse.csr_array, sparse.csr_array]:
    """Add up the values of each document that fall on the same column, and count them: `[N, V]`.

    Zeros keep their place. V is one more than the last column that occurs. Documents are taken in
    parts, because their words take several times the memory of the sums.
    """
    sums: list[sparse.csr_array] = []
    counts: list[sparse.csr_array] = []
    rest = iter(documents)
    while part := list(itertools.islice(rest, _PART)):
        lengths = [len(columns) for columns, _ in part]
        columns = np.concatenate([np.asarray(own, np.int64) for own, _ in part])
        values = np.concatenate([own for _, own in part]).astype(np.float64)
        at = (np.repeat(np.arange(len(part)), lengths), columns)
        shape = (len(part), int(columns.max(initial=-1)) + 1)
        for found, of_each in ((sums, values), (counts, np.ones(len(values)))):
            found.append(sparse.coo_array((of_each, at), shape=shape).tocsr())
    width = max((matrix.shape[1] for matrix in sums), default=0)
    for matrix in (*sums, *counts):
        matrix.sum_duplicates()
        matrix.resize((matrix.shape[0], width))
    return _stacked(sums), _stacked(counts)


def _stacked(parts: list[sparse.csr_array]) -> sparse.csr_array:
    return sparse.csr_array(sparse.vstack(parts) if parts else (0, 0), dtype=np.float64)


def _reader(by: By, length: int, pipeline: Language | None) -> Callable[[Any], Occurrences]:
    if by == "word":
        return lambda e: (e.tokens, class_relevance(e))
    if by == "ngram":
        return lambda e: _ngrams(e, length)
    if by == "sentence":
        return _sentences
    if pipeline is None:
        raise OptionError(
            "by='lemma' needs pipeline=, a spaCy pipeline with a lemmatizer, such as "
            "spacy.load('en_core_web_sm'); by='word' takes words as they are.",
            option="pipeline",
        )
    return lambda e: (lemmas(e, pipeline), class_relevance(e))


def _sentences(explanation: Explanation) -> Occurrences:
    merged = explanation.merged("sentence")
    return [" ".join(name.split()) for name in merged.tokens], class_relevance(merged)


def _ngrams(explanation: Explanation, length: int) -> Occurrences:
    """Neighbouring tokens, joined by a space; their relevance is that of all of them."""
    tokens = explanation.tokens
    windows = len(tokens) - length + 1
    if windows < 1:
        return [], np.zeros(0, np.float32)
    sums = np.concatenate([[0.0], np.cumsum(class_relevance(explanation), dtype=np.float64)])
    relevance = (sums[length:] - sums[:-length]).astype(np.float32)
    kept = np.arange(windows)
    if (sentences := explanation.sentences) is not None:
        kept = np.flatnonzero(sentences[: len(tokens) - length + 1] == sentences[length - 1 :])
    return [" ".join(tokens[k : k + length]) for k in kept.tolist()], relevance[kept]


def inverse_document_frequency(counts: sparse.csr_array) -> npt.NDArray[np.float64]:
    """The weight `[V]` of each term, ln(N / n) for n of N documents that hold it.

    A term that all documents hold has the weight 0, as has one that none holds.
    """
    documents, terms = counts.shape
    held = np.bincount(counts.indices, minlength=terms)
    weights: npt.NDArray[np.float64] = np.log(
        max(documents, 1) / np.where(held, held, documents or 1)
    )
    return weights
