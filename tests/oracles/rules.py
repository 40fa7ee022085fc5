"""A slow float64 oracle for the rules that a user can choose, in relevance form: R in, R out.

Plain loops over output neurons, no autograd, nothing shared with what it checks. For one output
neuron a rule says how one unit of its relevance is split: `Share`. The rest says which rule acts
where. Everything explains one document, and books what reaches no input in a `Ledger` by kind:

    score = inputs + bias + stabiliser + zero input + gate + constant.

sign(0) = +1. Where a denominator is exactly 0 nothing is passed and the stabiliser has it all.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class Share(NamedTuple):
    """How one unit of an output neuron's relevance is split; the parts sum to 1."""

    units: Array  # [N], one for each input of the neuron
    bias: float
    stabiliser: float


class Ledger(defaultdict[str, float]):
    """The relevance that ended somewhere other than in an input, by kind."""

    def __init__(self) -> None:
        super().__init__(float)


# (weights [N], inputs [N], biases, mean |z| over the layer's outputs) of one output neuron
Rule = Callable[[Array, Array, Sequence[float], float], Share]
GateRule = str | Callable[[float, float], tuple[float, float]]


def sign(z: float) -> float:
    return 1.0 if z >= 0.0 else -1.0


def nothing(n: int) -> Share:
    return Share(np.zeros(n), 0.0, 1.0)


# --- Rules for maps ---------------------------------------------------------------------------


def epsilon_rule(epsilon: float, relative: bool = False, bias_factor: float = 0.0) -> Rule:
    """The ε-rule (Bach et al. 2015); `bias_factor` as in the code of Arras et al. 2017."""

    def share(w: Array, x: Array, biases: Sequence[float], mean_z: float) -> Share:
        n, b = len(w), sum(biases)
        z = sum(w[i] * x[i] for i in range(n)) + b
        e = epsilon * (mean_z if relative else 1.0) * sign(z)
        if z + e == 0.0:
            return nothing(n)
        units = np.array([w[i] * x[i] + bias_factor * (b + e) / n for i in range(n)])
        return Share(
            units / (z + e), (1 - bias_factor) * b / (z + e), (1 - bias_factor) * e / (z + e)
        )

    return share


def gamma_rule(gamma: float) -> Rule:
    """The γ-rule for inputs of either sign (Montavon et al. 2019; Andéol et al. 2021)."""

    def share(w: Array, x: Array, biases: Sequence[float], mean_z: float) -> Share:
        n = len(w)
        z = sum(w[i] * x[i] for i in range(n)) + sum(biases)
        if z == 0.0:
            return nothing(n)
        units = np.zeros(n)
        for i in range(n):
            favours = (x[i] > 0) == (w[i] > 0) if z > 0 else (x[i] > 0) != (w[i] > 0)
            units[i] = x[i] * w[i] * (1 + gamma if favours else 1.0)
        bias = sum(b * (1 + gamma if (b > 0) == (z > 0) else 1.0) for b in biases)
        denominator = units.sum() + bias
        return Share(units / denominator, bias / denominator, 0.0)

    return share


def alpha_beta_rule(alpha: float, beta: float) -> Rule:
    """The αβ-rule (Bach et al. 2015); α = 1, β = 0 is z⁺."""

    def share(w: Array, x: Array, biases: Sequence[float], mean_z: float) -> Share:
        units, bias, stabiliser = np.zeros(len(w)), 0.0, 0.0
        for factor, wanted in ((alpha, 1.0), (-beta, -1.0)):
            terms = [w[i] * x[i] if w[i] * x[i] * wanted > 0 else 0.0 for i in range(len(w))]
            own = [b if b * wanted > 0 else 0.0 for b in biases]
            denominator = sum(terms) + sum(own)
            if denominator == 0.0:
                stabiliser += factor
                continue
            units += factor * np.array(terms) / denominator
            bias += factor * sum(own) / denominator
        return Share(units, bias, stabiliser)

    return share


def w_square_rule() -> Rule:
    """The w²-rule (Montavon et al. 2017)."""

    def share(w: Array, x: Array, biases: Sequence[float], mean_z: float) -> Share:
        total = sum(v * v for v in w)
        return Share(w * w / total, 0.0, 0.0) if total else nothing(len(w))

    return share


def flat_rule() -> Rule:
    """The flat rule (Lapuschkin et al. 2019)."""

    def share(w: Array, x: Array, biases: Sequence[float], mean_z: float) -> Share:
        return Share(np.full(len(w), 1.0 / len(w)), 0.0, 0.0)

    return share


def z_b_rule(low: float | Array, high: float | Array) -> Rule:
    """The z^B-rule (Montavon et al. 2017) for inputs in [low, high]."""

    def share(w: Array, x: Array, biases: Sequence[float], mean_z: float) -> Share:
        n = len(w)
        lows, highs = np.broadcast_to(low, n), np.broadcast_to(high, n)
        terms = np.zeros(n)
        for i in range(n):
            terms[i] = x[i] * w[i] - (lows[i] if w[i] > 0 else highs[i]) * w[i]
        total = terms.sum()
        return Share(terms / total, 0.0, 0.0) if total else nothing(n)

    return share


