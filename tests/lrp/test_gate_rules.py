"""Gate rules against the loop-written oracle: LSTMs unrolled by hand, GRUs, products."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from oracles.networks import lstm, sigmoid
from oracles.rules import (
    Array,
    Ledger,
    Rule,
    alpha_beta_rule,
    epsilon_rule,
    gamma_rule,
    identity_rule,
    linear_map,
    product_rule,
)
from samples.examples import all_pairs
from samples.rule_checks import Function, array, check, double, randomise, seeded
from torch import Tensor, nn

import seqlrp
from seqlrp import rules

D, H, C = 3, 4, 2


def third(gate: Any, signal: Any) -> tuple[Any, Any]:
    """A rule of one's own: a third for the gate, half for the signal, the rest for nobody."""
    return gate * 0 + 1 / 3, signal * 0 + 1 / 2


def by_square(gate: Any, signal: Any) -> tuple[Any, Any]:
    """Works on numbers for the oracle and on tensors for seqlrp."""
    total = gate * gate + signal * signal + 1e-9
    return gate * gate / total, signal * signal / total


GATE_RULES: list[Any] = ["all", "half", "abs", "prop", third, by_square]


def with_rule(gate_rule: Any, **options: Any) -> dict[str, Any]:
    """Options of a gate rule; a second run on other words does not depend on it: one has it."""
    return {"gate_rule": gate_rule, "verify": gate_rule == "all", **options}


class FusedLSTM(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(D, H, batch_first=True)
        self.head = nn.Linear(H, C)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.lstm(x)[1][0][-1])  # type: ignore[no-any-return]


