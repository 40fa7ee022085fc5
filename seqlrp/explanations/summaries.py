"""Relevance of each word over many documents: counts, means with intervals, quartiles, sums."""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy.special import stdtrit

from seqlrp.errors import OptionError, check_choice
from seqlrp.explanations.merging import Tokens, merge

if TYPE_CHECKING:
    import pandas as pd
    from spacy.language import Language

    from seqlrp.explanations.record import Explanation

BY = ("word", "token", "lemma", "class")
_SORTED = 1_000_000  # numbers that are sorted together, some groups and the rest of the last


class Group(NamedTuple):
    """Explanations that are summarised together: of one method and class, or pair of classes."""

    method: str
    target: int
    target_label: str
    against: int | None
    against_label: str | None


@dataclass
class WordSums:
    """Running sums over documents of a word's relevance S and occurrences n (Welford's update).

    Attributes:
        documents: how many documents hold the word.
        relevance: the mean of S over them.
        count: the mean of n over them.
        spread: the sums of squares and products about these means: of S, of S and n, of n.
    """

    documents: int = 0
    relevance: float = 0.0
    count: float = 0.0
    spread: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def add(self, relevance: float, count: int) -> None:
        """Add one document, in which the word stands `count` times."""
        self.documents += 1
        r, n = relevance - self.relevance, count - self.count
        self.relevance += r / self.documents
        self.count += n / self.documents
        rest_r, rest_n = relevance - self.relevance, count - self.count
        a, b, c = self.spread
        self.spread = a + r * rest_r, b + r * rest_n, c + n * rest_n

    @property
    def occurrences(self) -> int:
        """How often the word stands in all documents together."""
        return round(self.count * self.documents)

    @property
    def mean(self) -> float:
        """The relevance of one occurrence, on average."""
        return self.relevance / self.count if self.count else math.nan

    @property
    def half_width(self) -> float:
        """Half of the 95 % interval of the mean; NaN where one document alone holds the word.

        The mean is a ratio of two sums over documents, ΣS/Σn; its variance, by linearisation, is
        D/(D-1) · Σ(S - mean·n)² / (Σn)² (Cochran, Sampling Techniques, 1977, chapter 6, on ratio
        estimators), with Student's t of D-1 degrees of freedom.
        """
        if self.documents < 2 or not self.count:
            return math.nan
        ss, sn, nn = self.spread
        about = max(ss - 2 * self.mean * sn + self.mean**2 * nn, 0.0)
        variance = about / (self.documents * (self.documents - 1) * self.count**2)
        return student_t(self.documents - 1) * math.sqrt(variance)


def summarise(
    explanations: Iterable[Explanation],
    by: str = "word",
    *,
    fold_case: bool = True,
    nlp: Language | None = None,
    quartiles: bool = True,
) -> pd.DataFrame:
    """Summarise the relevance of each word for each class over all documents.

    Explanations are read once, one after the other; what is kept of them is the relevance of each
    occurrence, 4 bytes each, for the quartiles, and otherwise a few numbers a word. Methods,
    classes and pairs of classes are never mixed; where every class is explained there are rows for
    each.

    Args:
        explanations: a list, or a stream of any length.
        by: "word", whose pieces are put together and their relevance added up as by
            `Explanation.merged`; "token", each as the model reads it; "lemma", the dictionary form
            that `nlp` gives to each token; or "class", all tokens together.
        fold_case: whether words that differ by case alone are one, in lower case.
        nlp: for "lemma", a spaCy pipeline with a lemmatizer, e.g. `spacy.load("en_core_web_sm")`.
            It is given the tokens as they are; where these are pieces of words, take
            `explanations.merged()` first.
        quartiles: False leaves them missing, so that memory does not grow with the documents.

    Returns:
        One row for each word, method and class, the largest sums first, with columns method,
        target, target_label, against, against_label, word, documents (that hold it), occurrences,
        mean (relevance of an occurrence), low and high (its 95 % interval, for documents drawn
        anew; missing where one document alone holds the word), q25, median and q75 (the quartiles
        over occurrences, interpolated as NumPy does: half of them lie from q25 to q75), sum. The
        column `word` is missing by="class". A mean that is far from its median, or outside the
        quartiles, is due to a few occurrences.

    Raises:
        OptionError: another `by`; by="lemma" without a pipeline that gives lemmas.
    """
    import pandas as pd

    name = _word_function(by, nlp)
    sums: dict[tuple[Group, str], WordSums] = {}
    kept: dict[tuple[Group, str], array[float]] = {}
    for explanation in explanations:
        parts = _merged(explanation) if by == "word" else explanation
        words = name(parts)
        if fold_case:
            words = [word.lower() for word in words]
        numbers: dict[str, int] = {}
        places = np.array([numbers.setdefault(word, len(numbers)) for word in words], np.intp)
        counts = np.bincount(places, minlength=len(numbers)).tolist()
        by_word = np.argsort(places, kind="stable")
        for group, relevance in _grouped(explanation, parts.relevance):
            totals = np.bincount(places, relevance.astype(np.float64), len(numbers)).tolist()
            values, first = array("f", relevance[by_word].astype(np.float32).tobytes()), 0
            for word, total, count in zip(numbers, totals, counts, strict=True):
                sums.setdefault((group, word), WordSums()).add(total, count)
                if quartiles:
                    kept.setdefault((group, word), array("f")).extend(values[first : first + count])
                first += count
    rows = [
        (*group, word, s.documents, s.occurrences, s.mean, s.half_width, s.relevance)
        for (group, word), s in sums.items()
    ]
    names = [*Group._fields, "word", "documents", "occurrences", "mean", "half", "each"]
    frame = pd.DataFrame(rows, columns=names).astype(_DTYPES)
    frame["low"] = frame["mean"] - frame["half"]
    frame["high"] = frame["mean"] + frame["half"]
    frame[["q25", "median", "q75"]] = _quartiles(list(kept.values())) if quartiles else math.nan
    frame["sum"] = frame["each"] * frame["documents"]
    frame = frame.drop(columns=["half", "each", *(["word"] if by == "class" else [])])
    order = [*Group._fields, "sum"]
    ascending = [True] * len(Group._fields) + [False]
    return frame.sort_values(order, ascending=ascending, kind="stable", ignore_index=True)


