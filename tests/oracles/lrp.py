"""A slow float64 oracle for layer-wise relevance propagation through recurrent text classifiers.

It explains one document at a time with plain loops, and moves relevance as the papers write it:
messages R_{i←j} from a neuron j to the neurons i that it was computed from (Bach et al. 2015; Arras
et al. 2017, "Explaining Recurrent Neural Network Predictions in Sentiment Analysis"; Arras et al.
2019). The rules are the first functions below; everything after them says only which rule applies
where. Conventions (names, gate order, layout of states) are those of torch.nn.LSTM, GRU and RNN.

Relevance that reaches no word is booked in a `Ledger`, so that always

    score of the target = words + biases + stabiliser + initial state.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class Result(NamedTuple):
    """The explanation of one document of T words for one target class."""

    scores: Array  # [C]
    relevance: Array  # [T, D]; a word's relevance is the sum of its row
    tokens: float
    bias: dict[str, float]  # by parameter name; the output layer's is "head.bias"
    stabiliser: float
    initial_state: float


@dataclass
class Ledger:
    """The relevance that ended somewhere other than in a word."""

    bias: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    stabiliser: float = 0.0
    initial_state: float = 0.0


# --- The rules -------------------------------------------------------------------------------
#
# Two rules need no function:
#   a product y = gate · signal sends R_signal = R_y and R_gate = 0, so nothing ever flows through
#   a gate to what computed it ("signal takes all");
#   an elementwise y = tanh(x) or relu(x) sends R_x = R_y.


def sign(z: float) -> float:
    """The sign of z, with sign(0) = +1."""
    return 1.0 if z >= 0.0 else -1.0


def linear_rule(
    branches: Sequence[tuple[Array, Array]],
    biases: Sequence[tuple[str, Array]],
    z: Array,
    R: Array,
    epsilon: float,
    ledger: Ledger,
) -> list[Array]:
    """The ε-rule R_{i←j} = a_i w_ij R_j / (z_j + ε sign(z_j)) for z_j = Σ_i w_ij a_i + Σ b_j.

    `branches` are the pairs (weight [J, I], a [I]) that z sums over; one relevance [I] is returned
    for each. All branches and biases share the one denominator.
    """
    received = [np.zeros(len(a)) for _, a in branches]
    for j in range(len(z)):
        stabiliser = epsilon * sign(z[j])
        denominator = z[j] + stabiliser
        if denominator == 0.0:  # ε = 0 and z_j = 0: there is no message, R_j stops here.
            ledger.stabiliser += R[j]
            continue
        for (weight, a), R_a in zip(branches, received, strict=True):
            for i in range(len(a)):
                R_a[i] += a[i] * weight[j, i] * R[j] / denominator
        for name, b in biases:
            ledger.bias[name] += b[j] * R[j] / denominator
        ledger.stabiliser += stabiliser * R[j] / denominator
    return received


def sum_rule(
    terms: Sequence[Array], y: Array, R: Array, epsilon: float, ledger: Ledger
) -> list[Array]:
    """The ε-rule with weights 1: R_k = x_k R_y / (y + ε sign(y)) for y = Σ_k x_k, unit by unit."""
    received = [np.zeros(len(y)) for _ in terms]
    for d in range(len(y)):
        stabiliser = epsilon * sign(y[d])
        denominator = y[d] + stabiliser
        if denominator == 0.0:
            ledger.stabiliser += R[d]
            continue
        for x, R_x in zip(terms, received, strict=True):
            R_x[d] = x[d] * R[d] / denominator
        ledger.stabiliser += stabiliser * R[d] / denominator
    return received


def weighted_sum_rule(a: Array, h: Array, y: Array, R: Array, R_per_unit: Array) -> Array:
    """The proportional rule R_td = a_t h_td R_d / y_d for y_d = Σ_t a_t h_td; no stabiliser.

    Where the h_td cancel to y_d = 0 the ratio R_d / y_d is what y_d would have received for each
    unit of its value, `R_per_unit` [S].
    """
    T, S = h.shape
    R_h = np.zeros((T, S))
    for d in range(S):
        ratio = R[d] / y[d] if y[d] != 0.0 else R_per_unit[d]
        for t in range(T):
            R_h[t, d] = a[t] * h[t, d] * ratio
    return R_h


def winner_rule(h: Array, R: Array) -> Array:
    """Winner takes all for y_d = max_t h_td; of equals the first wins."""
    R_h = np.zeros_like(h)
    for d in range(h.shape[1]):
        R_h[np.argmax(h[:, d]), d] = R[d]
    return R_h


# --- The cells: one time step, forward and relevance -------------------------------------------


class Weights(NamedTuple):
    """The parameters of one direction of one layer; a bias that it does not have is zero."""

    W_ih: Array
    W_hh: Array
    b_ih: Array
    b_hh: Array
    W_hr: Array | None  # the LSTM's projection
    name: str  # how the names of the parameters end: "l0", "l1_reverse"


def direction_weights(parameters: Mapping[str, Any], name: str) -> Weights:
    """The weights of one direction of one layer, read from torch's names."""

    def read(parameter: str) -> Array | None:
        values = parameters.get(f"{parameter}_{name}")
        return None if values is None else np.asarray(values, dtype=np.float64)

    W_ih, W_hh = read("weight_ih"), read("weight_hh")
    b_ih, b_hh = read("bias_ih"), read("bias_hh")
    if W_ih is None or W_hh is None:
        raise KeyError(f"got no weight_ih_{name} and weight_hh_{name}")
    zero = np.zeros(len(W_ih))
    return Weights(
        W_ih,
        W_hh,
        zero if b_ih is None else b_ih,
        zero if b_hh is None else b_hh,
        read("weight_hr"),
        name,
    )


