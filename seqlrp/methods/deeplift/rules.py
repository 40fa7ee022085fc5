"""The multipliers m = Δy / Δx of DeepLIFT: pure functions of values of a text and its reference.

Shrikumar, Greenside and Kundaje 2017: `x0` is the value at the same position of the network as `x`
for the reference, and Δx = x − x0. A rule gives multipliers with Σ m Δx = Δy,
exactly; the chain rule (their eq. 3) then makes Σ over words equal score − reference score.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

Elementwise = Callable[[Tensor], Tensor]


def difference(x: Tensor, x0: Tensor) -> Tensor:
    """Return Δx = x − x0, and 0 where both are the same infinity, as behind a mask."""
    return torch.where(x == x0, 0, x - x0)


def rescale(f: Elementwise, x: Tensor, x0: Tensor, y: Tensor, y0: Tensor) -> Tensor:
    """Apply the Rescale rule, m = (f(x) − f(x0)) / (x − x0) (2017, sec. 3.5.2), shaped as `x`."""
    return secant(x, x0, y, y0, slope_at(f, (x + x0) / 2))


def secant(x: Tensor, x0: Tensor, y: Tensor, y0: Tensor, slope: Tensor) -> Tensor:
    """Return Δy / Δx, or `slope` (the derivative at the midpoint) if both agree to rounding.

    As Δx → 0 the quotient becomes less exact and the derivative more exact: their errors are
    u|y| / Δx and f‴ Δx² / 24. The derivative replaces the quotient if m Δx = Δy still holds to the
    rounding of y and of x, which is checked for each element: no threshold for Δx is needed, a kink
    between x0 and x keeps the quotient, and so the multipliers always add up to Δ.
    """
    dx, dy = difference(x, x0), difference(y, y0)
    rounding = y.abs() + y0.abs() + slope.abs() * (x.abs() + x0.abs())
    agree = (slope * dx - dy).abs() <= 4 * torch.finfo(x.dtype).eps * rounding
    still = dx == 0
    slope = torch.where(slope.isfinite(), slope, 0)  # of a square root at 0, for example
    return torch.where(still | agree, slope, dy / dx.masked_fill(still, 1))


def slope_at(f: Elementwise, x: Tensor) -> Tensor:
    """Return f'(x) of an elementwise function, by automatic differentiation."""
    leaf = x.detach().requires_grad_()
    with torch.enable_grad():
        (slope,) = torch.autograd.grad(f(leaf).sum(), leaf)
    return slope


def reveal_cancel(
    f: Elementwise, x: Tensor, x0: Tensor, up: Tensor, down: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the multipliers of Δx⁺ and Δx⁻ by the RevealCancel rule (2017, sec. 3.5.3).

    `up` is Δx⁺ ≥ 0 and `down` Δx⁻ ≤ 0, with Δx⁺ + Δx⁻ = Δx. The multipliers are

        m⁺ = (½ [f(x0 + Δx⁺) − f(x0)] + ½ [f(x0 + Δx⁻ + Δx⁺) − f(x0 + Δx⁻)]) / Δx⁺

    and the same with ⁺ and ⁻ exchanged: two Rescale multipliers, averaged.
    """
    above, below = x0 + up, x0 + down
    y, y0, y_above, y_below = f(x), f(x0), f(above), f(below)

    def mean(first: Tensor, second: Tensor) -> Tensor:
        return (first + second) / 2

    return (
        mean(rescale(f, above, x0, y_above, y0), rescale(f, x, below, y, y_below)),
        mean(rescale(f, below, x0, y_below, y0), rescale(f, x, above, y, y_above)),
    )


def quotient(a: Tensor, a0: Tensor, b: Tensor, b0: Tensor) -> tuple[Tensor, Tensor]:
    """Return the multipliers of a and b in y = a / b.

    From the product a = y·b, whose Δa = b̄ Δy + ȳ Δb with means over text and reference:

        Δy = (Δa − ȳ Δb) / b̄,

    which is exact, and bounded by the larger denominator. (Rescale on 1/b times a is exact, too,
    but has large multipliers of a and b, which cancel, if the smaller denominator is near 0.) If b
    and b0 have different signs, b̄ may be 0, and Rescale on 1/b is used.
    """
    mean_b, mean_y = (b + b0) / 2, (a / b + a0 / b0) / 2
    alike = b * b0 > 0
    mean_b = mean_b.masked_fill(~alike, 1)
    product = torch.where(alike, 1, b * b0)
    of_a = torch.where(alike, 1 / mean_b, (b + b0) / (2 * product))
    of_b = torch.where(alike, -mean_y / mean_b, -(a + a0) / (2 * product))
    return of_a, of_b


def share_of_winner(lead: Tensor, lead0: Tensor) -> Tensor:
    """Return λ in Δy = λ Δx_i + (1 − λ) Δx_j: a maximum y is x_i in the text, x_j in the reference.

    With the leads a = x_i − x_j ≥ 0 and a0 = x0_j − x0_i ≥ 0 it is λ = a / (a + a0), the part of
    the straight line from reference to text on which x_i exceeds x_j; ½ if they are always equal.
    It is exact, between 0 and 1, the same with text and reference exchanged, and for max(x, 0) it
    is the Rescale rule of a ReLU.
    """
    lead, lead0 = lead.nan_to_num(0.0), lead0.nan_to_num(0.0)  # both -inf, behind a mask
    total = lead + lead0
    return torch.where(total == 0, 0.5, lead / total.masked_fill(total == 0, 1))


def nodes(degree: int) -> list[tuple[float, float]]:
    """Return Gauss–Legendre points from 0 (reference) to 1 (text), with their weights.

    The gradient of a product of `degree` factors, averaged over the straight line, gives their
    exact Shapley value; along the line it is a polynomial of degree `degree` − 1, which
    ⌈degree / 2⌉ points integrate exactly. For two factors this is the midpoint:
    Δ(ab) = b̄ Δa + ā Δb.
    """
    points, weights = np.polynomial.legendre.leggauss(max((degree + 1) // 2, 1))
    return [(float(p) / 2 + 0.5, float(w) / 2) for p, w in zip(points, weights, strict=True)]
