"""The laws by which γ = R / a moves from a value to what it was computed from, one function each.

`γ_a`, the relevance that one unit of `a` carries, turns LRP into an ordinary backward pass with a
few laws of its own. Sources: Bach et al. 2015 (ε-rule, eq. 58; identity rule), Arras et al. 2017
(signal-take-all for products, sum rule), Arras et al. 2019 (other shares in products). Every
argument and result has the shape of the value that it belongs to; nothing here knows of modules or
of text.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from seqlrp.lrp.stabilise import kept, ratio, stabilised_ratio

Shares = tuple[Tensor | float, Tensor | float]
GateRule = Callable[[Tensor, Tensor], Shares]


def epsilon_rule(gamma_z: Tensor, z: Tensor, epsilon: float) -> Tensor:
    """γ_z · z / (z + ε·sign z): what a map `z = Wᵀa + b` or a sum `z = Σ aᵢ` passes on.

    What follows is linear: γ_a = W γ for the map (Bach 2015, eq. 58), γ_aᵢ = γ for the sum
    (Arras 2017, sec. 2). One denominator serves the whole pre-activation, all branches together.
    """
    return gamma_z * kept(z, epsilon)


def identity_rule(gamma_y: Tensor, x: Tensor, y: Tensor, slope: Tensor | float) -> Tensor:
    """γ_y · f(x) / x, and γ_y · f'(0) at 0: R_x = R_y for `y = f(x)` with f(0) = 0 (Bach 2015)."""
    return gamma_y * ratio(y, x, slope)


def squashing_rule(gamma_y: Tensor, x: Tensor, y: Tensor, epsilon: float) -> Tensor:
    """γ_y · f(x) / (x + ε·sign x): the identity rule for f(0) ≠ 0, e.g. a sigmoid as a signal.

    f(x)/x has a pole at 0, so the stabiliser of the map that made `x` is taken into the ratio.
    """
    return gamma_y * stabilised_ratio(y, x, epsilon)


def equal_shares(gamma_y: Tensor, factors: int) -> Tensor:
    """γ_y / n for each of n signals multiplied with each other, which then share R_y equally.

    For `y = a·b`: γ_a = b · γ_y / 2, so R_a = R_b = R_y / 2 (Arras 2019, "LRP-half").
    """
    return gamma_y / factors


def divided(relevance: Tensor, z: Tensor) -> Tensor:
    """γ = R / z, and 0 where z is exactly 0, where nothing can be passed on."""
    return ratio(relevance, z, 0.0)


def gate_rule_half(gate: Tensor, signal: Tensor) -> Shares:
    """LRP-half: R_gate = R_signal = R / 2 (Arras 2019, sec. 3.2)."""
    return 0.5, 0.5


def gate_rule_abs(gate: Tensor, signal: Tensor) -> Shares:
    """LRP-abs: R_gate = |gate| / (|gate| + |signal|) · R, and the signal takes the rest.

    Arras 2019, sec. 3.2; both are the values after their nonlinearity. Two zeros get nothing,
    which is what their product has.
    """
    total = gate.abs() + signal.abs()
    share = divided(gate.abs(), total)
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
    """f'(0) of a shape, of the dtype and device of `like`, taken by automatic differentiation."""
    zero = torch.zeros(shape, dtype=like.dtype, device=like.device, requires_grad=True)
    with torch.enable_grad():
        (slope,) = torch.autograd.grad(f(zero).sum(), zero)
    return slope.nan_to_num(0.0, posinf=0.0, neginf=0.0)  # of a square root, say, whose f(0) is 0
