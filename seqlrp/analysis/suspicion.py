"""How far a word looks like an artefact, rather than like what its class is about.

An artefact gives a class away: nearly alone its class holds it. So do many words of the subject of
a class. But these stand in texts that have other words in common, too ("oil" with "prices"), while
an artefact stands in texts of any subject. No list of words is needed, and no vectors from
elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.stats import norm

from seqlrp.analysis.indexed_texts import Floats, IndexedTexts, Integers, Phrase
from seqlrp.analysis.terms import inverse_document_frequency

_MOST = 500  # texts that are compared
_LEAST = 3  # texts from which something is said


def least_share(share: npt.ArrayLike, n: npt.ArrayLike) -> Floats:
    """The lower end of the 95 % interval of a share of n texts (Wilson 1927); NaN of none."""
    share, n = np.asarray(share, np.float64), np.asarray(n, np.float64)
    size = np.where(n > 0, n, np.nan)
    z = float(norm.ppf(0.975))
    half = z * np.sqrt(share * (1 - share) / size + z**2 / (4 * size**2))
    found: Floats = (share + z**2 / (2 * size) - half) / (1 + z**2 / size)
    return found


def lift(low: npt.ArrayLike, share: npt.ArrayLike) -> Floats:
    """How far the log odds of a class rise where a word stands, at least; not below 0.

    Args:
        low: the lower end of the share of the class among the texts with the word.
        share: of the class among all texts.
    """
    low, share = (np.clip(np.asarray(p, np.float64), 1e-3, 1 - 1e-3) for p in (low, share))
    found: Floats = np.maximum(np.log(low / (1 - low)) - np.log(share / (1 - share)), 0.0)
    return found


class Likeness:
    """How alike the texts with a word are otherwise, by their other words.

    The mean cosine of two of these texts, of their vectors of tf · idf without the word, divided by
    that of any two texts of the class: about 1 for an artefact, and more for a word of a subject.

    Args:
        texts: the texts.
    """

    def __init__(self, texts: IndexedTexts) -> None:
        self._texts, self._counts = texts, texts.counts()
        self._weights = inverse_document_frequency(self._counts)
        self._of_class: dict[int, float] = {}

    def of(self, phrases: Sequence[Phrase], class_: int) -> float:
        """That of the texts of a class that hold all of some phrases; NaN of fewer than three."""
        classes = self._texts.classes
        if class_ not in self._of_class:
            self._of_class[class_] = self._mean_cosine(np.flatnonzero(classes == class_), [])
        typical, held = self._of_class[class_], self._texts.holding(phrases)
        rows = held[classes[held] == class_]
        if len(rows) < _LEAST or not typical > 0:
            return np.nan
        numbers = [self._texts.number(word) for phrase in phrases for word in phrase]
        without = [number for number in numbers if number is not None]
        return self._mean_cosine(rows, without) / typical

    def _mean_cosine(self, rows: Integers, without: Sequence[int]) -> float:
        """The mean cosine of two different texts, (|Σ u|² - Σ |u|²) / (n (n - 1)), |u| = 1."""
        rows = rows[:: max(1, -(-len(rows) // _MOST))]
        if len(rows) < 2:
            return np.nan
        weights = self._weights
        if without:
            weights = weights.copy()
            weights[list(without)] = 0.0
        part = self._counts[rows]
        values = part.data * weights[part.indices]
        text = np.repeat(np.arange(len(rows)), np.diff(part.indptr))
        squares = np.bincount(text, values**2, len(rows))
        values /= np.sqrt(np.where(squares > 0, squares, 1.0))[text]
        whole = np.bincount(part.indices, values, part.shape[1])
        alone = float((squares > 0).sum())
        return float((whole @ whole - alone) / (len(rows) * (len(rows) - 1)))


def suspicion(strength: npt.ArrayLike, lifts: npt.ArrayLike, likeness: npt.ArrayLike) -> Floats:
    """What a word does, times how exclusive it is, over the square of how much of a subject it is.

    The square, because likeness tells much: of words that stand anywhere, in seven texts, 5 % have
    one above 1.8, and most words of a subject have more than 2.

    Args:
        strength: what it surely does.
        lifts: see `lift`.
        likeness: see `Likeness`; a missing one counts 1, as does one below.
    """
    subject = np.fmax(np.asarray(likeness, np.float64), 1.0)
    found: Floats = np.asarray(strength, np.float64) * np.asarray(lifts, np.float64) / subject**2
    return found
