"""The marks of LRP: whether a value is a signal or a gate, and its deferred rule."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from seqlrp.engine.marks import Mark
from seqlrp.lrp.deferred import DeferredRule


@dataclass(slots=True, kw_only=True)
class Value(Mark):
    """A mark on a value that depends on the input.

    Attributes:
        gate: whether a sigmoid or softmax made the value, which is then a constant in a product.
        inert: whether it is a gate times a constant, which in a sum counts as a bias.
        deferred: the rule that must be applied to this value before it is used, if any.
        mixed: whether gates and signals were put together in it, which nothing tells apart later.
            A gate that is mixed, as the sum of a signal and an exponential, has no graph; it serves
            to compute gates (`exp(x - m)`), and is refused as a factor and as a signal.
        bounds: the numbers between which the value lies, where they are known (`laws/bounded.py`).
        blank: bool, broadcastable to the value: where a mask, multiplied with it, is 0.
    """

    gate: bool = False
    inert: bool = False
    deferred: DeferredRule | None = None
    blank: Tensor | None = None
    mixed: bool = False
    bounds: tuple[float, float] | None = None

    @property
    def needs_graph(self) -> bool:
        """Whether the value is always part of the graph in which relevance flows back."""
        return not self.gate and not self.inert

    @property
    def plain(self) -> bool:
        """Whether it is a signal without a deferred rule, which autograd follows through views."""
        return not self.gate and self.deferred is None
