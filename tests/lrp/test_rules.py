"""The laws as pure functions, each against the equation of its paper written as plain messages."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from seqlrp.lrp.rules import (
    epsilon_rule,
    equal_shares,
    identity_rule,
    slope_at_zero,
    squashing_rule,
)
from seqlrp.lrp.stabilise import epsilon_factor, ratio, stabilised_ratio

F64 = torch.float64
finite = st.floats(-1e6, 1e6, allow_subnormal=False)
epsilons = st.floats(0, 1e3, allow_subnormal=False)


def sign(z: float) -> float:
    return 1.0 if z >= 0 else -1.0


def tensor(*values: float, dtype: torch.dtype = F64) -> torch.Tensor:
    return torch.tensor(values, dtype=dtype)


# The stabiliser


@given(z=finite, epsilon=epsilons)
def test_kept_is_z_over_stabilised_z(z: float, epsilon: float) -> None:
    denominator = z + epsilon * sign(z)
    expected = 1.0 if epsilon == 0 else z / denominator
    assert epsilon_factor(tensor(z), epsilon).item() == pytest.approx(
        expected, rel=1e-14, abs=1e-300
    )


@given(z=finite, epsilon=epsilons)
def test_kept_never_grows_or_turns(z: float, epsilon: float) -> None:
    assert 0 <= epsilon_factor(tensor(z), epsilon).item() <= 1


def test_kept_at_exactly_minus_epsilon_is_one_half() -> None:
    # An unsigned stabiliser would divide by zero here.
    assert epsilon_factor(tensor(-0.25, 0.25), 0.25).tolist() == [0.5, 0.5]


def test_kept_at_zero() -> None:
    assert epsilon_factor(tensor(0.0, -0.0), 0.1).tolist() == [0.0, 0.0]
    assert epsilon_factor(tensor(0.0, -0.0), 0.0).tolist() == [1.0, 1.0]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_stabilisers_keep_the_dtype(dtype: torch.dtype) -> None:
    z = tensor(1.0, -2.0, 0.0, dtype=dtype)
    assert epsilon_factor(z, 1e-3).dtype == dtype
    assert ratio(z.tanh(), z, 1.0).dtype == dtype
    assert stabilised_ratio(z.sigmoid(), z, 1e-3).dtype == dtype


def test_epsilon_is_not_rounded_to_float32() -> None:
    # where(z >= 0, eps, -eps) of Python numbers is a float32 epsilon: 1e-8 off.
    epsilon = 0.1
    assert epsilon_factor(tensor(1.0), epsilon).item() == pytest.approx(1 / 1.1, rel=1e-15)
    assert stabilised_ratio(tensor(1.0), tensor(1.0), epsilon).item() == pytest.approx(
        1 / 1.1, rel=1e-15
    )


@given(y=finite, x=finite, slope=finite)
def test_ratio(y: float, x: float, slope: float) -> None:
    got = ratio(tensor(y), tensor(x), slope).item()
    assert got == (slope if x == 0 else y / x)


@given(y=finite, x=finite, epsilon=epsilons)
def test_stabilised_ratio(y: float, x: float, epsilon: float) -> None:
    denominator = x + epsilon * sign(x)
    expected = 0.0 if denominator == 0 else y / denominator
    assert stabilised_ratio(tensor(y), tensor(x), epsilon).item() == pytest.approx(
        expected, rel=1e-14, abs=1e-300
    )


# The laws: each message of the paper is a · γ_a


@given(
    seed=st.integers(0, 2**32 - 1),
    epsilon=st.sampled_from([0.0, 1e-3, 0.1, 10.0]),
)
def test_epsilon_rule_is_bach_equation_58(seed: int, epsilon: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    a, W, b, gamma_z = (
        torch.randn(*shape, generator=generator, dtype=F64) for shape in ((4,), (3, 4), (3,), (3,))
    )
    z = W @ a + b
    R = z * gamma_z
    gamma_a = W.T @ epsilon_rule(gamma_z, z, epsilon)
    for i in range(4):
        message = sum(
            a[i].item() * W[j, i].item() * R[j].item() / (z[j].item() + epsilon * sign(z[j].item()))
            for j in range(3)
        )
        assert (a[i] * gamma_a[i]).item() == pytest.approx(message, rel=1e-10, abs=1e-12)


def test_epsilon_rule_conserves_what_it_does_not_withhold() -> None:
    a, W = tensor(1.0, -2.0), tensor(0.5, 0.25).reshape(1, 2)
    z, gamma = W @ a + 3.0, tensor(2.0)
    passed = epsilon_rule(gamma, z, 0.5)
    assert (z * gamma).item() == pytest.approx(
        (a * (W.T @ passed)).sum().item() + (3.0 * passed).item() + (z * (gamma - passed)).item()
    )
    assert (z * (gamma - passed)).item() == pytest.approx(2.0 * 3.0 * 0.5 / 3.5)


@pytest.mark.parametrize(
    ("f", "slope"),
    [(torch.tanh, 1.0), (torch.relu, 0.0), (torch.nn.functional.gelu, 0.5)],
)
def test_identity_rule_hands_the_relevance_on(
    f: Callable[[torch.Tensor], torch.Tensor], slope: float
) -> None:
    x, gamma_y = tensor(-2.0, -1e-9, 3.0), tensor(0.5, 2.0, -1.0)
    gamma_x = identity_rule(gamma_y, x, f(x), slope)
    torch.testing.assert_close(x * gamma_x, f(x) * gamma_y, rtol=1e-14, atol=0)


def test_identity_rule_at_zero_is_the_slope() -> None:
    zero = tensor(0.0)
    assert identity_rule(tensor(3.0), zero, zero, 0.5).item() == 1.5


@given(x=st.floats(-1e-12, 1e-12, allow_subnormal=False))
def test_identity_rule_of_tanh_is_continuous_at_zero(x: float) -> None:
    z = tensor(x)
    assert identity_rule(tensor(1.0), z, z.tanh(), 1.0).item() == pytest.approx(1.0, abs=1e-12)


@given(x=finite, epsilon=st.floats(1e-6, 10))
def test_squashing_rule_takes_the_stabilised_denominator(x: float, epsilon: float) -> None:
    z = tensor(x)
    got = squashing_rule(tensor(2.0), z, z.sigmoid(), epsilon).item()
    assert got == pytest.approx(2 * z.sigmoid().item() / (x + epsilon * sign(x)), rel=1e-13)
    # what reaches x is never more than what came
    assert abs(got * x) <= 2 * z.sigmoid().item() * (1 + 1e-12)


def test_squashing_rule_has_no_pole() -> None:
    z = tensor(0.0, -0.0)
    assert squashing_rule(tensor(1.0, 1.0), z, z.sigmoid(), 0.5).tolist() == [1.0, 1.0]
    assert squashing_rule(tensor(1.0, 1.0), z, z.sigmoid(), 0.0).tolist() == [0.0, 0.0]


def test_two_signals_share_equally() -> None:
    a, b, gamma_y = 3.0, -4.0, tensor(5.0)
    half = equal_shares(gamma_y, 2).item()
    assert a * (b * half) == b * (a * half) == a * b * 5.0 / 2


@pytest.mark.parametrize(
    ("f", "slope"),
    [
        (torch.tanh, 1.0),
        (torch.relu, 0.0),
        (torch.nn.functional.silu, 0.5),
        (torch.nn.functional.gelu, 0.5),
        (torch.nn.functional.softsign, 1.0),
        (lambda x: torch.nn.functional.leaky_relu(x, 0.2), 0.2),
    ],
)
def test_slope_at_zero(f: Callable[[torch.Tensor], torch.Tensor], slope: float) -> None:
    found = slope_at_zero(f, tensor(1.0))
    assert found.dtype == F64
    assert found.ndim == 0
    assert math.isclose(found.item(), slope)


def test_slope_at_zero_where_gradients_are_off() -> None:
    with torch.no_grad():
        assert slope_at_zero(torch.tanh, tensor(1.0)).item() == 1.0
