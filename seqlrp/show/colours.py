"""Zero-centred colours: one hue for, one against, in steps; dark text on light or light on dark."""

from __future__ import annotations

from collections.abc import Iterable
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
# text a contrast of 4.5 to 1 and more. Each pair stays apart for every kind of colour-blindness.
_LIGHT = ("#ffffff", "#1b1c1f", "#62656d", "#e3e4e8")
_DARK = ("#17181b", "#eceef2", "#a3a7b0", "#34363c")
PALETTES = {  # name: (light, dark)
    "red-blue": (
        Palette(*_LIGHT, deepest_for="#f4776a", deepest_against="#6aa0f4"),
        Palette(*_DARK, deepest_for="#b3352b", deepest_against="#2b5fb3"),
    ),
    "orange-blue": (
        Palette(*_LIGHT, deepest_for="#ee9128", deepest_against="#62a8e5"),
        Palette(*_DARK, deepest_for="#9a5200", deepest_against="#1d66a3"),
    ),
    "orange-purple": (
        Palette(*_LIGHT, deepest_for="#f08f2a", deepest_against="#a896e6"),
        Palette(*_DARK, deepest_for="#a04e00", deepest_against="#6a4fb0"),
    ),
    "pink-green": (
        Palette(*_LIGHT, deepest_for="#ea84b8", deepest_against="#7ab648"),
        Palette(*_DARK, deepest_for="#a13a73", deepest_against="#46731a"),
    ),
}
LIGHT, DARK = PALETTES["red-blue"]  # the default


def mixed(first: str, second: str, share: float) -> str:
    """The colour that has `share` of the way from `first` to `second` behind it."""
    ends = zip(bytes.fromhex(first[1:]), bytes.fromhex(second[1:]), strict=True)
    return "#" + bytes(round(a + share * (b - a)) for a, b in ends).hex()


def levels(
    relevance: npt.NDArray[np.float32] | npt.NDArray[np.float64],
    largest: float,
    threshold: float = 0.0,
) -> npt.NDArray[np.int64]:
    """The level that each relevance has reached, -SHADES to SHADES; `largest` has the deepest.

    What is smaller than `threshold` (0 to 1) times `largest` has level 0.
    """
    if largest == 0:
        return np.zeros(relevance.shape, dtype=np.int64)
    share = relevance.astype(np.float64) / largest
    share[np.abs(share) < threshold] = 0.0
    return np.trunc(share * SHADES).astype(np.int64)


def shade_class(level: int) -> str | None:
    """The class of a word: f1 to f20 for, a1 to a20 against, None where it has no colour."""
    return f"f{level}" if level > 0 else f"a{-level}" if level < 0 else None


def rules(palettes: Iterable[str]) -> str:
    """The style sheet's colours for these palettes, the first of them for light and dark screens.

    A level says how much of the extreme is mixed to the paper; on paper the light colours hold,
    whatever the reader has chosen for the screen.
    """
    names = list(palettes)
    levels_ = "".join(
        f".seqlrp .{shade_class(sign * level)}{{--k:{100 * level // SHADES}%;--c:var(--{side})}}\n"
        for sign, side in ((+1, "for"), (-1, "against"))
        for level in range(1, SHADES + 1)
    )
    dark = "".join(_variables(name, 1) for name in names)
    return (
        "".join(_variables(name, 0) for name in names)
        + f"@media screen and (prefers-color-scheme: dark) {{\n{dark}}}\n"
        + levels_
    )


def host_rules(palette: str) -> str:
    """The colours of a palette below a host that says `data-scheme="light"` or `"dark"`.

    They come before what the reader has chosen for the screen; on paper the light ones hold.
    """
    light, dark = (
        f":host([data-scheme={scheme}]) {_variables(palette, mode)}"
        for mode, scheme in enumerate(("light", "dark"))
    )
    return f"{light}@media screen {{\n{dark}}}\n"


def _variables(name: str, mode: int) -> str:
    palette = PALETTES[name][mode]
    return (
        f".seqlrp.{name}{{--paper:{palette.paper};--ink:{palette.ink};--quiet:{palette.quiet};"
        f"--line:{palette.line};--for:{palette.deepest_for};--against:{palette.deepest_against}}}\n"
    )
