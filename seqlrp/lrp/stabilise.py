"""The signed stabiliser ε: the only division by a pre-activation in seqlrp.

The ε-rule (Bach et al. 2015, eq. 58) divides by `z + ε·sign(z)`, with sign(0) = +1, so that nothing
is ever divided by a small number. Common to everything here: ε ≥ 0 is absolute, in units of `z`;
what it withholds from the inputs is booked as the stabiliser's share. As a factor on γ = R / z,

    z / (z + ε·sign z) = |z| / (|z| + ε),

which needs no sign at all, is 1 for ε = 0 and never exceeds 1.
"""

from __future__ import annotations

from torch import Tensor, full_like, ones_like, where


def kept(z: Tensor, epsilon: float) -> Tensor:
    """The factor |z| / (|z| + ε) in [0, 1] by which the ε-rule scales γ at `z`, of any shape."""
    if epsilon == 0:
        return ones_like(z)
    return (1 + epsilon / z.abs()).reciprocal()  # 0 at 0, and 1 at infinity


def signed(z: Tensor, epsilon: float) -> Tensor:
    """ε · sign(z) with sign(0) = +1, of the shape of `z`."""
    size = full_like(z, epsilon)
    return where(z >= 0, size, -size)


def kept_ratio(y: Tensor, x: Tensor, epsilon: float, slope: float) -> Tensor:
    """`ratio(y, x, slope) · kept(x, ε)` in one quotient: |y| / (|x| + ε), for y of x's sign."""
    return ratio(y, x, slope) if epsilon == 0 else y.abs() / (x.abs() + epsilon)


def ratio(y: Tensor, x: Tensor, slope: Tensor | float) -> Tensor:
    """The quotient y / x of one shape, and `slope`, its limit, where x is exactly 0."""
    zero = x == 0
    return where(zero, slope, y / x.masked_fill(zero, 1))


def stabilised_ratio(y: Tensor, x: Tensor, epsilon: float) -> Tensor:
    """The quotient y / (x + ε·sign x) of one shape; 0 where that denominator is exactly 0."""
    denominator = x + signed(x, epsilon)
    zero = denominator == 0
    return (y / denominator.masked_fill(zero, 1)).masked_fill(zero, 0)