def linear_map(
    rule: Rule,
    branches: Sequence[tuple[Array, Array]],
    biases: Sequence[Array],
    R: Array,
    ledger: Ledger,
) -> list[Array]:
    """Relevance of the inputs of z = Σ W x + Σ b: all branches (W [J, I], x [I]) are one map."""
    weights = np.concatenate([w for w, _ in branches], 1)
    x = np.concatenate([a for _, a in branches])
    z = [weights[j] @ x + sum(b[j] for b in biases) for j in range(len(R))]
    mean_z = sum(abs(v) for v in z) / len(z)
    received = np.zeros(len(x))
    for j in range(len(R)):
        part = rule(weights[j], x, [float(b[j]) for b in biases], mean_z)
        received += part.units * R[j]
        ledger["bias"] += part.bias * R[j]
        ledger["stabiliser"] += part.stabiliser * R[j]
    received = drop_zeros(x, received, ledger)
    return np.split(received, np.cumsum([len(a) for _, a in branches])[:-1])


def drop_zeros(x: Array, received: Array, ledger: Ledger) -> Array:
    """What an input that is exactly 0 would have received is booked: γ = R / x cannot carry it."""
    for i in range(len(x)):
        if x[i] == 0.0:
            ledger["zero input"] += received[i]
    return np.where(x == 0.0, 0.0, received)


def pass_map(x: Array, R: Array, ledger: Ledger) -> Array:
    """The output's relevance, index by index."""
    return drop_zeros(x, R.copy(), ledger)


class Convolution(NamedTuple):
    """A 1-d convolution: weight [O, I / groups, K]."""

    weight: Array
    bias: Array
    stride: int = 1
    padding: int = 0
    dilation: int = 1
    groups: int = 1


