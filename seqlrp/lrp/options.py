"""What a user can choose about the laws, checked once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from seqlrp.errors import OptionError, near
from seqlrp.lrp.composite import Composite, Key
from seqlrp.lrp.kernels import choice
from seqlrp.lrp.map_rules import MapRule
from seqlrp.lrp.rules import GateRule, gate_rule_abs, gate_rule_half, gate_rule_prop

GATE_RULES = ("all", "prop", "abs", "half")
_CHOICES = {
    "attention": ("constant", "attnlrp"),
    "on_unknown": ("raise", "absorb"),
    "start": ("score", "one"),
    "impl": ("auto", "torch", "reference", "triton"),
}


@dataclass(frozen=True)
class Options:
    """See `LRP` for what each means.

    Raises:
        OptionError: one has a value that is not allowed.
    """

    epsilon: float
    gate_rule: Literal["all", "prop", "abs", "half"] | GateRule = "all"
    rules: Mapping[Key, MapRule] | MapRule | str | None = None
    bias_factor: float = 0.0
    attention: str = "constant"
    on_unknown: str = "raise"
    start: str = "score"
    impl: str = "auto"
    composite: Composite = field(init=False)

    def __post_init__(self) -> None:
        for name in ("epsilon", "bias_factor"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise OptionError(f"Got {name} {value!r}; expected a number ≥ 0.")
            if not 0 <= value < float("inf"):
                raise OptionError(f"Got {name} {value}; expected a finite number ≥ 0.")
        if self.bias_factor > 1:
            raise OptionError(f"Got bias_factor {self.bias_factor}; expected 0 to 1.")
        if not callable(self.gate_rule) and self.gate_rule not in GATE_RULES:
            raise OptionError(
                f"Got gate_rule {self.gate_rule!r}; expected one of {', '.join(GATE_RULES)}, or a "
                f"function (gate, signal) -> (share of the gate, share of the signal)."
            )
        for name, allowed in _CHOICES.items():
            value = getattr(self, name)
            if value not in allowed:
                shown = ", ".join(repr(a) for a in allowed)
                hint = near(value, allowed) if isinstance(value, str) else ""
                raise OptionError(f"Got {name} {value!r}; expected one of {shown}. {hint}".strip())
        object.__setattr__(self, "composite", Composite(self.rules))
        choice.check(self.impl, self.signal_takes_all)

    @property
    def signal_takes_all(self) -> bool:
        """Whether gates get nothing, and nothing is spread: what the fast kernels compute."""
        return self.gate_rule == "all" and not self.bias_factor

    @property
    def shares(self) -> GateRule:
        """The shares of a gate and a signal in their product, for any rule but `"all"`."""
        named: dict[Any, Callable[..., Any]] = {
            "half": gate_rule_half,
            "abs": gate_rule_abs,
            "prop": lambda gate, signal: gate_rule_prop(gate, signal, self.epsilon),
        }
        return self.gate_rule if callable(self.gate_rule) else named[self.gate_rule]

    def as_json(self) -> dict[str, Any]:
        """What relevance depends on, for the record: only what is not as it is by default."""
        rule = self.gate_rule
        record: dict[str, Any] = {
            "epsilon": float(self.epsilon),
            "gate_rule": getattr(rule, "__name__", repr(rule)) if callable(rule) else rule,
        }
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
        return record
