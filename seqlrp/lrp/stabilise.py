"""The signed stabiliser ε: the only division by a pre-activation in seqlrp.

The ε-rule (Bach et al. 2015, eq. 58) divides by `z + ε·sign(z)`, with sign(0) = +1, so that no
denominator is below ε in size; the relevance that it withholds is booked as the stabiliser's share.
As a factor on γ = R / z,

    z / (z + ε·sign z) = |z| / (|z| + ε),

which needs no sign, is 1 for ε = 0 and never exceeds 1. In the functions here ε ≥ 0 is in units of
`z`: one number, or a tensor with one for each row of outputs.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, finfo, ones_like, where, zeros_like


@dataclass(frozen=True, slots=True)
class Stabiliser:
    """How large ε is at the outputs `z` of a linear map, and at a sum.

    ε = absolute + relative · mean_j |z_j| over the outputs of the map for one row, so that the
    relative part does not depend on the scale of a layer; at a sum ε = absolute.
    """

    absolute: float
    relative: float = 0.0

    def __bool__(self) -> bool:
        return bool(self.absolute or self.relative)

    def at_map(self, z: Tensor, features: int = -1) -> float | Tensor:
        """Return ε at `z`, whose outputs of one row lie along the dimension `features`."""
        if not self.relative:
            return self.absolute
        epsilon = z.abs().mean(features, keepdim=True).mul_(self.relative)
        return epsilon.add_(self.absolute) if self.absolute else epsilon


def epsilon_factor(z: Tensor, epsilon: float | Tensor) -> Tensor:
    """Return the factor |z| / (|z| + ε) in [0, 1] by which the ε-rule scales γ, shaped as `z`."""
    if isinstance(epsilon, Tensor):
        size = z.abs().add_(finfo(z.dtype).tiny)  # 1 for ε = 0, at 0 too
        return size / (size + epsilon)
    if epsilon == 0:
        return ones_like(z)
    return (1 + epsilon / z.abs()).reciprocal()  # 0 at 0, and 1 at infinity


def signed_epsilon(z: Tensor, epsilon: float | Tensor) -> Tensor:
    """Return ε · sign(z) with sign(0) = +1, shaped as `z`."""
    size = zeros_like(z).add_(epsilon)
    return where(z >= 0, size, -size)


def epsilon_ratio(y: Tensor, x: Tensor, epsilon: float | Tensor, slope: float) -> Tensor:
    """Return `ratio(y, x, slope) · epsilon_factor(x, ε)`: |y| / (|x| + ε) for y of x's sign."""
    if isinstance(epsilon, Tensor):
        return ratio(y, x, slope) * epsilon_factor(x, epsilon)
    return ratio(y, x, slope) if epsilon == 0 else y.abs() / (x.abs() + epsilon)


def ratio(y: Tensor, x: Tensor, slope: Tensor | float) -> Tensor:
    """Return the quotient y / x of one shape, or its limit `slope` where x is exactly 0."""
    return where(x == 0, slope, y / x)


def stabilised_ratio(y: Tensor, x: Tensor, epsilon: float | Tensor) -> Tensor:
    """Return the quotient y / (x + ε·sign x) of one shape, or 0 where the denominator is 0."""
    denominator = x + signed_epsilon(x, epsilon)
    zero = denominator == 0
    return (y / denominator.masked_fill(zero, 1)).masked_fill(zero, 0)
