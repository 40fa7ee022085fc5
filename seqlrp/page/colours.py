"""Zero-centred colours: red for, blue against, in steps; dark text on light or light on dark."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

SHADES = 20  # steps from no colour to the deepest, on either side of zero


@dataclass(frozen=True)
class Palette:
    """Colours of the page as #rrggbb: background, text, quieter text, lines, the two extremes."""

    paper: str
    ink: str
    quiet: str
    line: str
    deepest_for: str
    deepest_against: str

    def shade(self, level: int) -> str:
        """The background of level -SHADES (against) to SHADES (for); level 0 is the paper."""
        deepest = self.deepest_for if level > 0 else self.deepest_against
        return mixed(self.paper, deepest, abs(level) / SHADES)

    def underline(self, level: int) -> str:
        """The line under a word, as strong as its colour: what is left of it without colour."""
        return mixed(self.shade(level), self.ink, abs(level) / SHADES)


# The extremes of a palette are equally light, so that neither sign looks stronger, and leave the
# text a contrast of 4.5 to 1 and more.
LIGHT = Palette(
    paper="#ffffff",
    ink="#1b1c1f",
    quiet="#62656d",
    line="#e3e4e8",
    deepest_for="#f4776a",
    deepest_against="#6aa0f4",
)
DARK = Palette(
    paper="#17181b",
    ink="#eceef2",
    quiet="#a3a7b0",
    line="#34363c",
    deepest_for="#b3352b",
    deepest_against="#2b5fb3",
)


def mixed(first: str, second: str, share: float) -> str:
    """The colour that has `share` of the way from `first` to `second` behind it."""
    ends = zip(bytes.fromhex(first[1:]), bytes.fromhex(second[1:]), strict=True)
    return "#" + bytes(round(a + share * (b - a)) for a, b in ends).hex()


def levels(relevance: npt.NDArray[np.float32], largest: float) -> npt.NDArray[np.int64]:
    """The level that each relevance has reached, -SHADES to SHADES; `largest` has the deepest."""
    if largest == 0:
        return np.zeros(relevance.shape, dtype=np.int64)
    return np.trunc(relevance.astype(np.float64) / largest * SHADES).astype(np.int64)


def shade_class(level: int) -> str | None:
    """The class of a word: f1 to f20 for, a1 to a20 against, None where it has no colour."""
    return f"f{level}" if level > 0 else f"a{-level}" if level < 0 else None


def rules(palette: Palette) -> str:
    """The style sheet's colours for one palette."""
    variables = (
        f"--paper:{palette.paper};--ink:{palette.ink};--quiet:{palette.quiet};"
        f"--line:{palette.line};--for:{palette.deepest_for};--against:{palette.deepest_against}"
    )
    shades = "".join(
        f".seqlrp .{shade_class(level)}{{background:{palette.shade(level)};"
        f"text-decoration-color:{palette.underline(level)}}}\n"
        for level in range(-SHADES, SHADES + 1)
        if level
    )
    return f".seqlrp{{{variables}}}\n{shades}"