def sigmoid(x: Array) -> Array:
    e = np.exp(-np.abs(x))  # at most 1, so that no x overflows
    return np.where(x >= 0.0, 1.0, e) / (1.0 + e)


class LstmStep(NamedTuple):
    """Everything that one LSTM step computed."""

    x: Array
    h_before: Array
    c_before: Array
    i: Array
    f: Array
    o: Array
    z_g: Array  # the pre-activation of g
    g: Array
    c: Array
    m: Array  # o · tanh(c)
    h: Array  # m, or its projection


def lstm_cell(x: Array, h_before: Array, c_before: Array, weights: Weights) -> LstmStep:
    z = weights.W_ih @ x + weights.b_ih + weights.W_hh @ h_before + weights.b_hh
    z_i, z_f, z_g, z_o = np.split(z, 4)
    i, f, o = sigmoid(z_i), sigmoid(z_f), sigmoid(z_o)
    g = np.tanh(z_g)
    c = f * c_before + i * g
    m = o * np.tanh(c)
    h = m if weights.W_hr is None else weights.W_hr @ m
    return LstmStep(x, h_before, c_before, i, f, o, z_g, g, c, m, h)


def lstm_cell_relevance(
    step: LstmStep, weights: Weights, R_h: Array, R_c: Array, epsilon: float, ledger: Ledger
) -> tuple[Array, Array, Array]:
    """The relevances of x_t, h_{t-1} and c_{t-1}.

    `R_h` is all that the uses of h_t sent back; `R_c` is what c_{t+1} sent back to c_t.
    """
    # h = W_hr m
    if weights.W_hr is None:
        R_m = R_h
    else:
        (R_m,) = linear_rule([(weights.W_hr, step.m)], [], step.h, R_h, epsilon, ledger)

    # m = o · tanh(c): o is a gate, so tanh(c), and with it c, takes all.
    R_c = R_c + R_m

    # c_t = f · c_{t-1} + i · g: f and i are gates.
    kept, written = step.f * step.c_before, step.i * step.g
    R_c_before, R_g = sum_rule([kept, written], step.c, R_c, epsilon, ledger)

    # g = tanh(z_g), z_g = W_ig x + b_ig + W_hg h_{t-1} + b_hg
    R_z_g = R_g
    _, _, W_ig, _ = np.split(weights.W_ih, 4)
    _, _, W_hg, _ = np.split(weights.W_hh, 4)
    _, _, b_ig, _ = np.split(weights.b_ih, 4)
    _, _, b_hg, _ = np.split(weights.b_hh, 4)
    R_x, R_h_before = linear_rule(
        [(W_ig, step.x), (W_hg, step.h_before)],
        [(f"bias_ih_{weights.name}", b_ig), (f"bias_hh_{weights.name}", b_hg)],
        step.z_g,
        R_z_g,
        epsilon,
        ledger,
    )
    return R_x, R_h_before, R_c_before


