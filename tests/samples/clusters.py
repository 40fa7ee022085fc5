"""Texts of known groups, explained by hand: what the analysis of a corpus should find."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from samples.explanations import explanation
from seqlrp.explanations.record import Explanation

LABELS = ("one", "two")


def explained(words: Sequence[str], relevance: Sequence[float], **changes: object) -> Explanation:
    """An explanation of words with white space between them, for class 1 of two."""
    fields = {
        "relevance": np.array(relevance),
        "label": 1,
        "parameters": {},
        "ledger": {},
        "id": None,
    }
    return explanation(" ".join(words), **fields | changes)


def groups(
    sizes: Sequence[int], *, noise: float = 0.05, dimensions: int = 12, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors `[N, D]` around as many random directions as there are sizes, and whose."""
    drawn = np.random.default_rng(seed)
    centres = np.linalg.qr(drawn.normal(size=(dimensions, dimensions)))[0][: len(sizes)]
    owner = np.repeat(np.arange(len(sizes)), sizes)
    points = centres[owner] + noise * drawn.normal(size=(len(owner), dimensions))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    order = drawn.permutation(len(owner))
    return points[order].astype(np.float32), owner[order]