def conv_inputs(conv: Convolution, o: int, t: int, x: Array) -> list[tuple[int, int, float]]:
    """The (channel, position, weight) of every input of output channel o at t; no padding."""
    out, per_group, kernel = conv.weight.shape
    first = (o // (out // conv.groups)) * per_group
    found = []
    for c in range(per_group):
        for k in range(kernel):
            at = t * conv.stride - conv.padding + k * conv.dilation
            if 0 <= at < x.shape[1]:
                found.append((first + c, at, float(conv.weight[o, c, k])))
    return found


def conv_forward(conv: Convolution, x: Array) -> Array:
    reach = conv.dilation * (conv.weight.shape[2] - 1)
    length = (x.shape[1] + 2 * conv.padding - reach - 1) // conv.stride + 1
    y = np.zeros((len(conv.weight), length))
    for o in range(y.shape[0]):
        for t in range(length):
            inputs = conv_inputs(conv, o, t, x)
            y[o, t] = sum(w * x[c, at] for c, at, w in inputs) + conv.bias[o]
    return y


def conv_map(rule: Rule, conv: Convolution, x: Array, R: Array, ledger: Ledger) -> Array:
    """Relevance [I, T] of the inputs of a convolution, from that of its outputs [O, T']."""
    received = np.zeros_like(x)
    mean_z = np.abs(conv_forward(conv, x)).mean(0)
    for o in range(R.shape[0]):
        for t in range(R.shape[1]):
            inputs = conv_inputs(conv, o, t, x)
            w = np.array([weight for _, _, weight in inputs])
            a = np.array([x[c, at] for c, at, _ in inputs])
            part = rule(w, a, [float(conv.bias[o])], float(mean_z[t]))
            for (c, at, _), unit in zip(inputs, part.units, strict=True):
                received[c, at] += unit * R[o, t]
            ledger["bias"] += part.bias * R[o, t]
            ledger["stabiliser"] += part.stabiliser * R[o, t]
    return drop_zeros(x.reshape(-1), received.reshape(-1), ledger).reshape(x.shape)


# --- Sums, products, elementwise --------------------------------------------------------------


def sum_rule(
    terms: Sequence[Array], R: Array, epsilon: float, ledger: Ledger, bias_factor: float = 0.0
) -> list[Array]:
    """The ε-rule for a + b of width d: with `bias_factor` all 2d units share each stabiliser."""
    d, n = len(R), len(terms) * len(R)
    received = [np.zeros(d) for _ in terms]
    for j in range(d):
        z = sum(term[j] for term in terms)
        e = epsilon * sign(z)
        if z + e == 0.0:
            ledger["stabiliser"] += R[j]
            continue
        for term, got in zip(terms, received, strict=True):
            got[j] += term[j] / (z + e) * R[j]
            got += bias_factor * e / n / (z + e) * R[j]
        ledger["stabiliser"] += (1 - bias_factor) * e / (z + e) * R[j]
    return [drop_zeros(t, got, ledger) for t, got in zip(terms, received, strict=True)]


def gate_shares(rule: GateRule, gate: float, signal: float, epsilon: float) -> tuple[float, float]:
    """The shares of gate and signal in gate · signal (Arras et al. 2019)."""
    if callable(rule):
        return rule(gate, signal)
    if rule == "all":
        return 0.0, 1.0
    if rule == "half":
        return 0.5, 0.5
    if rule == "abs":
        total = abs(gate) + abs(signal)
        return (abs(gate) / total, abs(signal) / total) if total else (0.0, 0.0)
    assert rule == "prop"
    total = gate + signal + epsilon * sign(gate + signal)
    return (gate / total, signal / total) if total else (0.0, 0.0)


def product_rule(
    rule: GateRule, gate: Array, signal: Array, R: Array, epsilon: float, ledger: Ledger
) -> tuple[Array, Array]:
    """Relevance of gate and signal; what the shares leave is the stabiliser's."""
    to_gate, to_signal = np.zeros(len(R)), np.zeros(len(R))
    for j in range(len(R)):
        of_gate, of_signal = gate_shares(rule, gate[j], signal[j], epsilon)
        to_gate[j], to_signal[j] = of_gate * R[j], of_signal * R[j]
        ledger["stabiliser"] += (1 - of_gate - of_signal) * R[j]
    return to_gate, to_signal


def identity_rule(R: Array) -> Array:
    """y = f(x), f(0) = 0: the relevance goes through unchanged."""
    return R.copy()


def squash_rule(x: Array, R: Array, epsilon: float, ledger: Ledger) -> Array:
    """y = f(x), f(0) ≠ 0: γ_x = γ_y f(x) / (x + ε sign x), so R_x = R x / (x + ε sign x).

    When x = W a + b the denominator is that of the map too: `linear_map` then takes R as it is.
    """
    received = np.zeros(len(x))
    for i in range(len(x)):
        e = epsilon * sign(x[i])
        received[i] = x[i] / (x[i] + e) * R[i] if x[i] + e else 0.0
        ledger["stabiliser"] += e / (x[i] + e) * R[i] if x[i] + e else R[i]
    return received


def maximum_rule(a: Array, b: Array, R: Array) -> tuple[Array, Array]:
    """The winner takes all."""
    return np.where(a > b, R, 0.0), np.where(a > b, 0.0, R)


# --- Softmax, logsumexp, normalisation --------------------------------------------------------


def softmax(x: Array) -> Array:
    e = np.exp(x - x.max())
    return np.asarray(e / e.sum())


def softmax_rule(x: Array, R: Array, ledger: Ledger) -> Array:
    """R_x = x (R_s − s Σ R_s): Achtibat et al. 2024, proposition 3.1."""
    s = softmax(x)
    total = sum(R)
    received = np.array([x[i] * (R[i] - s[i] * total) for i in range(len(x))])
    ledger["constant"] += total - sum(received)
    return received


def logsumexp_rule(x: Array, R: float, ledger: Ledger) -> Array:
    """y = Σ p x + H(p) with constant p = softmax(x) and entropy H; there is no stabiliser."""
    p = softmax(x)
    entropy = -sum(v * np.log(v) for v in p if v > 0)
    y = sum(p[i] * x[i] for i in range(len(x))) + entropy
    ledger["constant"] += entropy / y * R
    return np.array([p[i] * x[i] / y * R for i in range(len(x))])


def logaddexp_rule(a: Array, b: Array, R: Array, ledger: Ledger) -> tuple[Array, Array]:
    """y = p_a a + p_b b + H with constant p_a = exp(a − y), p_b = exp(b − y) and entropy H."""
    received = np.zeros(len(R)), np.zeros(len(R))
    for i in range(len(R)):
        highest = max(a[i], b[i])
        y = highest + np.log(np.exp(a[i] - highest) + np.exp(b[i] - highest))
        entropy = 0.0
        for given, into in zip((a, b), received, strict=True):
            p = np.exp(given[i] - y)
            if p > 0:  # a mask of -inf has nothing
                into[i] = p * given[i] / y * R[i]
                entropy -= p * np.log(p)
        ledger["constant"] += entropy / y * R[i]
    return received


def normalisation_map(
    x: Array,
    groups: Sequence[Sequence[int]],
    weight: Array,
    bias: Array,
    tiny: float,
    R: Array,
    epsilon: float,
    ledger: Ledger,
    centre: bool = True,
) -> Array:
    """y = (x − mean) · c · weight + bias over each group of units, c = 1 / √(var + tiny) constant.

    Without `centre` it is the RMS normalisation: c = 1 / √(mean x² + tiny).
    """
    W = np.zeros((len(x), len(x)))
    for group in groups:
        mean = sum(x[i] for i in group) / len(group) if centre else 0.0
        c = (sum((x[i] - mean) ** 2 for i in group) / len(group) + tiny) ** -0.5
        for j in group:
            for i in group:
                W[j, i] = weight[j] * c * ((i == j) - (1.0 / len(group) if centre else 0.0))
    return linear_map(epsilon_rule(epsilon), [(W, x)], [bias], R, ledger)[0]


def batch_norm_map(
    x: Array, scale: Array, shift: Array, R: Array, epsilon: float, ledger: Ledger
) -> Array:
    """y = x · scale + shift: in evaluation mode the running mean is a constant like the bias."""
    return linear_map(epsilon_rule(epsilon), [(np.diag(scale), x)], [shift], R, ledger)[0]
