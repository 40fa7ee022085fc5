"""Contextual decomposition against loops written from the paper by somebody who saw no code."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from oracles import decomposition as oracle
from samples.reading_models import Reader, vectors

from seqlrp.methods import ContextualDecomposition

# What each variant is in the oracle's words; a bias comes first in both.
VARIANTS: dict[str, dict[str, Any]] = {
    "paper": {"merge_word": False, "bias_bias": "gamma"},
    "released": {"merge_word": True, "bias_bias": "beta_in_phrase"},
}
SPANS = [(0, 1), (1, 3), (4, 5), (2, 5), (0, 5)]


def last(states: torch.Tensor) -> torch.Tensor:
    return states[:, -1]


@pytest.mark.parametrize("variant", VARIANTS)
def test_phrases_of_an_lstm(variant: str) -> None:
    model, x = Reader(pool=last).double().eval(), vectors(2, 5)
    rnn = model.recurrence
    names = {"ih": "weight_ih_l0", "hh": "weight_hh_l0"}
    weights = {f"w_{k}": getattr(rnn, name).detach().numpy() for k, name in names.items()}
    weights |= {f"b_{k}": getattr(rnn, f"bias_{k}_l0").detach().numpy() for k in names}
    head = tuple(p.detach().numpy() for p in (model.head.weight, model.head.bias))

    def expected(b: int, span: tuple[int, int], **options: Any) -> Any:
        return oracle.contextual_decomposition(
            x[b].numpy(), weights, head, *span, **VARIANTS[variant] | options
        )

    found = ContextualDecomposition(model, variant).decomposition(x, SPANS, "all")
    other = "beta_in_phrase" if variant == "paper" else "gamma"
    conventions = [{"bias_first": False}, {"merge_word": variant == "paper"}, {"bias_bias": other}]
    far = [0.0] * len(conventions)
    for b in range(2):
        for k, span in enumerate(SPANS):
            beta, gamma = expected(b, span)
            np.testing.assert_allclose(found.inside[b, :, k], beta, rtol=0, atol=1e-13)
            np.testing.assert_allclose(found.outside[b, :, k], gamma, rtol=0, atol=1e-13)
            for number, changed in enumerate(conventions):
                change = abs(expected(b, span, **changed)[0] - beta).max()
                far[number] = max(far[number], change)
    assert min(far) > 1e-3  # each convention shows in the figures
    words = ContextualDecomposition(model, variant).attribution(x, "all").relevance
    for t in range(5):
        np.testing.assert_allclose(words[1, :, t], expected(1, (t, t + 1))[0], rtol=0, atol=1e-13)
