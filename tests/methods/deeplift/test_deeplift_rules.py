"""The multipliers by themselves: they add up exactly, and stay accurate as differences vanish."""

from __future__ import annotations

import math
from itertools import permutations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from seqlrp.methods.deeplift import rules

EPS = 2.2e-16
numbers = st.floats(-30, 30, allow_nan=False)
steps = st.sampled_from([0.0, 1e-300, 1e-17, 1e-12, 1e-9, 1e-7, 1e-5, 1e-3, 0.1, 3.0])
ACTIVATIONS = (
    torch.tanh, torch.sigmoid, F.relu, F.leaky_relu, F.elu, F.selu, F.gelu, F.silu, F.softplus,
    F.hardtanh, F.hardswish, torch.abs, torch.exp, torch.square,
)  # fmt: skip


def one(x: float) -> Tensor:
    return torch.tensor([x], dtype=torch.float64)


@given(numbers, steps, st.sampled_from([1, -1]), st.sampled_from(ACTIVATIONS))
def test_rescale_adds_up_for_any_difference(x0: float, step: float, sign: int, f: object) -> None:
    a0, a = one(x0), one(x0 + sign * step)
    y0, y = f(a0), f(a)  # type: ignore[operator]
    m = rules.rescale(f, a, a0, y, y0)  # type: ignore[arg-type]
    rounding = 8 * EPS * (y.abs() + y0.abs() + m.abs() * (a.abs() + a0.abs()))
    assert m.isfinite().all()
    assert ((m * (a - a0) - (y - y0)).abs() <= rounding).all()


@given(st.floats(-3, 3), steps, st.sampled_from([1, -1]))
def test_rescale_keeps_its_digits(x0: float, step: float, sign: int) -> None:
    # tanh a − tanh b = tanh(a − b) (1 − tanh a tanh b), which has no difference to lose digits in.
    a0, a = one(x0), one(x0 + sign * step)
    d = a - a0
    ratio = torch.where(d == 0, 1, d.tanh() / d.masked_fill(d == 0, 1))
    expect = ratio * (1 - a.tanh() * a0.tanh())
    found = rules.rescale(torch.tanh, a, a0, a.tanh(), a0.tanh())
    torch.testing.assert_close(found, expect, rtol=1e-8, atol=0)


@pytest.mark.parametrize("x", [0.0, -math.inf, 5.0])
def test_rescale_where_nothing_differs(x: float) -> None:
    for f in (torch.sqrt, torch.exp, torch.relu):
        same = one(x)
        assert rules.rescale(f, same, same, f(same), f(same)).isfinite().all() or x < 0


@given(numbers, numbers, numbers)
def test_reveal_cancel_adds_up(x0: float, up: float, down: float) -> None:
    z0, p, n = one(x0), one(abs(up)), one(-abs(down))
    x = z0 + p + n
    of_p, of_n = rules.reveal_cancel(torch.tanh, x, z0, p, n)
    torch.testing.assert_close(of_p * p + of_n * n, x.tanh() - z0.tanh(), rtol=0, atol=1e-12)


@given(numbers, numbers, st.floats(0.1, 30), st.floats(0.1, 30), st.sampled_from([1, -1]))
def test_quotients_add_up(a: float, a0: float, b: float, b0: float, sign: int) -> None:
    values = one(a), one(a0), one(b), one(sign * b0)
    of_a, of_b = rules.quotient(*values)
    change = of_a * (a - a0) + of_b * (b - sign * b0)
    size = max(1.0, of_a.abs().item() * 60, of_b.abs().item() * 60)
    torch.testing.assert_close(change, one(a / b - a0 / (sign * b0)), rtol=0, atol=1e-14 * size)
    if sign > 0:  # as large as the larger denominator says, not as the smaller
        assert of_a <= 2 / max(b, b0) + 1e-12


@given(st.lists(st.tuples(numbers, numbers), min_size=2, max_size=5))
def test_winners_share_a_maximum(pairs: list[tuple[float, float]]) -> None:
    x, x0 = (torch.tensor(side, dtype=torch.float64) for side in zip(*pairs, strict=True))
    i, j = int(x.argmax()), int(x0.argmax())

    def share(x: Tensor, x0: Tensor, i: int, j: int) -> float:
        return rules.share_of_winner(x[i] - x[j], x0[j] - x0[i]).item()

    found = share(x, x0, i, j)
    assert 0 <= found <= 1
    change = found * (x[i] - x0[i]) + (1 - found) * (x[j] - x0[j])
    torch.testing.assert_close(change, x.max() - x0.max(), rtol=0, atol=1e-12)
    # With text and reference exchanged the same share belongs to the same word.
    if i != j and x[i] - x[j] + x0[j] - x0[i] > 0:
        assert share(x0, x, j, i) == pytest.approx(1 - found)


@pytest.mark.parametrize("degree", [1, 2, 3, 4, 5])
def test_nodes_give_shapley_values_of_products(degree: int) -> None:
    g = torch.Generator().manual_seed(degree)
    x, x0 = (torch.randn(degree, generator=g, dtype=torch.float64) for _ in range(2))
    found = torch.zeros(degree, dtype=torch.float64)
    for point, weight in rules.nodes(degree):
        at = (x0 + point * (x - x0)).requires_grad_()
        found += weight * torch.autograd.grad(at.prod(), at)[0] * (x - x0)
    expect = torch.zeros(degree, dtype=torch.float64)
    orders = list(permutations(range(degree)))
    for order in orders:
        now = x0.clone()
        for k in order:
            before = now.prod()
            now[k] = x[k]
            expect[k] += (now.prod() - before) / len(orders)
    torch.testing.assert_close(found, expect, rtol=0, atol=1e-14)
