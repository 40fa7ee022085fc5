"""The rule that is put off: a map or sum divides its relevance only when its value is used.

`W x + U h + b` has one denominator, however many functions compute it. So a law that makes a map
or a sum notes on the value what is due there, further sums take the note over, and the first use
that is no sum settles it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from seqlrp.lrp.rules import divided
from seqlrp.lrp.stabilise import kept, signed

if TYPE_CHECKING:
    from seqlrp.lrp.map_rules import MapRule
    from seqlrp.lrp.marks import Mark
    from seqlrp.lrp.propagate import Propagation

Kind = Literal["map", "sum"]


@dataclass(frozen=True, slots=True, eq=False)
class Due:
    """What has yet to happen to γ at a value.

    Attributes:
        kind: a linear `"map"`, or a `"sum"` of anything.
        epsilon: ε of the ε-rule that is due, where no other rule is.
        made: the operation, and the module it ran in.
        denominator: the `z` of the ε-rule; None stands for the value itself.
        features: the dimension along which the outputs of one map lie.
        rule: another rule than the absolute ε-rule, and
        parts: the values `z_s`, each linear in the inputs, among which it divides R_z.
        units: for `bias_factor`: Σᵢ 1 over the inputs that a bias is spread over, and
        count: how many these are, both as the value or broadcastable to it; and
        constant: the bias itself.
    """

    kind: Kind
    epsilon: float
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
        """Whether it is the ε-rule with nothing else, which can be carried along."""
        return self.rule is None and self.units is None

    def joins(self, other: Due | None) -> bool:
        """Whether a sum of both can share one denominator."""
        if other is None or self.rule != other.rule:
            return False
        return self.rule is not None or self.epsilon == other.epsilon


def settle(run: Propagation, value: Tensor, mark: Mark) -> Tensor:
    """The value with the rule that was due at it applied to the γ that comes back."""
    due = mark.due
    assert due is not None
    withheld_at = run.watched.get(id(value))
    value = value.view_as(value)
    if due.rule is not None:
        return _divide(run, value, due, mark.documents)
    if due.units is not None:
        return _spread(run, value, due, mark.documents, withheld_at)
    z = (value if due.denominator is None else due.denominator).detach()
    passed = kept(z, due.epsilon)  # `epsilon_rule` of γ = 1
    book, withheld = None, passed
    if run.account:
        book = run.booker("stabiliser", *due.made, documents=mark.documents)
        withheld = value.detach() * (1 - passed)  # now, for the value may be changed in place

    def apply(gamma: Tensor) -> Tensor:
        through = gamma * passed
        if book is not None:
            book((gamma * withheld).masked_fill(gamma == 0, 0))  # masks add -inf
        if withheld_at is not None:
            withheld_at(gamma - through)
        return through

    return run.on_gamma(value, apply)


class _Divided(torch.autograd.Function):
    """A map whose R_z is divided among parts `z_s` in given shares: γ_s = share_s · R_z / z_s."""

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
        gammas = [divided(relevance * share, z) for share, z in zip(ctx.shares, parts, strict=True)]
        passed = sum(g * z for g, z in zip(gammas, parts, strict=True))
        ctx.book(relevance - passed)
        return gamma, None, None, *gammas  # the first ends at the value itself, and is only noted


def _divide(run: Propagation, value: Tensor, due: Due, documents: Tensor | None) -> Tensor:
    assert due.rule is not None
    book = run.booker("stabiliser", *due.made, documents=documents)
    shares = due.rule.shares(value.detach(), due.features)
    return _Divided.apply(value, shares, book, *due.parts)  # type: ignore[no-any-return, no-untyped-call]


class _Spread(torch.autograd.Function):
    """The ε-rule that gives back a part of what bias and stabiliser take, to all units alike."""

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
    run: Propagation,
    value: Tensor,
    due: Due,
    documents: Tensor | None,
    withheld_at: Callable[[Tensor], None] | None,
) -> Tensor:
    """R_i = Σ_j (w_ij x_i + δ·(b_j + ε·sign z_j) / N) / (z_j + ε·sign z_j) · R_j, δ `bias_factor`.

    Arras et al. 2017, eq. 2 with the factor δ of sec. 2; N counts the units below.
    """
    assert due.units is not None
    z = value.detach()
    passed = kept(z, due.epsilon)
    bias = torch.zeros_like(z) if due.constant is None else due.constant.expand_as(z)
    stabiliser = signed(z, due.epsilon)
    factor = run.options.bias_factor
    result: Tensor = _Spread.apply(  # type: ignore[no-untyped-call]
        value, due.units, passed, factor * (bias + stabiliser) / due.count
    )
    if withheld_at is not None:
        run.on_gamma(result, lambda gamma: withheld_at(gamma * (1 - passed)))
    if run.account:
        of_bias = run.booker("bias", *due.made, documents=documents)
        of_stabiliser = run.booker("stabiliser", *due.made, documents=documents)

        def note(gamma: Tensor) -> None:
            of_bias(-factor * gamma * passed * bias)  # the whole of it is booked where it is added
            of_stabiliser((1 - factor) * gamma * passed * stabiliser)

        run.on_gamma(result, note)
    return result


def summed(
    run: Propagation,
    terms: list[Tensor],
    y: Tensor,
    constant: Tensor | None,
    kind: str,
    documents: Tensor | None,
) -> Due:
    """What is due at a sum `y` of signals and, in `constant`, of what is none, of this kind."""
    marks = [run.known(term) for term in terms]
    dues = [None if mark is None else mark.due for mark in marks]
    first = dues[0]
    maps = all(due is not None and due.kind == "map" for due in dues)
    if first is not None and first.rule is not None:  # `add` lets these meet only if they join
        same = zip(*(due.parts for due in dues if due is not None), strict=True)
        parts = [sum(part[1:], part[0]) for part in same]
        if constant is not None:
            biases = first.rule.biased(constant)
            parts = [
                part if b is None else run.absorb(part + b, b, kind, "add", documents)
                for part, b in zip(parts, biases, strict=True)
            ]
        return replace(first, parts=tuple(p.expand_as(y) for p in parts))
    place = run.booked_place()
    operation = first.made[0] if first is not None and maps else "sum"
    due = Due("map" if maps else "sum", run.epsilon, (operation, place))
    if first is not None and maps:
        due = replace(due, epsilon=first.epsilon)
    if not run.options.bias_factor:
        return due
    units: Tensor = torch.zeros_like(y[..., :1])
    count: Tensor | int = 0
    held = constant
    for term, known in zip(terms, dues, strict=True):
        if known is not None and known.units is not None:
            units, count = units + known.units, count + known.count
            if known.constant is not None:
                held = known.constant if held is None else held + known.constant
        else:
            ones = run.stand_in(term.expand_as(y), torch.ones_like(y), documents)
            units, count = units + ones.sum(-1, keepdim=True), count + y.shape[-1]
    return replace(due, units=units, count=count, constant=held)
