"""Sums, squashing, softmax, normalisation, maxima and attention against the loop-written oracle."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from oracles.rules import (
    Array,
    Ledger,
    batch_norm_map,
    epsilon_rule,
    linear_map,
    logaddexp_rule,
    logsumexp_rule,
    maximum_rule,
    normalisation_map,
    product_rule,
    softmax,
    softmax_rule,
    squash_rule,
    sum_rule,
)
from samples.rule_checks import Function, array, check, randomise, seeded
from torch import Tensor, nn
from torch.nn import functional as F

import seqlrp

EPSILON = 0.08
D = 6

Step = Callable[[Array, Array, Ledger], Array]  # (x, R of f(x), ledger) -> R of x


def through(
    function: Callable[[Any, Tensor], Tensor],
    step: Step,
    seed: int,
    epsilon: float = EPSILON,
    x: Tensor | None = None,
    bias_factor: float = 0.0,
    **modules: nn.Module,
) -> seqlrp.engine.ledger.Ledger:
    """Check scores = head(function(x)): the head by the ε-rule, the function by `step`."""
    x = seeded(seed, 3, D) if x is None else x
    values = randomise(Function(function, **modules), seed)(x).flatten(1)
    head = nn.Linear(values.shape[1], 2)
    model = randomise(
        Function(lambda m, x: m.head(function(m, x).flatten(1)), head=head, **modules), seed
    )
    W, b = array(head.weight), array(head.bias)

    def oracle(x: Array, target: int, ledger: Ledger) -> tuple[float, Array]:
        y = array(function(model, torch.from_numpy(x)[None])).reshape(-1)
        scores = W @ y + b
        R = np.where(np.arange(2) == target, scores, 0.0)
        rule = epsilon_rule(epsilon, bias_factor=bias_factor)
        (R,) = linear_map(rule, [(W, y)], [b], R, ledger)
        return float(scores[target]), step(x, R, ledger)

    options: dict[str, Any] = {"bias_factor": bias_factor} if bias_factor else {}
    return check(model, x, oracle, target=1, epsilon=epsilon, **options)


# --- Elementwise ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "function",
    [torch.tanh, torch.relu, F.gelu, F.silu, F.elu, F.leaky_relu, torch.sin, F.softsign, torch.abs],
    ids=lambda f: f.__name__,
)
def test_identity_rule(function: Callable[[Tensor], Tensor]) -> None:
    x = seeded(1, 3, D)
    x[0, 0] = 0.0
    through(lambda m, x: function(x), lambda x, R, ledger: np.where(x == 0, 0.0, R), 1, x=x)


@pytest.mark.parametrize("function", [torch.sigmoid, F.softplus], ids=["sigmoid", "softplus"])
@pytest.mark.parametrize("epsilon", [1e-3, 0.3])
def test_squashing_the_inputs(function: Callable[[Tensor], Tensor], epsilon: float) -> None:
    x = seeded(2, 3, D)
    x[1, 1] = 0.0
    through(
        lambda m, x: function(x),
        lambda x, R, ledger: squash_rule(x, R, epsilon, ledger),
        2,
        epsilon,
        x,
    )


@pytest.mark.parametrize("function", [torch.sigmoid, F.softplus], ids=["sigmoid", "softplus"])
@pytest.mark.parametrize("bias_factor", [0.0, 1.0, 0.4])
def test_squashing_a_map(function: Callable[[Tensor], Tensor], bias_factor: float) -> None:
    layer = nn.Linear(D, 5)

    def step(x: Array, R: Array, ledger: Ledger) -> Array:
        rule = epsilon_rule(EPSILON, bias_factor=bias_factor)
        return linear_map(rule, [(array(layer.weight), x)], [array(layer.bias)], R, ledger)[0]

    through(
        lambda m, x: function(m.layer(x)), step, 3, bias_factor=bias_factor, layer=layer
    )  # one denominator, not two


# --- Sums and maxima --------------------------------------------------------------------------


@pytest.mark.parametrize("bias_factor", [0.0, 1.0, 0.4])
def test_sum_of_two_signals(bias_factor: float) -> None:
    x = seeded(4, 3, D)
    x[0, 1], x[1, 4] = 0.0, 0.0

    def step(x: Array, R: Array, ledger: Ledger) -> Array:
        terms = [np.tanh(x[:3]), np.maximum(x[3:], 0)]
        parts = sum_rule(terms, R, EPSILON, ledger, bias_factor)
        return np.concatenate(parts)

    through(
        lambda m, x: torch.tanh(x[:, :3]) + torch.relu(x[:, 3:]),
        step,
        4,
        x=x,
        bias_factor=bias_factor,
    )


@pytest.mark.parametrize("bias_factor", [1.0, 0.4])
@pytest.mark.parametrize("hidden", [torch.tanh, torch.relu], ids=["tanh", "relu"])
def test_bias_factor_of_maps_and_their_sums(
    bias_factor: float, hidden: Callable[[Tensor], Tensor]
) -> None:
    """N is the number of inputs of one map, or of both maps that are added."""
    a, b, c = nn.Linear(2, 5), nn.Linear(4, 5), nn.Linear(5, 4)

    def step(x: Array, R: Array, ledger: Ledger) -> Array:
        rule = epsilon_rule(EPSILON, bias_factor=bias_factor)
        branches = [(array(a.weight), x[:2]), (array(b.weight), x[2:])]
        z = sum((w @ v for w, v in branches), array(a.bias) + array(b.bias))
        h = array(hidden(torch.from_numpy(z)))
        (R,) = linear_map(rule, [(array(c.weight), h)], [array(c.bias)], R, ledger)
        biases = [array(a.bias), array(b.bias)]
        return np.concatenate(linear_map(rule, branches, biases, R, ledger))

    through(
        lambda m, x: m.c(hidden(m.a(x[:, :2]) + m.b(x[:, 2:]))),
        step,
        5,
        bias_factor=bias_factor,
        a=a,
        b=b,
        c=c,
    )


def test_all_of_the_score_reaches_the_inputs_with_bias_factor_one() -> None:
    """Conservation as Arras et al. check it: ε any, biases spread over the inputs."""
    model = randomise(nn.Sequential(nn.Linear(D, 5), nn.Tanh(), nn.Linear(5, 2)), 6)
    x = seeded(6, 4, D)
    R = seqlrp.LRP(model, 0.5, bias_factor=1.0).attribute(x, 0)
    torch.testing.assert_close(R.sum(1), model(x)[:, 0], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    ("function", "sign"),
    [(torch.maximum, 1), (torch.max, 1), (torch.minimum, -1)],
    ids=["maximum", "max", "minimum"],
)
def test_the_winner_takes_all(function: Callable[[Tensor, Tensor], Tensor], sign: int) -> None:
    def step(x: Array, R: Array, ledger: Ledger) -> Array:
        return np.concatenate(maximum_rule(sign * x[:3], sign * x[3:], R))

    through(lambda m, x: function(x[:, :3], x[:, 3:]), step, 7)


@pytest.mark.parametrize("scale", [0.1, 1.0, 5.0])
def test_logsumexp(scale: float) -> None:
    def step(x: Array, R: Array, ledger: Ledger) -> Array:
        parts = [logsumexp_rule(x[:3], R[0], ledger)]
        return np.concatenate([*parts, logsumexp_rule(x[3:], R[1], ledger)])

    x = seeded(9, 3, D) * scale
    through(lambda m, x: torch.logsumexp(x.view(-1, 2, 3), 2), step, 9, x=x)


@pytest.mark.parametrize("scale", [0.1, 1.0, 30.0])
def test_logaddexp(scale: float) -> None:
    def step(x: Array, R: Array, ledger: Ledger) -> Array:
        return np.concatenate(logaddexp_rule(x[:3], x[3:], R, ledger))

    x = seeded(15, 3, D) * scale
    through(lambda m, x: torch.logaddexp(x[:, :3], x[:, 3:]), step, 15, x=x)
    through(lambda m, x: torch.logaddexp(other=x[:, 3:], input=x[:, :3]), step, 15, x=x)


@pytest.mark.parametrize("first", [True, False])
def test_logaddexp_with_a_constant(first: bool) -> None:
    fixed = torch.tensor([[0.7], [-0.4], [-torch.inf]], dtype=torch.float64)

    def step(x: Array, R: Array, ledger: Ledger) -> Array:
        received = np.zeros(D)
        for k in range(3):
            constant = np.full(D, fixed[k].item())
            part = R.reshape(3, D)[k]
            of_x, of_constant = logaddexp_rule(x, constant, part, ledger)
            received += of_x
            ledger["constant"] += of_constant.sum()
        return received

    def function(m: Any, x: Tensor) -> Tensor:
        pair = (x.unsqueeze(1), fixed)
        return torch.logaddexp(*(pair if first else pair[::-1]))

    through(function, step, 16)


@pytest.mark.parametrize("bias_factor", [0.0, 0.4])
def test_logaddexp_of_maps_applies_their_rules_first(bias_factor: float) -> None:
    a, b = nn.Linear(D, 5), nn.Linear(D, 5, bias=False)

    def step(x: Array, R: Array, ledger: Ledger) -> Array:
        rule = epsilon_rule(EPSILON, bias_factor=bias_factor)
        W, V, bias = array(a.weight), array(b.weight), array(a.bias)
        of_a, of_b = logaddexp_rule(W @ x + bias, V @ x, R, ledger)
        (from_a,) = linear_map(rule, [(W, x)], [bias], of_a, ledger)
        (from_b,) = linear_map(rule, [(V, x)], [np.zeros(5)], of_b, ledger)
        return from_a + from_b

    through(
        lambda m, x: torch.logaddexp(m.a(x), m.b(x)), step, 17, bias_factor=bias_factor, a=a, b=b
    )


# --- Normalisation ----------------------------------------------------------------------------


def shaken(norm: nn.Module, seed: int) -> nn.Module:
    """Running statistics as after training."""
    if isinstance(norm, nn.BatchNorm1d):
        norm.running_mean = seeded(seed, D)
        norm.running_var = seeded(seed + 1, D).square() + 0.1
    return norm.double()


@pytest.mark.parametrize("groups", [1, 2, 3])
def test_group_norm(groups: int) -> None:
    norm = nn.GroupNorm(groups, D)
    size = D // groups
    members = [range(g * size, g * size + size) for g in range(groups)]

    def step(x: Array, R: Array, ledger: Ledger) -> Array:
        W, b = array(norm.weight), array(norm.bias)
        return normalisation_map(x, members, W, b, norm.eps, R, EPSILON, ledger)

    through(lambda m, x: m.norm(x), step, 10, norm=norm)


def test_layer_norm() -> None:
    norm = nn.LayerNorm(3, eps=0.01)

    def step(x: Array, R: Array, ledger: Ledger) -> Array:
        W, b = np.tile(array(norm.weight), 2), np.tile(array(norm.bias), 2)
        groups = [range(3), range(3, 6)]
        return normalisation_map(x, groups, W, b, 0.01, R, EPSILON, ledger)

    through(lambda m, x: m.norm(x.view(-1, 2, 3)), step, 11, norm=norm)


def test_instance_norm() -> None:
    def step(x: Array, R: Array, ledger: Ledger) -> Array:
        groups = [range(3), range(3, 6)]
        one = np.ones(D)
        return normalisation_map(x, groups, one, 0 * one, 1e-5, R, EPSILON, ledger)

    norm = nn.InstanceNorm1d(2)
    through(lambda m, x: m.norm(x.view(-1, 2, 3)), step, 12, norm=norm)


def test_rms_norm() -> None:
    norm = nn.RMSNorm(D, eps=0.02)

    def step(x: Array, R: Array, ledger: Ledger) -> Array:
        W = array(norm.weight)
        groups = [range(D)]
        # A scale alone adds nothing up: no stabiliser.
        return normalisation_map(x, groups, W, 0 * W, 0.02, R, 0.0, ledger, centre=False)

    through(lambda m, x: m.norm(x), step, 13, norm=norm)


def test_batch_norm() -> None:
    norm = shaken(nn.BatchNorm1d(D), 14)
    assert isinstance(norm, nn.BatchNorm1d)

    def step(x: Array, R: Array, ledger: Ledger) -> Array:
        assert norm.running_mean is not None
        assert norm.running_var is not None
        scale = array(norm.weight) / np.sqrt(array(norm.running_var) + norm.eps)
        shift = array(norm.bias) - array(norm.running_mean) * scale
        return batch_norm_map(x, scale, shift, R, EPSILON, ledger)

    through(lambda m, x: m.norm(x), step, 14, norm=norm)


# --- Softmax and attention --------------------------------------------------------------------


def attention_model(seed: int) -> tuple[nn.Module, dict[str, Array]]:
    """One query over T words: y = Σ_t softmax_t(q · k_t) v_t, then a head."""
    model = randomise(
        Function(
            lambda m, x: m.head(
                ((m.key(x) @ m.query).softmax(1).unsqueeze(1) @ m.value(x)).squeeze(1)
            ),
            key=nn.Linear(3, 4),
            value=nn.Linear(3, 5),
            head=nn.Linear(5, 2),
        ),
        seed,
    )
    model.register_buffer("query", seeded(seed, 4))
    return model, {name: array(t) for name, t in model.state_dict().items()}


def attention_oracle(
    p: dict[str, Array], mode: str, gate_rule: str
) -> Callable[[Array, int, Ledger], tuple[float, Array]]:
    rule = epsilon_rule(EPSILON)

    def oracle(x: Array, target: int, ledger: Ledger) -> tuple[float, Array]:
        keys = x @ p["key.weight"].T + p["key.bias"]
        values = x @ p["value.weight"].T + p["value.bias"]
        logits = keys @ p["query"]
        s = softmax(logits)
        y = s @ values
        scores = p["head.weight"] @ y + p["head.bias"]
        R = np.where(np.arange(2) == target, scores, 0.0)
        (R,) = linear_map(rule, [(p["head.weight"], y)], [p["head.bias"]], R, ledger)
        # y_d = Σ_t (s_t v_td): a sum of products, each shared between weight and value
        terms = sum_rule([s[t] * values[t] for t in range(len(x))], R, 0.0, ledger)
        shared = "half" if mode == "attnlrp" else gate_rule
        R_s, R_values = np.zeros(len(x)), []
        for t, term in enumerate(terms):
            weight = np.full(len(term), s[t])
            of_weight, of_value = product_rule(shared, weight, values[t], term, EPSILON, ledger)
            R_s[t] = of_weight.sum()
            R_values.append(of_value)
        received = np.zeros_like(x)
        if mode == "attnlrp":
            R_logits = softmax_rule(logits, R_s, ledger)
            for t in range(len(x)):
                of_logit = np.array([R_logits[t]])
                branch = [(p["query"][None], keys[t])]
                (R_key,) = linear_map(rule, branch, [np.zeros(1)], of_logit, ledger)
                branch = [(p["key.weight"], x[t])]
                received[t] += linear_map(rule, branch, [p["key.bias"]], R_key, ledger)[0]
        else:
            ledger["gate"] += R_s.sum()
        for t in range(len(x)):
            branch = [(p["value.weight"], x[t])]
            received[t] += linear_map(rule, branch, [p["value.bias"]], R_values[t], ledger)[0]
        return float(scores[target]), received

    return oracle


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("mode", "gate_rule"),
    [("constant", g) for g in ("all", "half", "abs", "prop")] + [("attnlrp", "all")],
)
def test_attention_pooling(seed: int, mode: str, gate_rule: str) -> None:
    model, parameters = attention_model(20 + seed)
    oracle = attention_oracle(parameters, mode, gate_rule)
    options: dict[str, Any] = {"epsilon": EPSILON, "attention": mode, "gate_rule": gate_rule}
    check(model, seeded(seed, 2, 4, 3), oracle, **options)


@pytest.mark.parametrize("attention", ["constant", "attnlrp"])
def test_scaled_dot_product_attention_is_its_spelling(attention: Any) -> None:
    def spelt(m: Any, x: Tensor) -> Tensor:
        q, k, v = m.qkv(x).chunk(3, 2)
        weights = (q @ k.mT / 2.0).softmax(2)
        return m.head((weights @ v).mean(1))  # type: ignore[no-any-return]

    def fused(m: Any, x: Tensor) -> Tensor:
        y = F.scaled_dot_product_attention(*m.qkv(x).chunk(3, 2))
        return m.head(y.mean(1))  # type: ignore[no-any-return]

    modules = {"qkv": nn.Linear(3, 12), "head": nn.Linear(4, 2)}
    results = []
    for forward in (spelt, fused):
        model = randomise(Function(forward, **modules), 30)
        lrp = seqlrp.LRP(model, 0.02, attention=attention)
        R, ledger = lrp.attribute(seeded(31, 2, 5, 3), 0, return_ledger=True, reduce=False)
        assert ledger.residual.abs().max() < 1e-10 * ledger.score.abs().max()
        results.append(R)
    torch.testing.assert_close(*results, rtol=1e-10, atol=1e-11)


# --- The rest of the options ------------------------------------------------------------------


def test_contrast_starts_from_the_difference() -> None:
    model = randomise(nn.Sequential(nn.Linear(D, 5), nn.Tanh(), nn.Linear(5, 3)), 40)
    x = seeded(40, 3, D)
    last = model.get_submodule("2")
    assert isinstance(last, nn.Linear)
    pair = randomise(nn.Sequential(nn.Linear(D, 5), nn.Tanh(), nn.Linear(5, 1)), 40)
    pair.load_state_dict(
        model.state_dict()
        | {"2.weight": last.weight[2:] - last.weight[:1], "2.bias": last.bias[2:] - last.bias[:1]}
    )
    R, ledger = seqlrp.LRP(model, 0.0).attribute(x, (2, 0), return_ledger=True)
    expected = seqlrp.LRP(pair, 0.0).attribute(x, 0)
    torch.testing.assert_close(R, expected, rtol=1e-10, atol=1e-12)
    scores = model(x)
    torch.testing.assert_close(ledger.score, scores[:, 2] - scores[:, 0], rtol=1e-12, atol=0)
    assert ledger.residual.abs().max() < 1e-10


def test_absorbed_functions_are_booked() -> None:
    head = nn.Linear(2 * 3, 2)
    model = randomise(
        Function(
            lambda m, x: m.head(torch.cat([torch.special.i0(x[:, :3]), x[:, 3:]], 1)), head=head
        ),
        41,
    )
    x = seeded(41, 2, D)
    with pytest.raises(seqlrp.errors.RefusedFunctionError, match="i0"):
        seqlrp.LRP(model, EPSILON).attribute(x, 0)

    def oracle(x: Array, target: int, ledger: Ledger) -> tuple[float, Array]:
        y = np.concatenate([np.i0(x[:3]), x[3:]])
        scores = array(head.weight) @ y + array(head.bias)
        R = np.where(np.arange(2) == target, scores, 0.0)
        maps = [(array(head.weight), y)]
        (R,) = linear_map(epsilon_rule(EPSILON), maps, [array(head.bias)], R, ledger)
        ledger["refused"] += R[:3].sum()
        return float(scores[target]), np.concatenate([np.zeros(3), R[3:]])

    check(model, x, oracle, epsilon=EPSILON, on_unknown="absorb")
