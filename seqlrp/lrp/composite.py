"""Rules for linear maps by the name of a module, by its class, or by place in the order of maps.

`rules={"head": Zero(), 0: WSquare(), nn.Linear: Gamma(0.25)}`: LRP-0 on top, w² at the input, γ
in all linear layers between. A name beats a place, a place beats a class.
"""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase

from torch import nn

from seqlrp.errors import OptionError, check_choice
from seqlrp.lrp.map_rules import MapRule, WSquare, ZPlus

Key = str | int | type[nn.Module]

# Deep Taylor decomposition (Montavon et al. 2017): the w²-rule where inputs have any sign, and the
# z⁺-rule above it, where rectifiers made them positive.
COMPOSITES: dict[str, Mapping[Key, MapRule]] = {
    "deep_taylor": {0: WSquare(), nn.Module: ZPlus()},
}


class Composite:
    """Assigns a rule to each linear map of a model.

    Args:
        rules: a mapping; one rule, for all maps; the name of one of `COMPOSITES`; or None.

    Raises:
        OptionError: a key is no name, class or number, or a rule is no `MapRule`.
    """

    def __init__(self, rules: Mapping[Key, MapRule] | MapRule | str | None) -> None:
        if isinstance(rules, MapRule):
            rules = {nn.Module: rules}
        _refuse_class(rules, "rules")
        if rules is not None and not isinstance(rules, (str, Mapping)):
            raise OptionError(
                f"Got rules {rules!r}; expected a mapping such as {{nn.Linear: Gamma(0.25)}} with "
                f"rules from seqlrp.rules, or 'deep_taylor'."
            )
        if isinstance(rules, str):
            check_choice("rules", rules, COMPOSITES)
            rules = COMPOSITES[rules]
        self.rules: dict[Key, MapRule] = dict(rules or {})
        for key, rule in self.rules.items():
            _refuse_class(rule, f"the rule for {key!r}")
            if not isinstance(rule, MapRule):
                raise OptionError(
                    f"Got {rule!r} as the rule for {key!r}; expected one of seqlrp.rules, e.g. "
                    f"seqlrp.rules.Gamma(0.25).",
                    option="rules",
                    got=rule,
                )
            a_class = isinstance(key, type) and issubclass(key, nn.Module)
            if isinstance(key, bool) or not (isinstance(key, (str, int)) or a_class):
                raise OptionError(
                    f"Got the key {key!r} in rules; expected the name of a module, a module class "
                    f"such as nn.Linear, or a number in the order of maps (0 first, -1 last)."
                )

    def __bool__(self) -> bool:
        return bool(self.rules)

    @property
    def counts_from_the_end(self) -> bool:
        """Whether a key depends on the number of maps."""
        return any(isinstance(key, int) and key < 0 for key in self.rules)

    def find(
        self, name: str, module: nn.Module | None, place: int | None, total: int | None
    ) -> MapRule | None:
        """Return the rule for a map, or None for the default.

        Args:
            name: the dotted name of the module it runs in.
            module: that module.
            place: the number of maps that ran before it; None for a sum, which is not counted.
            total: the number of all maps, if known.
        """
        if name in self.rules:
            return self.rules[name]
        for key, rule in self.rules.items():
            if isinstance(key, str) and fnmatchcase(name, key):
                return rule
        for key, rule in self.rules.items():
            if isinstance(key, int) and place is not None:
                wanted = key if key >= 0 else None if total is None else total + key
                if wanted == place:
                    return rule
        for key, rule in self.rules.items():
            if isinstance(key, type) and isinstance(module, key):
                return rule
        return None

    def check_used(self, names: list[str], modules: Mapping[str, nn.Module]) -> None:
        """Refuse a key (a name, place or class) that matches no map.

        `names` are the modules of all maps, in order.
        """
        of_classes = tuple(key for key in self.rules if isinstance(key, type))
        of_class = any(isinstance(modules.get(name), of_classes) for name in names)
        for key in self.rules:
            if isinstance(key, str):
                met = any(fnmatchcase(name, key) for name in names)
            elif isinstance(key, int):
                met = -len(names) <= key < len(names)
            else:
                met = of_class
            if not met:
                shown = ", ".join(repr(name) for name in dict.fromkeys(names))
                of = {type(module).__name__ for module in modules.values()}
                hint = f" A class is given as such: nn.{key}." if key in of else ""
                raise OptionError(
                    f"No map of the model has the key {key!r} of rules; the {len(names)} maps run "
                    f"in order in: {shown}.{hint}"
                )


def _refuse_class(rule: object, place: str) -> None:
    """Refuse a rule class given instead of an instance."""
    if isinstance(rule, type) and issubclass(rule, MapRule):
        raise OptionError(
            f"Got the class {rule.__name__} as {place}; expected a rule with its options: "
            f"{rule.__name__}().",
            option="rules",
            got=rule,
        )
