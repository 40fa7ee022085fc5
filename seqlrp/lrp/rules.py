"""The laws that propagate γ = R / a from a value to its operands, one function each.

With `γ_a`, the relevance per unit of `a`, LRP is an ordinary backward pass with a few laws of its
own. Sources: Bach et al. 2015 (ε-rule, eq. 58; identity rule), Arras et al. 2017
(signal-take-all for products, sum rule), Arras et al. 2019 (other shares in products). Every
argument and result has the shape of its value; this module is independent of modules and text.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from seqlrp.lrp.stabilise import epsilon_factor, ratio, stabilised_ratio

Shares = tuple[Tensor | float, Tensor | float]
GateRule = Callable[[Tensor, Tensor], Shares]


def epsilon_rule(gamma_z: Tensor, z: Tensor, epsilon: float | Tensor) -> Tensor:
    """Return γ = γ_z · z / (z + ε·sign z), which a map `z = Wᵀa + b` or a sum `z = Σ aᵢ` passes on.

    The rest is linear: γ_a = W γ for the map (Bach 2015, eq. 58), γ_aᵢ = γ for the sum
    (Arras 2017, sec. 2). The whole pre-activation, with all branches, has one denominator.
    """
    return gamma_z * epsilon_factor(z, epsilon)


def identity_rule(gamma_y: Tensor, x: Tensor, y: Tensor, slope: Tensor | float) -> Tensor:
    """Return γ_y · f(x) / x, or γ_y · f'(0) at 0: R_x = R_y for y = f(x), f(0) = 0 (Bach 2015)."""
    return gamma_y * ratio(y, x, slope)


def squashing_rule(gamma_y: Tensor, x: Tensor, y: Tensor, epsilon: float | Tensor) -> Tensor:
    """Return γ_y · f(x) / (x + ε·sign x): the identity rule for f(0) ≠ 0, as for a sigmoid.

    f(x)/x has a pole at 0, so the ratio includes the stabiliser of the map that made `x`.
    """
    return gamma_y * stabilised_ratio(y, x, epsilon)


def equal_shares(gamma_y: Tensor, factors: int) -> Tensor:
    """Return γ_y / n for each of n factors of a product of signals, which share R_y equally.

    For `y = a·b`: γ_a = b · γ_y / 2, so R_a = R_b = R_y / 2 (Arras 2019, "LRP-half").
    """
    return gamma_y / factors


def quotient_or_zero(relevance: Tensor, z: Tensor) -> Tensor:
    """Return γ = R / z, or 0 where z is exactly 0 and can pass nothing on."""
    return ratio(relevance, z, 0.0)


def gate_rule_half(gate: Tensor, signal: Tensor) -> Shares:
    """LRP-half: R_gate = R_signal = R / 2 (Arras 2019, sec. 3.2)."""
    return 0.5, 0.5


def gate_rule_abs(gate: Tensor, signal: Tensor) -> Shares:
    """LRP-abs: R_gate = |gate| / (|gate| + |signal|) · R, and the signal takes the rest.

    Arras 2019, sec. 3.2; both are the values after their nonlinearity. Two zeros get nothing,
    because their product has no relevance.
    """
    total = gate.abs() + signal.abs()
    share = quotient_or_zero(gate.abs(), total)
    return share, 1 - share


def gate_rule_prop(gate: Tensor, signal: Tensor, epsilon: float) -> Shares:
    """LRP-prop: R_gate = gate / (gate + signal) · R, R_signal = signal / (gate + signal) · R.

    Arras 2019, sec. 3.2, the denominator under the ε-rule.
    """
    total = gate + signal
    return stabilised_ratio(gate, total, epsilon), stabilised_ratio(signal, total, epsilon)


def slope_at_zero(
    f: Callable[[Tensor], Tensor], like: Tensor, shape: tuple[int, ...] = ()
) -> Tensor:
    """Return f'(0) of a shape, in the dtype and device of `like`, by automatic differentiation."""
    zero = torch.zeros(shape, dtype=like.dtype, device=like.device, requires_grad=True)
    with torch.enable_grad():
        (slope,) = torch.autograd.grad(f(zero).sum(), zero)
    return slope.nan_to_num(
        0.0, posinf=0.0, neginf=0.0
    )  # of a square root, for example, where f(0) = 0
