"""The mode that runs a model unchanged and applies a law of LRP to each function it calls."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

from torch import Tensor, nn

from seqlrp.engine.dispatch import Law
from seqlrp.engine.functions import Function, Kind, full_name
from seqlrp.engine.nests import map_tensors
from seqlrp.lrp.laws.absorbed import absorb_unknown
from seqlrp.lrp.laws.log_space import LOG_SPACE, refuse
from seqlrp.lrp.named_gates import take_for_gates
from seqlrp.lrp.run import Run
from seqlrp.lrp.table import TABLE

# The kinds of functions that keep gates and signals apart that stand together in one tensor.
_PASS_PARTS = frozenset(
    (Kind.MOVE, Kind.CAST, Kind.ASSIGNMENT, Kind.SAME, Kind.DROPOUT, Kind.QUESTION, Kind.ANSWER)
)


class Propagation(Run):
    """Runs a model under LRP's table of laws; takes the arguments of `Run`."""

    table = TABLE

    def run(self, model: nn.Module, inputs: Tensor, additional: Any) -> Any:
        """Run the model as `InputMode.run` does, and take named modules' outputs for gates.

        Raises:
            OptionError: a module named in `gates` does not run.
        """
        try:
            gates = self.options.gates
            with take_for_gates(self, gates) if gates else nullcontext():
                output = super().run(model, inputs, additional)
            return map_tensors(output, self.with_laws) if self.inside else output
        finally:
            self.inside.clear()

    def law_of(
        self, function: Callable[..., Any], entry: Function | None, dependent: list[Tensor]
    ) -> Law[Any] | None:
        """Return the law of a function; without one, `on_unknown` decides whether it absorbs."""
        absorbs = self.options.on_unknown == "absorb"
        if self.in_log_space and any(self.require_mark(v).logarithm for v in dependent):
            law = None if entry is None else LOG_SPACE.law(entry)
            return law or (absorb_unknown if absorbs else refuse)
        law = super().law_of(function, entry, dependent)
        if self.put_together and (entry is None or entry.kind not in _PASS_PARTS):
            for value in dependent:
                if self.require_mark(value).holds_bare_gates:
                    if not absorbs:
                        self.refuse_together(full_name(function))
                    return absorb_unknown
        return absorb_unknown if law is None and absorbs else law
