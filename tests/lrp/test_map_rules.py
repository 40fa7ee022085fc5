"""Rules for maps against the loop-written oracle: linear maps, convolutions, sums of maps."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given
from oracles.networks import feed_forward
from oracles.rules import (
    Array,
    Convolution,
    Ledger,
    Rule,
    alpha_beta_rule,
    conv_forward,
    conv_map,
    epsilon_rule,
    flat_rule,
    gamma_rule,
    linear_map,
    w_square_rule,
    z_b_rule,
)
from samples.examples import examples
from samples.rule_checks import Function, array, check, double, randomise, seeded
from torch import Tensor, nn

import seqlrp
from seqlrp import rules

EPSILON = 0.05  # large enough that an error in the stabiliser shows
ONCE = {"verify": False}  # another test here verifies models of this kind

RULES: dict[str, tuple[Any, Rule]] = {
    "zero": (rules.Zero(), epsilon_rule(0.0)),
    "epsilon": (rules.Epsilon(0.3), epsilon_rule(0.3)),
    "epsilon relative": (rules.Epsilon(0.25, relative=True), epsilon_rule(0.25, relative=True)),
    "gamma": (rules.Gamma(0.25), gamma_rule(0.25)),
    "gamma large": (rules.Gamma(10.0), gamma_rule(10.0)),
    "alpha beta": (rules.AlphaBeta(2.0, 1.0), alpha_beta_rule(2.0, 1.0)),
    "alpha beta 3 2": (rules.AlphaBeta(alpha=3.0, beta=2.0), alpha_beta_rule(3.0, 2.0)),
    "z plus": (rules.ZPlus(), alpha_beta_rule(1.0, 0.0)),
    "w square": (rules.WSquare(), w_square_rule()),
    "flat": (rules.Flat(), flat_rule()),
    "z box": (rules.ZB(-60.0, 50.0), z_b_rule(-60.0, 50.0)),
}
OFFERED = sorted(RULES)
# no relative ε: it is per layer, and a dense matrix made of a convolution is another layer
LOCAL = sorted(set(RULES) - {"flat", "epsilon relative"})


def fc(widths: list[int], seed: int, bias: bool = True) -> nn.Sequential:
    layers: list[nn.Module] = []
    for a, b in itertools.pairwise(widths):
        layers += [nn.Linear(a, b, bias=bias), nn.ReLU()]
    model = randomise(nn.Sequential(*layers[:-1]), seed)
    assert isinstance(model, nn.Sequential)
    return model


def fc_oracle(
    model: nn.Sequential, chosen: Sequence[Rule | None]
) -> Callable[[Array, int, Ledger], tuple[float, Array]]:
    maps = [m for m in model if isinstance(m, nn.Linear)]
    layers = [
        (array(m.weight), np.zeros(len(m.weight)) if m.bias is None else array(m.bias), rule)
        for m, rule in zip(maps, chosen, strict=True)
    ]
    return lambda x, target, ledger: feed_forward(layers, x, target, ledger)


DEFAULT = epsilon_rule(EPSILON)


# --- Linear maps ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", OFFERED)
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("bias", [True, False])
def test_each_rule_in_each_layer_of_a_net(name: str, seed: int, bias: bool) -> None:
    rule, oracle = RULES[name]
    x = seeded(seed, 4, 6)
    x[1] = x[1].abs()
    x[2, ::2] = 0.0
    for position in range(3):
        model = fc([6, 7, 5, 3], 10 + seed, bias)
        chosen: list[Rule | None] = [DEFAULT] * 3
        chosen[position] = oracle
        options: dict[str, Any] = {"epsilon": EPSILON, "rules": {position: rule}}
        check(model, x, fc_oracle(model, chosen), target=seed, **options, **ONCE)


@pytest.mark.parametrize("name", OFFERED)
def test_one_rule_for_the_class(name: str) -> None:
    rule, oracle = RULES[name]
    model = fc([4, 6, 2], 3)
    check(model, seeded(1, 3, 4), fc_oracle(model, [oracle] * 2), rules={nn.Linear: rule})


dyadic = st.integers(-6, 6).map(lambda n: n / 2)  # sums are exact, so zeros are exact


@pytest.mark.parametrize("name", OFFERED)
@examples(25)
@given(data=st.data())
def test_exact_zeros_anywhere(name: str, data: st.DataObject) -> None:
    def drawn(*shape: int) -> Tensor:
        return torch.from_numpy(data.draw(hnp.arrays(np.float64, shape, elements=dyadic)))

    rule, oracle = RULES[name]
    model = double(nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 2)))
    for parameter in model.parameters():
        parameter.copy_(drawn(*parameter.shape))
    assert isinstance(model, nn.Sequential)
    options: dict[str, Any] = {"epsilon": EPSILON, "rules": {0: rule}}
    check(model, drawn(1, 3), fc_oracle(model, [oracle, DEFAULT]), **options, **ONCE)


def test_no_denominator_passes_nothing() -> None:
    model = double(nn.Sequential(nn.Linear(2, 1)))
    weight, bias = model.parameters()
    x = torch.tensor([[1.0, 2.0]]).double()
    for values, constant, name in [
        ([1.0, 1.0], 2.0, "alpha beta"),  # no negative part: −β R
        ([-1.0, -1.0], -2.0, "z plus"),  # no positive part: all of R
        ([0.0, 0.0], 3.0, "w square"),
        ([0.0, 0.0], 3.0, "z box"),
    ]:
        rule, oracle = RULES[name]
        weight.copy_(torch.tensor([values]))
        bias.fill_(constant)
        assert isinstance(model, nn.Sequential)
        ledger = check(model, x, fc_oracle(model, [oracle]), rules={0: rule})
        assert float(ledger.total("stabiliser")) != 0.0


def test_zero_inputs_of_rules_not_proportional_to_the_input() -> None:
    model = fc([5, 8, 2], 8)
    x = seeded(2, 2, 5)
    x[:, 1:3] = 0.0
    for name in ("w square", "flat", "z box"):
        rule, oracle = RULES[name]
        oracles = fc_oracle(model, [oracle, DEFAULT])
        ledger = check(model, x, oracles, epsilon=EPSILON, rules={0: rule})
        assert (ledger.total("zero input") != 0).all()


def test_bounds_of_each_input() -> None:
    model = fc([4, 3, 2], 2)
    low, high = -seeded(5, 4).abs() - 3, seeded(6, 4).abs() + 3
    low[0], high[1] = 0.0, 0.0
    x = torch.stack([low, high, (low + high) / 2])
    oracle = fc_oracle(model, [z_b_rule(array(low), array(high)), DEFAULT])
    check(model, x, oracle, epsilon=EPSILON, rules={0: rules.ZB(low, high)})


def test_pass_needs_equal_shapes() -> None:
    model = fc([4, 4, 4, 2], 4)
    x = seeded(3, 3, 4)
    x[0, 1] = 0.0
    oracle = fc_oracle(model, [None, None, DEFAULT])
    options: dict[str, Any] = {"epsilon": EPSILON, "rules": {0: rules.Pass(), 1: rules.Pass()}}
    check(model, x, oracle, **options)
    with pytest.raises(seqlrp.errors.SeqlrpError, match="Pass"):
        seqlrp.LRP(model, rules={-1: rules.Pass()}).attribute(x, target=0)


# --- Which rule -------------------------------------------------------------------------------


def test_name_before_position_before_class() -> None:
    model = fc([4, 5, 6, 3], 5)
    gamma, box, square, plus = (RULES[n] for n in ("gamma", "z box", "w square", "z plus"))
    x = seeded(4, 2, 4)
    for given_rules, expected in [
        ({nn.Linear: plus[0], 0: square[0], "0": gamma[0]}, [gamma[1], plus[1], plus[1]]),
        ({nn.Linear: plus[0], 0: square[0], -1: gamma[0]}, [square[1], plus[1], gamma[1]]),
        ({-1: gamma[0], 1: square[0]}, [DEFAULT, square[1], gamma[1]]),
        ({"[02]": gamma[0], 0: box[0]}, [gamma[1], gamma[1], DEFAULT]),
        ({"*": gamma[0], "4": square[0]}, [gamma[1], gamma[1], square[1]]),
        ({}, [DEFAULT] * 3),
    ]:
        options: dict[str, Any] = {"epsilon": EPSILON, "rules": given_rules}
        check(model, x, fc_oracle(model, expected), **options)


def test_globs_reach_inner_modules() -> None:
    inner = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 4))
    model = randomise(
        Function(
            lambda m, x: m.head(torch.relu(m.encoder(x))), encoder=inner, head=nn.Linear(4, 2)
        ),
        7,
    )
    plain = nn.Sequential(*inner, nn.ReLU(), model.get_submodule("head"))
    rule, oracle = RULES["gamma"]
    expected = fc_oracle(plain, [oracle, oracle, DEFAULT])
    options: dict[str, Any] = {"epsilon": EPSILON, "rules": {"encoder.*": rule}}
    check(model, seeded(5, 2, 4), expected, **options)


def test_deep_taylor() -> None:
    model = fc([4, 5, 6, 3], 6)
    plus = alpha_beta_rule(1.0, 0.0)
    check(
        model, seeded(6, 3, 4), fc_oracle(model, [w_square_rule(), plus, plus]), rules="deep_taylor"
    )


def test_a_rule_without_effect_is_refused() -> None:
    model = fc([4, 5, 3], 6)
    for key in ("encoder.*", 7, -3):
        with pytest.raises(seqlrp.errors.OptionError, match=rf"key {key!r}".replace("*", r"\*")):
            seqlrp.LRP(model, rules={key: rules.ZPlus()}).attribute(seeded(0, 1, 4), target=0)
    with pytest.raises(seqlrp.errors.OptionError, match="alpha − beta = 1"):
        rules.AlphaBeta(2.0, 2.0)


# --- Convolutions -----------------------------------------------------------------------------

CONVOLUTIONS = [
    {"kernel_size": 3},
    {"kernel_size": 2, "stride": 2},
    {"kernel_size": 3, "padding": 2},
    {"kernel_size": 3, "padding": 1, "stride": 2, "dilation": 2},
    {"kernel_size": 2, "groups": 2, "dilation": 2},
    {"kernel_size": 3, "groups": 4, "padding": 1},
]


@pytest.mark.parametrize("name", OFFERED)
@pytest.mark.parametrize("shape", CONVOLUTIONS, ids=str)
def test_conv1d(name: str, shape: dict[str, int]) -> None:
    rule, oracle = RULES[name]
    check_conv1d(shape, oracle, DEFAULT, rules={nn.Conv1d: rule}, **ONCE)


@pytest.mark.parametrize("shape", CONVOLUTIONS, ids=str)
@pytest.mark.parametrize("bias_factor", [1.0, 0.3])
def test_conv1d_with_bias_factor(shape: dict[str, int], bias_factor: float) -> None:
    """Positions of the padding are no inputs: N does not count them, and they receive nothing."""
    rule = epsilon_rule(EPSILON, bias_factor=bias_factor)
    check_conv1d(shape, rule, rule, bias_factor=bias_factor)


def check_conv1d(shape: dict[str, int], conv_rule: Rule, head_rule: Rule, **options: Any) -> None:
    T, D = 6, 4
    conv = nn.Conv1d(D, 8, **shape)  # type: ignore[arg-type]
    width = conv(torch.zeros(1, D, T)).numel()
    head = nn.Linear(width, 2)
    model = randomise(
        Function(lambda m, x: m.head(m.conv(x.mT).relu().flatten(1)), conv=conv, head=head), 3
    )
    assert conv.bias is not None
    described = Convolution(
        array(conv.weight),
        array(conv.bias),
        **{k: v for k, v in shape.items() if k != "kernel_size"},
    )

    def oracle(x: Array, target: int, ledger: Ledger) -> tuple[float, Array]:
        y = np.maximum(conv_forward(described, x.T), 0.0)
        scores = array(head.weight) @ y.reshape(-1) + array(head.bias)
        R = np.where(np.arange(2) == target, scores, 0.0)
        maps = [(array(head.weight), y.reshape(-1))]
        (R,) = linear_map(head_rule, maps, [array(head.bias)], R, ledger)
        R = conv_map(conv_rule, described, x.T, R.reshape(y.shape), ledger)
        return float(scores[target]), R.T

    x = seeded(9, 2, T, D)
    x[0, 2:4, 1] = 0.0
    check(model, x, oracle, target=1, epsilon=EPSILON, **options)


def matrix(map_: Callable[[Tensor], Tensor], width: int) -> tuple[Array, Array]:
    """The matrix and bias of any affine map, column by column."""
    bias = array(map_(torch.zeros(1, width).double())).reshape(-1)
    columns = [array(map_(e[None])).reshape(-1) - bias for e in torch.eye(width).double()]
    return np.stack(columns, 1), bias


@pytest.mark.parametrize("name", LOCAL)
@pytest.mark.parametrize("dimensions", [2, 3])
def test_conv2d_and_conv3d(name: str, dimensions: int) -> None:
    shape = [1, 2, 2, 3][-1 - dimensions :]
    layer: Any = nn.Conv2d if dimensions == 2 else nn.Conv3d
    conv = layer(shape[0], 2, 2, padding=1, stride=(1, 2, 1)[-dimensions:])
    width = int(np.prod(shape))
    outputs = conv(torch.zeros(1, *shape)).numel()
    model = randomise(
        Function(
            lambda m, x: m.head(m.conv(x.view(-1, *shape)).relu().flatten(1)),
            conv=conv,
            head=nn.Linear(outputs, 2),
        ),
        4,
    )
    head = model.get_submodule("head")
    assert isinstance(head, nn.Linear)
    W, b = matrix(lambda x: conv(x.view(-1, *shape)), width)
    rule, oracle = RULES[name]
    layers = [(W, b, oracle), (array(head.weight), array(head.bias), DEFAULT)]
    check(
        model,
        seeded(3, 2, width),
        lambda x, target, ledger: feed_forward(layers, x, target, ledger),
        epsilon=EPSILON,
        rules={type(conv): rule},
    )


# --- Other maps and sums of maps --------------------------------------------------------------


@pytest.mark.parametrize("name", OFFERED)
def test_sums_of_maps_have_one_denominator(name: str) -> None:
    a, b, head = nn.Linear(3, 5), nn.Linear(4, 5), nn.Linear(5, 2)
    model = randomise(
        Function(
            lambda m, x: m.head(torch.relu(m.a(x[:, :3]) + m.b(x[:, 3:]))), a=a, b=b, head=head
        ),
        5,
    )
    rule, map_rule = RULES[name]

    def oracle(x: Array, target: int, ledger: Ledger) -> tuple[float, Array]:
        branches = [(array(a.weight), x[:3]), (array(b.weight), x[3:])]
        biases = [array(a.bias), array(b.bias)]
        z = sum((w @ v for w, v in branches), np.zeros(5)) + biases[0] + biases[1]
        h = np.maximum(z, 0)
        scores = array(head.weight) @ h + array(head.bias)
        R = np.where(np.arange(2) == target, scores, 0.0)
        (R,) = linear_map(DEFAULT, [(array(head.weight), h)], [array(head.bias)], R, ledger)
        return float(scores[target]), np.concatenate(
            linear_map(map_rule, branches, biases, R, ledger)
        )

    x = seeded(8, 3, 7)
    x[1, 3:5] = 0.0
    check(model, x, oracle, epsilon=EPSILON, rules={"a": rule, "b": rule})


@pytest.mark.parametrize("name", OFFERED)
def test_matmul_with_a_constant_is_a_map(name: str) -> None:
    net = fc([4, 5, 2], 9)
    rule, oracle = RULES[name]
    first, last = net[0], net[2]
    assert isinstance(first, nn.Linear)

    def forward(m: Any, x: Tensor) -> Tensor:
        return m.last(torch.relu(x @ m.first.weight.T + m.first.bias))  # type: ignore[no-any-return]

    model = double(Function(forward, first=first, last=last))
    x = seeded(1, 3, 4)
    x[0, 2] = 0.0
    options: dict[str, Any] = {"epsilon": EPSILON, "rules": {0: rule}}
    check(model, x, fc_oracle(net, [oracle, DEFAULT]), **options)


def test_start_one() -> None:
    model = fc([4, 5, 3], 2)
    x = seeded(7, 2, 4)
    scores = model(x)[:, 1]
    R = seqlrp.LRP(model, 0.01, rules={0: rules.Gamma()}).attribute(x, 1, reduce=False)
    one, ledger = seqlrp.LRP(model, 0.01, rules={0: rules.Gamma()}, start="one").attribute(
        x, 1, reduce=False, return_ledger=True
    )
    torch.testing.assert_close(one * scores[:, None], R, rtol=1e-10, atol=1e-12)
    assert torch.equal(ledger.score, torch.ones(2).double())
    assert ledger.residual.abs().max() < 1e-10
