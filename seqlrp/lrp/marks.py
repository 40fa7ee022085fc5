"""The marks of LRP: whether a value is a signal or a gate, and its deferred rule."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum
from typing import NamedTuple

from torch import Tensor

from seqlrp.engine.documents import NOBODY
from seqlrp.engine.marks import Mark
from seqlrp.lrp.deferred import DeferredRule


class Part(IntEnum):
    """What an element of a value is, where gates and signals were put together (`parts.py`)."""

    CONSTANT = NOBODY
    SIGNAL = 0
    GATE = 1  # with a graph, as a sigmoid
    BARE = 2  # a gate without one, as an exponential
    INERT = 3  # a gate times a constant
    MAKES_GATES = 4  # the sum of a signal and a gate without a graph, which makes gates
    UNTOLD = 5  # a signal or a gate, and nothing tells which

    @classmethod
    def without_graph(cls) -> tuple[Part, ...]:
        """Return the parts through which no relevance flows back."""
        return cls.BARE, cls.INERT, cls.MAKES_GATES


class Argument(NamedTuple):
    """Of which value another is a function, each element of the element in its place.

    Attributes:
        token: stands for the value x that it is a function of.
        scaled: whether it is x times constants.
        curved: whether an activation or a gate is among its functions, beside sums and products.
        version: the number of writes to its memory (`Tensor._version`) up to which this holds.
    """

    token: object
    scaled: bool
    curved: bool
    version: int


@dataclass(slots=True, kw_only=True)
class Value(Mark):
    """A mark on a value that depends on the input.

    Attributes:
        gate: whether a sigmoid or softmax made the value, which is then a constant in a product.
        inert: whether it is a gate times a constant, which in a sum counts as a bias.
        deferred: the rule that must be applied to this value before it is used, if any.
        mixed: whether gates and signals were put together in it. A gate that is mixed, as the sum
            of a signal and an exponential, has no graph; it serves to compute gates (`exp(x - m)`),
            and is refused as a factor and as a signal.
        logarithm: whether it is the logarithm of a signal (`laws/log_space.py`), at which relevance
            itself flows back.
        parts: int64, broadcastable to the value: for gates and signals that were put together by
            moving them, the `Part` of each element.
        bounds: the numbers between which the value lies, where they are known (`laws/bounded.py`).
        blank: bool, broadcastable to the value: where a mask, multiplied with it, is 0.
        argument: of which value it is a function, where that is known (`laws/activations.py`).
    """

    gate: bool = False
    inert: bool = False
    deferred: DeferredRule | None = None
    blank: Tensor | None = None
    mixed: bool = False
    parts: Tensor | None = None
    bounds: tuple[float, float] | None = None
    logarithm: bool = False
    argument: Argument | None = None

    def argument_of(self, value: Tensor) -> Argument:
        """Return of which value this one is a function: of itself, if of no other."""
        if self.argument is None or self.argument.version != value._version:
            self.argument = Argument(object(), scaled=True, curved=False, version=value._version)
        return self.argument

    def for_copy(self, value: Tensor, copy: Tensor) -> Value:
        """Return the mark of a copy of the value."""
        return replace(self, argument=self.argument_of(value)._replace(version=copy._version))

    @property
    def needs_graph(self) -> bool:
        """Whether the value is always part of the graph in which relevance flows back."""
        return not self.gate and not self.inert

    @property
    def sort(self) -> str:
        """What stays true of it where a value of the same sort is written over a part of it."""
        if self.deferred is not None or self.parts is not None or self.logarithm:
            return ""
        if self.mixed:
            return "" if self.gate else "mixed"
        return "inert" if self.inert else "gate" if self.gate else "signal"

    @property
    def holds_bare_gates(self) -> bool:
        """Whether gates that have no relevance of their own were put together with signals."""
        bare = (Part.BARE, Part.MAKES_GATES)
        return self.parts is not None and any(bool((self.parts == part).any()) for part in bare)