class GruStep(NamedTuple):
    """Everything that one GRU step computed."""

    x: Array
    h_before: Array
    r: Array
    z: Array
    z_n: Array  # the pre-activation of n
    n: Array
    h: Array


def gru_cell(x: Array, h_before: Array, weights: Weights) -> GruStep:
    W_ir, W_iz, W_in = np.split(weights.W_ih, 3)
    W_hr, W_hz, W_hn = np.split(weights.W_hh, 3)
    b_ir, b_iz, b_in = np.split(weights.b_ih, 3)
    b_hr, b_hz, b_hn = np.split(weights.b_hh, 3)
    r = sigmoid(W_ir @ x + b_ir + W_hr @ h_before + b_hr)
    z = sigmoid(W_iz @ x + b_iz + W_hz @ h_before + b_hz)
    z_n = W_in @ x + b_in + r * (W_hn @ h_before + b_hn)
    n = np.tanh(z_n)
    h = (1.0 - z) * n + z * h_before
    return GruStep(x, h_before, r, z, z_n, n, h)


def gru_cell_relevance(
    step: GruStep, weights: Weights, R_h: Array, epsilon: float, ledger: Ledger
) -> tuple[Array, Array]:
    """The relevances of x_t and h_{t-1}; `R_h` is all that the uses of h_t sent back."""
    # h_t = (1 - z) · n + z · h_{t-1}: 1 - z and z are gates.
    written, kept = (1.0 - step.z) * step.n, step.z * step.h_before
    R_n, R_h_kept = sum_rule([written, kept], step.h, R_h, epsilon, ledger)

    # n = tanh(z_n), z_n = W_in x + b_in + (r · W_hn) h_{t-1} + r · b_hn: r is a gate, a constant.
    R_z_n = R_n
    _, _, W_in = np.split(weights.W_ih, 3)
    _, _, W_hn = np.split(weights.W_hh, 3)
    _, _, b_in = np.split(weights.b_ih, 3)
    _, _, b_hn = np.split(weights.b_hh, 3)
    R_x, R_h_read = linear_rule(
        [(W_in, step.x), (np.diag(step.r) @ W_hn, step.h_before)],
        [(f"bias_ih_{weights.name}", b_in), (f"bias_hh_{weights.name}", step.r * b_hn)],
        step.z_n,
        R_z_n,
        epsilon,
        ledger,
    )
    return R_x, R_h_kept + R_h_read


class RnnStep(NamedTuple):
    """Everything that one step of a plain recurrent network computed."""

    x: Array
    h_before: Array
    z: Array  # the pre-activation of h
    h: Array


def rnn_cell(x: Array, h_before: Array, weights: Weights, kind: str) -> RnnStep:
    z = weights.W_ih @ x + weights.b_ih + weights.W_hh @ h_before + weights.b_hh
    h = np.tanh(z) if kind == "rnn_tanh" else np.maximum(z, 0.0)
    return RnnStep(x, h_before, z, h)


def rnn_cell_relevance(
    step: RnnStep, weights: Weights, R_h: Array, epsilon: float, ledger: Ledger
) -> tuple[Array, Array]:
    """The relevances of x_t and h_{t-1}; `R_h` is all that the uses of h_t sent back."""
    # h = tanh(z) or relu(z), z = W_ih x + b_ih + W_hh h_{t-1} + b_hh
    R_z = R_h
    R_x, R_h_before = linear_rule(
        [(weights.W_ih, step.x), (weights.W_hh, step.h_before)],
        [(f"bias_ih_{weights.name}", weights.b_ih), (f"bias_hh_{weights.name}", weights.b_hh)],
        step.z,
        R_z,
        epsilon,
        ledger,
    )
    return R_x, R_h_before


