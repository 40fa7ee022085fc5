"""Rank correlations by definition: Spearman 1904 and Kendall's tau-b 1945 (ties), with loops.

Nothing here knows of the package.
"""

from __future__ import annotations

import math
from collections.abc import Sequence


def ranks(values: Sequence[float]) -> list[float]:
    """Ranks from 1; values that tie share the mean of their ranks."""
    return [sum(y < x for y in values) + (sum(y == x for y in values) + 1) / 2 for x in values]


def pearson(a: Sequence[float], b: Sequence[float]) -> float:
    """Σ (a - ā)(b - b̄) / sqrt(Σ (a - ā)² Σ (b - b̄)²); nan where one side is constant."""
    mean_a, mean_b = sum(a) / len(a), sum(b) / len(b)
    both = sum((x - mean_a) * (y - mean_b) for x, y in zip(a, b, strict=True))
    scale = sum((x - mean_a) ** 2 for x in a) * sum((y - mean_b) ** 2 for y in b)
    return both / math.sqrt(scale) if scale else math.nan


def spearman(a: Sequence[float], b: Sequence[float]) -> float:
    """Pearson correlation of the ranks."""
    return pearson(ranks(a), ranks(b))


def kendall(a: Sequence[float], b: Sequence[float]) -> float:
    """tau-b = (P - Q) / sqrt((n0 - n1)(n0 - n2)); nan where one side is constant.

    P and Q count concordant and discordant pairs, n0 = n(n-1)/2 all pairs, n1 and n2 the pairs
    tied in a and in b.
    """
    total = untied_a = untied_b = 0
    for i in range(len(a)):
        for j in range(i):
            sign_a = (a[i] > a[j]) - (a[i] < a[j])
            sign_b = (b[i] > b[j]) - (b[i] < b[j])
            total += sign_a * sign_b
            untied_a += sign_a != 0
            untied_b += sign_b != 0
    return total / math.sqrt(untied_a * untied_b) if untied_a * untied_b else math.nan
