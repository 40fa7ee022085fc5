"""Keras's recurrent layers in NumPy, written from their definitions, one step after the other."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def hard_sigmoid(x: Array) -> Array:
    """Keras 1 and 2: 0 below -2.5, 1 above 2.5, 0.2 x + 0.5 between."""
    return np.clip(0.2 * x + 0.5, 0, 1)


def hard_sigmoid_keras3(x: Array) -> Array:
    """Keras 3: relu6(x + 3) / 6."""
    return np.minimum(np.maximum(x + 3, 0), 6) / 6


def lstm(weights: list[Array], x: Array, gate: Any = sigmoid) -> Array:
    """All states `[B, T, H]`."""
    kernel, recurrent, *bias = weights
    b = bias[0] if bias else 0.0
    hidden = len(recurrent)
    h = c = np.zeros((len(x), hidden))
    states = []
    for t in range(x.shape[1]):
        z = x[:, t] @ kernel + h @ recurrent + b
        z_i, z_f, z_c, z_o = (z[:, k * hidden : (k + 1) * hidden] for k in range(4))
        c = gate(z_f) * c + gate(z_i) * np.tanh(z_c)
        h = gate(z_o) * np.tanh(c)
        states.append(h)
    return np.stack(states, 1)


def gru(weights: list[Array], x: Array, reset_after: bool = True, gate: Any = sigmoid) -> Array:
    """All states `[B, T, H]`."""
    kernel, recurrent, *bias = weights
    H = len(recurrent)
    b, b_h = (bias[0] if reset_after else (bias[0], 0 * bias[0])) if bias else np.zeros((2, 3 * H))
    W = [kernel[:, k * H : (k + 1) * H] for k in range(3)]
    U = [recurrent[:, k * H : (k + 1) * H] for k in range(3)]
    b = [b[k * H : (k + 1) * H] for k in range(3)]
    b_h = [b_h[k * H : (k + 1) * H] for k in range(3)]
    h = np.zeros((len(x), H))
    states = []
    for t in range(x.shape[1]):
        z = gate(x[:, t] @ W[0] + b[0] + h @ U[0] + b_h[0])
        r = gate(x[:, t] @ W[1] + b[1] + h @ U[1] + b_h[1])
        if reset_after:
            n = np.tanh(x[:, t] @ W[2] + b[2] + r * (h @ U[2] + b_h[2]))
        else:
            n = np.tanh(x[:, t] @ W[2] + b[2] + (r * h) @ U[2])
        h = z * h + (1 - z) * n
        states.append(h)
    return np.stack(states, 1)


def both_ways(layer: Any, weights: list[Array], x: Array, **options: Any) -> Array:
    """`Bidirectional(layer)`, whose outputs are concatenated: `[B, T, 2H]`."""
    half = len(weights) // 2
    forward = layer(weights[:half], x, **options)
    backward = layer(weights[half:], x[:, ::-1], **options)[:, ::-1]
    return np.concatenate([forward, backward], 2)


def random_weights(
    blocks: int, biases: int, directions: int = 1, inputs: int = 3, hidden: int = 4, seed: int = 0
) -> list[Array]:
    """As `get_weights` gives them; `biases` is 0, 1 or 2."""
    drawn = np.random.default_rng(seed)
    weights = []
    for _ in range(directions):
        weights += [
            drawn.normal(size=(inputs, blocks * hidden)),
            drawn.normal(size=(hidden, blocks * hidden)),
        ]
        if biases:
            shape = (blocks * hidden,) if biases == 1 else (2, blocks * hidden)
            weights.append(drawn.normal(size=shape))
    return weights
