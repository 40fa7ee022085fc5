"""The mode that runs a model on a text and its reference, each function under its law."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from seqlrp.engine.dispatch import Law
from seqlrp.engine.functions import Function, function_name
from seqlrp.engine.inputs import Tensors
from seqlrp.methods.deeplift.choices import choose
from seqlrp.methods.deeplift.pairs import PairedRun
from seqlrp.methods.deeplift.table import ASKED, TABLE

SQUASHING = ("softmax", "log_softmax", "sigmoid", "expit", "logsigmoid")


class Lockstep(PairedRun):
    """Runs a model under DeepLIFT's table of laws; takes the arguments of `PairedRun`."""

    table = TABLE

    def law_of(
        self, function: Callable[..., Any], entry: Function | None, dependent: list[Tensor]
    ) -> Law[Any] | None:
        """Return the law of a function; refuse masks and indices that differ for the reference."""
        law = super().law_of(function, entry, dependent)
        if entry is not None and entry.kind in ASKED:
            return law
        if not any(t.dtype.is_floating_point for t in dependent):
            return choose
        self.check_choices(function, dependent)
        return law

    def call(
        self, function: Callable[..., Any], args: Any, kwargs: Any, found: Tensors = None
    ) -> Any:
        """Call a function under its law, and remember the result of a softmax or sigmoid."""
        result = super().call(function, args, kwargs, found)
        if function_name(function) in SQUASHING and self.known(result) is not None:
            self.probabilities = result
        return result
