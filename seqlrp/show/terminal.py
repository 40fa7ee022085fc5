"""Highlighted documents for a terminal: colours as ANSI escapes, everything else escaped."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TextIO

from seqlrp.errors import check_choice
from seqlrp.explanations.record import Explanation
from seqlrp.show.coloured_text import ColouredText, coloured_texts
from seqlrp.show.colours import DARK, LIGHT, SHADES, Palette

COLOURS = ("truecolour", "256", "none")
_RESET = "\x1b[0m"
_FEW = SHADES // 4  # without colours, words of less than a quarter of the largest are left plain


def to_ansi(
    explanations: Iterable[Explanation],
    *,
    scale: str = "document",
    colours: str = "truecolour",
    dark: bool = False,
) -> str:
    """The explanations as text with ANSI escapes (ECMA-48, "select graphic rendition").

    Words for the class that is explained stand on red and are bold; words against it stand on blue
    and are underlined. Other words stand on the page's own paper, since on a terminal of another
    colour the palest shades would stand out most. No colour runs over the end of a line. Control
    characters in the text, and those that change the direction of writing, are shown by their
    numbers, [U+001B]; tabs and ends of line are kept.

    Args:
        explanations: what is shown, in this order.
        scale: the deepest colour is the largest relevance of each "document" or of the "corpus".
        colours: "truecolour" (24 bits, those of the page), "256" (the nearest of xterm's 256), or
            "none": bold and underline alone, from a quarter of the largest relevance on.
        dark: the colours of the page for dark screens.

    Raises:
        OptionError: another scale, or other colours.
    """
    check_choice("colours", colours, COLOURS)
    pen = _Pen(colours, DARK if dark else LIGHT)
    return "\n".join(_document(shown, pen) for shown in coloured_texts(explanations, scale))


def colours_for(stream: TextIO, environment: Mapping[str, str] = os.environ) -> str | None:
    """The colours that suit a stream, as `to_ansi` takes them; None where no escape belongs.

    None for a file, a pipe and a "dumb" terminal; "none" where NO_COLOR is set (no-color.org);
    "truecolour" where COLORTERM promises it.
    """
    if not stream.isatty() or environment.get("TERM") == "dumb":
        return None
    if environment.get("NO_COLOR"):
        return "none"
    return "truecolour" if environment.get("COLORTERM") in ("truecolor", "24bit") else "256"


def show(
    explanations: Iterable[Explanation],
    stream: TextIO,
    environment: Mapping[str, str] = os.environ,
) -> bool:
    """Write the highlighted texts to a stream if a person reads there, one after the other.

    What the stream's encoding does not have is written as an escape of Python's.

    Returns:
        Whether it was a terminal; where it was none, nothing is written.
    """
    colours = colours_for(stream, environment)
    if colours is None:
        return False
    encoding = stream.encoding or "utf-8"
    for number, explanation in enumerate(explanations):
        text = ("\n" if number else "") + to_ansi([explanation], colours=colours)
        stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
    return True


@dataclass(frozen=True)
class _Pen:
    colours: str
    palette: Palette

    def write(self, text: str, level: int) -> str:
        codes = self._codes(level)
        if not codes:
            return text
        lines = text.split("\n")
        return "\n".join(f"\x1b[{codes}m{line}{_RESET}" if line else "" for line in lines)

    def _codes(self, level: int) -> str:
        cue = ["1"] if level > 0 else ["4"] if level < 0 else []
        if self.colours == "none":
            return ";".join(cue) if abs(level) >= _FEW else ""
        shades = self.palette.ink, self.palette.shade(level)
        return ";".join([*cue, "38", self._colour(shades[0]), "48", self._colour(shades[1])])

    def _colour(self, colour: str) -> str:
        red, green, blue = bytes.fromhex(colour[1:])
        if self.colours == "truecolour":
            return f"2;{red};{green};{blue}"
        return f"5;{_nearest(red, green, blue)}"


def _document(shown: ColouredText, pen: _Pen) -> str:
    low, high = shown.legend()
    lines = [*shown.heading(), "", "".join(pen.write(*piece) for piece in shown.pieces())]
    if shown.largest:
        lines += ["", f"{pen.write(low, -SHADES)}  {pen.write(high, SHADES)}"]
    if (account := shown.account()) is not None:
        lines.append(account)
    return "\n".join(lines) + "\n"


@cache
def _nearest(red: int, green: int, blue: int) -> int:
    """The number of the nearest of xterm's colours: a cube of 6 × 6 × 6, then 24 greys."""
    steps = (0, 95, 135, 175, 215, 255)
    cube = {
        16 + 36 * r + 6 * g + b: (steps[r], steps[g], steps[b])
        for r in range(6)
        for g in range(6)
        for b in range(6)
    }
    greys = {232 + i: (8 + 10 * i,) * 3 for i in range(24)}
    wanted = (red, green, blue)
    known = cube | greys
    return min(
        known, key=lambda n: sum((a - b) ** 2 for a, b in zip(known[n], wanted, strict=True))
    )
