"""Layers of Keras's arrays against Keras's equations in NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from oracles import keras as oracle
from torch import Tensor, nn

from seqlrp import LRP
from seqlrp.errors import OptionError, WeightsError
from seqlrp.integrations import keras
from seqlrp.integrations.cells import StepwiseGRU, StepwiseLSTM

X = np.random.default_rng(1).normal(size=(2, 5, 3))
GATES = {
    "sigmoid": oracle.sigmoid,
    "hard_sigmoid": oracle.hard_sigmoid,
    "hard_sigmoid_keras3": oracle.hard_sigmoid_keras3,
}


def answers(layer: Any, weights: list[Any], directions: int, **options: Any) -> Any:
    if directions == 1:
        return layer(weights, X, **options)
    return oracle.both_ways(layer, weights, X, **options)


def last(states: Any, directions: int) -> Any:
    """What Keras gives with `return_sequences=False`: each direction's last step."""
    if directions == 1:
        return states[:, -1]
    half = states.shape[2] // 2
    return np.concatenate([states[:, -1, :half], states[:, 0, half:]], 1)


@pytest.mark.parametrize("directions", [1, 2])
@pytest.mark.parametrize("biases", [0, 1])
@pytest.mark.parametrize("gate", GATES)
def test_lstm(gate: Any, biases: int, directions: int) -> None:
    weights = oracle.random_weights(4, biases, directions)
    states = answers(oracle.lstm, weights, directions, gate=GATES[gate])
    for outputs in (states, last(states, directions)):
        layer = keras.lstm(
            weights,
            inputs=X,
            outputs=outputs,
            recurrent_activation=gate,
            tolerance=1e-12,
        )
        assert isinstance(layer, nn.LSTM if gate == "sigmoid" else StepwiseLSTM)
        found = layer(torch.from_numpy(X))[0]
        np.testing.assert_allclose(found.detach().numpy(), states, atol=1e-12)


@pytest.mark.parametrize("directions", [1, 2])
@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("reset_after", [False, True])
@pytest.mark.parametrize("gate", GATES)
def test_gru(gate: Any, reset_after: bool, biased: bool, directions: int) -> None:
    weights = oracle.random_weights(3, biased * (1 + reset_after), directions)
    states = answers(oracle.gru, weights, directions, gate=GATES[gate], reset_after=reset_after)
    for outputs in (states, last(states, directions)):
        layer = keras.gru(
            weights,
            inputs=X,
            outputs=outputs,
            reset_after=reset_after,
            recurrent_activation=gate,
            tolerance=1e-12,
        )
        plain = reset_after and gate == "sigmoid"
        assert isinstance(layer, nn.GRU if plain else StepwiseGRU)
        found = layer(torch.from_numpy(X))[0]
        np.testing.assert_allclose(found.detach().numpy(), states, atol=1e-12)


def test_float32_stays_float32() -> None:
    weights = [w.astype(np.float32) for w in oracle.random_weights(4, 1)]
    layer = keras.lstm(weights, inputs=X, outputs=oracle.lstm(weights, X))
    assert {p.dtype for p in layer.parameters()} == {torch.float32}
    assert not layer.training
    assert all(p.requires_grad for p in layer.parameters())


def test_the_arrays_are_copied_and_no_random_number_is_drawn() -> None:
    weights = oracle.random_weights(3, 1)
    kept = [w.copy() for w in weights]
    before = torch.get_rng_state()
    outputs = oracle.gru(weights, X, reset_after=False)
    layer = keras.gru(weights, inputs=X, outputs=outputs, reset_after=False)
    assert torch.equal(torch.get_rng_state(), before)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.zero_()
    for array, copy in zip(weights, kept, strict=True):
        np.testing.assert_array_equal(array, copy)


