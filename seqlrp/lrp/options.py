"""The options of `LRP` that the laws depend on, checked once."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from seqlrp.errors import OptionError, check_choice, check_number
from seqlrp.lrp.composite import Composite, Key
from seqlrp.lrp.map_rules import MapRule
from seqlrp.lrp.recurrent.kernels import choice
from seqlrp.lrp.rules import GateRule, gate_rule_abs, gate_rule_half, gate_rule_prop
from seqlrp.lrp.stabilise import Stabiliser

GATE_RULES = ("all", "prop", "abs", "half")
_CHOICES = {
    "attention": ("constant", "attnlrp"),
    "on_unknown": ("raise", "absorb"),
    "start": ("score", "one"),
    "impl": ("auto", "torch", "reference", "triton"),
}


# By measurement: docs/explanation/limits.md; the published code has an absolute 1e-3.
DEFAULT_EPSILON = "5%"


def stabiliser(epsilon: float | str) -> Stabiliser:
    """Return what the option `epsilon` stands for: 0.005 is absolute, "5%" is relative.

    Raises:
        OptionError: it is neither a number nor a percentage, or it is negative.
    """
    if isinstance(epsilon, str):
        return Stabiliser(0.0, _share(epsilon))
    check_number("epsilon", epsilon, least=0)
    return Stabiliser(float(epsilon))


def _share(percentage: str) -> float:
    """Return 0.05 for "5%"."""
    number, sign, rest = percentage.partition("%")
    try:
        share = float(number) / 100
    except ValueError:
        share = math.nan
    if not sign or rest or not 0 <= share < math.inf:
        raise OptionError(
            option="epsilon",
            got=percentage,
            expected="a finite number, at least 0, or a percentage of the mean |z|, as '5%'",
        )
    return share


def epsilon_option(given: Stabiliser) -> float | str:
    """Return the option `epsilon` that stands for a stabiliser of one part."""
    return f"{100 * given.relative:.12g}%" if given.relative else given.absolute


def parse_gates(given: Sequence[str] | str) -> tuple[str, ...]:
    """Return the names of modules in the option `gates`; one string has commas between them.

    Raises:
        OptionError: it is neither a string nor a list of strings.
    """
    names = given.split(",") if isinstance(given, str) else given
    if not isinstance(names, Sequence) or not all(isinstance(name, str) for name in names):
        raise OptionError(
            option="gates", got=given, expected="names of modules, such as ('block.x_proj',)"
        )
    return tuple(dict.fromkeys(stripped for name in names if (stripped := name.strip())))


@dataclass(frozen=True)
class Options:
    """The options of `LRP`; the class `LRP` documents each.

    Raises:
        OptionError: one has a value that is not allowed.
    """

    stabiliser: Stabiliser
    gate_rule: Literal["all", "prop", "abs", "half"] | GateRule = "all"
    rules: Mapping[Key, MapRule] | MapRule | str | None = None
    bias_factor: float = 0.0
    attention: str = "constant"
    on_unknown: str = "raise"
    start: str = "score"
    impl: str = "auto"
    gates: Sequence[str] | str = ()
    composite: Composite = field(init=False)

    def __post_init__(self) -> None:
        check_number("bias_factor", self.bias_factor, least=0, most=1)
        if not callable(self.gate_rule) and self.gate_rule not in GATE_RULES:
            raise OptionError(
                f"Got gate_rule={self.gate_rule!r}; expected one of {', '.join(GATE_RULES)}, or a "
                f"function (gate, signal) -> (share of the gate, share of the signal).",
                option="gate_rule",
                got=self.gate_rule,
                known=GATE_RULES,
            )
        for name, allowed in _CHOICES.items():
            check_choice(name, getattr(self, name), allowed)
        object.__setattr__(self, "gates", parse_gates(self.gates))
        object.__setattr__(self, "composite", Composite(self.rules))
        choice.check(self.impl, self.signal_takes_all)

    @property
    def signal_takes_all(self) -> bool:
        """Whether gates get nothing and biases are not spread, as the fast kernels require."""
        return self.gate_rule == "all" and not self.bias_factor

    @property
    def shares(self) -> GateRule:
        """The shares of a gate and a signal in their product, for all gate rules except `"all"`."""
        named: dict[Any, Callable[..., Any]] = {
            "half": gate_rule_half,
            "abs": gate_rule_abs,
            "prop": lambda gate, signal: gate_rule_prop(gate, signal, self.stabiliser.absolute),
        }
        return self.gate_rule if callable(self.gate_rule) else named[self.gate_rule]

    def as_json(self) -> dict[str, Any]:
        """Return the options that the relevance depends on and that differ from their default."""
        rule = self.gate_rule
        record: dict[str, Any] = {"epsilon": epsilon_option(self.stabiliser)}
        record["gate_rule"] = getattr(rule, "__name__", repr(rule)) if callable(rule) else rule
        if self.composite:
            shown = {
                key.__name__ if isinstance(key, type) else str(key): repr(rule)
                for key, rule in self.composite.rules.items()
            }
            record["rules"] = self.rules if isinstance(self.rules, str) else shown
        for name, default in (
            ("bias_factor", 0.0),
            ("attention", "constant"),
            ("on_unknown", "raise"),
            ("start", "score"),
        ):
            if getattr(self, name) != default:
                record[name] = getattr(self, name)
        if self.gates:
            record["gates"] = list(self.gates)
        return record
