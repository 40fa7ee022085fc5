"""Layers of arrays in any order of gates."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from seqlrp.errors import WeightsError
from seqlrp.integrations import weights
from seqlrp.integrations.weights import Direction

X = np.random.default_rng(1).normal(size=(2, 5, 3))


def sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def published(wxh: Any, whh: Any, bxh: Any, bhh: Any, x: Any) -> Any:
    """One direction of an LSTM whose blocks are i, g, f, o: states `[T, H]` of one text."""
    H = whh.shape[1]
    i, g, f, o = (slice(k * H, (k + 1) * H) for k in range(4))
    h = c = np.zeros(H)
    states = []
    for step in x:
        z = wxh @ step + bxh + whh @ h + bhh
        c = sigmoid(z[f]) * c + sigmoid(z[i]) * np.tanh(z[g])
        h = sigmoid(z[o]) * np.tanh(c)
        states.append(h)
    return np.stack(states)


def arrays(blocks: int, hidden: int = 4, seed: int = 0) -> Direction:
    drawn = np.random.default_rng(seed)
    rows = blocks * hidden
    return Direction(*(drawn.normal(size=s) for s in ((rows, 3), (rows, hidden), (rows,), (rows,))))


def test_the_order_of_published_code() -> None:
    left, right = arrays(4), arrays(4, seed=1)
    states = np.stack(
        [np.concatenate([published(*left, x), published(*right, x[::-1])[::-1]], axis=1) for x in X]
    )
    last = np.concatenate([states[:, -1, :4], states[:, 0, 4:]], axis=1)
    for outputs in (states, last):
        layer = weights.lstm(
            [left, right], order="igfo", inputs=X, outputs=outputs, tolerance=1e-12
        )
        np.testing.assert_allclose(layer(torch.from_numpy(X))[0].detach(), states, atol=1e-12)
    with pytest.raises(WeightsError, match="outputs of the layer differ"):
        weights.lstm([left, right], inputs=X, outputs=states)
    with pytest.raises(WeightsError, match="outputs of the layer differ"):
        weights.lstm([right, left], order="igfo", inputs=X, outputs=states)


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("bias", [False, True])
def test_pytorchs_own_order_gives_the_same_layer(
    kind: Any, bidirectional: bool, bias: bool
) -> None:
    torch.manual_seed(0)
    own = kind(3, 4, batch_first=True, bidirectional=bidirectional, bias=bias).double()
    named = own.state_dict()
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")[: 4 if bias else 2]
    directions = [
        [named[f"{name}_l0{end}"].numpy() for name in names]
        for end in ("", "_reverse")[: 1 + bidirectional]
    ]
    outputs = own(torch.from_numpy(X))[0].detach().numpy()
    make: Any = weights.lstm if kind is nn.LSTM else weights.gru
    made = make(directions, inputs=X, outputs=outputs, tolerance=0.0)
    assert made.state_dict().keys() == named.keys()
    for name, value in made.state_dict().items():
        assert torch.equal(value, named[name])


def test_one_of_two_biases_may_be_missing() -> None:
    whole = arrays(3)
    assert whole.bias_ih is not None
    one = whole._replace(bias_hh=None)
    zero = whole._replace(bias_hh=np.zeros(12))
    states = weights._layer(nn.GRU, [weights.reorder(zero, "rzn", "rzn")])(torch.from_numpy(X))[0]
    made = weights.gru([one], inputs=X, outputs=states.detach().numpy())
    assert (made.bias_hh_l0 == 0).all()
    other = Direction(whole.weight_ih, whole.weight_hh, None, whole.bias_ih)
    with pytest.raises(WeightsError, match="outputs of the layer differ"):
        weights.gru([other], inputs=X, outputs=states.detach().numpy())


@pytest.mark.parametrize(
    ("directions", "order", "message"),
    [
        ([arrays(4)], "ifco", "Got the order 'ifco'; expected the letters of 'ifgo'"),
        ([arrays(3)], "ifgo", r"Got arrays of the shapes \[12, 3\].*expected 4·H rows"),
        ([arrays(4)] * 3, "ifgo", "Got 3 directions"),
        ([], "ifgo", "Got 0 directions"),
        ([arrays(4), arrays(4, 5)], "ifgo", "two directions of different sizes"),
        ([Direction(arrays(4).bias_ih, arrays(4).weight_hh)], "ifgo", "no matrices"),  # type: ignore[arg-type]
        ([arrays(4)._replace(bias_hh=np.zeros(3))], "ifgo", r"\[3\]; expected 4·H rows"),
    ],
)
def test_arrays_that_make_no_layer_are_refused(directions: Any, order: str, message: str) -> None:
    with pytest.raises(WeightsError, match=message):
        weights.lstm(directions, order=order, inputs=X, outputs=X)