def test_the_last_state_comes_with_the_states() -> None:
    weights = oracle.random_weights(3, 1, 2)
    states = oracle.both_ways(oracle.gru, weights, X, reset_after=False)
    layer = keras.gru(weights, inputs=X, outputs=states, reset_after=False)
    found, final = layer(torch.from_numpy(X))
    assert torch.equal(final[0], found[:, -1, :4])
    assert torch.equal(final[1], found[:, 0, 4:])


@pytest.mark.parametrize(
    "wrong",
    [
        {"recurrent_activation": "hard_sigmoid"},
        {"recurrent_activation": "hard_sigmoid_keras3"},
        {"outputs": -1},
        {"outputs": np.nan},
    ],
)
def test_a_layer_that_answers_otherwise_is_not_given(wrong: dict[str, Any]) -> None:
    weights = oracle.random_weights(4, 1)
    outputs = oracle.lstm(weights, X)
    if "outputs" in wrong:
        outputs = outputs * wrong.pop("outputs")
    with pytest.raises(WeightsError, match=r"outputs of the layer differ: the largest difference"):
        keras.lstm(weights, inputs=X, outputs=outputs, **wrong)


def test_the_largest_difference_is_said() -> None:
    weights = oracle.random_weights(4, 1)
    outputs = oracle.lstm(weights, X)
    outputs[1, 2, 3] += 0.125
    outputs[0, 0, 0] -= 0.0625
    with pytest.raises(WeightsError, match=r"largest difference is 0\.125, expected at most 1e-05"):
        keras.lstm(weights, inputs=X, outputs=outputs)


