"""Distinctive words of a class, written out with loops.

Horn et al. 2017, "Exploring text datasets by visualizing relevant words" (arXiv 1707.05261), in the
section on distinctive words, from memory of the paper. Not checked against its
text: that the standard deviation divides by the number of classes (numpy's default), and that the
quotient's floor is a small eps. Nothing here knows of the package.
"""

from __future__ import annotations

import math
from collections.abc import Sequence


def true_positive_rate(documents: Sequence[Sequence[str]], word: str) -> float:
    """TPR_c(w): share of the documents of a class that contain the word."""
    return sum(word in document for document in documents) / len(documents)


def false_positive_rate(others: Sequence[float]) -> float:
    """FPR_c(w): mean plus (population) standard deviation of the TPR of the other classes."""
    mean = sum(others) / len(others)
    return mean + math.sqrt(sum((x - mean) ** 2 for x in others) / len(others))


def score(tpr: float, fpr: float, eps: float = 1e-12) -> float:
    """0.5 (r_dist + r_quot).

    r_dist = max(TPR - FPR, 0), r_quot = (min(max(TPR / max(FPR, eps), 1), 4) - 1) / 3.
    """
    distance = max(tpr - fpr, 0.0)
    quotient = (min(max(tpr / max(fpr, eps), 1.0), 4.0) - 1.0) / 3.0
    return 0.5 * (distance + quotient)


def distinctive_words(
    documents: Sequence[Sequence[str]], classes: Sequence[int], eps: float = 1e-12
) -> dict[int, dict[str, float]]:
    """The score of every word in every class: class -> word -> score."""
    names = sorted(set(classes))
    words = sorted({word for document in documents for word in document})
    rates = {}
    for c in names:
        inside = [d for d, label in zip(documents, classes, strict=True) if label == c]
        rates[c] = {word: true_positive_rate(inside, word) for word in words}
    return {
        c: {
            w: score(rates[c][w], false_positive_rate([rates[o][w] for o in names if o != c]), eps)
            for w in words
        }
        for c in names
    }
