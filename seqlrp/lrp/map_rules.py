"""Rules for linear maps z = Wᵀx + b, whoever computes them: Linear, convolution, matmul.

Each rule says into which parts a map falls, `z_s`, all of them linear in `x` or in a stand-in for
it, and which share of R_z each part receives; within a part, input i gets what it contributes,
R_i = Σ_j z_sij / z_sj · share_s R_j. Superscripts + and − are max(·, 0) and min(·, 0).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from seqlrp.errors import OptionError
from seqlrp.lrp.stabilise import kept

Bilinear = Callable[[Tensor, Tensor], Tensor]
StandIn = Callable[[Tensor, Tensor], Tensor]


class MapRule(ABC):
    """How a linear map divides its relevance among its inputs."""

    @abstractmethod
    def weighted(self, f: Bilinear, x: Tensor, w: Tensor, stand_in: StandIn) -> tuple[Tensor, ...]:
        """The parts without bias; `f(x, w)` is the map, `stand_in(x, u)` is u in place of x."""

    def biased(self, b: Tensor) -> tuple[Tensor | None, ...]:
        """The bias in each part; None: it takes nothing there."""
        return (b,)

    def shares(self, z: Tensor, features: int) -> tuple[Tensor | float, ...]:
        """The share of R_z for each part; the outputs of one map lie along `features`."""
        return (1.0,)


@dataclass(frozen=True)
class Zero(MapRule):
    """LRP-0, also called LRP-z: R_i = Σ_j x_i w_ij / z_j · R_j (Bach 2015, eq. 56)."""

    def weighted(self, f: Bilinear, x: Tensor, w: Tensor, stand_in: StandIn) -> tuple[Tensor, ...]:
        """One part, the map itself."""
        return (f(x, w),)


@dataclass(frozen=True)
class Epsilon(MapRule):
    """LRP-ε: R_i = Σ_j x_i w_ij / (z_j + ε·sign z_j) · R_j (Bach 2015, eq. 58).

    Args:
        epsilon: ε ≥ 0, in units of z;
        relative: or in units of the mean |z| over the outputs of the map for this one row.
    """

    epsilon: float = 1e-6
    relative: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.epsilon < float("inf"):
            raise OptionError(f"Got Epsilon({self.epsilon}); expected a finite number ≥ 0.")

    def weighted(self, f: Bilinear, x: Tensor, w: Tensor, stand_in: StandIn) -> tuple[Tensor, ...]:
        """One part, the map itself."""
        return (f(x, w),)

    def shares(self, z: Tensor, features: int) -> tuple[Tensor | float, ...]:
        """What the stabiliser leaves."""
        if not self.relative:
            return (kept(z, self.epsilon),)
        size = z.abs()
        total = size + self.epsilon * size.mean(features, keepdim=True)
        return (size / total.masked_fill(total == 0, 1),)


@dataclass(frozen=True)
class Gamma(MapRule):
    """LRP-γ: what speaks for the sign of z is favoured (Montavon 2019, for inputs of any sign).

    z > 0: R_i = Σ_j [x_i⁺(w + γw⁺) + x_i⁻(w + γw⁻)] / Σ(same) · R_j, the bias as b + γb⁺;
    z < 0: with w⁺ and w⁻ exchanged, the bias as b + γb⁻.
    """

    gamma: float = 0.25

    def __post_init__(self) -> None:
        if not 0 <= self.gamma < float("inf"):
            raise OptionError(f"Got Gamma({self.gamma}); expected a finite number ≥ 0.")

    def weighted(self, f: Bilinear, x: Tensor, w: Tensor, stand_in: StandIn) -> tuple[Tensor, ...]:
        """For outputs above and below 0."""
        favoured, other = w + self.gamma * w.clamp(min=0), w + self.gamma * w.clamp(max=0)
        up, down = x.clamp(min=0), x.clamp(max=0)
        return f(up, favoured) + f(down, other), f(up, other) + f(down, favoured)

    def biased(self, b: Tensor) -> tuple[Tensor | None, ...]:
        """For outputs above and below 0."""
        return b + self.gamma * b.clamp(min=0), b + self.gamma * b.clamp(max=0)

    def shares(self, z: Tensor, features: int) -> tuple[Tensor | float, ...]:
        """All to the part of the output's sign."""
        return (z > 0).to(z.dtype), (z < 0).to(z.dtype)


