"""Rules for linear maps z = Wᵀx + b of any kind: Linear, convolution, matmul.

Each rule splits a map into parts `z_s`, all linear in `x` or in a stand-in for it, and gives
each part a share of R_z; within a part, input i receives relevance by its contribution,
R_i = Σ_j z_sij / z_sj · share_s R_j. Superscripts + and − are max(·, 0) and min(·, 0).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from seqlrp.errors import OptionError, check_number
from seqlrp.lrp.stabilise import Stabiliser

Bilinear = Callable[[Tensor, Tensor], Tensor]
StandIn = Callable[[Tensor, Tensor], Tensor]


class MapRule(ABC):
    """How a linear map divides its relevance among its inputs."""

    @abstractmethod
    def weighted(self, f: Bilinear, x: Tensor, w: Tensor, stand_in: StandIn) -> tuple[Tensor, ...]:
        """Return the parts without bias; `f(x, w)` is the map, `stand_in(x, u)` u for x."""

    def biased(self, b: Tensor) -> tuple[Tensor | None, ...]:
        """Return the bias in each part; None: the bias gets no relevance there."""
        return (b,)

    def shares(self, z: Tensor, features: int) -> tuple[Tensor | float, ...]:
        """Return the share of R_z for each part; the outputs of one map lie along `features`."""
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
        epsilon: ε ≥ 0, in units of z.
        relative: whether ε is in units of the mean |z| over the outputs of the map for a row.
    """

    epsilon: float = 1e-6
    relative: bool = False

    def __post_init__(self) -> None:
        check_number("epsilon", self.epsilon, least=0)

    def weighted(self, f: Bilinear, x: Tensor, w: Tensor, stand_in: StandIn) -> tuple[Tensor, ...]:
        """One part, the map itself."""
        return (f(x, w),)

    @property
    def stabiliser(self) -> Stabiliser:
        """ε as an absolute and a relative part."""
        return Stabiliser(0.0, self.epsilon) if self.relative else Stabiliser(self.epsilon)


@dataclass(frozen=True)
class Gamma(MapRule):
    """LRP-γ: favours contributions of the sign of z (Montavon 2019, for inputs of any sign).

    z > 0: R_i = Σ_j [x_i⁺(w + γw⁺) + x_i⁻(w + γw⁻)] / Σ(same) · R_j, the bias as b + γb⁺;
    z < 0: with w⁺ and w⁻ exchanged, the bias as b + γb⁻.
    """

    gamma: float = 0.25

    def __post_init__(self) -> None:
        check_number("gamma", self.gamma, least=0)

    def weighted(self, f: Bilinear, x: Tensor, w: Tensor, stand_in: StandIn) -> tuple[Tensor, ...]:
        """For outputs above and below 0."""
        favoured, other = w + self.gamma * w.clamp(min=0), w + self.gamma * w.clamp(max=0)
        up, down = x.clamp(min=0), x.clamp(max=0)
        return f(up, favoured) + f(down, other), f(up, other) + f(down, favoured)

    def biased(self, b: Tensor) -> tuple[Tensor | None, ...]:
        """For outputs above and below 0."""
        return b + self.gamma * b.clamp(min=0), b + self.gamma * b.clamp(max=0)

    def shares(self, z: Tensor, features: int) -> tuple[Tensor | float, ...]:
        """Give all relevance to the part of the output's sign."""
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
        """Return the contributions that raise the output, and those that lower it."""
        up, down = x.clamp(min=0), x.clamp(max=0)
        plus, minus = w.clamp(min=0), w.clamp(max=0)
        raising = f(up, plus) + f(down, minus)
        if not self.beta:
            return (raising,)
        return raising, f(up, minus) + f(down, plus)

    def biased(self, b: Tensor) -> tuple[Tensor | None, ...]:
        """Return the positive and the negative part of the bias."""
        parts = b.clamp(min=0), b.clamp(max=0)
        return parts if self.beta else parts[:1]

    def shares(self, z: Tensor, features: int) -> tuple[Tensor | float, ...]:
        """Return α for the positive part, −β for the negative part."""
        return (self.alpha, -self.beta) if self.beta else (self.alpha,)


class ZPlus(AlphaBeta):
    """LRP-z⁺: only positive contributions count, αβ with α = 1, β = 0 (Montavon 2017, sec. 4)."""

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
    """The flat rule: all inputs of an output get equal relevance (Lapuschkin 2019)."""

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
        low: the lower bound l ≤ 0 of every input, a number or a tensor `[D]`.
        high: the upper bound h ≥ 0 of every input, a number or a tensor `[D]`.
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
        """Return the map less the maps of the bounds."""
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
    """The pass rule: input i gets the relevance of output i; shapes must be equal."""

    def weighted(self, f: Bilinear, x: Tensor, w: Tensor, stand_in: StandIn) -> tuple[Tensor, ...]:
        """Return the output, which replaces the input."""
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


def stabiliser_of(rule: MapRule | None, default: Stabiliser) -> Stabiliser | None:
    """Return ε if a rule is the ε-rule or LRP-0, else None; `default` without a rule."""
    if rule is None:
        return default
    if isinstance(rule, Zero):
        return Stabiliser(0.0)
    return rule.stabiliser if isinstance(rule, Epsilon) else None
