"""The deferred rule: a map or sum divides its relevance only when its value is used.

`W x + U h + b` has one denominator, however many functions compute it. So the law of a map or a sum
stores the deferred rule on its result, further sums pass it on to theirs, and the first use that is
not a sum applies the rule.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import torch
from torch import Tensor

from seqlrp.lrp.map_rules import MapRule
from seqlrp.lrp.rules import quotient_or_zero
from seqlrp.lrp.stabilise import Stabiliser, epsilon_factor, signed_epsilon

Kind = Literal["map", "sum"]
Book = Callable[[Tensor], None]  # records relevance that ends in an operation


class Accounts(Protocol):
    """The interface that a deferred rule needs from the run that applies it."""

    @property
    def account(self) -> bool:
        """Whether a ledger is kept."""

    @property
    def bias_factor(self) -> float:
        """The part of the relevance of bias and stabiliser that is spread over the inputs."""

    def booker(self, kind: str, operation: str, module: str, documents: Tensor | None) -> Book:
        """Return a function that books relevance as ending in an operation."""

    def withheld_at(self, value: Tensor) -> Book | None:
        """Return the function that records γ withheld by a stabiliser at a value, or None."""

    def on_gamma(self, value: Tensor, change: Callable[[Tensor], Tensor | None]) -> Tensor:
        """Return the value with `change` applied to its γ in the backward pass."""


@dataclass(frozen=True, slots=True, eq=False)
class DeferredRule:
    """A rule that has yet to be applied to γ at a value.

    Attributes:
        kind: a linear `"map"`, or a `"sum"` of anything.
        stabiliser: ε of the deferred ε-rule, unless `rule` is set.
        made: the operation, and the module it ran in.
        denominator: the `z` of the ε-rule; None means the value itself.
        features: the dimension along which the outputs of one map lie.
        rule: a rule other than the absolute ε-rule, or None.
        parts: the values `z_s`, each linear in the inputs, among which `rule` divides R_z.
        units: for `bias_factor`: Σᵢ 1 over the inputs that a bias is spread over.
        count: the number of these inputs, broadcastable to the value.
        constant: for `bias_factor`: the bias.
    """

    kind: Kind
    stabiliser: Stabiliser
    made: tuple[str, str] = ("", "")
    denominator: Tensor | None = None
    features: int = -1
    rule: MapRule | None = None
    parts: tuple[Tensor, ...] = ()
    units: Tensor | None = None
    count: Tensor | int = 0
    constant: Tensor | None = None

    @property
    def plain(self) -> bool:
        """Whether this is the ε-rule and nothing else, which values can carry along."""
        return self.rule is None and self.units is None

    def can_join(self, other: DeferredRule | None) -> bool:
        """Return whether a sum of both values can share one denominator."""
        if other is None or self.rule != other.rule:
            return False
        return self.rule is not None or self.stabiliser == other.stabiliser

    def epsilon(self, z: Tensor) -> float | Tensor:
        """Return ε at `z`, of the shape of the value."""
        return self.stabiliser.at_map(z, self.features)


def apply_deferred(
    run: Accounts, value: Tensor, deferred: DeferredRule, documents: Tensor | None
) -> Tensor:
    """Return the value with the deferred rule applied to its γ in the backward pass.

    `documents` are those of the value.
    """
    withheld_at = run.withheld_at(value)
    value = value.view_as(value)
    if deferred.rule is not None:
        shares = deferred.rule.shares(value.detach(), deferred.features)
        divided: Tensor = _Divide.apply(  # type: ignore[no-untyped-call]
            value,
            shares,
            run.booker("stabiliser", *deferred.made, documents),
            *deferred.parts,
        )
        return divided
    if deferred.units is not None:
        return _spread(run, value, deferred, documents, withheld_at)
    z = (value if deferred.denominator is None else deferred.denominator).detach()
    passed = epsilon_factor(z, deferred.epsilon(z))  # `epsilon_rule` of γ = 1
    book: Book | None = None
    withheld = passed
    if run.account:
        book = run.booker("stabiliser", *deferred.made, documents)
        withheld = value.detach() * (
            1 - passed
        )  # computed now, because the value may be changed in place

    def apply(gamma: Tensor) -> Tensor:
        through = gamma * passed
        if book is not None:
            book((gamma * withheld).masked_fill(gamma == 0, 0))  # masks add -inf
        if withheld_at is not None:
            withheld_at(gamma - through)
        return through

    return run.on_gamma(value, apply)


class _Divide(torch.autograd.Function):
    """Divides R_z of a map among parts `z_s` in given shares: γ_s = share_s · R_z / z_s."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, shares: Any, book: Any, *parts: Tensor) -> Tensor:
        ctx.shares, ctx.book = shares, book
        y = value.clone()
        ctx.save_for_backward(value.clone(), *parts)  # a model may change either in place
        return y

    @staticmethod
    def backward(ctx: Any, gamma: Tensor) -> Any:
        value, *parts = ctx.saved_tensors
        relevance = gamma * value
        shared = zip(ctx.shares, parts, strict=True)
        gammas = [quotient_or_zero(relevance * share, z) for share, z in shared]
        passed = sum(g * z for g, z in zip(gammas, parts, strict=True))
        ctx.book(relevance - passed)
        return (
            gamma,
            None,
            None,
            *gammas,
        )  # the first one ends at the value itself, where it is only recorded


class _Spread(torch.autograd.Function):
    """The ε-rule that spreads a part of the relevance of bias and stabiliser over all units."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, units: Tensor, passed: Tensor, each: Tensor) -> Tensor:
        ctx.shape = units.shape
        ctx.save_for_backward(passed, each)
        return value.clone()

    @staticmethod
    def backward(ctx: Any, gamma: Tensor) -> Any:
        passed, each = ctx.saved_tensors
        gamma = gamma * passed
        return gamma, (gamma * each).sum_to_size(ctx.shape), None, None


def _spread(
    run: Accounts,
    value: Tensor,
    deferred: DeferredRule,
    documents: Tensor | None,
    withheld_at: Book | None,
) -> Tensor:
    """R_i = Σ_j (w_ij x_i + δ·(b_j + ε·sign z_j) / N) / (z_j + ε·sign z_j) · R_j, δ `bias_factor`.

    Arras et al. 2017, eq. 2 with the factor δ of sec. 2; N counts the units below.
    """
    assert deferred.units is not None
    z = value.detach()
    epsilon = deferred.epsilon(z)
    passed = epsilon_factor(z, epsilon)
    bias = torch.zeros_like(z) if deferred.constant is None else deferred.constant.expand_as(z)
    stabiliser = signed_epsilon(z, epsilon)
    factor = run.bias_factor
    result: Tensor = _Spread.apply(  # type: ignore[no-untyped-call]
        value, deferred.units, passed, factor * (bias + stabiliser) / deferred.count
    )
    if withheld_at is not None:
        run.on_gamma(result, lambda gamma: withheld_at(gamma * (1 - passed)))
    if run.account:
        of_bias = run.booker("bias", *deferred.made, documents)
        of_stabiliser = run.booker("stabiliser", *deferred.made, documents)

        def note(gamma: Tensor) -> None:
            of_bias(
                -factor * gamma * passed * bias
            )  # the sum that added the bias books all of its relevance
            of_stabiliser((1 - factor) * gamma * passed * stabiliser)

        run.on_gamma(result, note)
    return result
