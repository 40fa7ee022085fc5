"""What a reader did to a text before it was shown: words struck out, and words put for others."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

Spans = tuple[tuple[int, int], ...]

STRUCK, REPLACED = "struck", "replaced"


@dataclass(frozen=True)
class Edits:
    """Parts of a text that were struck, parts that stand for others, and what came of it.

    Attributes:
        struck: where each part that was struck starts and ends in the text, in characters.
        replaced: the same of each part that was put in for another one.
        said: sentences on what was done and what the model answers then.
    """

    struck: Spans = ()
    replaced: Spans = ()
    said: tuple[str, ...] = ()

    def of(self, start: int, end: int) -> str | None:
        """What was done to a part of the text: `STRUCK`, `REPLACED`, or None."""
        for kind, spans in ((STRUCK, self.struck), (REPLACED, self.replaced)):
            if any(first < end and start < last for first, last in spans):
                return kind
        return None

    def parts(self, start: int, end: int) -> Iterator[tuple[int, int, str | None]]:
        """A part of the text in pieces to which one thing was done: (start, end, what)."""
        places = {p for span in (*self.struck, *self.replaced) for p in span if start < p < end}
        for place in (*sorted(places), end):
            yield start, place, self.of(start, place)
            start = place


NO_EDITS = Edits()
