"""Shapley values and Kernel SHAP against a set function that is asked one coalition at a time."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from oracles import shapley as oracle
from samples.reading_models import Reader, vectors

from seqlrp.methods import KernelSHAP, Shapley

WORDS = 8


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_all_coalitions_of_eight_words(cell: str) -> None:
    model, x = Reader(cell).double().eval(), vectors(2, WORDS)
    found = {
        method.name: method.attribution(x, "all").relevance.numpy()
        for method in (Shapley(model), KernelSHAP(model))
    }
    for b in range(2):

        @cache
        def scores(words: frozenset[int], b: int = b) -> list[float]:
            """The model's scores where all other words are zero."""
            left = torch.zeros_like(x[b : b + 1])
            left[0, list(words)] = x[b, list(words)]
            with torch.no_grad():
                return model(left)[0].tolist()  # type: ignore[no-any-return]

        for c in range(3):

            def value(words: frozenset[int], c: int = c, scores: Any = scores) -> float:
                return float(scores(words)[c])

            expected = oracle.shapley(value, WORDS)
            solved = oracle.kernel_shap_exact(value, WORDS)
            np.testing.assert_allclose(found["shapley"][b, c], expected, rtol=0, atol=1e-13)
            np.testing.assert_allclose(found["kernel_shap"][b, c], solved, rtol=0, atol=1e-12)
            assert abs(expected).min() > 1e-4


def test_kernel_shap_draws_sizes_by_the_kernel() -> None:
    """A size has the kernel's weight of one coalition times how many there are."""
    method = KernelSHAP(Reader().double().eval(), samples=40_000)
    words = 20  # more coalitions than samples
    sizes = method.coalitions(words, np.random.default_rng(0)).sum(1)
    weights = oracle.kernel_weights(words)[1:words]
    share = weights * [oracle.math.comb(words, s) for s in range(1, words)]
    share /= share.sum()
    drawn = np.bincount(sizes, minlength=words)[1:] / len(sizes)
    np.testing.assert_allclose(drawn, share, atol=5 * np.sqrt(share.max() / len(sizes)))
    assert share.max() > 2 * share.min()