def _quartiles(groups: Sequence[array[float]]) -> np.ndarray[Any, Any]:
    """The quartiles of each group of numbers, `[N, 3]`, some groups at a time."""
    ends = np.cumsum([len(group) for group in groups]) // _SORTED
    together = np.split(np.arange(len(groups)), np.flatnonzero(np.diff(ends)) + 1)
    parts = [_quartiles_of([groups[k] for k in part]) for part in together if len(part)]
    return np.concatenate([np.zeros((0, 3)), *parts])


def _quartiles_of(groups: Sequence[array[float]]) -> np.ndarray[Any, Any]:
    """The quartiles of each group of numbers, `[N, 3]`, interpolated linearly."""
    sizes = np.array([len(group) for group in groups])
    values = np.concatenate([np.frombuffer(group, np.float32) for group in groups])
    values = values[np.lexsort((values, np.repeat(np.arange(len(groups)), sizes)))]
    values = values.astype(np.float64)
    first = np.cumsum(sizes) - sizes
    places = (sizes - 1)[:, None] * np.array([0.25, 0.5, 0.75])
    below = np.floor(places).astype(np.intp)
    above = np.ceil(places).astype(np.intp)
    low, high = (values[first[:, None] + at] for at in (below, above))
    between: np.ndarray[Any, Any] = low + (places - below) * (high - low)
    return between


_DTYPES: dict[str, Any] = {
    "method": "str",
    "target": "int64",
    "target_label": "str",
    "against": "Int64",
    "against_label": "str",
    "word": "str",
    "documents": "int64",
    "occurrences": "int64",
    "mean": "float64",
    "half": "float64",
    "each": "float64",
}


def _merged(explanation: Explanation) -> Tokens:
    """The words of an explanation, whose relevance is the sum over their pieces."""
    e = explanation
    return merge(Tokens(e.text, e.tokens, e.offsets, e.relevance, None), "word")


def _word_function(by: str, nlp: Language | None) -> Callable[[Any], Sequence[str]]:
    """The function that gives the name under which each token or word is counted."""
    check_choice("by", by, BY)
    if by == "class":
        return lambda explanation: [""] * len(explanation.tokens)
    if by in ("word", "token"):
        return lambda parts: parts.tokens
    if nlp is None:
        raise OptionError(
            "by='lemma' needs nlp=, a spaCy pipeline with a lemmatizer, which seqlrp does not "
            "bring along; by='word' takes words as they are, in lower case."
        )
    pipeline = nlp
    return lambda explanation: lemmas(explanation, pipeline)


def lemmas(explanation: Explanation, nlp: Language) -> list[str]:
    """The dictionary form `[T]` of each token, by a spaCy pipeline.

    Raises:
        OptionError: the pipeline gives no lemmas.
    """
    from spacy.tokens import Doc

    if not explanation.tokens:
        return []
    offsets = explanation.offsets
    spaces = [*(offsets[1:, 0] > offsets[:-1, 1]).tolist(), False]
    document = nlp(Doc(nlp.vocab, words=list(explanation.tokens), spaces=spaces))
    if not document.has_annotation("LEMMA"):
        raise OptionError(
            f"The pipeline given as nlp= has no lemmatizer that gives lemmas: it has "
            f"{', '.join(nlp.pipe_names) or 'no component'}; load a trained pipeline, or add and "
            "initialise the component 'lemmatizer'."
        )
    return [token.lemma_ or token.text for token in document]


def _grouped(
    explanation: Explanation, relevance: np.ndarray[Any, Any]
) -> Iterator[tuple[Group, np.ndarray[Any, Any]]]:
    """The rows of relevance `[T]` or `[C, T]` for each class that is explained, with its group."""
    e = explanation
    if isinstance(e.target, str):  # "all"
        for target, label in enumerate(e.labels):
            yield Group(e.method, target, label, None, None), relevance[target]
    else:
        yield Group(e.method, e.target, e.target_label, e.against, e.against_label), relevance


@cache
def student_t(freedom: int) -> float:
    """The 97.5 % quantile of Student's t: how many standard errors a 95 % interval reaches."""
    return float(stdtrit(freedom, 0.975))