class CellLoop(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTMCell(D, H)
        self.head = nn.Linear(H, C)

    def forward(self, x: Tensor) -> Tensor:
        h = c = x.new_zeros(len(x), H)
        for t in range(x.shape[1]):
            h, c = self.lstm(x[:, t], (h, c))
        return self.head(h)  # type: ignore[no-any-return]


class WrittenLSTM(nn.Module):
    """The cell as most people write it by hand, with two linear maps that are added."""

    def __init__(self) -> None:
        super().__init__()
        self.w, self.u = nn.Linear(D, 4 * H), nn.Linear(H, 4 * H)
        self.head = nn.Linear(H, C)

    def forward(self, x: Tensor) -> Tensor:
        h = c = x.new_zeros(len(x), H)
        for t in range(x.shape[1]):
            i, f, g, o = (self.w(x[:, t]) + self.u(h)).chunk(4, 1)
            c = f.sigmoid() * c + i.sigmoid() * g.tanh()
            h = o.sigmoid() * c.tanh()
        return self.head(h)  # type: ignore[no-any-return]


CLASSES = [nn.Linear, nn.LSTM, nn.LSTMCell]
SPELLINGS: list[Callable[[], nn.Module]] = [FusedLSTM, CellLoop, WrittenLSTM]


def parameters(model: nn.Module) -> dict[str, Array]:
    """Named as the oracle names them, in the order in which every spelling holds them."""
    found = {name: array(p) for name, p in model.named_parameters()}
    if isinstance(model, WrittenLSTM):
        order = ["w.weight", "u.weight", "w.bias", "u.bias"]
    else:
        order = [name for name in found if name.startswith("lstm")]
    names = ["weight_ih", "weight_hh", "bias_ih", "bias_hh"]
    heads = {name: found[name] for name in ("head.weight", "head.bias")}
    return {n: found[k] for n, k in zip(names, order, strict=True)} | heads


def lstm_oracle(
    model: nn.Module, gate_rule: Any, epsilon: float, rule: Rule, **options: Any
) -> Callable[[Array, int, Ledger], tuple[float, Array]]:
    weights = parameters(model)

    def oracle(x: Array, target: int, ledger: Ledger) -> tuple[float, Array]:
        return lstm(weights, x, target, rule, epsilon, gate_rule, ledger, **options)

    return oracle


def documents(seed: int, T: int = 3) -> Tensor:
    x = seeded(seed, 3, T, D)
    x[0] *= 3
    x[1, 2, 1] = 0.0
    return x


# --- LSTM -------------------------------------------------------------------------------------


@all_pairs("gate_rule,spelling,epsilon", GATE_RULES, SPELLINGS, [0.0, 0.2])
def test_lstm(gate_rule: Any, spelling: Callable[[], nn.Module], epsilon: float) -> None:
    model = randomise(spelling(), 1)
    oracle = lstm_oracle(model, gate_rule, epsilon, epsilon_rule(epsilon))
    options = with_rule(gate_rule, epsilon=epsilon)
    constant = spelling is WrittenLSTM  # u(h) is no function of the words in the first step
    check(model, documents(2), oracle, target=1, constant_is_bias=constant, **options)


@all_pairs("gate_rule,spelling,bias_factor", GATE_RULES, [FusedLSTM, CellLoop], [1.0, 0.3])
def test_lstm_with_bias_factor(
    spelling: Callable[[], nn.Module], gate_rule: Any, bias_factor: float
) -> None:
    model, epsilon = randomise(spelling(), 3), 0.05
    rule = epsilon_rule(epsilon, bias_factor=bias_factor)
    oracle = lstm_oracle(model, gate_rule, epsilon, rule, bias_factor=bias_factor)
    options = with_rule(gate_rule, epsilon=epsilon, bias_factor=bias_factor)
    check(model, documents(4), oracle, **options)


@pytest.mark.parametrize("gate_rule", ["all", "half", "prop"])
@pytest.mark.parametrize(
    ("rule", "oracle_rule", "squash"),
    [
        (rules.Gamma(0.5), gamma_rule(0.5), True),
        (rules.ZPlus(), alpha_beta_rule(1.0, 0.0), True),
        (rules.Epsilon(0.4), epsilon_rule(0.4), False),
    ],
    ids=["gamma", "z plus", "epsilon"],
)
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_lstm_with_another_rule_for_its_maps(
    spelling: Callable[[], nn.Module], gate_rule: Any, rule: Any, oracle_rule: Rule, squash: bool
) -> None:
    """Every linear map, the head included, by the rule."""
    model, epsilon = randomise(spelling(), 5), 0.05
    oracle = lstm_oracle(model, gate_rule, epsilon, oracle_rule, squash=squash)
    options = with_rule(gate_rule, epsilon=epsilon, rules=dict.fromkeys(CLASSES, rule))
    check(model, documents(6), oracle, constant_is_bias=True, **options)


@pytest.mark.parametrize("gate_rule", GATE_RULES)
@pytest.mark.parametrize("seed", range(2))
def test_fused_lstm_is_the_loop(gate_rule: Any, seed: int) -> None:
    """Two layers, both directions, no oracle: fused against steps, and conserved."""
    epsilon = 0.03
    model = randomise(Stacked(nn.LSTM(D, H, 2, bidirectional=True, batch_first=True)), seed)
    written = double(Function(lambda m, x: stacked_lstm(m.stack, x), stack=model))
    agree(model, written, documents(seed), **with_rule(gate_rule, epsilon=epsilon))


class Stacked(nn.Module):
    """A fused recurrence whose initial states depend on the words, so that nothing is constant."""

    def __init__(self, rnn: nn.RNNBase) -> None:
        super().__init__()
        self.rnn = rnn
        self.directions = 2 if rnn.bidirectional else 1
        self.first = nn.Linear(D, rnn.num_layers * self.directions * H)
        self.head = nn.Linear(self.directions * H, C)

    def initial(self, x: Tensor) -> Tensor:
        h: Tensor = self.first(x.mean(1)).tanh()
        return h.view(len(x), -1, H).transpose(0, 1)

    def forward(self, x: Tensor) -> Tensor:
        h = self.initial(x)
        state = (h, 2 * h) if isinstance(self.rnn, nn.LSTM) else h
        return self.head(self.rnn(x, state)[0].mean(1))  # type: ignore[no-any-return]


def run_direction(
    step: Callable[[Tensor, Any], tuple[Tensor, Any]], x: list[Tensor], state: Any, back: bool
) -> list[Tensor]:
    outputs = []
    for x_t in reversed(x) if back else x:
        h, state = step(x_t, state)
        outputs.append(h)
    return outputs[::-1] if back else outputs


def stacked_lstm(m: Any, x: Tensor) -> Tensor:
    def step(suffix: str, x_t: Tensor, state: Any) -> tuple[Tensor, Any]:
        w, u, b, d = (
            getattr(m.rnn, f"{n}_{suffix}")
            for n in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        )
        h, c = state
        linear = nn.functional.linear
        i, f, g, o = (linear(x_t, w, b) + linear(h, u, d)).chunk(4, 1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
        return h, (h, c)

    return through_layers(m, x, step)


def stacked_gru(m: Any, x: Tensor) -> Tensor:
    def step(suffix: str, x_t: Tensor, h: Any) -> tuple[Tensor, Tensor]:
        w, u, b, d = (
            getattr(m.rnn, f"{n}_{suffix}").chunk(3)
            for n in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        )
        linear = nn.functional.linear
        r, z = ((linear(x_t, w[k], b[k]) + linear(h, u[k], d[k])).sigmoid() for k in (0, 1))
        n = (linear(x_t, w[2], b[2]) + r * linear(h, u[2], d[2])).tanh()
        h = (1 - z) * n + z * h
        return h, h

    return through_layers(m, x, step)


def through_layers(m: Any, x: Tensor, step: Callable[..., Any]) -> Tensor:
    steps, first = list(x.unbind(1)), list(m.initial(x))
    for layer in range(m.rnn.num_layers):
        both = []
        for suffix in ["", "_reverse"][: m.directions]:
            h = first.pop(0)
            state = (h, 2 * h) if isinstance(m.rnn, nn.LSTM) else h
            run = functools.partial(step, f"l{layer}{suffix}")
            both.append(run_direction(run, steps, state, bool(suffix)))
        steps = [torch.cat(parts, 1) for parts in zip(*both, strict=True)]
    return m.head(torch.stack(steps, 1).mean(1))  # type: ignore[no-any-return]


def agree(model: nn.Module, written: nn.Module, x: Tensor, **options: Any) -> None:
    """Same relevance, same account by kind, and both accounts close."""
    torch.testing.assert_close(model(x), written(x), rtol=1e-12, atol=1e-12)
    R, ledger = seqlrp.LRP(model, **options).attribute(x, 0, return_ledger=True, reduce=False)
    S, other = seqlrp.LRP(written, **options).attribute(x, 0, return_ledger=True, reduce=False)
    scale = max(1.0, float(S.abs().max()))
    torch.testing.assert_close(R, S, rtol=0, atol=1e-10 * scale)
    for kind, amount in ledger.totals.items():
        torch.testing.assert_close(amount, other.total(kind), rtol=0, atol=1e-9 * scale)
    assert ledger.residual.abs().max() <= 1e-10 * scale
    assert other.residual.abs().max() <= 1e-10 * scale


# --- GRU --------------------------------------------------------------------------------------


@all_pairs("gate_rule,bias_factor,bidirectional", GATE_RULES, [0.0, 1.0], [False, True])
def test_fused_gru_is_the_loop(gate_rule: Any, bias_factor: float, bidirectional: bool) -> None:
    gru = nn.GRU(D, H, 1 + bidirectional, bidirectional=bidirectional, batch_first=True)
    model = randomise(Stacked(gru), 11)
    written = double(Function(lambda m, x: stacked_gru(m.stack, x), stack=model))
    options = with_rule(gate_rule, epsilon=0.03, bias_factor=bias_factor)
    agree(model, written, documents(12), **options)


@pytest.mark.parametrize("gate_rule", GATE_RULES)
def test_gru_cell_is_the_gru(gate_rule: Any) -> None:
    model = randomise(Stacked(nn.GRU(D, H, batch_first=True)), 13)
    cell = nn.GRUCell(D, H)
    fused = model.get_submodule("rnn")
    for own, other in zip(cell.parameters(), fused.parameters(), strict=True):
        own.data = other.data

    def forward(m: Any, x: Tensor) -> Tensor:
        h, states = m.stack.initial(x)[0], []
        for t in range(x.shape[1]):
            h = m.cell(x[:, t], h)
            states.append(h)
        return m.stack.head(torch.stack(states, 1).mean(1))  # type: ignore[no-any-return]

    looped = double(Function(forward, cell=cell, stack=model))
    agree(model, looped, documents(14), **with_rule(gate_rule, epsilon=0.05))


# --- One product ------------------------------------------------------------------------------


@pytest.mark.parametrize("gate_rule", GATE_RULES)
@pytest.mark.parametrize("reversed_order", [False, True])
def test_a_gated_layer(gate_rule: Any, reversed_order: bool) -> None:
    """y = V (σ(W x + b) · tanh(U x + d)) + e, whichever factor is written first."""
    epsilon = 0.1
    gate, signal, head = nn.Linear(3, 5), nn.Linear(3, 5), nn.Linear(5, 2)

    def forward(m: Any, x: Tensor) -> Tensor:
        g, s = m.gate(x).sigmoid(), m.signal(x).tanh()
        return m.head(s * g if reversed_order else g * s)  # type: ignore[no-any-return]

    model = randomise(Function(forward, gate=gate, signal=signal, head=head), 21)

    def oracle(x: Array, target: int, ledger: Ledger) -> tuple[float, Array]:
        p = array(gate.weight) @ x + array(gate.bias)
        s = np.tanh(array(signal.weight) @ x + array(signal.bias))
        y = sigmoid(p) * s
        scores = array(head.weight) @ y + array(head.bias)
        rule = epsilon_rule(epsilon)
        R = np.where(np.arange(2) == target, scores, 0.0)
        (R,) = linear_map(rule, [(array(head.weight), y)], [array(head.bias)], R, ledger)
        R_gate, R_signal = product_rule(gate_rule, sigmoid(p), s, R, epsilon, ledger)
        received = np.zeros(len(x))
        for layer, R_own in ((gate, R_gate), (signal, identity_rule(R_signal))):
            maps = [(array(layer.weight), x)]
            received += linear_map(rule, maps, [array(layer.bias)], R_own, ledger)[0]
        return float(scores[target]), received

    check(model, seeded(22, 3, 3), oracle, **with_rule(gate_rule, epsilon=epsilon))


@pytest.mark.parametrize("gate_rule", GATE_RULES)
def test_two_signals_share_equally_under_every_gate_rule(gate_rule: Any) -> None:
    epsilon = 0.1
    a, b, head = nn.Linear(3, 5), nn.Linear(3, 5), nn.Linear(5, 2)
    model = randomise(
        Function(lambda m, x: m.head(m.a(x).tanh() * m.b(x).relu()), a=a, b=b, head=head), 23
    )

    def oracle(x: Array, target: int, ledger: Ledger) -> tuple[float, Array]:
        s = np.tanh(array(a.weight) @ x + array(a.bias))
        y = s * np.maximum(array(b.weight) @ x + array(b.bias), 0)
        scores = array(head.weight) @ y + array(head.bias)
        rule = epsilon_rule(epsilon)
        R = np.where(np.arange(2) == target, scores, 0.0)
        (R,) = linear_map(rule, [(array(head.weight), y)], [array(head.bias)], R, ledger)
        received = np.zeros(len(x))
        for layer in (a, b):
            maps = [(array(layer.weight), x)]
            received += linear_map(rule, maps, [array(layer.bias)], R / 2, ledger)[0]
        return float(scores[target]), received

    check(model, seeded(24, 3, 3), oracle, **with_rule(gate_rule, epsilon=epsilon))


def test_unknown_gate_rules_are_refused() -> None:
    model = randomise(FusedLSTM(), 1)
    with pytest.raises(seqlrp.errors.OptionError, match="gate_rule"):
        seqlrp.LRP(model, gate_rule="quarter")  # type: ignore[arg-type]
