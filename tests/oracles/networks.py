"""Whole small networks under the rules of `rule_oracle`, written out step by step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from oracles.rules import (
    Array,
    GateRule,
    Ledger,
    Rule,
    identity_rule,
    linear_map,
    pass_map,
    product_rule,
    squash_rule,
    sum_rule,
)


def feed_forward(
    layers: Sequence[tuple[Array, Array, Rule | None]], x: Array, target: int, ledger: Ledger
) -> tuple[float, Array]:
    """Score and relevance [D] of linear layers (W, b, rule) with ReLU between; None is `Pass`."""
    inputs = [x]
    for k, (W, b, _) in enumerate(layers):
        z = W @ inputs[-1] + b
        inputs.append(np.maximum(z, 0.0) if k + 1 < len(layers) else z)
    R = np.where(np.arange(len(inputs[-1])) == target, inputs[-1], 0.0)
    for (W, b, rule), a in zip(reversed(layers), reversed(inputs[:-1]), strict=True):
        if rule is None:
            R = pass_map(a, identity_rule(R), ledger)
        else:
            R = linear_map(rule, [(W, a)], [b], identity_rule(R), ledger)[0]
    return float(inputs[-1][target]), R


def sigmoid(x: Array) -> Array:
    return np.asarray(1.0 / (1.0 + np.exp(-x)))


def lstm(
    parameters: Mapping[str, Array],
    x: Array,
    target: int,
    rule: Rule,
    epsilon: float,
    gate_rule: GateRule,
    ledger: Ledger,
    bias_factor: float = 0.0,
    squash: bool = False,
) -> tuple[float, Array]:
    """Score and relevance [T, D] of one LSTM cell and a linear layer "head" on its last state.

    p_k = W_ik x + b_ik + W_hk h + b_hk, k in i, f, g, o; c' = f·c + i·tanh(p_g); h' = o·tanh(c').
    `squash`: the maps have no stabiliser of their own, so the sigmoid of a gate takes its p's.
    """
    T, H = len(x), len(parameters["weight_hh"]) // 4
    rows = {k: slice(n * H, n * H + H) for n, k in enumerate("ifgo")}
    h, c, steps = np.zeros(H), np.zeros(H), []
    for t in range(T):
        p = parameters["weight_ih"] @ x[t] + parameters["bias_ih"]
        p = p + parameters["weight_hh"] @ h + parameters["bias_hh"]
        a = {k: np.tanh(p[r]) if k == "g" else sigmoid(p[r]) for k, r in rows.items()}
        c_next = a["f"] * c + a["i"] * a["g"]
        steps.append((h, c, p, a, c_next))
        h, c = a["o"] * np.tanh(c_next), c_next
    scores = parameters["head.weight"] @ h + parameters["head.bias"]
    R = np.where(np.arange(len(scores)) == target, scores, 0.0)
    head = [(parameters["head.weight"], h)]
    (R_h,) = linear_map(rule, head, [parameters["head.bias"]], R, ledger)
    R_c, R_x = np.zeros(H), np.zeros_like(x)
    for t in reversed(range(T)):
        h, c, p, a, c_next = steps[t]
        R_k: dict[str, Array] = {}
        R_k["o"], R_tanh = product_rule(gate_rule, a["o"], np.tanh(c_next), R_h, epsilon, ledger)
        terms = [a["f"] * c, a["i"] * a["g"]]
        R_old, R_new = sum_rule(terms, R_c + identity_rule(R_tanh), epsilon, ledger, bias_factor)
        R_k["f"], R_c = product_rule(gate_rule, a["f"], c, R_old, epsilon, ledger)
        R_k["i"], R_k["g"] = product_rule(gate_rule, a["i"], a["g"], R_new, epsilon, ledger)
        R_h = np.zeros(H)
        for k, r in rows.items():
            if squash and k != "g":
                R_k[k] = squash_rule(p[r], R_k[k], epsilon, ledger)
            maps = [(parameters["weight_ih"][r], x[t]), (parameters["weight_hh"][r], h)]
            biases = [parameters["bias_ih"][r], parameters["bias_hh"][r]]
            of_x, of_h = linear_map(rule, maps, biases, R_k[k], ledger)
            R_x[t] += of_x
            R_h += of_h
    return float(scores[target]), R_x
