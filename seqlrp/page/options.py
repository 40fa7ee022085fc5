"""How a page looks, checked once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from seqlrp.errors import OptionError, near
from seqlrp.page.colours import PALETTES, SHADES

SCALES = ("document", "corpus")
UNITS = ("word", "sentence", "token")


@dataclass(frozen=True, kw_only=True)
class Look:
    """The options of a page.

    Attributes:
        scale: the deepest colour is the largest relevance of each "document" or of the "corpus".
        palette: "red-blue", "orange-blue", "orange-purple" or "pink-green"; the first is for.
        threshold: words that have less than this share (0 to 1) of the largest have no colour.
        by: what is coloured at first, each "word", each "sentence", or each "token" as it is.

    Raises:
        OptionError: a value that is not allowed.
    """

    scale: str = "document"
    palette: str = "red-blue"
    threshold: float = 1 / SHADES
    by: str = "word"

    def __post_init__(self) -> None:
        for name, known in (("scale", SCALES), ("palette", PALETTES), ("by", UNITS)):
            value = getattr(self, name)
            if value not in known:
                raise OptionError(
                    f"{name}={value!r} is not one of those allowed. {near(str(value), known)}"
                )
        number = isinstance(self.threshold, int | float) and not isinstance(self.threshold, bool)
        if not number or not 0 <= self.threshold <= 1:
            raise OptionError(
                f"threshold must be a share of the largest relevance, from 0 to 1, got "
                f"{self.threshold!r}."
            )

    @property
    def least(self) -> float:
        """The share from which words have a colour: the threshold, but at least one step."""
        return max(float(self.threshold), 1 / SHADES)

    @classmethod
    def of(cls, options: Mapping[str, Any] | None, **named: Any) -> Look:
        """The look with these names, where they are not None; `options` go before them."""
        given = {name: value for name, value in named.items() if value is not None}
        given |= options or {}
        known = [item.name for item in fields(cls)]
        for name in given:
            if name not in known:
                raise OptionError(f"A page has no option {name!r}. {near(str(name), known)}")
        return cls(**given)
