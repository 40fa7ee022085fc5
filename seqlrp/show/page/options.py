"""The options of a page or of a folder of pages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from seqlrp.errors import OptionError, check_choice, check_number, near
from seqlrp.show.coloured_text import SCALES
from seqlrp.show.colours import PALETTES, SHADES
from seqlrp.show.edits import Edits


@dataclass(frozen=True, kw_only=True)
class PageOptions:
    """The options of a page.

    Attributes:
        title: the heading.
        note: what the author says to the reader, below the heading; an empty line parts paragraphs.
        model: the name of the model that is explained.
        corpus: where the texts come from.
        about: more facts about the model or the texts, by name, e.g. `{"Saved": "1 May 2026"}`.
        minify: leave the indentation and comments of style and script out.
        scale: the deepest colour is the largest relevance of each "document" or of the "corpus",
            which makes texts comparable.
        palette: "red-blue", "orange-blue", "orange-purple" or "pink-green"; the first is for.
        threshold: words that have less than this share (0 to 1) of the largest have no colour.
        by: what is coloured at first, each "word", each "sentence", or each "token" as it is.
        sides: names of what stands side by side, the first and the second; None where a side is
            called by its method.
        front: whether report, figures and tables stand unfolded in front of the texts; otherwise
            they are folded away behind them.
        edits: what was done to each text; none where nothing was.
        selection: whether the texts were selected for what they show, so that how many of them are
            right, and their words together, say nothing.

    Raises:
        OptionError: a value that is not allowed.
    """

    title: str = "Which words decided"
    note: str | None = None
    model: str | None = None
    corpus: str | None = None
    about: Mapping[str, str] = field(default_factory=dict)
    minify: bool = False
    scale: str = "document"
    palette: str = "red-blue"
    threshold: float = 1 / SHADES
    by: str = "word"
    sides: tuple[str | None, str | None] | None = None
    front: bool = False
    edits: tuple[Edits, ...] = ()
    selection: bool = False

    def __post_init__(self) -> None:
        check_choice("scale", self.scale, SCALES)
        check_choice("palette", self.palette, PALETTES)
        check_choice("by", self.by, ("word", "sentence", "token"))
        check_number("threshold", self.threshold, least=0, most=1)
        for name in ("note", "model", "corpus"):
            if not isinstance(getattr(self, name), str | None):
                raise OptionError(option=name, got=getattr(self, name), expected="a string")
        facts = self.about.items() if isinstance(self.about, Mapping) else [(None, None)]
        if not all(isinstance(word, str) for fact in facts for word in fact):
            raise OptionError(option="about", got=self.about, expected="a mapping of strings")
        sides = (None, None) if self.sides is None else tuple(self.sides)
        if len(sides) != 2 or not all(isinstance(side, str | None) for side in sides):
            raise OptionError(option="sides", got=self.sides, expected="two names")

    @property
    def least(self) -> float:
        """The share from which words have a colour: the threshold, but at least one step."""
        return max(float(self.threshold), 1 / SHADES)

    @classmethod
    def of(cls, options: Mapping[str, Any] | None, named: Mapping[str, Any]) -> PageOptions:
        """The options that are not None; those of `options` replace those of `named`.

        Raises:
            OptionError: an option that a page does not have, or a value that is not allowed.
        """
        given = {name: value for name, value in named.items() if value is not None}
        given |= options or {}
        known = [item.name for item in fields(cls)]
        for name in given:
            if name not in known:
                raise OptionError(
                    f"A page has no option {name!r}. {near(str(name), known)}", option=name
                )
        return cls(**given)