@dataclass(frozen=True)
class AlphaBeta(MapRule):
    """LRP-αβ: R_i = Σ_j (α z_ij⁺ / z_j⁺ − β z_ij⁻ / z_j⁻) R_j, α − β = 1 (Bach 2015, eq. 60)."""

    alpha: float = 2.0
    beta: float = 1.0

    def __post_init__(self) -> None:
        if self.beta < 0 or abs(self.alpha - self.beta - 1) > 1e-9:
            raise OptionError(
                f"Got AlphaBeta({self.alpha}, {self.beta}); expected alpha − beta = 1 and "
                f"beta ≥ 0, e.g. AlphaBeta(2, 1)."
            )

    def weighted(self, f: Bilinear, x: Tensor, w: Tensor, stand_in: StandIn) -> tuple[Tensor, ...]:
        """What raises the output, and what lowers it."""
        up, down = x.clamp(min=0), x.clamp(max=0)
        plus, minus = w.clamp(min=0), w.clamp(max=0)
        raising = f(up, plus) + f(down, minus)
        if not self.beta:
            return (raising,)
        return raising, f(up, minus) + f(down, plus)

    def biased(self, b: Tensor) -> tuple[Tensor | None, ...]:
        """As the weights."""
        parts = b.clamp(min=0), b.clamp(max=0)
        return parts if self.beta else parts[:1]

    def shares(self, z: Tensor, features: int) -> tuple[Tensor | float, ...]:
        """α to what raises, −β to what lowers."""
        return (self.alpha, -self.beta) if self.beta else (self.alpha,)


class ZPlus(AlphaBeta):
    """LRP-z⁺: only what raises the output counts, αβ with α = 1, β = 0 (Montavon 2017, sec. 4)."""

    def __init__(self) -> None:
        super().__init__(1.0, 0.0)

    def __repr__(self) -> str:
        return "ZPlus()"


@dataclass(frozen=True)
class WSquare(MapRule):
    """The w²-rule: R_i = Σ_j w_ij² / Σ_i' w_i'j² · R_j, for inputs of any value (Montavon 2017)."""

    def weighted(self, f: Bilinear, x: Tensor, w: Tensor, stand_in: StandIn) -> tuple[Tensor, ...]:
        """The map of ones with squared weights."""
        return (f(stand_in(x, torch.ones_like(x)), w.square()),)

    def biased(self, b: Tensor) -> tuple[Tensor | None, ...]:
        """The bias takes nothing."""
        return (None,)


@dataclass(frozen=True)
class Flat(MapRule):
    """The flat rule: every input of an output gets the same (Lapuschkin 2019)."""

    def weighted(self, f: Bilinear, x: Tensor, w: Tensor, stand_in: StandIn) -> tuple[Tensor, ...]:
        """The map of ones with weights of one."""
        return (f(stand_in(x, torch.ones_like(x)), torch.ones_like(w)),)

    def biased(self, b: Tensor) -> tuple[Tensor | None, ...]:
        """The bias takes nothing."""
        return (None,)


@dataclass(frozen=True, eq=False)
class ZB(MapRule):
    """The z^B-rule for inputs within bounds (Montavon 2017, sec. 4.3).

    R_i = Σ_j (x_i w_ij − l_i w_ij⁺ − h_i w_ij⁻) / Σ_i' (same) · R_j.

    Args:
        low: the bound l ≤ 0 of every input from below, a number or a tensor `[D]`.
        high: the bound h ≥ 0 from above, likewise.
    """

    low: float | Tensor
    high: float | Tensor

    def __post_init__(self) -> None:
        low, high = torch.as_tensor(self.low), torch.as_tensor(self.high)
        if bool((low > 0).any()) or bool((high < 0).any()):
            raise OptionError(
                f"Got ZB(low={self.low}, high={self.high}); expected bounds low ≤ 0 ≤ high of all "
                f"values that the input of the map can have."
            )

    def weighted(self, f: Bilinear, x: Tensor, w: Tensor, stand_in: StandIn) -> tuple[Tensor, ...]:
        """The map, less that of the bounds."""
        low, high = (
            torch.as_tensor(bound, dtype=x.dtype, device=x.device).expand_as(x)
            for bound in (self.low, self.high)
        )
        if bool((x < low).any()) or bool((x > high).any()):
            raise OptionError(
                f"An input of a map under ZB reaches from {float(x.min()):.4g} to "
                f"{float(x.max()):.4g}, outside of its bounds; give bounds that hold."
            )
        of_low, of_high = stand_in(x, low), stand_in(x, high)
        return (f(x, w) - f(of_low, w.clamp(min=0)) - f(of_high, w.clamp(max=0)),)

    def biased(self, b: Tensor) -> tuple[Tensor | None, ...]:
        """The bias takes nothing."""
        return (None,)


@dataclass(frozen=True)
class Pass(MapRule):
    """Input i gets what output i has; shapes must be equal."""

    def weighted(self, f: Bilinear, x: Tensor, w: Tensor, stand_in: StandIn) -> tuple[Tensor, ...]:
        """The output in place of the input."""
        z = f(x.detach(), w)
        if z.shape != x.shape:
            raise OptionError(
                f"Pass() hands the relevance of each output to the input of the same place, but a "
                f"map makes {list(z.shape)} of {list(x.shape)}; give that map another rule."
            )
        return (stand_in(x, z),)

    def biased(self, b: Tensor) -> tuple[Tensor | None, ...]:
        """The bias takes nothing."""
        return (None,)


def absolute_epsilon(rule: MapRule | None, default: float) -> float | None:
    """The ε of a rule that is the ε-rule with an absolute ε, or None."""
    if rule is None:
        return default
    if isinstance(rule, Zero):
        return 0.0
    return rule.epsilon if isinstance(rule, Epsilon) and not rule.relative else None