# --- One direction of one layer: all time steps ------------------------------------------------


class Direction(NamedTuple):
    """One direction of one layer after its walk over the document."""

    kind: str
    weights: Weights
    order: list[int]  # the time steps in the order in which they were read
    steps: list[Any]  # LstmStep, GruStep or RnnStep, in that order


def read_document(
    kind: str, weights: Weights, inputs: Array, order: list[int], h: Array, c: Array
) -> Direction:
    steps: list[Any] = []
    for t in order:
        step: LstmStep | GruStep | RnnStep
        if kind == "lstm":
            step = lstm_cell(inputs[t], h, c, weights)
            c = step.c
        elif kind == "gru":
            step = gru_cell(inputs[t], h, weights)
        else:
            step = rnn_cell(inputs[t], h, weights, kind)
        h = step.h
        steps.append(step)
    return Direction(kind, weights, order, steps)


def read_document_relevance(
    direction: Direction, R_outputs: Array, epsilon: float, ledger: Ledger
) -> Array:
    """The relevance [T, I] of the inputs, given what each h_t received as an output [T, O]."""
    kind, weights, order, steps = direction
    R_inputs = np.zeros((len(order), weights.W_ih.shape[1]))
    # What the step that was read after this one sent back: nothing, for the last.
    R_h = np.zeros_like(steps[-1].h)
    R_c = np.zeros(weights.W_hh.shape[0] // 4 if kind == "lstm" else 0)
    for t, step in zip(reversed(order), reversed(steps), strict=True):
        R_h = R_h + R_outputs[t]
        if kind == "lstm":
            R_x, R_h, R_c = lstm_cell_relevance(step, weights, R_h, R_c, epsilon, ledger)
        elif kind == "gru":
            R_x, R_h = gru_cell_relevance(step, weights, R_h, epsilon, ledger)
        else:
            R_x, R_h = rnn_cell_relevance(step, weights, R_h, epsilon, ledger)
        R_inputs[t] = R_x
    ledger.initial_state += float(R_h.sum()) + float(R_c.sum())
    return R_inputs


# --- The classifier ----------------------------------------------------------------------------


def explain(
    network: Mapping[str, Any],
    x: Array,
    target: int,
    epsilon: float,
    h0: Array | None = None,
    c0: Array | None = None,
) -> Result:
    """Explain the score of class `target` for one document x [T, D] of T ≥ 1 valid steps.

    `network` holds "kind" ("lstm", "gru", "rnn_tanh" or "rnn_relu"), "parameters" (a state dict of
    arrays), "layers", "bidirectional", "hidden", "pooling" ("last", "mean", "max" or "attention"),
    "attention" and "head" (each {"weight": array, "bias": array or None}). h0 [layers · directions,
    H or P] and c0 [layers · directions, H] are zero where they are None.
    """
    kind, pooling, parameters = network["kind"], network["pooling"], network["parameters"]
    if kind not in ("lstm", "gru", "rnn_tanh", "rnn_relu"):
        raise ValueError(f"got the kind {kind!r}")
    if pooling not in ("last", "mean", "max", "attention"):
        raise ValueError(f"got the pooling {pooling!r}")
    if len(x) == 0:
        raise ValueError("got a document without a step")
    suffixes = ["", "_reverse"] if network["bidirectional"] else [""]
    T, H = len(x), network["hidden"]
    forwards, backwards = list(range(T)), list(range(T - 1, -1, -1))

    # Forward: the layers. Layer l reads the outputs of both directions of layer l - 1.
    states = np.asarray(x, dtype=np.float64)
    layers: list[list[Direction]] = []
    for layer in range(network["layers"]):
        directions = []
        for d, suffix in enumerate(suffixes):
            weights = direction_weights(parameters, f"l{layer}{suffix}")
            output_size = H if weights.W_hr is None else len(weights.W_hr)
            row = layer * len(suffixes) + d
            h = np.zeros(output_size) if h0 is None else np.asarray(h0[row], dtype=np.float64)
            c = np.zeros(H) if c0 is None else np.asarray(c0[row], dtype=np.float64)
            order = backwards if suffix else forwards
            directions.append(read_document(kind, weights, states, order, h, c))
        layers.append(directions)
        states = np.zeros((T, output_size * len(directions)))
        for d, direction in enumerate(directions):
            for t, step in zip(direction.order, direction.steps, strict=True):
                states[t, d * output_size : (d + 1) * output_size] = step.h

    # Forward: pooling and the output layer. Attention weights are gates.
    if pooling == "last":
        pooled = np.concatenate([direction.steps[-1].h for direction in layers[-1]])
    elif pooling == "max":
        pooled = states.max(axis=0)
    else:
        if pooling == "mean":
            pool_weights = np.full(T, 1.0 / T)
        else:
            pool_weights = attention_weights(network["attention"], states)
        pooled = np.zeros(states.shape[1])
        for t in range(T):
            pooled += pool_weights[t] * states[t]
    head_weight, head_bias = linear_layer(network["head"])
    scores = head_weight @ pooled + head_bias

    # Relevance: the output layer. Only the target's score is relevant.
    ledger = Ledger()
    R_scores = np.zeros(len(scores))
    R_scores[target] = scores[target]
    (R_pooled,) = linear_rule(
        [(head_weight, pooled)], [("head.bias", head_bias)], scores, R_scores, epsilon, ledger
    )

    # Relevance: pooling.
    if pooling == "last":
        R_states = np.zeros_like(states)
        for d, direction in enumerate(layers[-1]):
            part = slice(d * output_size, (d + 1) * output_size)
            R_states[direction.order[-1], part] = R_pooled[part]
    elif pooling == "max":
        R_states = winner_rule(states, R_pooled)
    else:
        # What the output layer sends to a pooled unit of value 1, all denominators unchanged.
        (R_per_unit,) = linear_rule(
            [(head_weight, np.ones(len(pooled)))], [], scores, R_scores, epsilon, Ledger()
        )
        R_states = weighted_sum_rule(pool_weights, states, pooled, R_pooled, R_per_unit)

    # Relevance: the layers, from the last to the first.
    for directions in reversed(layers):
        R_inputs = np.zeros((T, directions[0].weights.W_ih.shape[1]))
        output_size = R_states.shape[1] // len(directions)
        for d, direction in enumerate(directions):
            R_outputs = R_states[:, d * output_size : (d + 1) * output_size]
            R_inputs += read_document_relevance(direction, R_outputs, epsilon, ledger)
        R_states = R_inputs

    biases = [name for name in parameters if name.startswith("bias")]
    if network["head"]["bias"] is not None:
        biases.append("head.bias")
    return Result(
        scores=scores,
        relevance=R_states,
        tokens=float(R_states.sum()),
        bias={name: float(ledger.bias[name]) for name in biases},
        stabiliser=float(ledger.stabiliser),
        initial_state=float(ledger.initial_state),
    )


def linear_layer(layer: Mapping[str, Any]) -> tuple[Array, Array]:
    """The weight and the bias of a linear layer; the bias is zero where there is none."""
    weight = np.asarray(layer["weight"], dtype=np.float64)
    if layer["bias"] is None:
        return weight, np.zeros(len(weight))
    return weight, np.asarray(layer["bias"], dtype=np.float64)


def attention_weights(attention: Mapping[str, Any], h: Array) -> Array:
    """The softmax over the steps of score_t = weight · h_t + bias."""
    weight, bias = linear_layer(attention)
    scores = np.zeros(len(h))
    for t in range(len(h)):
        scores[t] = (weight @ h[t] + bias)[0]
    exponentials = np.exp(scores - scores.max())
    return np.asarray(exponentials / exponentials.sum())
