"""Document vectors and the explanatory power index, written out with loops.

Arras, Horn, Montavon, Müller, Samek 2017, "What is relevant in a text document?" (PLoS ONE 12(8)),
sections "Extracting document vectors" and "Quality of word relevances and model explanatory power".
Nothing here knows of the package.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Split = tuple[Sequence[int], Sequence[int]]


def weighted_vector(weights: Array, words: Array) -> Array:
    """d_i = Σ_t R_t x_{t,i}, of weights [T] and word vectors [T, D]."""
    out = np.zeros(words.shape[1])
    for r, x in zip(weights, words, strict=True):
        for i in range(len(out)):
            out[i] += r * x[i]
    return out


def element_wise_vector(relevance: Array, words: Array) -> Array:
    """d_i = Σ_t R_{t,i} x_{t,i}, of unpooled relevance [T, D] and word vectors [T, D]."""
    out = np.zeros(words.shape[1])
    for r, x in zip(relevance, words, strict=True):
        for i in range(len(out)):
            out[i] += r[i] * x[i]
    return out


def uniform_vector(words: Array) -> Array:
    """d_i = Σ_t x_{t,i}."""
    return weighted_vector(np.ones(len(words)), words)


def tfidf(document: Sequence[str], corpus: Sequence[Sequence[str]]) -> dict[str, float]:
    """Of each word: count in the document · log(N / number of documents of `corpus` with it)."""
    out = {}
    for word in set(document):
        count = sum(w == word for w in document)
        holding = sum(word in other for other in corpus)
        out[word] = count * math.log(len(corpus) / holding)
    return out


def tfidf_vector(
    document: Sequence[str], corpus: Sequence[Sequence[str]], words: dict[str, Array]
) -> Array:
    """d = Σ_w tfidf(w) x_w over the DISTINCT words of the document."""
    weights = tfidf(document, corpus)
    names = sorted(weights)
    return weighted_vector(
        np.array([weights[w] for w in names]), np.array([words[w] for w in names])
    )


def unit(vector: Array) -> Array:
    """The vector at Euclidean length 1; a zero vector stays zero."""
    length = math.sqrt(sum(float(x) ** 2 for x in vector))
    return np.array([x / length if length else 0.0 for x in vector])


def knn_accuracy(
    vectors: Array, labels: Sequence[int], train: Sequence[int], test: Sequence[int], k: int
) -> float:
    """Share of `test` whose K nearest of `train` vote for its label.

    Distances are Euclidean between unit vectors. Votes that tie go to the smallest class index,
    distances that tie to the lowest index of a document.
    """
    unit_vectors = [unit(v) for v in vectors]
    right = 0
    for n in test:
        order = []
        for m in train:
            square = sum(
                (float(a) - float(b)) ** 2
                for a, b in zip(unit_vectors[n], unit_vectors[m], strict=True)
            )
            order.append((math.sqrt(square), m))
        votes = [labels[m] for _, m in sorted(order)[:k]]
        winner = min(set(votes), key=lambda c: (-votes.count(c), c))
        right += winner == labels[n]
    return right / len(test)


def mean_accuracies(
    vectors: Array, predicted: Sequence[int], splits: Sequence[Split], ks: Sequence[int]
) -> list[float]:
    """Of each K, the mean accuracy over the splits (train indices, test indices)."""
    return [
        sum(knn_accuracy(vectors, predicted, train, test, k) for train, test in splits)
        / len(splits)
        for k in ks
    ]


def explanatory_power_index(
    vectors: Array, predicted: Sequence[int], splits: Sequence[Split], ks: Sequence[int]
) -> tuple[float, int]:
    """The largest mean accuracy over K, and the first K of `ks` that has it."""
    means = mean_accuracies(vectors, predicted, splits, ks)
    best = max(means)
    return best, ks[means.index(best)]