def test_the_reset_gate_before_and_after_are_told_apart() -> None:
    weights = oracle.random_weights(3, 0)
    after = oracle.gru(weights, X)
    with pytest.raises(WeightsError, match="outputs of the layer differ"):
        keras.gru(weights, inputs=X, outputs=after, reset_after=False)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: w[:1], "Got 1 arrays; expected kernel"),
        (lambda w: [*w, w[0]], "outputs of the layer differ|expected the kernel"),
        (
            lambda w: [w[0].T, w[1].T, w[2]],
            r"shapes \[12, 3\], \[12, 4\], \[12\]; expected the ker",
        ),
        (lambda w: [w[0], w[1], w[2][:-1]], r"expected a bias \[3·H\]; \[2, 3·H\] belongs"),
        (lambda w: [w[0], w[1], np.stack([w[2], w[2]])], "belongs to reset_after=True"),
        (lambda w: [w[0][:, 1:], w[1], w[2]], r"expected 3·H rows"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(change: Any, message: str) -> None:
    weights = oracle.random_weights(3, 1)
    outputs = oracle.gru(weights, X, reset_after=False)
    with pytest.raises(WeightsError, match=message):
        keras.gru(change(weights), inputs=X, outputs=outputs, reset_after=False)


def test_a_bias_of_the_other_kind_is_refused() -> None:
    with pytest.raises(WeightsError, match="before the product: pass reset_after=False"):
        keras.gru(oracle.random_weights(3, 1), inputs=X, outputs=X)


def test_an_activation_that_is_none_is_refused() -> None:
    with pytest.raises(OptionError, match=r"recurrent_activation='hardsigmoid'\. Did you mean"):
        keras.lstm(
            oracle.random_weights(4, 1),
            inputs=X,
            outputs=X,
            recurrent_activation="hardsigmoid",  # type: ignore[arg-type]
        )


@pytest.mark.parametrize(
    ("inputs", "outputs", "message"),
    [
        (X[:, :1], X, r"shape \[2, 1, 3\]; expected \[B, T, 3\] with T > 1"),
        (X[..., :2], X, r"shape \[2, 5, 2\]; expected \[B, T, 3\]"),
        (X, X, r"shape \[2, 5, 3\]; expected \[2, 5, 4\] \(all states\) or \[2, 4\]"),
    ],
)
def test_inputs_that_cannot_tell_are_refused(inputs: Any, outputs: Any, message: str) -> None:
    with pytest.raises(WeightsError, match=message):
        keras.lstm(oracle.random_weights(4, 1), inputs=inputs, outputs=outputs)


class Classifier(nn.Module):
    def __init__(self, layer: nn.Module, width: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embedding = nn.Embedding(9, 3)
        self.layer = layer
        self.head = nn.Linear(width, 2, bias=False)
        self.double().eval()

    def forward(self, ids: Tensor) -> Tensor:
        scores: Tensor = self.head(self.layer(self.embedding(ids))[0].sum(1))
        return scores


@pytest.mark.parametrize("directions", [1, 2])
@pytest.mark.parametrize("gate", GATES)
def test_lrp_explains_the_layers_that_pytorch_has_none_of(gate: Any, directions: int) -> None:
    weights = oracle.random_weights(3, 1, directions)
    states = answers(oracle.gru, weights, directions, gate=GATES[gate], reset_after=False)
    gru = keras.gru(weights, inputs=X, outputs=states, reset_after=False, recurrent_activation=gate)
    weights = oracle.random_weights(4, 1, directions)
    states = answers(oracle.lstm, weights, directions, gate=GATES[gate])
    lstm = keras.lstm(weights, inputs=X, outputs=states, recurrent_activation=gate)
    ids = torch.tensor([[1, 2, 3, 4], [5, 6, 7, 8]])
    for layer in (gru, lstm):
        model = Classifier(layer, 4 * directions)
        R, ledger = LRP(model, epsilon=1e-6).attribute(ids, target=1, return_ledger=True)
        total = sum(ledger.totals.values())
        torch.testing.assert_close(total, model(ids)[:, 1].detach(), rtol=1e-10, atol=1e-12)
        torch.testing.assert_close(ledger.totals["tokens"], R.sum(1))
        assert (R != 0).all()


def reset_before_by_hand(weights: list[Any], x: Any, start: Any, epsilon: float) -> Any:
    """LRP through one such GRU read to its last state, from Arras 2017's rules: `[T]`, of x."""
    W, U, b = weights
    H = len(U)
    h, kept = np.zeros(H), []
    for step in x:
        z = oracle.sigmoid(step @ W[:, :H] + h @ U[:, :H] + b[:H])
        r = oracle.sigmoid(step @ W[:, H : 2 * H] + h @ U[:, H : 2 * H] + b[H : 2 * H])
        pre = step @ W[:, 2 * H :] + b[2 * H :] + (r * h) @ U[:, 2 * H :]
        new = z * h + (1 - z) * np.tanh(pre)
        kept.append((step, h, z, r, pre, new))
        h = new
    R_h, relevance = start * h, []
    for step, h, z, r, pre, new in reversed(kept):
        share = R_h / (new + epsilon * np.where(new >= 0, 1, -1))
        R_n, R_before = share * (1 - z) * np.tanh(pre), share * z * h
        share = R_n / (pre + epsilon * np.where(pre >= 0, 1, -1))
        relevance.append(step @ (W[:, 2 * H :] @ share))
        R_h = R_before + r * h * (U[:, 2 * H :] @ share)
    return np.array(relevance[::-1])


def test_relevance_through_a_reset_gate_before_the_product_by_hand() -> None:
    weights = oracle.random_weights(3, 1)
    states = oracle.gru(weights, X, reset_after=False)
    layer = keras.gru(weights, inputs=X, outputs=states, reset_after=False)
    start = np.array([0.5, -1.0, 2.0, 0.25])

    class Last(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = layer

        def forward(self, vectors: Tensor) -> Tensor:
            scores: Tensor = self.layer(vectors)[0][:, -1] @ torch.from_numpy(start)[:, None]
            return scores

    # ε only at the pre-activations and the sums of the recurrence: none at all compares best.
    R = LRP(Last().eval(), epsilon=0.0).attribute(torch.from_numpy(X), target=0)
    for row, x in zip(R, X, strict=True):
        expected = reset_before_by_hand(weights, x, start, 0.0)
        np.testing.assert_allclose(row.numpy(), expected, rtol=1e-9)
