"""DeepLIFT's Rescale rule through an LSTM and a GRU, against loops over steps and units."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from oracles import rescale as oracle
from samples.examples import examples
from samples.reading_models import Reader, vectors

from seqlrp.methods import DeepLIFT

POOLS = {"last": lambda states: states[:, -1], "mean": lambda states: states.mean(1)}


def parts(model: Reader) -> tuple[dict[str, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Weights of the recurrence and of the head, as the oracle takes them."""
    held = {name: p.detach().numpy() for name, p in model.recurrence.named_parameters()}
    names = {
        "w_ih": "weight_ih_l0",
        "w_hh": "weight_hh_l0",
        "b_ih": "bias_ih_l0",
        "b_hh": "bias_hh_l0",
    }
    head = model.head.weight.detach().numpy(), model.head.bias.detach().numpy()
    return {key: held[name] for key, name in names.items()}, head


@pytest.mark.parametrize("cell", ["lstm", "gru"])
@pytest.mark.parametrize("pool", POOLS)
@examples(6)
@given(
    step=st.sampled_from([1.0, 0.1, 1e-3, 1e-6]),
    same=st.sets(st.integers(0, 5), max_size=6),
    steps=st.integers(1, 6),
)
def test_multipliers_of_all_steps(
    cell: str, pool: str, step: float, same: set[int], steps: int
) -> None:
    """From far baselines and near ones; where a word is its baseline it has nothing."""
    model: Any = Reader(cell, POOLS[pool]).double().eval()
    weights, head = parts(model)
    x, other = vectors(2, steps), vectors(2, 2 * steps)[:, steps:]
    baseline = x + step * (other - x)
    for t in same:
        baseline[:, t : t + 1] = x[:, t : t + 1]
    found = DeepLIFT(model, baseline=baseline).attribution(x, "all").relevance
    run = {"lstm": oracle.deeplift_lstm, "gru": oracle.deeplift_gru}[cell]
    for b in range(2):
        for c in range(3):
            expected = run(x[b].numpy(), baseline[b].numpy(), weights, pool, head, c)
            # Near a baseline the oracle's quotients lose digits, as many as the step has.
            np.testing.assert_allclose(found[b, c], expected, rtol=0, atol=1e-12 + 1e-15 / step)
    assert step < 1 or same or found.abs().min() > 1e-6
    assert not same or (found[..., [t for t in same if t < steps]] == 0).all()
    with torch.no_grad():
        change = model(x) - model(baseline)
    torch.testing.assert_close(found.sum(-1), change, rtol=0, atol=1e-13)
